# Copyright (c) mmseg_semi authors.
"""Labels that are pictures: index, palette, grey, RGB; VOC and CVAT."""
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..datasets.paths import first_few
from .classes import class_table, hex_color, parse_hex
from .colors import color_targets, read_colors
from .findings import Findings
from .grey_values import grey_targets
from .labels import Label
from .lookup import Lookup, color_codes
from .options import IGNORED, ImportOptions, read_lines
from .photos import find_files, is_image
from .pixels import Census, PictureError, read_picture, take_census

Track = Callable[[Iterable, str], Iterable]
NOT_HELD = 'value in --mapping that no mask holds'
_STORE = 'Store label maps as PNG, a value or a colour per class.'


class RasterLabels:
    """A folder of label pictures, see :class:`~.labels.LabelSet`.

    Args:
        root (Path): The folder; subfolders belong to it.
        options (ImportOptions): ``mapping``, ``ignore``, ``classes``,
            ``colors``, ``snap``; ``label_tail`` chooses among the files.
        findings (Findings): Gets pictures that are no label maps.
        track (Callable): Wraps a loop to show its progress.
        format (str, optional): ``index``, ``palette``, ``grey`` or ``rgb``;
            found by default.
    """
    uses = frozenset(('mapping', 'ignore', 'classes', 'colors', 'snap'))

    def __init__(self,
                 root: Path,
                 options: ImportOptions,
                 findings: Findings,
                 track: Track,
                 format: str | None = None) -> None:
        self.labels, self.notes, self.facts = [], [], {}
        self._options = options
        self._changed = self._pixels = 0
        files = [path for path in find_files(root) if is_image(path)]
        if options.label_tail:
            files = [f for f in files if f.stem.endswith(options.label_tail)]
        self._census = self._count(root, files, findings, track)
        if not self._census:
            findings.stop_on_errors()
            raise ValueError(f'--masks: {root} holds no picture.')
        self._by_color = self._needs_colors(format)
        self._decide(format)
        self._check_each(findings)

    def _count(self, root: Path, files: list[Path], findings: Findings,
               track: Track) -> dict[Path, Census]:
        counted = {}
        for path in track(files, 'Looking at the masks'):
            try:
                census = take_census(path)
            except PictureError as error:
                findings.error('picture that is no label map', path, error,
                               _STORE)
                continue
            if census.lossy and not self._options.snap:
                findings.error(
                    'mask stored as JPEG', path,
                    'its values are smeared at every edge',
                    'Export masks as PNG; or name the true values with '
                    '--mapping or --colors and add --snap.')
            counted[path] = census
            name = path.relative_to(root).as_posix()
            self.labels.append(Label(name, str(path), path, census.size))
        return counted

    def _needs_colors(self, format: str | None) -> bool:
        """Whether colours, not values, tell the classes."""
        options, all_counted = self._options, self._census.values()
        if format is not None:
            return format == 'rgb'
        named = any(key.startswith('#') for key in options.mapping or ())
        if named or options.colors:
            return True
        return any(c.values is None for c in all_counted) or self._repainted()

    def _repainted(self) -> bool:
        """Whether an index has different colours in different files."""
        seen: dict[int, np.ndarray] = {}
        for path, census in self._census.items():
            if not census.palette:
                continue
            palette = read_picture(path).palette
            for value in census.values:
                color = seen.setdefault(value, palette[value])
                if (color != palette[value]).any():
                    self.notes.append(
                        f'index {value} has other colours in {path.name} than '
                        'in files before it, so the colours tell the classes; '
                        'to take the indices, say --format palette')
                    return True
        return False

    def _decide(self, format: str | None) -> None:
        """Classes and mapping from what all pictures hold together."""
        options, census = self._options, list(self._census.values())
        palette = any(c.palette for c in census)
        attribute = 'colors' if self._by_color else 'values'
        counted = [getattr(c, attribute) for c in census]
        if not options.snap:
            self._check_countable(counted)
        totals = Counter()
        for counts in counted:
            totals.update(counts or {})
        if self._by_color:
            table = read_colors(options.colors) if options.colors else None
            targets = color_targets(totals, options, table)
            colors = {
                name: parse_hex(key)
                for key, name in targets.items() if name and key[0] == '#'
            }
            names, self.format = options.classes, format or 'rgb'
        else:
            targets, names, notes = grey_targets(
                totals, options, palette or format == 'palette')
            self.notes += notes
            colors = self._palette_colors(targets) if palette else {}
            self.format = format or ('palette' if palette else 'grey')
        self._require_targets(targets, names)
        self.table = class_table(targets, names, colors)
        if not (options.mapping or options.colors or options.classes):
            self.notes.append(self._how_to_name(targets))
        self._check_ids(format, totals)
        pixels = sum(totals.values())
        self.counts = {
            key: f'{totals[code] / pixels:.2%} of the pixels'
            for key, code in self._codes().items() if totals[code]
        }

    def _how_to_name(self, targets: dict) -> str:
        """A note for masks that hold no names."""
        if self._by_color:
            key = next(key for key, name in targets.items() if name)
            return (f'classes have their colours for names; --mapping '
                    f'"{key}=NAME,..." gives others, or --colors FILE')
        return ('classes have their values for names; --classes NAME,NAME,... '
                f'gives others, all {len(self.table.names)} in this order')

    def _check_ids(self, format: str | None, totals: Counter) -> None:
        """Call grey values that stay as they are an index."""
        if self._by_color:
            return
        ids = all(source == str(number) or number == IGNORED
                  for source, number in self.table.mapping.items())
        if ids and self.format == 'grey':
            self.format = format or 'index'
        if not ids and format == 'index' and self._options.mapping is None:
            raise ValueError(
                '--format index: the masks hold the values '
                f'{first_few(sorted(totals), 10)}, which are no ids 0, 1, 2 '
                'and so on. Say what they mean with --mapping, or leave '
                '--format out to take them for grey values.')

    def _check_countable(self, counted: list) -> None:
        strange = [
            path for path, counts in zip(self._census, counted)
            if counts is None
        ]
        if not strange:
            return
        what = ('more than 65,536 colours, or 16 bits'
                if self._by_color else 'colours, not one channel')
        raise ValueError(
            f'{len(strange)} of {len(counted)} masks hold {what}: '
            f'{first_few(strange, 3)}. Are these the masks, and all of one '
            'kind? Edges smeared by a format with loss are mended by --snap '
            'with --colors FILE or --mapping.')

    def _require_targets(self, targets: dict, names) -> None:
        """Check mapping and snapping against each other."""
        if self._options.snap and not (self._options.mapping
                                       or self._options.colors):
            raise ValueError('--snap: name the true values or colours with '
                             '--mapping or --colors.')
        wrong = [
            key for key in targets
            if not (key[0] == '#' if self._by_color else key.isdigit())
        ]
        if wrong:
            kind = 'colours' if self._by_color else 'grey values'
            raise ValueError(
                f'--mapping or --ignore: {first_few(wrong)}: the masks hold '
                f'{kind}; write them as '
                f'{"#ff0000" if self._by_color else "0, 1, 255"}.')
        absent = {name
                  for name in targets.values()
                  if name} - set(names or targets.values())
        if absent:
            raise ValueError(f'--mapping names {first_few(sorted(absent))}, '
                             '--classes does not.')

    def _palette_colors(self, targets: dict) -> dict:
        colors = {}
        for path, census in self._census.items():
            if census.palette:
                palette = read_picture(path).palette
                for value in census.values:
                    name = targets.get(str(value))
                    if name:
                        colors.setdefault(name, tuple(palette[value].tolist()))
        return colors

    def _codes(self) -> dict[str, object]:
        """Sources of the mapping as keys of the counts."""
        read = parse_hex if self._by_color else int
        return {key: read(key) for key in self.table.mapping}

    def _check_each(self, findings: Findings) -> None:
        """Note values that have no class, and classes without a pixel."""
        codes = self._codes()
        known, occurring = set(codes.values()), set()
        for path, census in self._census.items():
            held = set((census.colors if self._by_color else census.values)
                       or ())
            occurring |= held
            strange = sorted(held - known)
            if strange and not self._options.snap:
                shown = map(hex_color, strange) if self._by_color else strange
                findings.error(
                    'mask with values that are no class', path,
                    first_few(shown),
                    'Name them in --mapping, or --ignore them; --snap takes '
                    'the nearest one.')
        for key, code in codes.items():
            if code not in occurring and self._options.mapping:
                findings.warn(NOT_HELD, key, 'is in no mask',
                              'Is the mapping right?')

    def mask(self, label: Label, size: tuple[int, int]) -> np.ndarray:
        """Convert a picture, see :meth:`~.labels.LabelSet.mask`."""
        picture = read_picture(label.key)
        if self._by_color:
            codes = color_codes(picture.colors())
        elif picture.pixels.ndim == 3:
            raise ValueError(f'{label.path} holds colours, not one channel.')
        else:
            codes = picture.pixels.astype(np.int64)
        ids = {
            (c[0] << 16 | c[1] << 8 | c[2]) if self._by_color else c:
            self.table.mapping[key]
            for key, c in self._codes().items()
        }
        mask, changed = Lookup(ids, self._by_color, self._options.snap)(codes)
        self._changed += changed
        self._pixels += mask.size
        if self._options.snap:
            self.facts['snapped'] = self._changed / self._pixels
        return mask


