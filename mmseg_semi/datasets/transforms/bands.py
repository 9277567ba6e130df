# Copyright (c) mmseg_semi authors.
"""Images of any bit depth and number of bands."""
from typing import Optional, Sequence, Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmseg.registry import TRANSFORMS

from mmseg_semi.datasets.band_files import TIFF_MAGIC, Bands, read_bands
from mmseg_semi.datasets.errors import UnreadableImageError
from .file_checks import find_damage

LEVELS = 255.
Range = Union[Tuple[float, float], Sequence[Tuple[float, float]]]


def check_range(given: Optional[Range], bands: int) -> Optional[np.ndarray]:
    """A range as an array (bands, 2) of low and high; None stays None.

    Raises:
        ValueError: It is no range, or not one for each band.
    """
    if given is None:
        return None
    try:
        pairs = np.array(given, np.float64)
    except (TypeError, ValueError):
        pairs = np.zeros(0)
    if pairs.shape == (2, ):
        pairs = np.tile(pairs, (bands, 1))
    if pairs.shape != (bands, 2) or not np.isfinite(pairs).all() or (
            pairs[:, 0] >= pairs[:, 1]).any():
        raise ValueError(
            f'LoadBands: range={given!r} must be (low, high) with low below '
            f'high, or {bands} such pairs, one for each band.')
    return pairs


