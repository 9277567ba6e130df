# Copyright (c) mmseg_semi authors.
"""Small charts as SVG, coloured by the style sheet of the page."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import LogLocator, MaxNLocator

COLOURS = 8  # of the style sheet: c0 to c7
_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 350, 10, 176
_MANY_DECADES = 1.5  # from here on the axis is logarithmic
_MOST_MARKS = 40
_DOTS = 20  # a line of so few points shows each of them
_ROOM = 0.04  # of the values' span, above and below them
_CELL, _NAMES, _SHORT = 24, 104, 15


class Line(NamedTuple):
    """Points to connect.

    Attributes:
        name (str): For people.
        style (str): Classes of the style sheet, see :func:`run_style`.
        x (np.ndarray): (N,), increasing.
        y (np.ndarray): (N,); what is not finite is marked and leaves a gap.
    """
    name: str
    style: str
    x: np.ndarray
    y: np.ndarray


def run_style(index: int) -> str:
    """How the run of this number is drawn: a colour, from 8 on dashed."""
    dashes = f' d{index // COLOURS}' if index >= COLOURS else ''
    return f'c{index % COLOURS}{dashes}'


def thinned(line: Line, most: int) -> Line:
    """A line of fewer points, each the mean of its neighbours.

    Args:
        line (Line): Any line.
        most (int): So many points.

    Returns:
        Line: ``line`` itself if it is short enough. Where all neighbours are
        not finite the mean is NaN.
    """
    if len(line.x) <= most:
        return line
    parts = np.array_split(np.arange(len(line.x)), most)
    return line._replace(
        x=np.array([line.x[part[-1]] for part in parts]),
        y=np.array([_finite_mean(line.y[part]) for part in parts]))


def _finite_mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return values.mean() if len(values) else np.nan


def line_chart(title: str,
               lines: Sequence[Line],
               most: int = 200,
               span: tuple[float, float] | None = None,
               log: bool = False) -> Markup:
    """Draw lines over one another.

    Args:
        title (str): For people who cannot see it; the page shows it above.
        lines (Sequence[Line]): One or more.
        most (int): Points of a line. Defaults to 200.
        span (tuple[float, float], optional): Of the vertical axis. By
            default that of the values.
        log (bool): Make it logarithmic if the values are positive and of
            several decades. Defaults to False.

    Returns:
        Markup: An ``svg`` element, 360 x 200 units.
    """
    drawn = [thinned(line, most) for line in lines]
    values = np.concatenate([line.y for line in drawn])
    values = values[np.isfinite(values)]
    if not len(values):
        values = np.zeros(1)
    across = _Axis(
        np.array([0, max(line.x.max() for line in lines)]), _LEFT, _RIGHT, 4)
    log = log and span is None and values.min() > 0 and math.log10(
        values.max() / values.min()) > _MANY_DECADES
    room = 0 if span or log else _ROOM * np.ptp(values)
    up = _Axis(
        np.array(
            span
            or [values.min() - room, values.max() + room]),
        _BOTTOM,
        _TOP,
        4,
        log=log)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">', *_grid(across, up)
    ]
    for line, full in zip(drawn, lines):
        parts.append(f'<g class="{escape(line.style)}">'
                     f'<title>{escape(line.name)}</title>')
        parts += _path(line, across, up)
        bad = full.x[~np.isfinite(full.y)][:_MOST_MARKS]
        parts += [
            f'<path class="bad" d="M{across(x) - 3:.1f} {_BOTTOM - 7}l6 6'
            'm0 -6l-6 6"/>' for x in bad
        ]
        parts.append('</g>')
    return Markup(''.join(parts) + '</svg>')


class _Axis:
    """Places on one axis, and round numbers along it."""

    def __init__(self,
                 values: np.ndarray,
                 begin: float,
                 end: float,
                 ticks: int,
                 log: bool = False) -> None:
        low, high = float(values.min()), float(values.max())
        if low == high:
            low, high = low - abs(low or 1) / 10, high + abs(high or 1) / 10
        if log:
            decades = math.log10(high / low)
            locator = LogLocator(
                subs=(1., 2., 5.) if decades < 2.5 else (1., ))
            self._scale = math.log10
        else:
            locator, self._scale = MaxNLocator(ticks), float
        found = locator.tick_values(low, high)
        self.low, self.high = low, high
        self.begin, self.end = begin, end
        margin = (high - low) * 1e-6
        self.ticks = [
            float(t) for t in found if low - margin <= t <= high + margin
        ]

    def __call__(self, value: float) -> float:
        low, high = self._scale(self.low), self._scale(self.high)
        share = (self._scale(value) - low) / (high - low)
        return self.begin + share * (self.end - self.begin)


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for tick in up.ticks:
        y = up(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>'
                     f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" '
                     f'text-anchor="end">{_number(tick)}</text>')
    for tick in across.ticks:
        x = across(tick)
        anchor = 'end' if x > _RIGHT - 12 else 'middle'
        parts.append(f'<path class="grid" d="M{x:.1f} {_BOTTOM}v4"/>'
                     f'<text x="{x:.1f}" y="{_BOTTOM + 17}" '
                     f'text-anchor="{anchor}">{_number(tick)}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}'
                 f'H{_RIGHT}"/>')
    return parts


def _path(line: Line, across: _Axis, up: _Axis) -> list[str]:
    """The connected points; a lone one is a dot."""
    finite = np.isfinite(line.y)
    inside = np.flatnonzero(finite)
    if not len(inside):
        return []
    pieces = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
    parts = []
    for piece in pieces:
        points = [
            f'{across(line.x[i]):.1f} {_clipped(up, line.y[i]):.1f}'
            for i in piece
        ]
        if len(points) == 1:
            x, y = points[0].split()
            parts.append(f'<circle cx="{x}" cy="{y}" r="3"/>')
        else:
            parts.append(f'<path d="M{"L".join(points)}"/>')
            if len(inside) <= _DOTS:
                parts += [
                    '<circle cx="{}" cy="{}" r="2.2"/>'.format(*point.split())
                    for point in points
                ]
    return parts


def _clipped(axis: _Axis, value: float) -> float:
    return axis(min(max(value, axis.low), axis.high))


def _number(value: float) -> str:
    """As short as it stays right: 20000 is 20k."""
    if abs(value) >= 1e6:
        return f'{value / 1e6:g}M'
    if abs(value) >= 1e4:
        return f'{value / 1e3:g}k'
    text = f'{value:.4g}'
    return text.replace('e-0', 'e-').replace('e+0', 'e')


def heat_map(title: str, names: Sequence[str], shares: np.ndarray) -> Markup:
    """Draw a confusion matrix.

    Args:
        title (str): For people who cannot see it.
        names (Sequence[str]): Of C classes.
        shares (np.ndarray): (C, C), rows of truth with shares of the
            predicted classes in [0, 1]; NaN rows are empty.

    Returns:
        Markup: An ``svg`` element as wide as it needs to be read.
    """
    count = len(names)
    height = _NAMES + _CELL * count + 2
    width = height + 46  # the last name leans over the edge
    parts = [
        f'<svg class="heat" width="{width}" height="{height}" viewBox="0 0 '
        f'{width} {height}" role="img" aria-label="{escape(title)}">'
    ]
    for i, name in enumerate(names):
        short = name if len(name) <= _SHORT else f'{name[:_SHORT - 1]}…'
        middle = _NAMES + _CELL * i + _CELL / 2
        parts.append(
            f'<text x="{_NAMES - 6}" y="{middle + 4:g}" text-anchor="end">'
            f'{escape(short)}</text><text transform="translate({middle + 4:g} '
            f'{_NAMES - 6}) rotate(-60)">{escape(short)}</text>')
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            parts.append(_cell(i, j, share, names))
    return Markup(''.join(parts) + '</svg>')


def _cell(i: int, j: int, share: float, names: Sequence[str]) -> str:
    if not np.isfinite(share):
        return ''
    x, y = _NAMES + _CELL * j, _NAMES + _CELL * i
    percent = 100 * share
    text = ''
    if percent >= 0.5:
        side = ' class="strong"' if share > .55 else ''
        text = (f'<text{side} x="{x + _CELL / 2:g}" y="{y + 16}" '
                f'text-anchor="middle">{percent:.0f}</text>')
    kind = 'right' if i == j else 'wrong'
    return (f'<g><title>{escape(names[i])} taken for {escape(names[j])}: '
            f'{percent:.2f} %</title><rect class="{kind}" x="{x}" y="{y}" '
            f'width="{_CELL - 1}" height="{_CELL - 1}" '
            f'fill-opacity="{max(share, .03):.3f}"/>{text}</g>')
