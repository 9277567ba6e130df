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
    counts = np.random.default_rng(seed).multinomial(
        len(ids), np.full(len(ids), 1 / len(ids)), size=resamples)
    weights = np.concatenate([np.ones((1, len(ids))), counts])
    differences = [
        resampled_miou(ours, weights) - resampled_miou(theirs, weights)
        for ours, theirs in zip(method, baseline)
    ]
    difference = np.mean(differences, axis=0)
    tail = 50 * (1 - level)
    low, high = np.percentile(difference[1:], [tail, 100 - tail])
    return Difference(float(difference[0]), float(low), float(high))
