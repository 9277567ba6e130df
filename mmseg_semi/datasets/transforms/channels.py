# Copyright (c) mmseg_semi authors.
"""What transforms of images with any number of bands share.

Images are (H, W, C), or (H, W) with one band, uint8 or float32 in [0, 255].
Exactly three bands are colours: blue, green, red.
"""
from functools import lru_cache
from typing import Sequence, Tuple, Union

import cv2
import numpy as np
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

MEAN_COLOR = (104, 116, 124)
"""ImageNet mean as an 8-bit BGR colour: (almost) 0 after normalisation."""
IMAGENET_MEAN = (103.53, 116.28, 123.675)
"""BGR; exactly 0 after the usual normalisation."""

_LEVELS = np.arange(256, dtype=np.float32)
_LOWEST, _HIGHEST = -.5, 255.5  # resizing rounds


def num_bands(image: np.ndarray) -> int:
    """Number of bands of an image."""
    return 1 if image.ndim == 2 else image.shape[2]


def is_colour(image: np.ndarray) -> bool:
    """Whether the bands are colours."""
    return num_bands(image) == 3


def check_pixels(image: np.ndarray, name: str) -> None:
    """Refuse pixels that are not those of this module.

    Args:
        image (np.ndarray): The image.
        name (str): The transform, for the message.

    Raises:
        TypeError: Of another type, or floats beyond [0, 255].
    """
    fits = image.dtype == np.uint8 or image.dtype == np.float32 and (
        not image.size or _LOWEST <= image.min() and image.max() <= _HIGHEST)
    if image.ndim not in (2, 3) or not fits:
        found = f'{image.dtype} {image.shape}'
        if image.dtype == np.float32 and image.size:
            found += f' from {image.min():g} to {image.max():g}'
        raise TypeError(
            f'{name} needs an image (H, W, C), uint8 or float32 in [0, 255], '
            f'got {found}. Put it before any normalisation, and load numbers '
            'of other ranges by LoadBands.')


@lru_cache(maxsize=None)
def say_skipped(name: str, what: str, bands: int) -> None:
    """Say once that a transform leaves out what needs colours.

    Args:
        name (str): The transform.
        what (str): What is left out.
        bands (int): Bands of the image.
    """
    worker = get_worker_info()
    if worker is None or worker.id == 0:
        print_log(
            f'{name}: {what} need three bands that are colours; left out for '
            f'images of {bands}.', 'current')


def gray(image: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma (H, W) of colours (H, W, 3), in their type."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def blend(image: np.ndarray, factor: float,
          pivot: Union[float, np.ndarray]) -> np.ndarray:
    """``pivot + factor * (image - pivot)`` within [0, 255].

    Args:
        image (np.ndarray): uint8 (the result is truncated) or float32.
        factor (float): 1 changes nothing.
        pivot (float | np.ndarray): A level, or one for each band.
    """
    if image.dtype == np.uint8 and np.ndim(pivot) == 0:
        curve = pivot + factor * (_LEVELS - pivot)
        table = np.clip(curve, 0, 255).astype(np.uint8)
        return cv2.LUT(image, table).reshape(image.shape)
    pivot = np.float32(pivot)
    result = pivot + np.float32(factor) * (image - pivot)
    return result.clip(0, 255).astype(image.dtype)


def levels(value: Union[float, Sequence[float]], bands: int,
           name: str) -> np.ndarray:
    """The level of padding of each band.

    Args:
        value (float | Sequence[float]): One for all bands, or one for each.
            The mean colour of ImageNet means its grey for other bands.
        bands (int): Number of bands.
        name (str): The option, for the message.

    Returns:
        np.ndarray: float64 (bands, ).

    Raises:
        ValueError: As many levels as there are no bands.
    """
    given = np.atleast_1d(np.float64(value))
    if len(given) not in (1, bands):
        if tuple(value) not in (MEAN_COLOR, IMAGENET_MEAN):
            raise ValueError(
                f'{name}={value} has {len(given)} levels, the image {bands} '
                'bands: give one number, or one for each band.')
        given = given.mean(keepdims=True)
    return np.broadcast_to(given, (bands, ))


def pad_border(array: np.ndarray, border: Tuple[int, int, int, int],
               value: Union[float, np.ndarray]) -> np.ndarray:
    """Pad an image or a map of labels; OpenCV knows at most four bands.

    Args:
        array (np.ndarray): (H, W) or (H, W, C).
        border (tuple[int, int, int, int]): Top, bottom, left, right.
        value (float | np.ndarray): One, or one for each band; rounded if
            ``array`` holds whole numbers.

    Returns:
        np.ndarray: Of the same type.
    """
    top, bottom, left, right = border
    height, width = array.shape[:2]
    if array.ndim == 2:
        value = np.ravel(value)[0]
    if array.dtype.kind in 'ui':
        value = np.rint(value)
    padded = np.empty(
        (top + height + bottom, left + width + right, *array.shape[2:]),
        array.dtype)
    padded[:] = value
    padded[top:top + height, left:left + width] = array
    return padded
