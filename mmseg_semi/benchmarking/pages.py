# Copyright (c) mmseg_semi authors.
"""Put results into pages, READMEs and metafiles, and take them out again."""
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .columns import NOT_RUN, make_cells, mean_text
from .tables import Row

# Columns of a README's table that are filled, by their names there, and what
# stands in them before.
_CELLS = {
    'ours': ('last mIoU', NOT_RUN),
    'ours, last': ('last mIoU', NOT_RUN),
    'best': ('best mIoU', NOT_RUN),
    'seed': ('seeds', '-'),
    's/iter': ('s/iter', '-'),
}
_LINK = re.compile(r'^\[[^\]]*\]\((\./[^)]*\.py)\)')
_BEGIN, _END = '  # begin results', '  # end results'


def write_between_markers(page: Path, name: str, text: str) -> None:
    """Put text into a page, replacing only what was put there before.

    Args:
        page (Path): The Markdown file; made where missing.
        name (str): Tells several tables of a page apart.
        text (str): What to write.
    """
    begin, end = f'<!-- begin {name} -->', f'<!-- end {name} -->'
    old = page.read_text('utf-8') if page.is_file() else ''
    if begin in old and end in old:
        head, rest = old.split(begin, 1)
        tail = rest.split(end, 1)[1]
    else:
        head, tail = (f'{old.rstrip()}\n\n' if old else ''), '\n'
    page.write_text(f'{head}{begin}\n{text}\n{end}{tail}', 'utf-8')


def fill_readme(text: str, folder: str, rows: Iterable[Row]) -> str:
    """Fill the columns "ours, last", "best", "seed" and "s/iter".

    Args:
        text (str): A README whose tables have rows that begin with a link
            to a config.
        folder (str): Its folder, relative to the checkout: what the links
            are relative to.
        rows (Iterable[Row]): Filled rows. One without results leaves what
            is there.

    Returns:
        str: The README.
    """
    filled = {}
    for row in rows:
        if row.outcomes and row.config and row.is_plain:
            header, (cells, ) = make_cells([row])
            filled[row.config] = dict(zip(header, cells))

    def cell(config: str, name: str, old: str) -> str:
        return filled.get(config, {}).get(_CELLS[name][0], old)

    return _map_cells(text, folder, cell)


def clear_readme(text: str) -> str:
    """The README as it was before :func:`fill_readme`."""
    return _map_cells(text, '', lambda config, name, old: _CELLS[name][1])


def _map_cells(text: str, folder: str, change) -> str:
    lines, header = text.split('\n'), []
    for i, line in enumerate(lines):
        if not line.startswith('|'):
            header = []
            continue
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if not header:
            header = cells
            continue
        link = _LINK.match(cells[0])
        if link is None or len(cells) != len(header):
            continue
        config = '/'.join(filter(None, [folder, link[1][2:]]))
        lines[i] = '| ' + ' | '.join(
            change(config, name, old) if name in _CELLS else old
            for name, old in zip(header, cells)) + ' |'
    return '\n'.join(lines)


def fill_metafile(text: str, rows: Iterable[Row]) -> str:
    """Give the models of a metafile their results.

    They stand between two comments at the end of the model's entry; nothing
    else is touched.

    Args:
        text (str): The metafile.
        rows (Iterable[Row]): Filled rows. One without results leaves what is
            there.

    Returns:
        str: The metafile.
    """
    filled = {
        row.config: row
        for row in rows if row.outcomes and row.config and row.is_plain
    }
    head, *entries = re.split(r'(?m)^(?=- Name: )', text)
    for i, entry in enumerate(entries):
        config = re.search(r'(?m)^  Config: (\S+)$', entry)
        if config and config[1] in filled:
            entries[i] = _with_result(clear_metafile(entry), filled[config[1]])
    return head + ''.join(entries)


def clear_metafile(text: str) -> str:
    """The metafile as it was before :func:`fill_metafile`."""
    return re.sub(rf'(?ms)^{_BEGIN}\n.*?^{_END}\n', '', text)


def _with_result(entry: str, row: Row) -> str:
    last = [outcome.last for outcome in row.outcomes.values()]
    last = [score for score in last if score is not None]
    if not last:
        return entry
    dataset = re.search(r'(?m)^ +Training Data: (.*)$', entry)
    return entry.rstrip('\n') + (
        f'\n{_BEGIN}\n'
        '  Results:\n'
        '  - Task: Semantic Segmentation\n'
        f'    Dataset: {dataset[1] if dataset else row.protocol}\n'
        '    Metrics:\n'
        f'      mIoU: {np.mean(last):.2f}\n'
        f'  # {mean_text(last)}, last iteration, seeds '
        f'{", ".join(map(str, row.outcomes))}\n'
        f'{_END}\n')
