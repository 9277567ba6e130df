# Copyright (c) mmseg_semi authors.
"""What is written for a predicted image."""
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.band_files import optional_package
from ..datasets.scene_drawing import palette_bytes
from ..engine.atomic import TEMPORARY_SUFFIX, write_atomically
from .georeference import Georeference

MASKS, OVERLAYS, CONFIDENCE = 'masks', 'overlays', 'confidence'
LONGEST = 4096
"""Pixels of the longer side of an overlay, at most."""
_INDEX = 255  # a palette has one more colour, which stands for "ignored"


@dataclass(frozen=True)
class Writer:
    """Writes maps of one model into a folder.

    Attributes:
        out (Path): The folder.
        palette (Sequence): Colours [R, G, B] of the C classes.
        kinds (tuple[str, ...]): Of ``MASKS``, ``OVERLAYS``, ``CONFIDENCE``.
    """
    out: Path
    palette: Sequence[Sequence[int]]
    kinds: tuple[str, ...] = (MASKS, )
    colors: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'colors', np.array(self.palette, np.uint8))

    def paths(self, name: str, place: Georeference) -> dict[str, Path]:
        """Kind -> file, of an image's name."""
        suffix = '.png' if place.profile is None else '.tif'
        ends = {MASKS: suffix, CONFIDENCE: suffix, OVERLAYS: '.jpg'}
        return {
            kind: self.out / kind / f'{name}{ends[kind]}'
            for kind in self.kinds
        }

    def write(self, paths: dict[str, Path], place: Georeference,
              classes: np.ndarray, confidence: np.ndarray | None,
              photo: np.ndarray | None) -> None:
        """Write the files of one image; the mask, which says "done", last.

        Args:
            paths (dict[str, Path]): Of :meth:`paths`.
            place (Georeference): Of the image.
            classes (np.ndarray): (H, W) uint8 or uint16.
            confidence (np.ndarray, optional): (H, W) uint8, 255 is certain.
            photo (np.ndarray, optional): (h, w, 3) uint8 RGB, every n-th
                pixel of the image.
        """
        if OVERLAYS in paths:
            write_atomically(
                encoded(overlay(photo, classes, self.colors), 'JPEG'),
                paths[OVERLAYS])
        if CONFIDENCE in paths:
            self._map(paths[CONFIDENCE], confidence, place, None)
        small = len(self.palette) <= _INDEX
        self._map(paths[MASKS], classes, place,
                  self.palette if small else None)

    def _map(self, path: Path, values: np.ndarray, place: Georeference,
             palette: Sequence | None) -> None:
        if place.profile is not None:
            write_geotiff(path, values, place.profile, palette)
            return
        write_atomically(encoded(values, 'PNG', palette), path)
        for content, suffix in ((place.world, '.pgw'), (place.projection,
                                                        '.prj')):
            if content is not None:
                write_atomically(content, path.with_suffix(suffix))


def encoded(values: np.ndarray,
            format: str,
            palette: Sequence | None = None) -> bytes:
    """A PNG or JPEG file."""
    picture, file = Image.fromarray(values), io.BytesIO()
    if palette is not None:
        picture.putpalette(palette_bytes(palette))
    options = dict(quality=90) if format == 'JPEG' else {}
    picture.save(file, format, **options)
    return file.getvalue()


def write_geotiff(path: Path, values: np.ndarray, profile: dict,
                  palette: Sequence | None) -> None:
    """Write a compressed GeoTIFF of one band, in one step.

    Args:
        path (Path): Missing folders are made.
        values (np.ndarray): (H, W) uint8 or uint16.
        profile (dict): Of :class:`.Georeference`.
        palette (Sequence, optional): Colours of the values.
    """
    rasterio = optional_package('rasterio')
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    height, width = values.shape
    options = dict(
        driver='GTiff',
        height=height,
        width=width,
        count=1,
        dtype=values.dtype,
        compress='deflate',
        bigtiff='if_safer')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with rasterio.open(temporary, 'w', **options, **profile) as file:
                file.write(values, 1)
                if palette is not None:
                    file.write_colormap(
                        1, {
                            index: (*map(int, color), 255)
                            for index, color in enumerate(palette)
                        })
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def overlay(photo: np.ndarray, classes: np.ndarray,
            colors: np.ndarray) -> np.ndarray:
    """Half photo, half colours of the classes.

    Args:
        photo (np.ndarray): (h, w, 3) uint8, every n-th pixel of the image.
        classes (np.ndarray): (H, W), of all pixels.
        colors (np.ndarray): (C, 3) uint8.
    """
    step = thumbnail_step(classes.shape)
    painted = colors[classes[::step, ::step]]
    return (photo >> 1) + (painted >> 1)


def as_picture(image: np.ndarray) -> np.ndarray:
    """A loaded image as people see it.

    Args:
        image (np.ndarray): (H, W, C) in the numbers that networks get, 0 to
            255; three bands are BGR.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB. Of more bands the first three, of
        two the first one as grey.
    """
    bands = image.shape[2]
    order = [2, 1, 0] if bands == 3 else [0, 1, 2] if bands > 3 else [0, 0, 0]
    picture = image[..., order].clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture)  # OpenCV draws on no other


def thumbnail_step(size: Sequence[int]) -> int:
    """n, where every n-th pixel of an image (H, W) is shown."""
    return max(1, -(-max(size) // LONGEST))


def collect(size: tuple[int, int], parts: Iterator, kind: type,
            confidence: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Put the parts of a prediction together, in little memory.

    Args:
        size (tuple[int, int]): Height and width.
        parts (Iterator): Of :meth:`.Predictor.parts`.
        kind (type): Of the classes.
        confidence (bool): Collect it, too.

    Returns:
        tuple: Classes (H, W), and the confidence (H, W) uint8 (255 is
        certain) or None.
    """
    classes = np.empty(size, kind)
    sure = np.empty(size, np.uint8) if confidence else None
    for top, left, part in parts:
        height, width = part.classes.shape
        area = slice(top, top + height), slice(left, left + width)
        classes[area] = part.classes
        if sure is not None:
            sure[area] = np.rint(255 * part.confidence)
    return classes, sure
