# Copyright (c) mmseg_semi authors.
"""Telling a checkpoint of other classes from one of another network."""
from collections.abc import Sequence

Shape = Sequence[int]


def differs_in_classes(pairs: Sequence[tuple[Shape, Shape]],
                       num_classes: int) -> bool:
    """Whether another number of classes explains every difference.

    Layers that score classes have a side of C, or C + 1 with "no object";
    prototypes and queries of classes a multiple of C. All must agree on the
    other number, and one of them must be a layer of scores.

    Args:
        pairs (Sequence[tuple]): Shape here and in the checkpoint of every
            tensor whose shapes differ.
        num_classes (int): C of the model.

    Returns:
        bool: False if there is no difference.
    """
    sides = []
    for ours, theirs in pairs:
        if len(ours) != len(theirs):
            return False
        sides += [(a, b) for a, b in zip(ours, theirs) if a != b]
    if not sides:
        return False
    agreed = set.intersection(*(_candidates(*s, num_classes) for s in sides))
    scores = any(ours in (num_classes, num_classes + 1) for ours, _ in sides)
    return bool(agreed) and scores


def _candidates(ours: int, theirs: int, num_classes: int) -> set[int]:
    """Numbers of classes that the checkpoint can have, from 2 on."""
    found = set()
    for extra in (0, 1):
        times, rest = divmod(ours - extra, num_classes)
        if not times or rest or (extra and times > 1):
            continue
        number, rest = divmod(theirs - extra, times)
        if not rest and number > 1:
            found.add(number)
    return found
