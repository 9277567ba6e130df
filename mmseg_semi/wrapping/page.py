# Copyright (c) mmseg_semi authors.
"""The matrix as text and as a page."""
import platform
from datetime import date
from typing import Dict, List, Sequence

import mmcv
import mmengine
import mmseg
import torch

from .. import __version__
from .cell import Cell

HEAD = """# Models and methods

Every family of MMSegmentation's own config tree with every method, written by
`python tools/misc/wrap_check.py --write docs/models.md`.

One representative config of each family, the smallest by its name, is wrapped
with {classes} classes and a random input of {sizes} pixels; nothing else of
the network is changed, and it is not pretrained. A cell is `ok` if the model

- builds from the base of the method, `segmentor` and `num_classes` alone,
- has the losses of `segmentor.loss` on the labelled images where the method
  trains with the model's own losses,
- takes three optimizer steps through all stages of the method with finite
  losses, every learning parameter gets a finite gradient in each, and the
  gradient reaches backbone, heads and what the method adds,
- moves its teacher, if there is one,
- predicts, and predicts the same after saving and strict loading.

`refused` is a model that cannot be wrapped and says so when it is built; `gap`
failed a check. The number beside them is CPU time in seconds, of one thread.
"""


def versions() -> Dict[str, str]:
    """Of what the result depends on."""
    return {
        'mmseg_semi': __version__,
        'mmsegmentation': mmseg.__version__,
        'mmengine': mmengine.__version__,
        'mmcv': mmcv.__version__,
        'torch': torch.__version__,
        'Python': platform.python_version()
    }


def verdict(cell: Cell) -> str:
    """``ok``, ``refused`` or ``gap``."""
    return 'ok' if cell.ok else 'refused' if cell.refused else 'gap'


def rows_of(cells: Sequence[Cell]) -> List[List[str]]:
    """A heading, then a row for every family; empty where not checked."""
    methods = list(dict.fromkeys(cell.method for cell in cells))
    table = {(cell.family, cell.method): cell for cell in cells}
    rows = [['family', *methods]]
    for family in dict.fromkeys(cell.family for cell in cells):
        row = [table.get((family, method)) for method in methods]
        rows.append([
            family, *(f'{verdict(cell)} {cell.seconds:.1f}' if cell else ''
                      for cell in row)
        ])
    return rows


def reasons_of(cells: Sequence[Cell]) -> List[str]:
    """A line for every reason, with the methods it holds for."""
    methods: Dict[tuple, List[str]] = {}
    for cell in cells:
        if not cell.ok:
            methods.setdefault((cell.family, verdict(cell), cell.reason),
                               []).append(cell.method)
    return [
        f'{family} ({", ".join(names)}): {kind}: {reason}'
        for (family, kind, reason), names in methods.items()
    ]


def summary(cells: Sequence[Cell]) -> str:
    """How many cells are ok, in how many CPU seconds."""
    number = {
        kind: sum(verdict(cell) == kind for cell in cells)
        for kind in ('ok', 'refused', 'gap')
    }
    text = (f'{len(cells)} cells: {number["ok"]} ok, {number["refused"]} '
            f'refused, {number["gap"]} with a gap; '
            f'{sum(cell.seconds for cell in cells):.0f} s of CPU time.')
    known = [c.difference for c in cells if c.difference is not None]
    if known:
        text += (f' Own losses against segmentor.loss in {len(known)} cells: '
                 f'largest difference {max(known):.2g}.')
    return text


def as_text(cells: Sequence[Cell]) -> str:
    """For a terminal."""
    rows = rows_of(cells)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        '  '.join(entry.ljust(width)
                  for entry, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    return '\n'.join([*lines, '', *reasons_of(cells), summary(cells)])


def as_page(cells: Sequence[Cell], families: Dict[str, str],
            sizes: Sequence[int], classes: int) -> str:
    """For ``docs/models.md``.

    Args:
        cells (Sequence[Cell]): The matrix.
        families (dict[str, str]): Configs by family.
        sizes (Sequence[int]): Of inputs, the smallest that fits is taken.
        classes (int): Number of classes.
    """
    heading, *rows = rows_of(cells)
    span = f'{sizes[0]} (where that is too small, up to {sizes[-1]})'
    parts = [HEAD.format(sizes=span, classes=classes), f'{summary(cells)}\n']
    known = ', '.join(f'{name} {v}' for name, v in versions().items())
    parts.append(f'{date.today().isoformat()}: {known}.\n')
    parts.append('\n'.join([
        _line(heading),
        _line(['---'] * len(heading)),
        *map(_line, rows),
    ]) + '\n')
    reasons = reasons_of(cells)
    if reasons:
        parts.append('## Reasons\n')
        parts.append('\n'.join(f'- {_plain(text)}' for text in reasons) + '\n')
    parts.append('## Configs\n')
    shown = {cell.family for cell in cells}
    parts.append('\n'.join(f'- {family}: `{config}`'
                           for family, config in families.items()
                           if family in shown) + '\n')
    return '\n'.join(parts)


def _line(entries: Sequence[str]) -> str:
    return f'| {" | ".join(entries)} |'


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in '\\`*_<>|[]':
        text = text.replace(sign, f'\\{sign}')
    return text
