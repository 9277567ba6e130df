# Copyright (c) mmseg_semi authors.
"""The pixel format that a file states in its header.

Pillow reads some files as something narrower than they are (a PNG of three
times 16 bits as three times 8) and does not open others (TIFF of five bands):
their header is asked instead.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_PNG_BANDS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_SAMPLE_KINDS = {1: 'uint', 2: 'int', 3: 'float'}
_TIFF_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_ORIENTATION = 0x0112
_DEEP_MODES = {'I': (32, 'int'), 'F': (32, 'float')}


@dataclass(frozen=True)
class PixelFormat:
    """Bands and numbers of a picture.

    Attributes:
        bands (int): Values of a pixel; 3 for a picture with a palette.
        bits (int): Bits of a value, from 1 on.
        kind (str): ``'uint'``, ``'int'`` or ``'float'``.
    """
    bands: int
    bits: int
    kind: str = 'uint'

    @property
    def is_deep(self) -> bool:
        """bool: Whether 8 bits do not hold the values."""
        return self.bits > 8 or self.kind != 'uint'

    def __str__(self) -> str:
        numbers = {'uint': '', 'int': 'signed ', 'float': 'float '}
        bands = f'{self.bands} band{"s" * (self.bands > 1)}'
        return f'{bands} of {numbers[self.kind]}{self.bits} bits'


class Header(NamedTuple):
    """What a picture says of itself.

    Attributes:
        size (tuple[int, int]): Width and height, as stored.
        pixels (PixelFormat): Bands and numbers.
        format (str): Pillow's name of the file format, ``'JPEG'``.
        mode (str): Pillow's mode; empty if Pillow does not open it.
        orientation (int): EXIF orientation, 1 to 8; 1 is upright.
    """
    size: tuple[int, int]
    pixels: PixelFormat
    format: str
    mode: str
    orientation: int


def read_header(path: str | Path) -> Header:
    """Read the header of a picture, also of a TIFF that Pillow refuses.

    Args:
        path (str | Path): The file.

    Raises:
        OSError: It cannot be read, or is no picture.
    """
    with open(path, 'rb') as file:
        head = file.read(64)
        file.seek(0)
        try:
            with Image.open(file) as image:
                return Header(image.size, pixel_format(image, head),
                              image.format, image.mode,
                              image.getexif().get(_ORIENTATION, 1))
        except UnidentifiedImageError:
            found = tiff_header(file)
            if found is None:
                raise
        return Header(found[:2], found[2], 'TIFF', '', 1)


def pixel_format(image: Image.Image, head: bytes) -> PixelFormat:
    """Format of a picture that Pillow has opened.

    Args:
        image (Image): Opened, not necessarily loaded.
        head (bytes): At least the first 26 bytes of its file.
    """
    if image.format == 'PNG':
        return PixelFormat(_PNG_BANDS[head[25]], head[24])
    if image.format == 'TIFF':
        return _of_tags(image.tag_v2)
    if image.mode.startswith('I;16'):
        return PixelFormat(1, 16)
    if image.mode in _DEEP_MODES:
        return PixelFormat(1, *_DEEP_MODES[image.mode])
    # CMYK has four bands, but means three colours.
    bands = 3 if image.mode in ('P', 'CMYK') else len(image.getbands())
    return PixelFormat(bands, 1 if image.mode == '1' else 8)


def tiff_header(file: BinaryIO) -> tuple[int, int, PixelFormat] | None:
    """Width, height and format of a TIFF that Pillow does not open.

    Returns:
        tuple[int, int, PixelFormat] | None: None if it is no TIFF or its
        header is damaged.
    """
    file.seek(0)
    head = file.read(8)
    if head[:4] not in _TIFF_MAGIC:
        return None
    try:
        if 43 in head[2:4]:  # BigTIFF
            head += file.read(8)
        tags = ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
        return int(tags[256]), int(tags[257]), _of_tags(tags)
    except Exception:  # damaged tags raise whatever reads them
        return None


def _of_tags(tags: ImageFileDirectory_v2) -> PixelFormat:
    bits = tags.get(258, (1, ))
    samples = int(tags.get(277, 1))
    kind = _SAMPLE_KINDS.get(tags.get(339, (1, ))[0], 'uint')
    if tags.get(262) in (3, 5):  # palette, CMYK: three colours
        samples = 3
    return PixelFormat(samples, int(max(bits)), kind)
