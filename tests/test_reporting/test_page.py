# Copyright (c) mmseg_semi authors.
import json
import re
from html.parser import HTMLParser

import pytest

from mmseg_semi.reporting import write_report
from .given import GATE, images, work_dir

_VOID = {'meta', 'link', 'img', 'br'}


class Page(HTMLParser):
    """Checks that elements close, and keeps the text of each section."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text('utf-8')
        self.open, self.sections, self.addresses = [], {}, []
        self._section = ''
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [
            attrs[name] for name in ('src', 'href', 'action') if name in attrs
        ]
        if tag == 'section':
            self._section = attrs['id']
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != 'style':
            text = self.sections.get(self._section, '')
            self.sections[self._section] = text + data

    def __getitem__(self, section):
        return ' '.join(self.sections[section].split())


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A method, its twin and a run with losses that are not finite."""
    folder = tmp_path_factory.mktemp('report')
    root = images(folder / 'data')
    work_dir(folder / 'method', root, seed=1, gate=GATE)
    work_dir(folder / 'twin', root, unlabelled=False)
    work_dir(
        folder / 'lost',
        root,
        reached=25,
        nan_from=15,
        weights=False,
        scores=(9., ))
    return folder


@pytest.fixture(scope='module')
def page(place):
    out = place / 'pair.html'
    found = write_report([f'{place}/{name}' for name in ('method', 'twin')],
                         out,
                         others=[f'{place}/lost'])
    assert found['bytes'] == out.stat().st_size < 1_000_000
    json.dumps(found)
    return Page(out)


def test_nothing_comes_from_elsewhere(page):
    assert page.addresses
    assert all(a.startswith(('data:', '#')) for a in page.addresses)
    assert '<script' not in page.source
    assert not re.search(r'url\(|@import', page.source)


def test_the_summary_and_the_verdict(page):
    text = page['summary']
    assert 'Nothing is wrong with these runs' in text
    assert 'mean_teacher (EncoderDecoder)' in text
    assert 'labelled, unlabelled5, 7' in text and '40 of 40' in text
    assert re.search(r'95 % interval \[[\d.]+, [\d.]+\] over 6 images', text)
    assert 'method against twin' in text
    assert re.search(r'The unlabelled images (helped|did)', text)
    assert '6 validation images are few' in text
    assert 'differ in their seed (1, 0)' in text
    # What a log says is text, not markup.
    assert 'A <b>warning</b> of this training.' in text
    assert '<b>warning' not in page.source


def test_curves_with_an_earlier_run(page):
    assert 'lost' in page['curves'] and 'Learning rate' in page['curves']
    assert page.source.count('class="earlier"') > 3
    assert 'No curves were published' in page['curves']


def test_classes_confusion_and_health(page):
    for name in ('kind 0', 'kind 2', 'twin'):
        assert name in page['classes']
    assert page.source.count('class="heat"') == 2
    assert '6 of 6 validation images' in page['confusion']
    assert 'pseudo/keep_ratio' in page['health']
    assert '12 held-out labelled images' in page['health']
    assert 'Suggested threshold 0.95' in page['health']


def test_images(page):
    text = page['images']
    assert text.count('worst:') == 8 and text.count('least sure:') == 4
    pictures = [a for a in page.addresses if a.startswith('data:image')]
    assert len(pictures) == 2 * 6 * 4


def test_settings(page):
    text = page['settings']
    assert 'train_dataloader.dataset.unlabeled' in text
    assert 'version of torch' in text and "type='EncoderDecoder'" in text


def test_what_is_missing_is_said_where_it_would_be(place, tmp_path):
    work_dir(place / 'blind', weights=False)
    found = write_report([f'{place}/lost', f'{place}/blind'],
                         tmp_path / 'x.html')
    assert 'from iteration 15 on' in found['notices']['lost'][0]
    page = Page(tmp_path / 'x.html')
    assert 'no config' not in page['settings']
    assert 'No run has scores of single validation' in page['classes']
    assert 'No validation image was predicted' in page['confusion']
    assert 'No validation image was predicted' in page['images']
    assert 'without validation images' in page['summary']
    assert 'None of the runs is its supervised twin' in page['summary']
    assert page.source.count('class="bad"') > 4


def test_data_that_are_not_here(place, tmp_path):
    """Kept scores still give intervals and a verdict."""
    data = place / 'data'
    data.rename(place / 'moved')
    try:
        found = write_report(
            [f'{place}/{name}' for name in ('method', 'twin')],
            tmp_path / 'x.html')
    finally:
        (place / 'moved').rename(data)
    text, = found['notices']['method']
    assert 'cannot be predicted' in text and 'FileNotFoundError' in text
    page = Page(tmp_path / 'x.html')
    assert re.search(r'The unlabelled images (helped|did)', page['summary'])
    assert 'kind 0' in page['classes']


def test_some_images_or_none(place, tmp_path):
    out, twin = tmp_path / 'x.html', f'{place}/twin'
    write_report([twin], out, images=2)
    page = Page(out)
    assert '2 of 6 validation images' in page['confusion']
    assert 'over 6 images' in page['summary']  # of the kept areas
    write_report([twin], out, images=0)
    page = Page(out)
    assert 'No image was predicted, as was asked for' in page['summary']
    assert 'There is one config' in page['settings']


def test_a_broken_gate_is_said(tmp_path):
    folder = work_dir(tmp_path / 'run', weights=False, gate=dict(kept=[1]))
    write_report([folder], tmp_path / 'x.html')
    page = Page(tmp_path / 'x.html')
    assert '"gate" of its record' in page['summary']
    assert 'No run has measured' in page['health']


def test_pictures_have_a_limit(place, tmp_path, monkeypatch):
    monkeypatch.setattr('mmseg_semi.reporting.page.BUDGET', 6000)
    write_report([f'{place}/twin'], tmp_path / 'x.html')
    page = Page(tmp_path / 'x.html')
    assert re.search(r'no room for \d of its images', page['summary'])
    pictures = [a for a in page.addresses if a.startswith('data:image')]
    assert sum(map(len, pictures)) <= 6000


def test_150_classes(tmp_path):
    root = images(tmp_path / 'data', 150, 3)
    precision = {f'kind {i}': GATE['precision']['kind 0'] for i in range(150)}
    folder = work_dir(
        tmp_path / 'many',
        root,
        150,
        fit=False,
        scalars=[f'pseudo/class_{i}' for i in range(150)],
        gate=dict(GATE, precision=precision))
    found = write_report([folder], tmp_path / 'x.html')
    assert found['bytes'] < 2_000_000
    page = Page(tmp_path / 'x.html')
    assert 'The 15 lowest of 150' in page['classes']
    assert '150 classes are too many for a matrix' in page['confusion']
    assert 'class="heat"' not in page.source
    assert 'There was no room for 92 more' in page['health']
    assert 'Table of 150 classes' in page['health']


def test_other_files_are_not_replaced(place, tmp_path):
    out = tmp_path / 'notes.html'
    out.write_text('mine')
    with pytest.raises(FileExistsError, match='--force'):
        write_report([f'{place}/lost'], out)
    assert out.read_text() == 'mine'
    with pytest.raises(IsADirectoryError, match='report.html for instance'):
        write_report([f'{place}/lost'], tmp_path)
    write_report([f'{place}/lost'], out, force=True)
    write_report([f'{place}/lost'], out)
