# Copyright (c) mmseg_semi authors.
"""Drawing nested labelled lists in which every class occurs."""
from collections.abc import Sequence

import numpy as np
from PIL import Image


def classes_in_mask(path: str, num_classes: int,
                    ignore_ids: Sequence[int]) -> np.ndarray:
    """Classes of a mask.

    Args:
        path (str): Single-channel image of class ids (palettes are fine).
        num_classes (int): Number of classes.
        ignore_ids (Sequence[int]): Ids that are no class.

    Returns:
        np.ndarray: (num_classes,) bool.

    Raises:
        ValueError: If the mask cannot be read, has several channels, or holds
            other ids.
    """
    try:
        with Image.open(path) as image:
            mask = np.asarray(image)
    except (OSError, SyntaxError) as err:
        raise ValueError(f'The mask {path} cannot be read: {err}.') from err
    if mask.ndim != 2:
        raise ValueError(
            f'The mask {path} has shape {mask.shape}: it holds colours, not '
            'class ids. Convert the masks to one channel of class ids.')
    ids = set(np.unique(mask).tolist()) - set(ignore_ids)
    foreign = sorted(i for i in ids if not 0 <= i < num_classes)
    if foreign:
        raise ValueError(
            f'The mask {path} holds the ids {foreign[:10]}, outside of 0..'
            f'{num_classes - 1} (ignored: {list(ignore_ids)}). Correct '
            '--num-classes or --ignore-ids.')
    present = np.zeros(num_classes, dtype=bool)
    present[sorted(int(i) for i in ids)] = True
    return present


def nested_order(presence: np.ndarray, sizes: Sequence[int], seed: int,
                 min_images_per_class: int) -> np.ndarray:
    """Order images so that its prefixes are nested, covering splits.

    For every size in ascending order the images so far are completed: first,
    while some class is in fewer than ``min_images_per_class`` of them, by an
    image with the rarest such class that mends the most such classes; then
    at random. Ties and the rest follow one seeded permutation.

    Args:
        presence (np.ndarray): (N, C) bool, class c occurs in image n.
        sizes (Sequence[int]): Sizes of the splits, each in 1..N.
        seed (int): Seed of the permutation.
        min_images_per_class (int): Images of every class, where the pool has
            them and the size has room.

    Returns:
        np.ndarray: (max(sizes),) indices; the split of size k is the first k.

    Raises:
        ValueError: If a size is not in 1..N.
    """
    num = len(presence)
    for size in sizes:
        if not 1 <= size <= num:
            raise ValueError(f'Cannot draw {size} labelled images from a pool '
                             f'of {num}.')
    shuffled = np.random.default_rng(seed).permutation(num)
    presence = presence[shuffled]
    frequency = presence.sum(0)
    target = np.minimum(frequency, min_images_per_class)
    chosen, free = [], np.ones(num, dtype=bool)
    count = np.zeros_like(frequency)
    for size in sorted(sizes):
        while len(chosen) < size:
            lacking = count < target
            pick = _pick(presence, free, frequency, lacking)
            chosen.append(pick)
            free[pick] = False
            count += presence[pick]
    return shuffled[chosen]


def _pick(presence, free, frequency, lacking) -> int:
    """Next image: the most useful one for the rarest lacking class."""
    if not lacking.any():
        return int(np.argmax(free))
    rarest = np.argmin(np.where(lacking, frequency, len(presence) + 1))
    gain = presence[:, lacking].sum(1) * (presence[:, rarest] & free)
    return int(np.argmax(gain))
