# Copyright (c) mmseg_semi authors.
import json
import re
from pathlib import Path

import pytest

from mmseg_semi.benchmarking import Published, PublishedError
from mmseg_semi.datasets.splits import known_splits

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
TABLE = dict(
    id='p/t1',
    paper='p',
    table='Table 1',
    protocol='voc',
    list='voc12-classic-{labels}',
    evaluation='whole images',
    decimals=1,
    columns=[dict(id='92', labels=92),
             dict(id='183', labels=183)],
    rows=[
        dict(id='a', name='A', values=[50, None]),
        dict(id='b', name='B', quoted=True, protocol='x', values=[1.25, 2])
    ])


def write(tmp_path, *tables):
    path = tmp_path / 'published.json'
    path.write_text(json.dumps(dict(papers={}, tables=tables)))
    return path


def test_keys_of_table_column_and_row(tmp_path):
    published = Published(write(tmp_path, TABLE))
    assert list(published.figures) == ['p/t1/a/92', 'p/t1/b/92', 'p/t1/b/183']
    own = published['p/t1/a/92']
    assert (own.value, own.text, own.labels) == (50, '50.0', 92)
    assert own.list == 'voc12-classic-92' and own.protocol == 'voc'
    assert own.evaluation == 'whole images' and not own.quoted
    quoted = published['p/t1/b/183']
    assert (quoted.list, quoted.evaluation, quoted.protocol) == (None, None,
                                                                 'x')
    assert published.find(labels=92, quoted=True) == [published['p/t1/b/92']]
    with pytest.raises(TypeError, match='labelz'):
        published.find(labelz=92)


def test_missing_figure_names_the_nearest():
    with pytest.raises(PublishedError) as error:
        Published()['brpg/t2/brgp/366']
    assert "'brpg/t2/brgp/366'" in str(error.value)
    assert 'brpg/t2/brpg/366' in str(error.value)
    assert 'Correct the id' in str(error.value)


@pytest.mark.parametrize('change', [
    dict(rows=[dict(id='a', name='A', values=[50])]),
    dict(rows=[dict(id='a', name='A', values=[1, 2])] * 2),
    dict(columns=[dict(labels=1)] * 2),
    dict(list='{nothing}'),
])  # yapf: disable
def test_broken_table_is_refused(tmp_path, change):
    with pytest.raises(PublishedError, match='published.json is broken'):
        Published(write(tmp_path, dict(TABLE, **change)))


def test_broken_file_is_refused(tmp_path):
    with pytest.raises(PublishedError, match='two tables'):
        Published(write(tmp_path, TABLE, TABLE))
    (tmp_path / 'published.json').write_text('{')
    with pytest.raises(PublishedError, match='is broken'):
        Published(tmp_path / 'published.json')
    with pytest.raises(PublishedError, match='Restore it'):
        Published(tmp_path / 'nowhere.json')


def test_shipped_figures_are_plausible():
    published = Published()
    assert len(published.figures) > 1000
    for figure in published.figures.values():
        assert figure.paper in published.papers
        if figure.metric == 'mIoU':
            assert 30 < figure.value < 95, figure.id
            assert figure.labels and figure.protocol and figure.dataset
        if figure.list:
            assert figure.list in known_splits(), figure.id


@pytest.mark.parametrize('id, value', [
    ('brpg/t2/brpg/366', 78.00),
    ('brpg/t10/cps-brpg/92', 67.85),
    ('brpg/ta13/0.9/voc-366', 77.61),
    ('brpg/ta13/0.95/voc-366', 77.63),
    ('pcr/t1/pcr/183', 74.71),
    ('cmb/t2/cmb-coco/100', 59.4),
    ('pps/t1/pps/186', 76.20),
    ('rc2l/t1/rc2l/train-92', 65.33),
    ('rc2l/t1/supervised/aug-662', 67.12),
])  # yapf: disable
def test_some_of_the_papers_figures(id, value):
    assert Published()[id].value == value


# What follows compares what READMEs print with the data file.

