# Copyright (c) mmseg_semi authors.
"""Reading all bands of an image file in their own numbers.

Loaders of photographs return three bands of 8 bits whatever is in the file.
This one returns what is there: 8 and 16 bits, floats, one to many bands,
TIFF of several pages. TIFF beyond one or three bands of whole numbers needs
the package tifffile; a compression that it does not know, rasterio or
imagecodecs.
"""
import importlib
import io
import warnings
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

TIFF_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_PNG_MAGIC, _PNG_GREY_ALPHA = b'\x89PNG\r\n\x1a\n', 4
_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 277
_SAMPLE_FORMAT, NO_DATA = 339, 42113
_WHITE_IS_ZERO, _GREY, _RGB = 0, 1, 2  # photometric interpretations
_CODED = (3, 5, 6, 8)  # palette, CMYK, YCbCr, CIELab


class Bands(NamedTuple):
    """Pixels of a file.

    Attributes:
        values (np.ndarray): (H, W, C), in the numbers of the file; colours
            are red, green, blue.
        no_data (float | None): The value that stands for "no data", as
            GeoTIFFs state it; None if the file states none.
    """
    values: np.ndarray
    no_data: float | None = None


def read_bands(data: bytes) -> Bands:
    """Decode an image file.

    Pages of a TIFF follow each other as bands if they have the size of the
    first one; smaller ones (overviews, thumbnails) are left out. A palette,
    CMYK and YCbCr become RGB. JPEGs are turned as their EXIF says.

    Args:
        data (bytes): The whole file.

    Returns:
        Bands: Its pixels.

    Raises:
        ModuleNotFoundError: A package is needed; says which and how to
            install it.
        ValueError: Nothing here decodes it.
    """
    if data.startswith(TIFF_MAGIC):
        return _tiff(data)
    flags = cv2.IMREAD_UNCHANGED
    if data.startswith(b'\xff\xd8'):  # UNCHANGED would leave it lying
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    values = _opencv(data, flags)
    if data.startswith(_PNG_MAGIC) and data[25] == _PNG_GREY_ALPHA:
        values = values[..., [0, 3]]  # OpenCV makes four of these two
    return Bands(values)


def _opencv(data: bytes, flags: int) -> np.ndarray:
    """(H, W, C), colours as RGB."""
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f'OpenCV cannot decode it ({error})') from error
    if values is None:
        raise ValueError('it is damaged, or in a format that OpenCV does not '
                         'know')
    if values.ndim == 2:
        return values[..., None]
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(values.shape[2])
    return values if order is None else values[..., order]


def _tiff(data: bytes) -> Bands:
    tifffile, rasterio = optional_package('tifffile'), optional_package(
        'rasterio')
    picture = _Picture.of(data)
    missing = 'TIFF of floats, of other than one or three bands, or of ' \
        'several pages needs a package: pip install tifffile imagecodecs ' \
        '(or pip install "mmseg_semi[tiff]").'
    if tifffile is not None and not (picture and picture.coded):
        try:
            return _with_tifffile(tifffile, data)
        except Exception as error:  # decoders raise their own types
            if 'imagecodecs' not in str(error):
                raise ValueError(
                    f'the TIFF is damaged, or of a kind that '
                    f'tifffile does not know ({error})') from error
            missing = 'The compression of this TIFF needs a package ' \
                f'({error}): pip install imagecodecs (or rasterio).'
    if picture is not None:
        return picture.read(data)
    if rasterio is not None:
        return _with_rasterio(rasterio, data)
    raise ModuleNotFoundError(missing)


def optional_package(name: str) -> ModuleType | None:
    """A package; None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


class _Picture(NamedTuple):
    """A TIFF that OpenCV decodes as it is stored.

    It mixes colours with a fourth band of 8 bits, which it takes for alpha.

    Attributes:
        coded (bool): Colours are stored as a palette, CMYK or YCbCr.
        no_data (float | None): As in :class:`Bands`.
    """
    coded: bool
    no_data: float | None

    @classmethod
    def of(cls, data: bytes) -> '_Picture | None':
        """Read the header; None if the file is something else."""
        try:
            tags = ImageFileDirectory_v2(data[:8])
            file = io.BytesIO(data)
            file.seek(tags.next)
            with warnings.catch_warnings():  # of damaged tags: no reader's
                warnings.simplefilter('ignore')
                tags.load(file)
            bits, kinds = set(tags[_BITS]), set(
                tags.get(_SAMPLE_FORMAT, (1, )))
            samples, coding = tags.get(_SAMPLES, 1), tags[_PHOTOMETRIC]
        except Exception:  # damaged tags raise whatever reads them
            return None
        coded = coding in _CODED
        plain = coding in (_GREY, _RGB) and samples in (1, 3)
        depths = ({8}, {16}) if plain else ({1}, {2}, {4}, {8})
        if tags.next or kinds != {
                1
        } or bits not in depths or not (coded or plain):
            return None
        return cls(coded, _number(tags.get(NO_DATA)))

    def read(self, data: bytes) -> Bands:
        flags = cv2.IMREAD_COLOR if self.coded else cv2.IMREAD_UNCHANGED
        return Bands(_opencv(data, flags), self.no_data)


def _with_tifffile(tifffile: ModuleType, data: bytes) -> Bands:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first = file.pages.first
        size, pages = (first.imagelength, first.imagewidth), []
        for page in file.pages:
            page = page.aspage()
            if (page.imagelength, page.imagewidth) == size:
                pages.append(_page_bands(page))
        tag = first.tags.get(NO_DATA)
    types = {page.dtype for page in pages}
    if len(types) > 1:
        raise ValueError('its pages hold different kinds of numbers: '
                         f'{", ".join(sorted(map(str, types)))}')
    return Bands(
        np.concatenate(pages, axis=2), _number(tag.value if tag else None))


def _page_bands(page) -> np.ndarray:
    """(H, W, C) of a page of a TIFF."""
    values, axes = page.asarray(), page.axes
    if values.dtype == bool:
        values = values * np.uint8(255)
    if page.photometric == _WHITE_IS_ZERO and values.dtype.kind == 'u':
        values = np.iinfo(values.dtype).max - values
    if axes == 'YX':
        return values[..., None]
    if axes == 'SYX':
        return values.transpose(1, 2, 0)
    if axes != 'YXS':
        raise ValueError(f'its pages have the axes {axes}; an image has rows, '
                         'columns and bands')
    return values


def _with_rasterio(rasterio: ModuleType, data: bytes) -> Bands:
    try:
        with warnings.catch_warnings(), rasterio.MemoryFile(data) as memory:
            warnings.simplefilter('ignore')  # images need no georeference
            dataset = memory.open()
            if len(dataset.subdatasets) > 1:
                raise ModuleNotFoundError(
                    'TIFF of several pages needs the package tifffile: pip '
                    'install tifffile imagecodecs.')
            return Bands(dataset.read().transpose(1, 2, 0), dataset.nodata)
    except rasterio.errors.RasterioError as error:
        raise ValueError(f'rasterio cannot decode it ({error})') from error


def _number(text: str | None) -> float | None:
    """The number of GDAL's no-data tag."""
    try:
        return float(str(text).strip().rstrip('\0'))
    except ValueError:
        return None
