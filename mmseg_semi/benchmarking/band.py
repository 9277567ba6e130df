# Copyright (c) mmseg_semi authors.
"""Whether a run stays where runs of its recipe are."""
from typing import NamedTuple

import numpy as np

from .curves import METRICS, Curve, Reference

# So many points in a row outside, on one side: one alone happens to runs of
# one setting, too.
STREAK = 3
# Until this part of the training runs of one setting differ more.
_EARLY = 0.05
# How far outside of the other runs of its setting a run may be, early and
# later: loss in parts of it, kept ratio in points of one, mIoU in points of
# 100. Of UniMatch's eight settings with three runs each, the largest distance
# of a run from the other two was 0.22 and 0.14, 0.04 and 0.01, 3.1 and 3.5.
_TOLERANCE = dict(loss=(0.30, 0.18), kept=(0.05, 0.03), miou=(4.5, 3.5))
# Here padding counts as not kept, there it does not count.
_PADDING = 0.10


class Departure(NamedTuple):
    """Where a run left the band.

    ``metric``, ``epoch`` of the first point outside, whether it was ``above``,
    the ``value`` there and the nearest ``edge``.
    """
    metric: str
    epoch: float
    above: bool
    value: float
    edge: float


def band(reference: Reference,
         metric: str,
         epochs: np.ndarray,
         ours: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of a recipe are.

    Args:
        reference (Reference): The recipe with its runs.
        metric (str): One of ``METRICS``.
        epochs (np.ndarray): (N,).
        ours (bool): Whether it is for a run of this package, whose kept
            ratio counts padding, against published curves.

    Returns:
        tuple[np.ndarray, np.ndarray]: Lower and upper edge, (N,) each: the
        range of the runs, widened by how far runs of one setting are apart.
        NaN where the recipe has no value.
    """
    values = np.stack([curve.at(metric, epochs) for curve in reference.curves])
    seen = ~np.isnan(values)
    low = np.where(seen, values, np.inf).min(axis=0)
    high = np.where(seen, values, -np.inf).max(axis=0)
    early, later = _TOLERANCE[metric]
    tolerance = np.where(epochs <= _EARLY * reference.epochs, early, later)
    if metric == 'loss':
        low, high = low * (1 - tolerance), high * (1 + tolerance)
    else:
        low, high = low - tolerance, high + tolerance
    if metric == 'kept' and ours:
        low = low * (1 - _PADDING)
    known = seen.any(axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def departures(curve: Curve,
               reference: Reference,
               ours: bool = True) -> list[Departure]:
    """Where a run leaves the band for good or for a while.

    Args:
        curve (Curve): The run, in epochs of the reference.
        reference (Reference): What it should be like.
        ours (bool): See :func:`band`.

    Returns:
        list[Departure]: At most one per metric, the first; the earliest
        first. A value that is not finite is outside at once.
    """
    found = []
    for metric in METRICS:
        if metric in curve.points:
            departure = _first(curve, reference, metric, ours)
            if departure is not None:
                found.append(departure)
    return sorted(found, key=lambda departure: departure.epoch)


def _first(curve: Curve, reference: Reference, metric: str,
           ours: bool) -> Departure | None:
    epochs, values = points_of(curve, reference, metric)
    low, high = band(reference, metric, epochs, ours)
    streak, side = 0, 0
    for i, value in enumerate(values):
        if not np.isfinite(value):
            return Departure(metric, epochs[i], True, value, high[i])
        now = int(value > high[i]) - int(value < low[i])
        streak = streak + 1 if now and now == side else int(now != 0)
        side = now
        if streak == STREAK:
            first = i - STREAK + 1
            edge = high[first] if now > 0 else low[first]
            return Departure(metric, epochs[first], now > 0, values[first],
                             edge)
    return None


def points_of(curve: Curve, reference: Reference,
              metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Where a run is compared, and its values there.

    Loss and kept ratio are means over the epoch so far, which jump at its
    begin, so they are compared where the reference has a point. Scores are
    compared where the run has one.
    """
    epochs, values = curve.points[metric]
    if metric == 'miou':
        return epochs, values
    wanted = np.unique(
        np.concatenate([
            other.points[metric][0]
            for other in reference.curves if metric in other.points
        ] or [np.empty(0)]))
    wanted = wanted[wanted <= epochs[-1] + 1e-6]
    # The newest that was logged until then, if it is of the same epoch.
    index = np.searchsorted(epochs, wanted + 1e-6) - 1
    inside = (index >= 0) & (
        np.ceil(epochs[np.maximum(index, 0)] - 1e-6) == np.ceil(wanted - 1e-6))
    return wanted[inside], values[index[inside]]
