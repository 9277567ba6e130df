# Copyright (c) mmseg_semi authors.
"""Reading windows of a TIFF instead of all of it."""
import copy
import os.path as osp
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..datasets.band_files import NO_DATA, TIFF_MAGIC, Bands, optional_package
from ..datasets.errors import UnreadableImageError
from ..datasets.transforms.bands import LoadBands
from ..datasets.transforms.loading import LoadStrictImage

_ORIENTATION = 274
_LOOKED_AT = 512  # pixels of a side of the thumbnail that is checked


class Windows(NamedTuple):
    """A file whose windows can be read.

    Attributes:
        size (tuple[int, int]): Height and width.
        read (Callable): Rows and columns, two slices -> (h, w, C), as the
            loader of the whole file gives them.
    """
    size: tuple[int, int]
    read: Callable[[slice, slice], np.ndarray]


class _File(NamedTuple):
    """``read(rows, columns, step)`` gives (h, w, C), colours as RGB."""
    shape: tuple[int, int, int]
    dtype: np.dtype
    no_data: float | None
    read: Callable


def open_windows(path: str, loader) -> Windows | None:
    """Open a file to read windows.

    Args:
        path (str): The file.
        loader (BaseTransform): The one of the test pipeline.

    Returns:
        Windows | None: None if the file or the loader is of a kind of which
        windows are not known to be what the loader gives.
    """
    if type(loader) not in (LoadBands,
                            LoadStrictImage) or not osp.isfile(path):
        return None
    tags = read_tags(path)
    if tags is None or tags.get(_ORIENTATION, 1) != 1:
        return None
    file = _with_rasterio(path) or _with_tifffile(path)
    if file is None:
        return None
    file = file._replace(read=_readable(path, file.read))
    if isinstance(loader, LoadBands):
        return _bands(path, file, loader)
    if (file.dtype != np.uint8 or file.shape[2] not in (1, 3)
            or loader.color_type != 'color' or loader.to_float32):
        return None
    return Windows(file.shape[:2],
                   lambda rows, columns: _colours(file.read(rows, columns, 1)))


def _readable(path: str, read: Callable) -> Callable:
    """The same with an error of ours where the file is damaged."""

    def readable(rows: slice, columns: slice, step: int) -> np.ndarray:
        try:
            return read(rows, columns, step)
        except Exception as error:  # decoders raise their own types
            raise UnreadableImageError(
                f'{path} cannot be read in rows {rows.start} to {rows.stop}: '
                f'{error}. Replace the file.') from error

    return readable


def _colours(values: np.ndarray) -> np.ndarray:
    """BGR of RGB or grey."""
    return values[..., ::-1] if values.shape[2] == 3 else np.repeat(
        values, 3, axis=2)


def _bands(path: str, file: _File, loader: LoadBands) -> Windows:
    """Windows as LoadBands gives them; the whole file is checked once."""
    step = max(1, max(file.shape[:2]) // _LOOKED_AT)
    everything = slice(0, file.shape[0]), slice(0, file.shape[1])
    small = loader.take(path,
                        Bands(file.read(*everything, step), file.no_data))
    loader.check_varies(path, small)
    loader.levels(path, small)
    loader = copy.copy(loader)
    loader.max_clipped = 1.  # of a window: all of it may be bright

    def read(rows: slice, columns: slice) -> np.ndarray:
        values = file.read(rows, columns, 1)
        return loader.levels(path,
                             loader.take(path, Bands(values, file.no_data)))

    return Windows(file.shape[:2], read)


def _with_rasterio(path: str) -> _File | None:
    rasterio = optional_package('rasterio')
    if rasterio is None:
        return None
    from rasterio.enums import PhotometricInterp as Colours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # images need no georeference
            dataset = rasterio.open(path)
    except rasterio.errors.RasterioError:
        return None
    kinds = set(dataset.dtypes)
    if (len(dataset.subdatasets) > 1 or len(kinds) > 1
            or dataset.photometric not in (None, Colours.black, Colours.rgb)):
        return None

    def read(rows: slice, columns: slice, step: int) -> np.ndarray:
        window = rasterio.windows.Window.from_slices(rows, columns)
        shape = [-(-int(n) // step) for n in (window.height, window.width)]
        values = dataset.read(window=window, out_shape=(dataset.count, *shape))
        return values.transpose(1, 2, 0)

    return _File((dataset.height, dataset.width, dataset.count),
                 np.dtype(kinds.pop()), dataset.nodata, read)


def _with_tifffile(path: str) -> _File | None:
    tifffile = optional_package('tifffile')
    if tifffile is None:
        return None
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            known = tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB
            if (len(tiff.pages) > 1 or not page.is_memmappable
                    or page.photometric not in known
                    or page.axes not in ('YX', 'YXS') or NO_DATA in page.tags):
                return None
        values = tifffile.memmap(path, mode='r')
    except Exception:  # damaged files raise whatever reads them
        return None
    values = values[..., None] if values.ndim == 2 else values
    return _File(
        values.shape, values.dtype, None, lambda rows, columns, step: np.array(
            values[rows, columns][::step, ::step]))


def read_tags(path: str) -> ImageFileDirectory_v2 | None:
    """Tags of a TIFF; None of another file, or if they cannot be read."""
    try:
        with open(path, 'rb') as file:
            head = file.read(8)
            if head[:4] not in TIFF_MAGIC:
                return None
            if b'+' in head[2:4]:  # BigTIFF
                head += file.read(8)
            tags = ImageFileDirectory_v2(head)
            file.seek(tags.next)
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                tags.load(file)
        return tags
    except Exception:  # damaged tags raise whatever reads them
        return None