_FIGURE = re.compile(r'(?<![\w.])\d\d\.\d{1,2}(?![\w.])')
_TITLES = ('published', 'without', 'supervised', "authors' code")
_LINK = re.compile(r'\[[^\]]*\]\([^)]*?([^/)]*)\.py\)')


def readme_tables(text):
    """(header, cells) of every row of every table."""
    header = None
    for line in text.split('\n'):
        if not line.startswith('|'):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if header is None:
            header = cells
        elif set(''.join(cells)) - set('-: '):
            yield header, cells


def numbered(figures, table):
    """Those of ``Table <table>``; '6' is not A.16."""
    return [f for f in figures if f.table.split()[-1] == table]


def mentioned(id, text):
    """Whether a text names a row by its setting, as 0.9 or [1,6]."""
    setting = id.split(':')[-1].split('=')[-1]
    if len(setting) < 3 or not any(c.isdigit() for c in setting):
        return False
    spelled = re.escape(setting.strip('[]')).replace(',', '(?:,| to )')
    return re.search(rf'(?<![\w.,]){spelled}(?![\w.]|,\S)', text) is not None


def allowed(figures, header, cells):
    """Texts of the figures that may stand in a row, and what they are of."""
    if header[0] == 'table':
        own = numbered(figures, cells[0])
        # A row that is one setting of several may have its figures only.
        hits = [f for f in own if mentioned(f.id.split('/')[2], cells[1])]
        pairs = [f for f in hits if f.id.split('/')[2].endswith(']')]
        one = len({f.row for f in hits}) == 1
        return {f.text for f in pairs or (hits if one else own)}
    link = _LINK.match(cells[0])
    if link is None:
        return {f.text for f in figures}
    labels = re.findall(r'_(\d+)(?=_|$)', link[1])
    return {f.text for f in figures if str(f.labels) in labels}


def wrong_figures(text, figures):
    """(row, figure) of everything that is printed and not published."""
    wrong = []
    for header, cells in readme_tables(text):
        whole = header[0] == 'table' and 'published' not in header
        for title, cell in zip(header, cells):
            if not (whole or any(t in title for t in _TITLES)):
                continue
            if '`' in cell or 'Published' in title:
                continue
            for number in _FIGURE.findall(cell):
                if number not in allowed(figures, header, cells):
                    wrong.append((cells[:2], number))
    return wrong


@pytest.mark.parametrize(
    'readme', sorted(CONFIGS.glob('*/README.md')), ids=lambda p: p.parent.name)
def test_readme_prints_what_was_published(readme):
    published = Published()
    paper = readme.parent.name
    figures = [
        figure for figure in published.figures.values()
        if paper not in ('brpg', 'pcr', 'cmb', 'pps',
                         'rc2l') or figure.paper == paper
    ]
    wrong = wrong_figures(readme.read_text('utf-8'), figures)
    assert not wrong, (
        f'{readme} prints {wrong}, which configs/published.json has not. '
        'Correct the README, or add the figure with its source.')


def test_a_wrong_figure_would_be_noticed():
    figures = Published().find(paper='brpg')
    row = ('| table | row | config | published |\n|---|---|---|---|\n'
           '| {} | {} | `x` | {} |\n')
    good = [('A.13', 'eta_t fixed at 0.9', '77.61'),
            ('7', 'window [1,6]', '77.38'),
            ('8', 'eta_s 0.7', '77.59 / 78.45')]
    bad = [('A.13', 'eta_t fixed at 0.9', '77.63'),
           ('7', 'window [1,6]', '77.48'), ('8', 'eta_s 0.7', '77.59 / 78.25')]
    for cells in good:
        assert wrong_figures(row.format(*cells), figures) == []
    for cells in bad:
        assert len(wrong_figures(row.format(*cells), figures)) == 1
    link = ('| config | split | published | ours, last |\n|---|---|---|---|\n'
            '| [a](./brpg_r101_voc_366.py) | s | {} | 12.34 |\n')
    assert wrong_figures(link.format('78.00'), figures) == []
    assert len(wrong_figures(link.format('76.55'), figures)) == 1  # of 183
