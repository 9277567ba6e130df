# Copyright (c) mmseg_semi authors.
"""How the photographs of an import are loaded, by what they are as a set."""
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data_check.formats import Header, PixelFormat, read_header
from ..datasets.paths import first_few
from ..pixel_statistics import PixelStatistics, measure_pixels

Track = Callable[[Iterable, str], Iterable]
# So many files tell what they all are.
_LOOKED_AT = 5000
_ALPHA = ('LA', 'La', 'PA', 'RGBA', 'RGBa')


@dataclass(frozen=True)
class Pixels:
    """How photographs are loaded.

    Attributes:
        loader (dict, optional): The first transform of every pipeline; None
            for the loader of photographs of 8 bits.
        preprocessor (dict, optional): Mean and standard deviation that the
            model gets; None for those of its weights.
        reason (str): Why so; empty for photographs of 8 bits alone.
    """
    loader: dict | None = None
    preprocessor: dict | None = None
    reason: str = ''


@dataclass(frozen=True)
class Kind:
    """What a file holds.

    Attributes:
        pixels (PixelFormat): Bands and numbers.
        alpha (bool): Whether the last band says how opaque a pixel is.
        doubtful (bool): Whether the file says that it does, but programs
            write so for any fourth band.
    """
    pixels: PixelFormat
    alpha: bool = False
    doubtful: bool = False

    @classmethod
    def of(cls, header: Header) -> 'Kind':
        """That of a file; up to 8 bits are one kind."""
        found = replace(header.pixels, bits=max(header.pixels.bits, 8))
        alpha = header.mode in _ALPHA and found.bands in (2, 4)
        doubtful = alpha and header.format == 'TIFF' and found.is_deep
        return cls(found, alpha and not doubtful, doubtful)

    @property
    def colors(self) -> int:
        """int: Bands without alpha."""
        return self.pixels.bands - self.alpha

    @property
    def is_photo(self) -> bool:
        """bool: Whether the loader of 8 bits takes all that counts."""
        return self.colors in (1, 3) and not self.pixels.is_deep

    @property
    def can_be_cut(self) -> bool:
        """bool: Whether that loader takes the upper 8 bits of it."""
        return (self.colors in (1, 3) and self.pixels.bits <= 16
                and self.pixels.kind == 'uint')


def choose_pixels(photos: Sequence[Path], trained_on: Sequence[Path],
                  track: Track) -> Pixels:
    """Decide how photographs are loaded, and measure them if need be.

    One kind of more than 8 bits, or of other bands than grey or colours, is
    loaded by :class:`.LoadBands` with its measured range. In a mixture no
    range would fit all, so that 16 bits beside 8 are cut to 8.

    Args:
        photos (Sequence[Path]): All, those of validation too.
        trained_on (Sequence[Path]): Those that are measured.
        track (Track): Shows progress.

    Returns:
        Pixels: How, and why.

    Raises:
        ValueError: They are of kinds that no loader takes together, or
            cannot be measured.
        ModuleNotFoundError: A package is needed; says how to install it.
    """
    kinds = look_at(photos, track)
    deep = needs_bands(kinds)
    if deep is None:
        return Pixels(reason=_mixture(kinds))
    found = _measure(deep, [str(path) for path in trained_on], track)
    settings = found.as_config()
    bits = f', {found.bits} bits used' if found.bits else ''
    colors = len(found.mean) == 3
    return Pixels(
        settings['loader'], None if colors else settings['data_preprocessor'],
        f'{deep.pixels}{bits}, {min(found.minimum):g} to '
        f'{max(found.maximum):g}; range' +
        (' ' if colors else ', mean and deviation ') +
        f'measured on {found.files} photos (docs/pixel_formats.md)')


def _measure(kind: Kind, files: list[str], track: Track) -> PixelStatistics:
    """Statistics of all bands that are no alpha."""
    colors = tuple(range(kind.pixels.bands - 1))
    try:
        return measure_pixels(
            files, bands=colors if kind.alpha else None, track=track)
    except ValueError:
        if not kind.doubtful:
            raise
        # The last band may be of one value, as an alpha is.
        return measure_pixels(files, bands=colors, track=track)


def look_at(photos: Sequence[Path], track: Track) -> dict[Kind, list[Path]]:
    """What the photographs are; those that cannot be opened do not count.

    Args:
        photos (Sequence[Path]): Of many, some evenly spaced are looked at.
        track (Track): Shows progress.

    Returns:
        dict[Kind, list[Path]]: Files of every kind, most frequent first.
    """
    kinds: dict[Kind, list[Path]] = {}
    step = max(1, -(-len(photos) // _LOOKED_AT))
    for path in track(photos[::step], 'Looking at the photos'):
        try:
            kind = Kind.of(read_header(path))
        except (OSError, ValueError):
            continue  # the check of the data names it
        kinds.setdefault(kind, []).append(path)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def needs_bands(kinds: dict[Kind, list[Path]]) -> Kind | None:
    """The kind that :class:`.LoadBands` has to load.

    Args:
        kinds (dict[Kind, list[Path]]): Of :func:`look_at`.

    Returns:
        Kind | None: None where the loader of 8 bits does.

    Raises:
        ValueError: Most files need LoadBands, and others are of another kind.
    """
    usual = next(iter(kinds), None)
    if usual is None or usual.is_photo or (len(kinds) > 1
                                           and all(kind.can_be_cut
                                                   for kind in kinds)):
        return None
    if len(kinds) > 1:
        others = '; '.join(f'{kind.pixels}: {first_few(paths, 3)}'
                           for kind, paths in list(kinds.items())[1:])
        raise ValueError(
            f'Most photos ({len(kinds[usual])}) have {usual.pixels}, but not '
            f'all. {others}. One range and one number of bands must fit all: '
            'save these like the others, or take them out of the folder.')
    return usual


def load_bands(loaders: dict, track: Track) -> None:
    """Give the sets of an import the loader that a config of it gets.

    For checks, which do not load: the range is not measured.

    Args:
        loaders (dict): Of :func:`mmseg_semi.importing.settings.data_loaders`;
            changed in place where photographs need :class:`.LoadBands`.
        track (Track): Shows progress.

    Raises:
        ValueError: See :func:`needs_bands`.
    """
    train = loaders.get('train_dataloader', {}).get('dataset', {})
    val = loaders.get('val_dataloader', {}).get('dataset')
    sets = [train.get('labeled'), train.get('unlabeled'), val]
    sets = [one for one in sets if one]
    photos = [
        path for one in sets for path in _listed(
            Path(one['data_root']), one['data_prefix']['img_path'],
            one['ann_file'])
    ]
    kind = needs_bands(look_at(photos, track))
    if kind is not None:
        for one in sets:
            one['pipeline'] = [dict(type='LoadBands', bands=kind.pixels.bands)]


def _listed(root: Path, folder: str, names: str) -> list[Path]:
    lines = (root / names).read_text('utf-8').splitlines()
    return [root / folder / line for line in lines if line]


def _mixture(kinds: dict[Kind, list[Path]]) -> str:
    """Why photographs of several kinds are loaded as 8 bits."""
    odd = {kind: n for kind, n in kinds.items() if not kind.is_photo}
    if not odd:
        return ''
    numbers = Counter()
    for kind, paths in odd.items():
        numbers[str(kind.pixels), kind.can_be_cut] += len(paths)
    total = sum(map(len, kinds.values()))
    return '; '.join(
        f'{number} of {total} photos have {pixels}, ' +
        ('cut to 8 when loaded like the others' if cut else
         'which the others have not: the check of the data names them')
        for (pixels, cut), number in numbers.items())
