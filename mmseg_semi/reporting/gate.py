# Copyright (c) mmseg_semi authors.
"""Precision of confident pixels on images held out, from a record."""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from .charts import Line, line_chart, run_style

_LINES = 8  # classes of a chart


class Gate(NamedTuple):
    """How far pseudo-labels of a run can be trusted.

    Attributes:
        run (str): Its name.
        images (str): How many images were held out.
        suggested (str): A threshold.
        thresholds (list[str]): Of the columns.
        rows (list[tuple[str, list[float | None]]]): ``kept`` and the classes,
            with shares in [0, 1].
        svg (Markup): The same drawn: the share that is kept, and the
            precision of the eight classes where it is lowest.
        legend (list[tuple[str, str]]): Style and name of its lines.
    """
    run: str
    images: str
    suggested: str
    thresholds: list[str]
    rows: list[tuple[str, list[float | None]]]
    svg: Markup
    legend: list[tuple[str, str]]


def read_gate(run: str, content) -> Gate:
    """Make tables of what a record says under the key ``gate``.

    Args:
        run (str): Name of the run.
        content (dict): ``thresholds``, T numbers; ``precision``, T shares or
            None for each class by name; ``kept``, T shares; ``suggested`` and
            ``images``.

    Raises:
        ValueError: It is of another form.
    """
    try:
        thresholds = [float(value) for value in content['thresholds']]
        rows = {'kept': _shares(content['kept'], thresholds)}
        rows.update((str(name), _shares(values, thresholds))
                    for name, values in content['precision'].items())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError('The precision on held-out images ("gate" of its '
                         f'record) cannot be read: {error!r}.') from error
    classes = sorted((name for name in rows if name != 'kept'),
                     key=lambda name: _mean(rows[name]))[:_LINES]
    lines = [
        Line(name, 'published' if name == 'kept' else run_style(i - 1),
             np.array(thresholds),
             np.array([np.nan if v is None else v for v in rows[name]]))
        for i, name in enumerate(['kept', *classes])
    ]
    return Gate(
        run, str(content.get('images', 'not known')),
        _text(content.get('suggested')), [f'{t:g}' for t in thresholds],
        list(rows.items()),
        line_chart(f'Precision of {run} by threshold', lines, span=(0., 1.)),
        [(line.style, line.name) for line in lines])


def _shares(values: Sequence, thresholds: Sequence) -> list[float | None]:
    if len(values) != len(thresholds):
        raise ValueError(f'{len(values)} values for {len(thresholds)} '
                         'thresholds')
    found = [None if value is None else float(value) for value in values]
    return [None if v is None or not np.isfinite(v) else v for v in found]


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 2.


def _text(suggested) -> str:
    if suggested is None:
        return 'none'
    if isinstance(suggested, Mapping):
        return ', '.join(f'{name} {value}'
                         for name, value in suggested.items())
    return str(suggested)
