# Copyright (c) mmseg_semi authors.
"""How much of a difference between two models the images explain."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .per_image_iou import PerImageAreas


class Difference(NamedTuple):
    """A difference of mIoU in points, and its interval."""
    mean: float
    low: float
    high: float


def resampled_miou(areas: PerImageAreas, weights: np.ndarray) -> np.ndarray:
    """mIoU over images that count ``weights`` times.

    Args:
        areas (PerImageAreas): Of N images.
        weights (np.ndarray): (R, N), how often an image is in each resample.

    Returns:
        np.ndarray: (R,) float64 in [0, 100]. As in mmseg, a class without a
        pixel in label and prediction of a resample does not count in it.
    """
    weights = weights.astype(np.float64)
    union = weights @ areas.union
    with np.errstate(invalid='ignore'):
        iou = (weights @ areas.intersect) / union
    return 100 * np.nanmean(iou, axis=1)


class Interval(NamedTuple):
    """A score in percent, and its interval."""
    value: float
    low: float
    high: float


def score_intervals(areas: PerImageAreas,
                    resamples: int = 1000,
                    level: float = 0.95,
                    seed: int = 0) -> tuple[Interval, list[Interval | None]]:
    """mIoU and the IoU of every class, with bootstrap intervals.

    Images are drawn with replacement (percentile bootstrap, Efron 1979). The
    intervals say how far other images of this kind would move the scores of
    this model, and nothing of other trainings.

    Args:
        areas (PerImageAreas): Of N > 0 images and C classes.
        resamples (int): Number of draws. Defaults to 1000.
        level (float): Coverage of the intervals. Defaults to 0.95.
        seed (int): Seed of the draws. Defaults to 0.

    Returns:
        tuple[Interval, list[Interval | None]]: mIoU, and C entries for the
        classes, in percent; None for a class without a pixel in labels and
        predictions. ``value`` is that of the images as they are.

    Raises:
        ValueError: There are no images.
    """
    if not len(areas.ids):
        raise ValueError('There are no images to score.')
    weights = _draws(len(areas.ids), resamples, seed)
    intersect, union = (weights @ part for part in areas[1:])
    # A draw may miss all images of a rare class.
    iou = np.ma.masked_invalid(100 * intersect /
                               np.where(union, union, np.nan))
    found = [_interval(column, level) for column in iou.T]
    return _interval(iou.mean(axis=1), level), found


def _interval(scores: np.ma.MaskedArray, level: float) -> Interval | None:
    """Of what the images say (first) and the draws (the others)."""
    if np.ma.getmaskarray(scores)[0]:
        return None
    tail = 50 * (1 - level)
    low, high = np.percentile(scores[1:].compressed(), [tail, 100 - tail])
    return Interval(float(scores[0]), float(low), float(high))


def _draws(images: int, resamples: int, seed: int) -> np.ndarray:
    """How often an image counts, (1 + R, N): once each at first."""
    counts = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([np.ones((1, images)), counts])


def paired_difference(method: Sequence[PerImageAreas],
                      baseline: Sequence[PerImageAreas],
                      resamples: int = 2000,
                      level: float = 0.95,
                      seed: int = 0) -> Difference:
    """Mean difference of mIoU over seeds, with a bootstrap interval.

    Validation images are drawn with replacement; every run of both methods
    is judged on the same draw (percentile bootstrap, Efron 1979). The
    interval answers "would other images of this kind say the same of these
    trained models", and not how other seeds would have come out.

    Args:
        method (Sequence[PerImageAreas]): One per seed.
        baseline (Sequence[PerImageAreas]): Of the same seeds in the same
            order.
        resamples (int): Number of draws. Defaults to 2000.
        level (float): Coverage of the interval. Defaults to 0.95.
        seed (int): Seed of the draws. Defaults to 0.

    Returns:
        Difference: Method minus baseline in points of mIoU; ``mean`` is that
        of the images as they are.

    Raises:
        ValueError: If runs are missing, or were judged on other images.
    """
    if not method or len(method) != len(baseline):
        raise ValueError(
            f'{len(method)} runs of the method cannot be paired with '
            f'{len(baseline)} of the baseline: give the same seeds of both.')
    ids = method[0].ids
    for run in [*method, *baseline]:
        if not np.array_equal(run.ids, ids):
            raise ValueError(
                'The runs were validated on different images, so they cannot '
                'be compared image by image. Repeat those of the older list.')
    weights = _draws(len(ids), resamples, seed)
    differences = [
        resampled_miou(ours, weights) - resampled_miou(theirs, weights)
        for ours, theirs in zip(method, baseline)
    ]
    difference = np.mean(differences, axis=0)
    tail = 50 * (1 - level)
    low, high = np.percentile(difference[1:], [tail, 100 - tail])
    return Difference(float(difference[0]), float(low), float(high))