class VocLabels(RasterLabels):
    """``SegmentationClass`` of VOC's layout: palette PNG, 255 is ignored.

    Names come from ``class_names.txt`` beside it, as labelme2voc writes it.
    """

    def __init__(self, root: Path, options: ImportOptions, findings: Findings,
                 track: Track) -> None:
        names = root / 'class_names.txt'
        if names.is_file() and not (options.classes or options.mapping):
            options = replace(
                options,
                classes=tuple(
                    n.strip('_') for n in read_lines(names)
                    if n != '__ignore__'))
        super().__init__(_inside(root), options, findings, track, 'palette')
        self.format = 'voc'
        if names.is_file():
            self.notes.append(f'names of classes from {names}')
        elif not (options.classes or options.mapping):
            self.notes.append("if these are VOC's own classes, say --classes "
                              'voc')


class CvatMaskLabels(RasterLabels):
    """CVAT's "Segmentation mask 1.1": colours, named in ``labelmap.txt``."""

    def __init__(self, root: Path, options: ImportOptions, findings: Findings,
                 track: Track) -> None:
        if not (options.colors or options.mapping):
            options = replace(options, colors=str(root / 'labelmap.txt'))
        super().__init__(_inside(root), options, findings, track, 'rgb')
        self.format = 'cvat-masks'


def _inside(root: Path) -> Path:
    """``SegmentationClass`` of an export, or the folder itself."""
    inner = root / 'SegmentationClass'
    return inner if inner.is_dir() else root
