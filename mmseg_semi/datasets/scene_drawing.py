# Copyright (c) mmseg_semi authors.
"""Drawing scenes from the real images that ship inside scikit-learn.

1,797 handwritten digits (8x8, 17 grey levels) and two photographs need no
download, so a dataset made from them can exist on every machine.
"""
from functools import lru_cache
from typing import List, Optional, Tuple

import cv2
import numpy as np
from PIL import Image

Box = Tuple[int, int, int]
"""Top, left and side of a square."""

LABEL_LEVEL = 0.3
"""Ink above this level carries the label of its digit."""


@lru_cache(maxsize=1)
def load_digit_images() -> Tuple[np.ndarray, np.ndarray]:
    """scikit-learn's handwritten digits.

    Returns:
        tuple[np.ndarray, np.ndarray]: Ink (1797, 8, 8) float32 in [0, 1] and
        the digit (1797,) int64 in 0..9. Both are read-only.
    """
    from sklearn.datasets import load_digits
    bunch = load_digits()
    ink = (bunch.images / 16.).astype(np.float32)
    digits = bunch.target.astype(np.int64)
    ink.setflags(write=False)
    digits.setflags(write=False)
    return ink, digits


@lru_cache(maxsize=1)
def load_photos() -> List[np.ndarray]:
    """scikit-learn's two photographs, RGB uint8 (427, 640, 3)."""
    from sklearn.datasets import load_sample_image
    return [load_sample_image(name) for name in ('china.jpg', 'flower.jpg')]


def split_instances(digits: np.ndarray, train_share: float,
                    rng: np.random.Generator) -> Tuple[list, list]:
    """Divide the digit images between train and val, class by class.

    Args:
        digits (np.ndarray): The digit of every image, (N,).
        train_share (float): Share of each class that goes to train.
        rng (np.random.Generator): Source of the shuffle.

    Returns:
        tuple[list[np.ndarray], list[np.ndarray]]: For train and val, the
        image indices of every class 0..9. No index is in both.
    """
    train, val = [], []
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(digits == digit))
        cut = round(train_share * len(members))
        train.append(members[:cut])
        val.append(members[cut:])
    return train, val


def photo_background(photo: np.ndarray, size: Tuple[int, int],
                     side: Tuple[int, int], corner: Tuple[float, float],
                     brightness: float) -> np.ndarray:
    """A dimmed crop of a photograph.

    Args:
        photo (np.ndarray): RGB uint8 (H, W, 3).
        size (tuple[int, int]): Height and width of the result.
        side (tuple[int, int]): Height and width of the crop, at most (H, W).
        corner (tuple[float, float]): Position of the crop's upper left
            corner as a share of the free room, each in [0, 1).
        brightness (float): Factor on the grey values.

    Returns:
        np.ndarray: float32 (*size, 3) in [0, 255].
    """
    top = int(corner[0] * (photo.shape[0] - side[0] + 1))
    left = int(corner[1] * (photo.shape[1] - side[1] + 1))
    crop = photo[top:top + side[0], left:left + side[1]]
    crop = cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA)
    return crop.astype(np.float32) * brightness


def paste_digit(image: np.ndarray, label: np.ndarray, ink: np.ndarray,
                box: Box, color: np.ndarray, value: int) -> None:
    """Draw one digit over a scene, in place.

    Where the smoothly upscaled ink ``g`` is stronger than 0.3 the pixel gets
    the label, so a later digit hides an earlier one. Colour is blended with
    ``alpha = min(1.6 * g, 1)``.

    Args:
        image (np.ndarray): float32 RGB (H, W, 3).
        label (np.ndarray): uint8 (H, W).
        ink (np.ndarray): float32 (8, 8) in [0, 1].
        box (tuple[int, int, int]): Top, left, side; inside the scene.
        color (np.ndarray): RGB (3,).
        value (int): The label to write.
    """
    top, left, side = box
    glyph = cv2.resize(ink, (side, side), interpolation=cv2.INTER_CUBIC)
    alpha = np.clip(1.6 * glyph, 0, 1)[..., None]
    window = np.s_[top:top + side, left:left + side]
    image[window] += alpha * (color.astype(np.float32) - image[window])
    label[window][glyph > LABEL_LEVEL] = value


def palette_bytes(palette: List[List[int]], ignore_index: int = 255) -> bytes:
    """256 RGB entries for a palette PNG; the ignored id is VOC's cream."""
    table = np.zeros((256, 3), np.uint8)
    table[:len(palette)] = palette
    table[ignore_index] = (224, 224, 192)
    return table.tobytes()


def save_image(path, image: np.ndarray) -> None:
    """Save a float RGB scene as JPEG (quality 97, 4:4:4) or PNG."""
    array = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if str(path).endswith('.jpg'):
        options = dict(quality=97, subsampling=0)
    else:
        options = dict(compress_level=1)
    Image.fromarray(array).save(path, **options)


def save_label(path,
               label: np.ndarray,
               palette: Optional[bytes] = None) -> None:
    """Save a uint8 label map as PNG, with a palette if one is given."""
    picture = Image.fromarray(label)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path, compress_level=1)
