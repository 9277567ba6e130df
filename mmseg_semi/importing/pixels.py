# Copyright (c) mmseg_semi authors.
"""Reading label pictures as they are stored, and counting what they hold."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .classes import Color

# A picture with more colours than this is a photo or was stored with loss.
MAX_COLORS = 1 << 16
_WITH_ALPHA = {'LA': 'L', 'RGBA': 'RGB', 'PA': 'RGB'}
_NUMBERS = ('I', 'F', 'I;16', 'I;16B', 'I;16L')


class PictureError(ValueError):
    """A label picture that has no labels to be read; says why."""


@dataclass(frozen=True)
class Picture:
    """A decoded label picture.

    Attributes:
        pixels (np.ndarray): (H, W) whole numbers, or uint8 (H, W, 3) RGB.
            Pictures whose three channels are equal have one.
        palette (np.ndarray, optional): uint8 (n, 3), of a palette picture.
        lossy (bool): Whether the file is a JPEG.
    """
    pixels: np.ndarray
    palette: np.ndarray | None = None
    lossy: bool = False

    def colors(self) -> np.ndarray:
        """The picture as RGB, uint8 (H, W, 3)."""
        if self.palette is not None:
            return self.palette[self.pixels]
        if self.pixels.ndim == 3:
            return self.pixels
        if self.pixels.max(initial=0) > 255:
            raise PictureError('has more than 8 bits and no colours')
        return np.repeat(self.pixels[..., None], 3, 2).astype(np.uint8)


def read_picture(path: Path) -> Picture:
    """Decode a label picture without changing a value.

    Raises:
        PictureError: If it cannot be read, is partly transparent, has several
            pages, or holds numbers that are not whole or are negative.
    """
    try:
        with Image.open(path) as image:
            if getattr(image, 'n_frames', 1) > 1:
                raise PictureError(f'has {image.n_frames} pages')
            lossy = image.format == 'JPEG'
            image.load()
            return _decode(image, lossy)
    except PictureError:
        raise
    except Exception as error:  # decoders raise types of their own
        raise PictureError(f'cannot be read ({error})') from error


def _decode(image: Image.Image, lossy: bool) -> Picture:
    if image.mode in _WITH_ALPHA:
        low, high = image.getchannel('A').getextrema()
        if low != high:
            raise PictureError('is partly transparent')
        image = image.convert(_WITH_ALPHA[image.mode])
    if image.mode == 'P':
        palette = np.zeros((256, 3), np.uint8)
        stored = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)
        palette[:len(stored)] = stored
        return Picture(np.asarray(image), palette, lossy)
    if image.mode in ('1', 'L'):
        return Picture(np.asarray(image).astype(np.uint8), lossy=lossy)
    if image.mode in _NUMBERS:
        return Picture(_whole(np.asarray(image)), lossy=lossy)
    if image.mode != 'RGB':
        raise PictureError(f'has the colour mode {image.mode}')
    pixels = np.asarray(image)
    first = pixels[..., :1]
    if (pixels == first).all():
        pixels = pixels[..., 0]
    return Picture(pixels, lossy=lossy)


def _whole(numbers: np.ndarray) -> np.ndarray:
    """Numbers as int64, if that changes none of them."""
    whole = np.nan_to_num(numbers).astype(np.int64)
    strange = numbers[whole != numbers]  # also where a number is NaN
    if strange.size:
        raise PictureError(f'holds {strange.size} pixels that are no whole '
                           f'number, {strange[0]} for one')
    if whole.min() < 0:
        raise PictureError(f'holds the negative number {whole.min()}')
    return whole


@dataclass(frozen=True)
class Census:
    """What a label picture holds.

    Attributes:
        size (tuple[int, int]): Width and height.
        values (dict[int, int], optional): Grey value or palette index ->
            pixels; None for a picture of colours.
        colors (dict[Color, int], optional): Colour -> pixels; None if there
            are more than :data:`MAX_COLORS`, or more than 8 bits.
        palette (bool): Whether it is a palette picture.
        lossy (bool): Whether it is a JPEG.
    """
    size: tuple[int, int]
    values: dict[int, int] | None
    colors: dict[Color, int] | None
    palette: bool
    lossy: bool


def take_census(path: Path) -> Census:
    """Count the values and the colours of a label picture.

    Raises:
        PictureError: As :func:`read_picture`.
    """
    picture = read_picture(path)
    pixels = picture.pixels
    values, colors = None, None
    if pixels.ndim == 2:
        values = _count(pixels)
        if picture.palette is not None:
            colors = {}
            for value, count in values.items():
                color = tuple(picture.palette[value].tolist())
                colors[color] = colors.get(color, 0) + count
        elif max(values) <= 255:
            colors = {(v, v, v): count for v, count in values.items()}
    else:
        found = Image.fromarray(pixels).getcolors(MAX_COLORS)
        if found is not None:
            colors = {color: count for count, color in found}
    return Census((pixels.shape[1], pixels.shape[0]), values, colors,
                  picture.palette is not None, picture.lossy)


def _count(pixels: np.ndarray) -> dict[int, int]:
    if pixels.dtype == np.uint8:
        counts = np.bincount(pixels.ravel())
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))
