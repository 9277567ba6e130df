# Copyright (c) mmseg_semi authors.
"""Which images to label next: scores and rules, on arrays alone."""
from dataclasses import dataclass

import numpy as np

CRITERIA = ('all', 'uncertainty', 'balance', 'diversity')
SHORTLIST = 4
"""By all criteria, so many times the wanted images are compared."""


@dataclass(frozen=True)
class Choice:
    """A chosen image.

    Attributes:
        index (int): Its row.
        distance (float, optional): Of its features to those of the nearest
            labelled or earlier chosen image, in [0, 2].
        nearest (int, optional): That image: row n of the labelled images,
            or -1 - i for the image with row i.
    """
    index: int
    distance: float | None = None
    nearest: int | None = None


def label_shares(pixels: np.ndarray) -> np.ndarray:
    """Share of every class in the labels, none of them zero.

    Every class counts as if it had one pixel more, so that a class that
    nobody has labelled yet is the rarest one.

    Args:
        pixels (np.ndarray): (C, ) labelled pixels of every class.

    Returns:
        np.ndarray: (C, ) float64, sum 1.
    """
    counted = pixels.astype(np.float64) + 1
    return counted / counted.sum()


def balance(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How much of what is rare in the labels images hold.

    The mean over the classes of their share in the image by their share in
    the labels. An image that is like the labels as a whole has 1.

    Args:
        shares (np.ndarray): (N, C) predicted share of every class.
        labels (np.ndarray): (C, ) of :func:`label_shares`.

    Returns:
        np.ndarray: (N, ) float64.
    """
    return (shares / labels).mean(1)


def k_center(features: np.ndarray,
             labelled: np.ndarray,
             count: int,
             weights: np.ndarray | None = None) -> list[Choice]:
    """K-center-greedy: again and again what is farthest from all there is.

    Sener and Savarese, Active Learning for Convolutional Neural Networks: A
    Core-Set Approach, ICLR 2018, algorithm 1.

    Args:
        features (np.ndarray): (N, D), compared by their Euclidean distance.
        labelled (np.ndarray): (M, D), M > 0, those that are there already.
        count (int): To be chosen, at most N.
        weights (np.ndarray, optional): (N, ) factors of the distances.
            Defaults to None: 1.

    Returns:
        list[Choice]: In the order of choosing; among equals the first row.
    """
    between = _distances(features, labelled)
    nearest = between.argmin(1)
    least = between[np.arange(len(features)), nearest]
    weights = np.ones(len(features)) if weights is None else weights
    free, chosen = np.ones(len(features), bool), []
    for _ in range(count):
        index = int(np.where(free, least * weights, -1).argmax())
        free[index] = False
        chosen.append(Choice(index, float(least[index]), int(nearest[index])))
        to_new = _distances(features, features[index:index + 1])[:, 0]
        closer = to_new < least
        least = np.where(closer, to_new, least)
        nearest = np.where(closer, -1 - index, nearest)
    return chosen


def choose(by: str, count: int, uncertainty: np.ndarray,
           balances: np.ndarray | None, features: np.ndarray | None,
           labelled: np.ndarray | None) -> list[Choice]:
    """Choose by one criterion, or by all of them.

    ``all``: the ``SHORTLIST * count`` least sure images are kept; of these
    :func:`k_center` takes what is far from everything, distances multiplied
    by the balance. First the uncertain ones, then those that stand for
    different things, is the order of Yang et al., Suggestive Annotation,
    MICCAI 2017.

    Args:
        by (str): One of :data:`CRITERIA`.
        count (int): To be chosen, at most N.
        uncertainty (np.ndarray): (N, ).
        balances (np.ndarray, optional): (N, ) of :func:`balance`, for
            ``balance`` and ``all``.
        features (np.ndarray, optional): (N, D), for ``diversity`` and
            ``all``.
        labelled (np.ndarray, optional): (M, D), likewise.

    Returns:
        list[Choice]: The best first; among equals the first row.
    """
    if by == 'uncertainty':
        return [Choice(int(i)) for i in _largest(uncertainty, count)]
    if by == 'balance':
        return [Choice(int(i)) for i in _largest(balances, count)]
    if by == 'diversity':
        return k_center(features, labelled, count)
    rows = _largest(uncertainty, SHORTLIST * count)
    found = k_center(features[rows], labelled, count, balances[rows])
    return [
        Choice(
            int(rows[one.index]), one.distance,
            one.nearest if one.nearest >= 0 else -1 -
            int(rows[-1 - one.nearest])) for one in found
    ]


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-values, kind='stable')[:count]


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N, M) Euclidean distances, without (N, M, D) in memory."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squares, 0))
