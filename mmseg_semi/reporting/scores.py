# Copyright (c) mmseg_semi authors.
"""Scores of runs with their intervals, and methods against their twins."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..evaluation import PerImageAreas, score_intervals
from ..evaluation.bootstrap import Interval
from ..starting.comparison import Comparison, compare, unlike
from .charts import heat_map, run_style
from .predictions import Predictions
from .runs import Run

_HEAT = 25  # classes of a heat map
_PAIRS = 30
_LOWEST = 15


class Scored(NamedTuple):
    """How the weights of a run score.

    Attributes:
        miou (Interval): In percent.
        iou (list[Interval | None]): Of every class.
        images (int): They were scored on.
        classes (tuple[str, ...]): Names.
        palette (list): A colour (r, g, b) for each.
    """
    miou: Interval
    iou: list[Interval | None]
    images: int
    classes: tuple[str, ...]
    palette: list


class ClassRow(NamedTuple):
    """A class and its score in each run: (style, run, interval)."""
    name: str
    colour: str
    entries: list[tuple[str, str, Interval | None]]


class Pair(NamedTuple):
    """A method and its supervised twin.

    Attributes:
        method (str): Name of a run.
        supervised (str): Name of its twin; empty if there is none.
        found (Comparison, optional): What the existing comparison says.
        reason (str): Why there is none.
    """
    method: str
    supervised: str
    found: Comparison | None
    reason: str = ''


def score(areas: PerImageAreas, meta: dict) -> Scored:
    """Score a run.

    Args:
        areas (PerImageAreas): Of its validation images.
        meta (dict): ``classes``, and ``palette`` where there is one.

    Raises:
        ValueError: The areas are of another number of classes.
    """
    classes = tuple(map(str, meta['classes']))
    if areas.union.shape[1] != len(classes):
        raise ValueError(
            f'The scores that were kept are of {areas.union.shape[1]} '
            f'classes, but the config has {len(classes)}.')
    miou, iou = score_intervals(areas)
    palette = list(meta.get('palette') or [])
    palette += [(128, 128, 128)] * (len(classes) - len(palette))
    return Scored(miou, iou, len(areas.ids), classes, palette)


def css_colour(colour: Sequence[int]) -> str:
    """A colour (r, g, b) as style sheets write it."""
    return 'rgb({},{},{})'.format(*map(int, colour))


def class_tables(
    runs: Sequence[Run], scored: Sequence[Scored | None]
) -> list[tuple[list[ClassRow], list[ClassRow]]]:
    """IoU of every class, for runs of the same classes side by side.

    Args:
        runs (Sequence[Run]): The runs.
        scored (Sequence[Scored | None]): Of each.

    Returns:
        list[tuple[list, list]]: For each list of classes the rows of all of
        them, and those of the 15 lowest scores; empty if there are hardly
        more than these.
    """
    tables: dict[tuple, list[ClassRow]] = {}
    for index, (run, one) in enumerate(zip(runs, scored)):
        if one is None:
            continue
        rows = tables.setdefault(one.classes, [
            ClassRow(name, css_colour(colour), [])
            for name, colour in zip(one.classes, one.palette)
        ])
        for row, interval in zip(rows, one.iou):
            row.entries.append((run_style(index), run.name, interval))
    return [(rows, _lowest(rows)) for rows in tables.values()]


def _lowest(rows: list[ClassRow]) -> list[ClassRow]:
    if len(rows) <= 2 * _LOWEST:
        return []
    known = [row for row in rows if any(e[2] for e in row.entries)]
    return sorted(
        known,
        key=lambda row: np.mean([e[2].value for e in row.entries
                                 if e[2]]))[:_LOWEST]


def confusion(predictions: Predictions, classes: Sequence[str],
              name: str) -> dict:
    """What is taken for what.

    Args:
        predictions (Predictions): Of a run.
        classes (Sequence[str]): Names.
        name (str): Of the run.

    Returns:
        dict: ``svg``, a heat map, of up to 25 classes, else None; ``pairs``,
        up to 30 (truth, prediction, share of the pixels of that truth in
        percent, and of all pixels) of the most pixels first.
    """
    counts = predictions.confusion.astype(float)
    sums = counts.sum(1, keepdims=True)
    shares = counts / np.where(sums, sums, np.nan)
    svg = None
    if len(classes) <= _HEAT:
        svg = heat_map(f'Confusion of {name}', classes, shares)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind='stable')[:_PAIRS]
    pairs = [(classes[i], classes[j], 100 * shares[i, j],
              100 * wrong[i, j] / counts.sum())
             for i, j in zip(*np.unravel_index(order, wrong.shape))
             if wrong[i, j] > 0]
    return dict(name=name, svg=svg, pairs=pairs, rows=len(classes))


def pairs(runs: Sequence[Run],
          areas: Sequence[PerImageAreas | None]) -> list[Pair]:
    """Compare every method with its supervised twin among the runs.

    The twin is the supervised run that shares most of seed, length, labelled
    list and model; it must share the list. What it does not share is said by
    the comparison.

    Args:
        runs (Sequence[Run]): The runs.
        areas (Sequence[PerImageAreas | None]): Of each, as far as known.

    Returns:
        list[Pair]: One for each run with unlabelled images.
    """
    known = [i for i, run in enumerate(runs) if run.cfg is not None]
    found = []
    for i in known:
        if runs[i].is_supervised:
            continue
        differing = {
            j: unlike(runs[i].cfg, runs[j].cfg)
            for j in known if runs[j].is_supervised
        }
        twins = [j for j in differing if 'labelled list' not in differing[j]]
        if not twins:
            found.append(
                Pair(
                    runs[i].name, '', None,
                    'None of the runs is its supervised twin: one that was '
                    'trained on the same labels without unlabelled images.'))
            continue
        j = min(twins, key=lambda j: len(differing[j]))
        found.append(_pair(runs[i], runs[j], areas[i], areas[j]))
    return found


def _pair(method: Run, twin: Run, one: PerImageAreas | None,
          other: PerImageAreas | None) -> Pair:
    for run, areas in ((method, one), (twin, other)):
        if areas is None:
            return Pair(method.name, twin.name, None,
                        f'{run.name} has no scores of single images.')
    try:
        return Pair(
            method.name, twin.name,
            compare(
                method.as_trained(), twin.as_trained(), areas=(one, other)))
    except Exception as error:  # data that are not here raise anything
        return Pair(method.name, twin.name, None, str(error))
