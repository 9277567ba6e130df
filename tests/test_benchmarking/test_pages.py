# Copyright (c) mmseg_semi authors.
import csv
import html.parser
import io

import pytest
import yaml
from rich.console import Console

from mmseg_semi.benchmarking import Result, Row, write_between_markers
from mmseg_semi.benchmarking.formats import html as to_html
from mmseg_semi.benchmarking.formats import markdown, terminal, to_csv
from mmseg_semi.benchmarking.pages import (clear_metafile, clear_readme,
                                           fill_metafile, fill_readme)
from mmseg_semi.benchmarking.tables import Outcome

README = '''\
# A
| config | split | published | ours, last | best | seed | s/iter |
| --- | --- | --- | --- | --- | --- | --- |
| [a_r101_voc_92](./a_r101_voc_92.py) | x | 70.00 | not yet run | not yet run | - | - |
| [b_r101_voc_92](./sub/b_r101_voc_92.py) | x | 71.00 | not yet run | not yet run | - | - |

| config | what | published | ours |
| --- | --- | --- | --- |
| [a_r101_voc_92](./a_r101_voc_92.py) | a | - | not yet run |

| table | best |
| --- | --- |
| 7 | [0,1] |
'''  # noqa: E501
METAFILE = '''\
Collections:
- Name: A
Models:
- Name: a_r101_voc_92
  In Collection: A
  Config: configs/a/a_r101_voc_92.py
  Metadata:
    Training Data: PASCAL VOC 2012
- Name: b_r101_voc_92
  In Collection: A
  Config: configs/a/sub/b_r101_voc_92.py
  Metadata:
    Training Data: PASCAL VOC 2012
'''


def make_row(name='a_r101_voc_92', folder='', scores=(70.5, 71.5), **kwargs):
    row = Row('voc_92', name, **kwargs)
    for seed, score in enumerate(scores):
        record = dict(
            run=f'{name}{seed}',
            config=f'configs/a/{folder}{name}.py',
            seconds_per_iteration=.25,
            iterations=10,
            date='2026-01-02')
        row.outcomes[seed] = Outcome(score, score + 1, Result(record, None))
    return row


def test_readme_gets_the_results_of_its_rows():
    rows = [make_row(), make_row('c_r101_voc_92')]
    filled = fill_readme(README, 'configs/a', rows)
    assert ('| x | 70.00 | 71.00 ± 0.71 | 72.00 ± 0.71 | 0, 1 | 0.250 |'
            in filled)
    assert '| a | - | 71.00 ± 0.71 |' in filled
    assert '| x | 71.00 | not yet run | not yet run | - | - |' in filled
    assert '| 7 | [0,1] |' in filled
    assert clear_readme(filled) == README
    # One run later: what is known already stays.
    both = fill_readme(filled, 'configs/a',
                       [make_row('b_r101_voc_92', 'sub/', [60.])])
    assert '| 71.00 | 60.00 | 61.00 | 0 | 0.250 |' in both
    assert '| 70.00 | 71.00 ± 0.71 |' in both


def test_row_without_results_or_with_overrides_fills_nothing(tmp_path):

    class Changed:
        config, options = 'configs/a/a_r101_voc_92.py', dict(x=1)

    rows = [make_row(scores=()), make_row(runs=[Changed()])]
    assert fill_readme(README, 'configs/a', rows) == README
    assert fill_metafile(METAFILE, rows) == METAFILE


def test_metafile_gets_the_results_of_its_models():
    filled = fill_metafile(METAFILE, [make_row()])
    first, second = yaml.safe_load(filled)['Models']
    (result, ) = first['Results']
    assert result['Task'] == 'Semantic Segmentation'
    assert result['Dataset'] == 'PASCAL VOC 2012'
    assert result['Metrics']['mIoU'] == 71.
    assert 'Results' not in second
    assert clear_metafile(filled) == METAFILE
    assert fill_metafile(filled, [make_row()]) == filled
    last = fill_metafile(filled, [make_row('b_r101_voc_92', 'sub/', [60.])])
    models = yaml.safe_load(last)['Models']
    assert [m['Results'][0]['Metrics']['mIoU'] for m in models] == [71., 60.]
    assert clear_metafile(last) == METAFILE


def test_page_keeps_what_others_wrote(tmp_path):
    page = tmp_path / 'p.md'
    write_between_markers(page, 'a', 'one')
    assert page.read_text() == '<!-- begin a -->\none\n<!-- end a -->\n'
    page.write_text('# Title\n\n' + page.read_text() + '\nbelow\n')
    write_between_markers(page, 'a', 'two')
    write_between_markers(page, 'b', 'three')
    assert page.read_text() == (
        '# Title\n\n<!-- begin a -->\ntwo\n<!-- end a -->\n\nbelow\n\n'
        '<!-- begin b -->\nthree\n<!-- end b -->\n')


@pytest.fixture
def rows():
    return [make_row('<a> & |b|'), Row('voc_92', 'c, d'), Row('voc_183', 'e')]


def test_markdown(rows):
    lines = markdown(rows, 'c, d').split('\n')
    table = [line for line in lines if line.startswith('|')]
    assert len(table) == 5 and lines[5] == ''
    assert '<a> & \\|b\\|' in table[2]
    assert len({line.replace('\\|', '').count('|') for line in table}) == 1


def test_csv(rows):
    header, *body = csv.reader(io.StringIO(to_csv(rows)))
    assert header[:3] == ['protocol', 'method', 'last mIoU']
    assert [line[1] for line in body] == ['<a> & |b|', 'c, d', 'e']
    assert body[0][2] == '71.00 ± 0.71'
    assert {len(line) for line in body} == {len(header)}


def test_html(rows):

    class Reader(html.parser.HTMLParser):
        cells, inside = [], False

        def handle_starttag(self, tag, attrs):
            self.inside = tag == 'td'

        def handle_data(self, data):
            if self.inside:
                self.cells.append(data)
                self.inside = False

    text = to_html('<Toy>', rows)
    reader = Reader()
    reader.feed(text)
    assert reader.cells[:3] == ['voc_92', '<a> & |b|', '71.00 ± 0.71']
    assert '<h1>&lt;Toy&gt;</h1>' in text
    assert text.count('<tr class="first">') == 1  # before voc_183


def test_terminal(rows):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal('Toy', rows))
    text = console.export_text()
    assert 'Toy' in text and '71.00 ± 0.71' in text
