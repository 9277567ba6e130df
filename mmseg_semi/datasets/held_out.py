# Copyright (c) mmseg_semi authors.
"""Labelled images that are kept out of a training, to measure it by."""
import numbers
from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from .split_make import nested_order


def held_out_number(held_out: int | float, images: int) -> int:
    """How many labelled images are kept out of a training.

    Args:
        held_out (int | float): A number of images, or, below 1, the share of
            them; 0 for none.
        images (int): Labelled images in all.

    Returns:
        int: A share is rounded, to at least 1 image.

    Raises:
        ValueError: If it is no such number, or leaves nothing to train on.
    """
    share = 0 < held_out < 1 if _is_number(held_out) else False
    if not share and not (_is_number(held_out) and held_out >= 0
                          and held_out == int(held_out)):
        raise ValueError(
            f'held_out={held_out!r} must be a share of the labelled images '
            'below 1 (0.1), or a number of them (20); 0 holds none out.')
    number = max(1, round(held_out * images)) if share else int(held_out)
    if number and number >= images:
        raise ValueError(
            f'held_out={held_out!r} holds {number} of {images} labelled '
            'images out, which leaves none to train on. Take a smaller one, '
            'or 0.')
    return number


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def choose_held_out(presence: np.ndarray, number: int,
                    seed: int) -> np.ndarray:
    """Choose images so that every class is among them, where it can be.

    What is left to train on comes first: a few images that have every class
    between them are not chosen unless the number wants nearly all. Of the
    others are taken, rarest classes first, until each class has its share of
    the ``number``, at least one image.

    Args:
        presence (np.ndarray): (N, C) bool, class c occurs in image n.
        number (int): Images to choose, in 0..N.
        seed (int): Of the order of images that are equally good.

    Returns:
        np.ndarray: (N,) bool, true for the chosen ones.
    """
    chosen = np.zeros(len(presence), bool)
    if not number:
        return chosen
    order = nested_order(presence, [len(presence)], seed, 1)
    covered = np.logical_or.accumulate(presence[order], axis=0)
    needed = 1 + int(np.argmax(covered.sum(1) == covered[-1].sum()))
    needed = min(needed, len(order) - number)
    free = np.sort(order[needed:])
    pool = presence[free]
    share = np.round(presence.sum(0) * number / len(presence)).astype(int)
    picked = nested_order(pool, [number], seed + 1, np.maximum(share, 1))
    chosen[free[picked]] = True
    return chosen


class ChosenSamples(Dataset):
    """Some samples of a labelled set, which can do what the set can.

    Args:
        dataset (Dataset): With ``get_data_info`` and ``metainfo``.
        indices (Sequence[int]): Which, in this order.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, [int(i) for i in indices]

    @property
    def metainfo(self) -> dict:
        """dict: Meta information of the set."""
        return self.dataset.metainfo

    @property
    def ignore_index(self) -> int:
        """int: Label without a class."""
        return getattr(self.dataset, 'ignore_index', 255)

    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample, before the pipeline."""
        return self.dataset.get_data_info(self.indices[idx])

    def full_init(self) -> None:
        """Nothing: the set is built."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, idx: int):
        return self.dataset[self.indices[idx]]
