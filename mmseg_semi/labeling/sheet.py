# Copyright (c) mmseg_semi authors.
"""Contact sheets: small pictures of many images with words beside them."""
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LARGEST = 100
"""Images on a sheet, at most."""
_SIDE, _GAP, _LINE = 176, 8, 16  # pixels
_SHOWN = 26  # letters of a line per picture
_IGNORED = (128, 128, 128)


class Item(NamedTuple):
    """An image of a sheet.

    Attributes:
        title (str): Above it.
        lines (Sequence[str]): Below it.
        pictures (Sequence[np.ndarray]): Each (h, w, 3) uint8 RGB.
    """
    title: str
    lines: Sequence[str]
    pictures: Sequence[np.ndarray]


def contact_sheet(head: str,
                  columns: Sequence[str],
                  items: Sequence[Item],
                  across: int = 2) -> bytes:
    """Draw a sheet.

    Args:
        head (str): Above everything.
        columns (Sequence[str]): What the pictures of an item are.
        items (Sequence[Item]): At least one, with as many pictures.
        across (int): Items side by side. Defaults to 2.

    Returns:
        bytes: A PNG file.
    """
    across = min(across, len(items))
    rows = -(-len(items) // across)
    most = max(len(item.lines) for item in items)
    width = len(columns) * (_SIDE + _GAP) + _GAP
    height = _SIDE + (1 + most) * _LINE + 2 * _GAP
    top = 2 * _LINE + _GAP
    sheet = Image.new('RGB', (across * width + _GAP, rows * height + top),
                      'white')
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 2), head, 'black', _font(14))
    for number, item in enumerate(items):
        left = number % across * width + _GAP
        if number < across:
            for place, column in enumerate(columns):
                draw.text((left + place * (_SIDE + _GAP), _LINE + 6), column,
                          'gray', _font(11))
        _draw_item(sheet, draw, item, left, number // across * height + top,
                   _SHOWN * len(columns))
    file = io.BytesIO()
    sheet.save(file, 'png')
    return file.getvalue()


def _draw_item(sheet: Image.Image, draw: ImageDraw.ImageDraw, item: Item,
               left: int, top: int, letters: int) -> None:
    draw.text((left, top), _cut(item.title, letters), 'black', _font(12))
    for place, picture in enumerate(item.pictures):
        small = Image.fromarray(picture)
        factor = _SIDE / max(small.size)
        size = [max(1, round(side * factor)) for side in small.size]
        kind = Image.Resampling
        small = small.resize(size,
                             kind.NEAREST if factor > 1 else kind.BILINEAR)
        sheet.paste(small, (left + place * (_SIDE + _GAP), top + _LINE))
    for number, line in enumerate(item.lines):
        draw.text((left, top + _SIDE + (1 + number) * _LINE),
                  _cut(line, letters), 'dimgray', _font(11))


def _cut(text: str, letters: int) -> str:
    """The end of a long name tells more than its beginning."""
    return text if len(text) <= letters else f'…{text[1 - letters:]}'


def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's, which has the letters of most languages."""
    path = Path(matplotlib.get_data_path()) / 'fonts/ttf/DejaVuSans.ttf'
    return ImageFont.truetype(str(path), size)


def painted(photo: np.ndarray, classes: np.ndarray,
            palette: Sequence) -> np.ndarray:
    """Half photo, half colours of the classes; ignored pixels are grey.

    Args:
        photo (np.ndarray): (h, w, 3) uint8 RGB, a smaller picture of it.
        classes (np.ndarray): (H, W) ids, 255 ignored.
        palette (Sequence): (C, 3), in 0..255.
    """
    colors = np.full((max(256, len(palette)), 3), _IGNORED, np.uint8)
    colors[:len(palette)] = palette
    rows, columns = (np.arange(small) * large // small
                     for small, large in zip(photo.shape, classes.shape))
    return (photo >> 1) + (colors[classes[np.ix_(rows, columns)]] >> 1)


def unsure(confidence: np.ndarray) -> np.ndarray:
    """1 - confidence as colours, dark is certain, (h, w, 3) uint8.

    Args:
        confidence (np.ndarray): (H, W) in [0, 1]; at least half of a pixel's
            probability lacking is the brightest colour.
    """
    step = max(1, max(confidence.shape) // (2 * _SIDE))
    values = np.clip(2 * (1 - confidence[::step, ::step]), 0, 1)
    colors = matplotlib.colormaps['magma'](values)[..., :3]
    return np.rint(255 * colors).astype(np.uint8)
