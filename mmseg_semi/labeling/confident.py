# Copyright (c) mmseg_semi authors.
"""From a prediction to what of it is sure enough to be a label."""
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..importing.options import IGNORED
from ..predicting import Prediction


def thresholds_of(classes: Sequence[str], threshold: float,
                  by_class: Mapping[str, float]) -> np.ndarray:
    """The threshold of every class.

    Args:
        classes (Sequence[str]): C names.
        threshold (float): Of all classes, in [0, 1].
        by_class (Mapping[str, float]): Name -> its own.

    Returns:
        np.ndarray: (C, ) float64.

    Raises:
        ValueError: There is no such class, or a number outside of [0, 1].
    """
    for name, value in {'threshold': threshold, **by_class}.items():
        if not 0 <= value <= 1:
            raise ValueError(f'threshold {value} ({name}) is not in [0, 1].')
    for name in by_class:
        if name not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            hint = f' {near[0]!r} is near.' if near else ''
            raise ValueError(
                f'--threshold {name}=...: there is no class {name!r}; the '
                f'classes are {", ".join(classes)}.{hint}')
    return np.array([by_class.get(name, threshold) for name in classes])


def keep_confident(found: Prediction,
                   thresholds: np.ndarray,
                   min_area: int = 0) -> np.ndarray:
    """Keep the classes of sure pixels in regions that are large enough.

    A region is what pixels of one class make that touch by their sides, after
    unsure ones are gone.

    Args:
        found (Prediction): Of at most 255 classes.
        thresholds (np.ndarray): (C, ), a pixel needs that of its class.
        min_area (int): Pixels of the smallest region that is kept.

    Returns:
        np.ndarray: (H, W) uint8, 255 where nothing is kept.
    """
    sure = found.confidence >= thresholds[found.classes]
    mask = np.where(sure, found.classes, IGNORED).astype(np.uint8)
    if min_area > 1:
        for one in regions(mask):
            if one.label != IGNORED and one.area < min_area:
                window = mask[one.window]
                window[one.bitmap] = IGNORED
    return mask


@dataclass(frozen=True)
class Region:
    """Pixels of one label that touch by their sides.

    Attributes:
        label (int): A class, or 255.
        left (int): First column.
        top (int): First row.
        bitmap (np.ndarray): bool (h, w), which pixels of the window that
            encloses it belong to it.
    """
    label: int
    left: int
    top: int
    bitmap: np.ndarray

    @property
    def area(self) -> int:
        """int: Pixels."""
        return int(np.count_nonzero(self.bitmap))

    @property
    def window(self) -> tuple[slice, slice]:
        """tuple[slice, slice]: Rows and columns that enclose it."""
        height, width = self.bitmap.shape
        return (slice(self.top,
                      self.top + height), slice(self.left, self.left + width))


def regions(mask: np.ndarray) -> list[Region]:
    """All regions of a mask, also those of ignored pixels.

    The larger window comes first, so that a region that lies in a hole of
    another one follows it: filled outlines, painted in this order, give the
    mask back.

    Args:
        mask (np.ndarray): (H, W) uint8.

    Returns:
        list[Region]: Together they are the whole mask.
    """
    found = []
    for label in np.unique(mask):
        of_label = (mask == label).astype(np.uint8)
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(
            of_label, connectivity=4)
        for number, row in enumerate(stats[1:], 1):
            left, top, width, height = map(int, row[:4])
            window = numbers[top:top + height, left:left + width]
            found.append(Region(int(label), left, top, window == number))
    return sorted(found, key=lambda one: -one.bitmap.size)
