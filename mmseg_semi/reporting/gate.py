# Copyright (c) mmseg_semi authors.
"""Precision of confident pixels, from the record of a training."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from ..evaluation import gate_lines
from .charts import Line, line_chart, run_style

_LINES = 8  # classes of a chart


class Gate(NamedTuple):
    """How far pseudo-labels of a run can be trusted.

    Attributes:
        run (str): Its name.
        lines (list[str]): The measurement in sentences: on which images, and
            which threshold is suggested.
        thresholds (list[str]): Of the columns.
        kept (list[float | None]): Share of the pixels that are so sure, in
            [0, 1].
        rows (list[tuple[str, list[float | None]]]): The classes, with their
            precision in [0, 1].
        svg (Markup): The same drawn: the share that is kept, and the
            precision of the eight classes where it is lowest.
        legend (list[tuple[str, str]]): Style and name of its lines.
    """
    run: str
    lines: list[str]
    thresholds: list[str]
    kept: list[float | None]
    rows: list[tuple[str, list[float | None]]]
    svg: Markup
    legend: list[tuple[str, str]]


def read_gate(run: str, content) -> Gate:
    """Make tables of what a record says under the key ``gate``.

    Args:
        run (str): Name of the run.
        content (dict): What :class:`.PrecisionGateHook` writes.

    Raises:
        ValueError: It is of another form.
    """
    try:
        thresholds = [float(value) for value in content['thresholds']]
        kept = _shares(content['kept'], thresholds)
        rows = [(str(name), _shares(values, thresholds))
                for name, values in content['precision'].items()]
        sentences = gate_lines(content)
    except (KeyError, TypeError, ValueError, AttributeError,
            IndexError) as error:
        raise ValueError('The precision of its pseudo-labels ("gate" of its '
                         f'record) cannot be read: {error!r}.') from error
    lowest = sorted(rows, key=lambda row: _mean(row[1]))[:_LINES]
    lines = [
        Line(name,
             run_style(i - 1) if i else 'published', np.array(thresholds),
             np.array([np.nan if v is None else v for v in values]))
        for i, (name, values) in enumerate([('kept', kept), *lowest])
    ]
    return Gate(
        run, sentences, [f'{t:g}' for t in thresholds], kept, rows,
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
