# Copyright (c) mmseg_semi authors.
"""From published GTA5 label images to masks of Cityscapes' train ids."""
import os
from pathlib import Path
from typing import Optional, Tuple

import numpy as np
from mmseg.datasets import CityscapesDataset
from PIL import Image

from .paths import first_few

SUFFIX = '_labelTrainIds.png'

CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31,
             32, 33)
"""Cityscapes' label ids of the 19 classes; the train id is the position."""

_NUM_IDS = 35
_VOID_COLORS = ((0, 0, 0), (20, 20, 20), (111, 74, 0), (81, 0, 81),
                (250, 170, 160), (230, 150, 140), (180, 165, 180),
                (150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110))


def _id_table() -> np.ndarray:
    table = np.full(256, 255, np.uint8)
    table[list(CLASS_IDS)] = np.arange(len(CLASS_IDS))
    return table


def _packed(colors: np.ndarray) -> np.ndarray:
    """RGB (..., 3) -> one integer per colour."""
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def train_ids(label: np.ndarray, ignore_unknown: bool = False) -> np.ndarray:
    """Train ids of a label image.

    Args:
        label (np.ndarray): uint8, either (H, W) with Cityscapes' label ids
            (0 to 34, 255 for none), which is what the palette PNGs of GTA5
            hold, or (H, W, 3) with Cityscapes' RGB colours.
        ignore_unknown (bool): Unknown ids and colours become 255 instead of
            an error. Defaults to False.

    Returns:
        np.ndarray: uint8 (H, W), 0 to 18, 255 for everything else.

    Raises:
        ValueError: If it is neither, or an id or colour is unknown.
    """
    if label.dtype != np.uint8 or label.ndim not in (2, 3) or (
            label.ndim == 3 and label.shape[2] != 3):
        raise ValueError(
            f'A label image is uint8 (H, W) or (H, W, 3), this one is '
            f'{label.dtype} {label.shape}. Take the published PNG files.')
    if label.ndim == 2:
        present = np.flatnonzero(np.bincount(label.ravel(), minlength=256))
        unknown = [i for i in present.tolist() if _NUM_IDS <= i < 255]
        _refuse(unknown and not ignore_unknown, 'ids', unknown)
        return _id_table()[label]
    classes = _packed(np.array(CityscapesDataset.METAINFO['palette']))
    colors, inverse = np.unique(_packed(label), return_inverse=True)
    void = _packed(np.array(_VOID_COLORS))
    unknown = colors[~np.isin(colors, np.concatenate([classes, void]))]
    _refuse(
        len(unknown) and not ignore_unknown, 'colours',
        [(c >> 16, c >> 8 & 255, c & 255) for c in unknown.tolist()])
    ids = np.full(len(colors), 255, np.uint8)
    for train_id, color in enumerate(classes):
        ids[colors == color] = train_id
    return ids[inverse.reshape(label.shape[:2])]


def _refuse(refused: bool, what: str, unknown: list) -> None:
    if refused:
        raise ValueError(
            f'the {what} {first_few(unknown)} are none of Cityscapes\'. If '
            'these pixels are to be ignored, convert with --ignore-unknown; '
            'if not, this is no label image of GTA5')


def convert(label_path: Path,
            image_path: Path,
            ignore_unknown: bool = False,
            force: bool = False) -> Tuple[str, Optional[str]]:
    """Convert one label image; the mask goes beside it.

    Args:
        label_path (Path): The published label image.
        image_path (Path): Its image, to compare sizes.
        ignore_unknown (bool): See :func:`train_ids`.
        force (bool): Whether to write masks that exist already.

    Returns:
        tuple[str, str | None]: ``written`` or ``unchanged``, and what makes
        the pair useless for training (image missing, other size), if
        anything.

    Raises:
        ValueError: If the file is no label image; names it.
    """
    fault = None
    try:
        with Image.open(label_path) as picture:
            size = picture.size
            target = label_path.with_name(label_path.stem + SUFFIX)
            if not image_path.is_file():
                fault = f'there is no image {image_path}'
            else:
                with Image.open(image_path) as image:
                    if image.size != size:
                        fault = f'image {image.size}, labels {size}'
            if target.exists() and not force:
                return 'unchanged', fault
            if picture.mode not in ('P', 'L'):
                picture = picture.convert('RGB')
            mask = train_ids(np.asarray(picture), ignore_unknown)
    except (OSError, SyntaxError, ValueError) as err:
        raise ValueError(f'{label_path}: {err}.') from err
    part = target.with_name(f'.{target.name}.{os.getpid()}.part')
    Image.fromarray(mask).save(part, format='png')
    os.replace(part, target)
    return 'written', fault
