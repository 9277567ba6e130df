# Copyright (c) mmseg_semi authors.
"""Range, mean and standard deviation of a user's own images.

Photographs of 8 bits need none of this: their range is known, and the
normalisation is that of the pretrained weights. Images of other bit depths
or bands have numbers of their own, which are measured here once and written
into the config.
"""
import pprint
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .datasets.errors import UnreadableImageError
from .datasets.paths import first_few
from .datasets.transforms.bands import LEVELS, LoadBands

_DEPTHS = (8, 10, 12, 14, 16, 32)
_SAMPLE = 2**19  # pixels of all files together
_LEAST = 64  # pixels of a file
_DIGITS = 6


@dataclass(frozen=True)
class PixelStatistics:
    """What :func:`measure_pixels` found; numbers per band are those taken.

    Attributes:
        bands (int | tuple[int, ...]): As ``bands`` of :class:`LoadBands`.
        dtype (str): Kind of the numbers in the files, ``'uint16'``.
        bits (int | None): Of 8, 10, 12, 14, 16 and 32 the fewest that hold
            the largest value; None for floats and negative numbers.
        minimum (tuple[float, ...]): Smallest value of each band.
        maximum (tuple[float, ...]): Largest value of each band.
        range (tuple[tuple[float, float], ...]): Low and high of each band
            between which almost all values are; for 8 bits 0 and 255. Three
            bands, as colours, share one range, so that white stays white.
        mean (tuple[float, ...]): Of each band as :class:`LoadBands` loads
            it: 0 to 255 over ``range``.
        std (tuple[float, ...]): Of each band, in the same unit.
        without_data (float): Share of the values that are no data.
        files (int): Files that were measured.
        skipped (dict[str, str]): Files that were not, by path the reason.
    """
    bands: int | tuple[int, ...]
    dtype: str
    bits: int | None
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    range: tuple[tuple[float, float], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    without_data: float
    files: int
    skipped: dict[str, str] = field(default_factory=dict)

    def as_config(self) -> dict:
        """Settings of a config.

        Returns:
            dict: ``loader``, the first transform of every pipeline, and
            ``data_preprocessor``, for ``model.data_preprocessor``. A network
            of as many input channels follows from its ``mean``. Weights
            pretrained on colours expect their own mean and standard
            deviation: with three bands leave ``data_preprocessor`` out and
            keep those of the model.
        """
        number = len(self.mean)
        loader = dict(type='LoadBands', bands=self.bands)
        if self.dtype != 'uint8':
            same = len(set(self.range)) == 1
            loader['range'] = self.range[0] if same else self.range
        if self.without_data:
            loader['fill'] = tuple(
                _short(low + mean / LEVELS * (high - low))
                for mean, (low, high) in zip(self.mean, self.range))
        # mean and std are in the order after the swap: red, green, blue.
        return dict(
            loader=loader,
            data_preprocessor=dict(
                mean=list(self.mean),
                std=list(self.std),
                bgr_to_rgb=number == 3))

    def __str__(self) -> str:
        """One line of facts, then the lines of a config."""
        bits = f', {self.bits} bits used' if self.bits else ''
        facts = (f'# {self.files} files, {len(self.mean)} bands of '
                 f'{self.dtype}{bits}, {min(self.minimum):g} to '
                 f'{max(self.maximum):g}')
        if self.without_data:
            facts += f', {self.without_data:.2%} without data'
        if self.skipped:
            facts += f'; not measured: {first_few(sorted(self.skipped))}'
        config = self.as_config()
        lines = [
            f'{name} = {pprint.pformat(value, sort_dicts=False)}'
            for name, value in config.items()
        ]
        return '\n'.join([facts, *lines])


def measure_pixels(
    files: Sequence[str],
    bands: int | Sequence[int] | None = None,
    percentiles: tuple[float, float] = (0.1, 99.9),
    max_files: int = 1000,
    seed: int = 0,
    track: Callable[[Iterable, str], Iterable] | None = None
) -> PixelStatistics:
    """Measure the numbers that images hold.

    Percentiles, mean and standard deviation are those of a random sample of
    half a million pixels, as many of every file. Pixels without data (NaN,
    infinite, the no-data value that a GeoTIFF states) do not count. Files
    that cannot be read and images of one value, which :class:`LoadBands`
    refuses too, are left out.

    Args:
        files (Sequence[str]): Images of one kind, those of training.
        bands (int | Sequence[int], optional): Number of bands, or those to
            take, counted from 0, as :class:`LoadBands` takes it. None: all
            of the first file, and every file must have as many.
        percentiles (tuple[float, float]): The values that become 0 and 255,
            for numbers of more than 8 bits.
        max_files (int): Of more files, so many are measured, evenly spaced.
        seed (int): Of the sample.
        track (Callable, optional): Wraps the loop over the files to show its
            progress: ``track(files, 'Measuring pixels')``.

    Returns:
        PixelStatistics: What was found.

    Raises:
        ValueError: There is no file, none can be read, files differ in bands
            or in their kind of numbers, or a band has one value everywhere.
        ModuleNotFoundError: A package is needed; says how to install it.

    Examples:
        >>> statistics = measure_pixels(glob('data/scenes/*.tif'))
        >>> print(statistics)  # lines for the config
    """
    files = [str(path) for path in files]
    if not files:
        raise ValueError('measure_pixels: there is no file to measure.')
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ValueError(f'measure_pixels: percentiles={percentiles} must be '
                         'a low and a high one, from 0 to 100.')
    if len(files) > max_files:
        step = len(files) / max_files
        files = [files[int(i * step)] for i in range(max_files)]
    census = _Census(bands, max(_LEAST, _SAMPLE // len(files)), seed)
    for path in track(files, 'Measuring pixels') if track else files:
        census.add(path)
    return census.result(percentiles)


class _Census:
    """Gathers pixels of one file after the other."""

    def __init__(self, bands: int | Sequence[int] | None, sample: int,
                 seed: int) -> None:
        self.bands, self.sample = bands, sample
        self.generator = np.random.default_rng(seed)
        self.dtype, self.first = None, ''
        self.samples, self.lows, self.highs = [], [], []
        self.skipped: dict[str, str] = {}
        self.values = self.missing = 0

    def add(self, path: str) -> None:
        try:
            values, valid = self._read(path)
        except UnreadableImageError as error:
            self.skipped[path] = str(error)
            return
        if self.dtype is None:
            self.dtype, self.first = values.dtype, path
        if values.dtype != self.dtype:
            raise ValueError(
                f'{path} holds {values.dtype}, {self.first} holds '
                f'{self.dtype}: images of one set need one kind of numbers. '
                'Measure and train on one of the two kinds, or save all '
                'alike.')
        known = np.where(valid, values, np.nan)
        lows, highs = np.nanmin(known, (0, 1)), np.nanmax(known, (0, 1))
        if (lows == highs).all():
            self.skipped[path] = 'all its pixels are equal'
            return
        self.lows.append(lows)
        self.highs.append(highs)
        self.values += valid.size
        self.missing += valid.size - int(valid.sum())
        pixels = known.reshape(-1, known.shape[2])
        if len(pixels) > self.sample:
            pixels = pixels[self.generator.integers(
                len(pixels), size=self.sample)]
        self.samples.append(pixels.astype(np.float32))

    def _read(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (H, W, C) in their own numbers, and which of them count."""
        loader = LoadBands(1 if self.bands is None else self.bands)
        file = loader.read_file(path)
        if self.bands is None:
            self.bands = file.values.shape[2]
            loader = LoadBands(self.bands)
        try:
            file = loader.choose(path, file)
        except UnreadableImageError as error:
            raise ValueError(f'{error}') from error
        missing = loader.missing(path, file)
        if missing.all((0, 1)).any():
            raise UnreadableImageError(f'{path}: a band has no data at all.')
        return file.values, ~missing

    def result(self, percentiles: tuple[float, float]) -> PixelStatistics:
        if not self.samples:
            path, reason = next(iter(self.skipped.items()))
            raise ValueError(f'None of the {len(self.skipped)} files can be '
                             f'measured. The first one, {path}: {reason}')
        sample = np.concatenate(self.samples)
        low, high = np.nanpercentile(sample, percentiles, axis=0)
        if self.dtype == np.uint8:
            low, high = np.zeros_like(low), np.full_like(high, LEVELS)
        elif sample.shape[1] == 3:
            low, high = np.full(3, low.min()), np.full(3, high.max())
        if self.dtype.kind in 'ui':
            low, high = np.floor(low), np.ceil(high)
        pairs = [(_short(a), _short(b)) for a, b in zip(low, high)]
        self._refuse_empty(pairs)
        low, high = np.array(pairs).T
        levels = ((sample - low) * (LEVELS / (high - low))).clip(0, LEVELS)
        std = np.nanstd(levels, axis=0)
        self._refuse_empty([(0, deviation) for deviation in std])
        minimum, maximum = np.min(self.lows, 0), np.max(self.highs, 0)
        return PixelStatistics(
            bands=self.bands
            if isinstance(self.bands, int) else tuple(self.bands),
            dtype=str(self.dtype),
            bits=self._bits(minimum.min(), maximum.max()),
            minimum=tuple(minimum.tolist()),
            maximum=tuple(maximum.tolist()),
            range=tuple(pairs),
            mean=tuple(map(_short, np.nanmean(levels, axis=0))),
            std=tuple(map(_short, std)),
            without_data=self.missing / self.values,
            files=len(self.samples),
            skipped=self.skipped)

    def _refuse_empty(self, pairs: list[tuple[float, float]]) -> None:
        empty = [i for i, (low, high) in enumerate(pairs) if low >= high]
        if empty:
            raise ValueError(
                f'Band {first_few(empty)} of the bands that are taken has '
                f'one value almost everywhere ({len(self.samples)} files, '
                f'{self.first} first): name the other bands, '
                'bands=(...).')

    def _bits(self, minimum: float, maximum: float) -> int | None:
        if self.dtype.kind not in 'ui' or minimum < 0:
            return None
        return next(bits for bits in _DEPTHS if maximum < 2**bits)


def _short(number: float) -> float | int:
    """A number of six digits, as a person would write it."""
    number = float(f'{number:.{_DIGITS}g}')
    return int(number) if number == int(number) else number
