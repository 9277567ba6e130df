# Copyright (c) mmseg_semi authors.
"""Labelled pixels of the classes as text."""
from .findings import Report


def pixel_table(report: Report) -> str:
    """How many pixels each class has in each set.

    Args:
        report (Report): Of a check.

    Returns:
        str: A line for every class; a column for every set whose masks could
        all be counted, with the number and the share of the set's labelled
        pixels. Empty if there is no such set.
    """
    if not report.pixels:
        return ''
    # Sets may differ in their classes: that is a finding, not an error here.
    classes = dict.fromkeys(name for pixels in report.pixels.values()
                            for name in pixels)
    columns = [['class', *classes]]
    for name, pixels in report.pixels.items():
        total = sum(pixels.values())
        columns.append(
            [name] +
            [_cell(pixels[c], total) if c in pixels else '-' for c in classes])
    widths = [max(map(len, column)) for column in columns]
    return '\n'.join('  '.join(f'{cell:{"<" if i == 0 else ">"}{width}}'
                               for i, (cell,
                                       width) in enumerate(zip(row, widths)))
                     for row in zip(*columns))


def _cell(count: int, total: int) -> str:
    share = 100 * count / total if total else 0.
    return f'{count:,} ({share:.1f} %)'