@TRANSFORMS.register_module()
class LoadBands(BaseTransform):
    """Load images of 8 or 16 bits or floats, of one to many bands.

    ``low`` becomes 0 and ``high`` becomes 255, linearly, without rounding;
    what is beyond becomes 0 or 255. So every image has the numbers of an
    8-bit photograph: colour changes, padding, and the mean and standard
    deviation of pretrained weights keep their meaning.

    PNG, JPEG and the other formats of OpenCV are read, and TIFF of any kind,
    GeoTIFF among them (:func:`mmseg_semi.datasets.band_files.read_bands`;
    floats, other than one or three bands and several pages need the package
    tifffile). Pages of a TIFF follow each other as bands.

    Three bands are taken for red, green and blue in this order, and the image
    is BGR then, as from every loader: ``bgr_to_rgb=True`` in the data
    preprocessor makes them RGB again. Any other number of bands stays in its
    order, with ``bgr_to_rgb=False``.

    Required Keys: img_path

    Added Keys: img (float32 (H, W, C) in [0, 255]), img_shape, ori_shape

    Args:
        bands (int | Sequence[int]): The number of bands that every file must
            have, all of which are taken; or those to take, counted from 0, in
            the order that the network gets them.
        range (tuple[float, float] | Sequence[tuple[float, float]], optional):
            Low and high in the numbers of the files, for all bands or for
            each band that is taken.
            :func:`mmseg_semi.pixel_statistics.measure_pixels` measures it.
            None: 0 to 255, for files of 8 bits alone.
        fill (float | Sequence[float], optional): What pixels without data
            (NaN, infinite, the no-data value that a GeoTIFF states) become,
            in the numbers of the files; one for all bands or for each. None
            refuses them.
        max_clipped (float): Largest share of the values of a file that may
            be beyond ``range``. Defaults to 0.5.
        allow_constant (bool): Take images whose pixels are all equal.
            Defaults to False.
        backend_args (dict, optional): Of the file reader, see
            :func:`mmengine.fileio.get`.

    Raises:
        UnreadableImageError: Names the file, what is wrong with it and what
            to do.
        ModuleNotFoundError: A package is needed; says how to install it.
        ValueError: An option has another value.

    Examples:
        >>> # 12 bits stored in 16, red, green, blue and near infrared
        >>> dict(type='LoadBands', bands=4, range=(0, 4095))
        >>> # the fourth, third and second band of reflectances as colours
        >>> dict(type='LoadBands', bands=(3, 2, 1), range=(0., .3))
    """

    def __init__(self,
                 bands: Union[int, Sequence[int]],
                 range: Optional[Range] = None,
                 fill: Union[float, Sequence[float], None] = None,
                 max_clipped: float = 0.5,
                 allow_constant: bool = False,
                 backend_args: Optional[dict] = None) -> None:
        counted = isinstance(bands, int)
        chosen = (bands, ) if counted else tuple(bands)
        if not chosen or min(chosen) < counted or any(
                not isinstance(band, int) for band in chosen):
            raise ValueError(
                f'LoadBands: bands={bands!r} must be the number of bands of '
                'the files, or the bands to take, counted from 0: (3, 2, 1).')
        if not 0 <= max_clipped <= 1:
            raise ValueError(f'LoadBands: max_clipped={max_clipped} is a '
                             'share of the values, from 0 to 1.')
        self.bands = bands if counted else chosen
        self.num_bands = bands if counted else len(chosen)
        self.range = range
        self._pairs = check_range(range, self.num_bands)
        self.fill = fill
        if fill is not None and np.size(fill) not in (1, self.num_bands):
            raise ValueError(f'LoadBands: fill={fill!r} must be one number, '
                             f'or {self.num_bands}, one for each band.')
        self.max_clipped = max_clipped
        self.allow_constant = allow_constant
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``."""
        path = results['img_path']
        values = self.read(path)
        self.check_varies(path, values)
        image = self.levels(path, values)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def check_varies(self, path: str, values: np.ndarray) -> None:
        """Refuse an image whose pixels are all equal, as the options say."""
        if not self.allow_constant and (values == values[:1, :1]).all():
            raise UnreadableImageError(
                f'{path} is empty: all its pixels are '
                f'{_shown(values[0, 0])}. Take it off the list, or set '
                'LoadBands allow_constant=True.')

    def from_array(self, array: np.ndarray) -> np.ndarray:
        """Prepare an image that is in memory.

        Args:
            array (np.ndarray): (H, W, C) in the numbers of the files; three
                bands are BGR, as OpenCV reads them.

        Returns:
            np.ndarray: float32 (H, W, C) in [0, 255], what :meth:`transform`
            makes of a file.

        Raises:
            UnreadableImageError: As the class.
        """
        if array.shape[2] == 3:
            array = array[..., ::-1]
        name = 'The array'
        return self.levels(name, self.take(name, Bands(array)))

    def read(self, path: str) -> np.ndarray:
        """The bands that are taken, in the numbers of the file.

        Args:
            path (str): The file.

        Returns:
            np.ndarray: (H, W, C), finite.

        Raises:
            UnreadableImageError: As the class.
        """
        return self.take(path, self.read_file(path))

    def take(self, path: str, file: Bands) -> np.ndarray:
        """The bands to take, without what is no data; see :meth:`read`."""
        file = self.choose(path, file)
        missing = self.missing(path, file)
        if not missing.any():
            return file.values
        if self.fill is None:
            stated = '' if file.no_data is None else \
                f', or the no-data value {file.no_data:g} of the file'
            raise UnreadableImageError(
                f'{path}: {missing.mean():.2%} of the values are no data '
                f'(NaN, infinite{stated}). Say with LoadBands fill=... what '
                'they become, or take the file off the list.')
        # Of the file's own kind they might not hold what is filled in.
        return np.where(missing, np.float64(self.fill), file.values)

    def read_file(self, path: str) -> Bands:
        """All bands of a file; see :meth:`read`."""
        try:
            data = fileio.get(path, backend_args=self.backend_args)
            # The decoder of a TIFF does complain about a cut file.
            damage = not data.startswith(TIFF_MAGIC) and find_damage(data)
            if damage:
                raise ValueError(damage)
            return read_bands(data)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f'{path}: {error}') from error
        except (OSError, ValueError) as error:
            raise UnreadableImageError(
                f'{path} cannot be read: {error}. Replace the file or take '
                'it off the list.') from error

    def choose(self, path: str, file: Bands) -> Bands:
        """The bands to take; a file that has not got them is refused."""
        found = file.values.shape[2]
        if isinstance(self.bands, int):
            if found != self.bands:
                raise UnreadableImageError(
                    f'{path} has {found} bands, LoadBands expects '
                    f'{self.bands}. Say which ones to take, bands=(0, 1, 2) '
                    'say, or take the file off the list.')
            return file
        if max(self.bands) >= found:
            raise UnreadableImageError(
                f'{path} has {found} bands (0 to {found - 1}), LoadBands '
                f'takes {self.bands}. Name others, or take the file off the '
                'list.')
        return file._replace(values=file.values[..., list(self.bands)])

    @staticmethod
    def missing(path: str, file: Bands) -> np.ndarray:
        """Which values are no data, bool (H, W, C)."""
        values, no_data = file
        if values.dtype.kind not in 'uif':
            raise UnreadableImageError(
                f'{path} holds {values.dtype}, which LoadBands cannot take '
                'for the brightness of a pixel. Save it as whole or floating '
                'numbers.')
        missing = np.zeros(values.shape, bool)
        if values.dtype.kind == 'f':
            missing |= ~np.isfinite(values)
        if no_data is not None:
            missing |= values == no_data
        return missing

    def levels(self, path: str, values: np.ndarray) -> np.ndarray:
        """Numbers of the files as float32 in [0, 255], three bands as BGR."""
        image = self._scaled(path, values)
        return np.ascontiguousarray(image[..., ::-1] if self.num_bands ==
                                    3 else image)

    def _scaled(self, path: str, values: np.ndarray) -> np.ndarray:
        pairs = self._pairs
        if pairs is None:
            if values.dtype != np.uint8:
                raise UnreadableImageError(
                    f'{path} holds {values.dtype} from {values.min():g} to '
                    f'{values.max():g}, and LoadBands has no range. Set '
                    'range=(low, high); mmseg_semi.pixel_statistics.'
                    'measure_pixels measures it on all images.')
            return values.astype(np.float32)
        if values.dtype.itemsize <= 2:  # half the memory, and no rounding
            values = values.astype(np.float32)
        kind = values.dtype if values.dtype.kind == 'f' else np.float64
        low, high = pairs.T.astype(kind)
        clipped = ((values < low) | (values > high)).mean()
        if clipped > self.max_clipped:
            raise UnreadableImageError(
                f'{path} holds values from {values.min():g} to '
                f'{values.max():g}: {clipped:.0%} of them are beyond '
                f'LoadBands range={self.range}. Set the range of these '
                'files, take the file off the list, or raise max_clipped.')
        levels = (values - low) * (LEVELS / (high - low))
        return levels.clip(0, LEVELS).astype(np.float32)

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(bands={self.bands}, '
                f'range={self.range}, fill={self.fill}, '
                f'max_clipped={self.max_clipped}, '
                f'allow_constant={self.allow_constant}, '
                f'backend_args={self.backend_args})')


def _shown(pixel: np.ndarray) -> str:
    return ', '.join(f'{value:g}' for value in pixel)
