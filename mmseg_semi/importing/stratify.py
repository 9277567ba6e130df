# Copyright (c) mmseg_semi authors.
"""A validation set with its share of every class, rare ones first."""
import numpy as np


def stratified_split(presence: np.ndarray, groups: np.ndarray, share: float,
                     seed: int) -> np.ndarray:
    """Choose validation images by iterative stratification.

    The rule of Sechidis, Tsoumakas and Vlahavas (ECML 2011) for two sets and
    whole groups. Each class asks for ``share`` of its images in the
    validation set, at least one if two groups have it, and the rest for
    training. The class with the fewest images that are not placed yet is
    served first: its groups go, one after another, to the set that lacks more
    images of it; on a tie to the one that lacks more images at all, then to
    training. Groups without a class follow by the number of images alone.
    Groups with more images of a class come first; equal ones in an order that
    ``seed`` decides.

    Args:
        presence (np.ndarray): (N, C) bool, class c occurs in image n.
        groups (np.ndarray): (N,) whole numbers; images of a group stay
            together.
        share (float): Wanted share of validation images, in (0, 1).
        seed (int): Of the order of equal groups.

    Returns:
        np.ndarray: (N,) bool, true for validation. Both sets have an image if
        there are two groups.

    Raises:
        ValueError: If ``share`` is not in (0, 1), or there is one group only.
    """
    if not 0 < share < 1:
        raise ValueError(f'--val: {share} is not between 0 and 1.')
    _, groups = np.unique(groups, return_inverse=True)
    number = groups.max() + 1
    if number < 2:
        raise ValueError(
            'All labelled images are in one group, which cannot be split. '
            'Use another --group-by, or --val 0 for no validation set.')
    sizes = np.bincount(groups)
    held = np.zeros((number, presence.shape[1]), int)
    np.add.at(held, groups, presence.astype(int))
    order = np.random.default_rng(seed).permutation(number)
    chosen = _place(held[order], sizes[order], share)
    in_val = np.zeros(number, bool)
    in_val[order] = chosen
    return in_val[groups]


def _place(held: np.ndarray, sizes: np.ndarray, share: float) -> np.ndarray:
    """Sets of groups, (G,) bool, from images per class and group."""
    total = held.sum(0)
    want = np.stack([total - share * total, share * total])
    several = (held > 0).sum(0) >= 2
    least = several & (want[1] < 1)
    want[:, least] = np.stack([total - 1., np.ones_like(total)])[:, least]
    room = np.array([1 - share, share]) * sizes.sum()
    place = np.full(len(held), -1)

    def put(group: int, target: int) -> None:
        place[group] = target
        want[target] -= held[group]
        room[target] -= sizes[group]

    while True:
        left = held[place < 0].sum(0)
        if not left.any():
            break
        rarest = np.argmin(np.where(left > 0, left, np.inf))
        free = np.flatnonzero((place < 0) & (held[:, rarest] > 0))
        for group in free[np.argsort(-held[free, rarest], kind='stable')]:
            lack = want[:, rarest]
            by = lack if lack[0] != lack[1] else room
            put(group, int(by[1] > by[0]))
    for group in np.flatnonzero(place < 0):
        put(group, int(room[1] > room[0]))
    for target in (0, 1):  # few, large groups may all go to one set
        if not (place == target).any():
            place[np.argmin(sizes)] = target
    return place == 1
