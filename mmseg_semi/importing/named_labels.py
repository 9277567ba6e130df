# Copyright (c) mmseg_semi authors.
"""Classes of formats whose labels have names: LabelMe, COCO, CVAT's XML."""
import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable

from ..datasets.paths import first_few
from .classes import BACKGROUND, ClassTable, Color, class_table
from .findings import Findings
from .options import IGNORED, ImportOptions

USES = frozenset(
    ('mapping', 'ignore', 'classes', 'unlabelled', 'empty', 'overlap'))
# How programs call what is no class.
_BACKGROUNDS = ('_background_', '__background__')
_IGNORED = ('__ignore__', '_ignore_')


class NamedClasses:
    """Which label is which class, and what the pixels without label are.

    Args:
        found (Iterable[tuple[str, str]]): Label and path of every shape.
        order (Iterable[str]): Labels in the order of the classes, also those
            without a shape; others follow in the order of the alphabet.
        options (ImportOptions): See :data:`USES`.
        findings (Findings): Gets labels that are no class.
        colors (dict[str, Color], optional): Colours of labels.

    Attributes:
        table (ClassTable): Classes and mapping.
        fill (int): Id of pixels outside of all shapes.
        notes (list[str]): What was taken for granted.
        counts (dict[str, str]): Label -> number of shapes.
    """

    def __init__(self,
                 found: Iterable[tuple[str, str]],
                 order: Iterable[str],
                 options: ImportOptions,
                 findings: Findings,
                 colors: dict[str, Color] | None = None) -> None:
        self._paths: dict[str, list[str]] = defaultdict(list)
        for label, path in found:
            self._paths[label].append(path)
        self.counts = {
            label: f'{len(paths)} shapes'
            for label, paths in self._paths.items()
        }
        self.notes = []
        order = dict.fromkeys(order)
        sources = [*order, *sorted(set(self._paths) - set(order))]
        self._warn_look_alikes(sources, findings)
        background = (options.unlabelled or BACKGROUND) == BACKGROUND
        targets, names = self._targets(sources, background, options, findings)
        colors = {
            targets[label]: color
            for label, color in (colors or {}).items() if targets.get(label)
        }
        self.table: ClassTable = class_table(targets, names, colors)
        self.fill = IGNORED
        if background:
            self.fill = self.table.names.index(BACKGROUND)
        word = ('the class background' if background else 'ignored (255)') + (
            '' if options.unlabelled else '; the other way is --unlabelled '
            f'{"ignore" if background else BACKGROUND}')
        self.notes.append(f'pixels outside of all shapes are {word}')

    def _targets(self, sources: list[str], background: bool,
                 options: ImportOptions, findings: Findings) -> tuple:
        targets = {}
        for source in sources:
            if source in options.ignore or source in _IGNORED:
                targets[source] = None
            elif options.mapping is not None:
                targets[source] = options.mapping.get(source, '')
            else:
                plain = source in _BACKGROUNDS
                targets[source] = BACKGROUND if plain else source
        self._check_options(sources, options)
        names = options.classes
        if names is None:
            chosen = options.mapping or targets
            names = [name for name in chosen.values() if name]
        if background and BACKGROUND not in names:
            names = [BACKGROUND, *names]
        elif background and options.classes is None:
            names = [BACKGROUND, *(n for n in names if n != BACKGROUND)]
        for source in [s for s, name in targets.items() if name is not None]:
            if targets[source] not in names:
                self._note_stranger(source, names, findings)
                del targets[source]
        return targets, names

    def _check_options(self, sources: list[str],
                       options: ImportOptions) -> None:
        for option, given in (('--mapping', options.mapping
                               or ()), ('--ignore', options.ignore)):
            absent = [label for label in given if label not in sources]
            if absent:
                raise ValueError(
                    f'{option}: there is no label {first_few(absent)}; the '
                    f'labels are {first_few(sources, 20)}.')

    def _note_stranger(self, source: str, names: Iterable[str],
                       findings: Findings) -> None:
        near = difflib.get_close_matches(source, names, n=1)
        hint = f'; {near[0]!r} is near' if near else ''
        for path in self._paths.get(source, ()):
            findings.error(
                f'label {source!r} is no class', path, f'classes are '
                f'{first_few(names, 20)}{hint}',
                'Name it in --classes or --mapping, or --ignore it.')

    def _warn_look_alikes(self, sources: list[str],
                          findings: Findings) -> None:
        plain = Counter(label.strip().lower() for label in sources)
        for label in sources:
            if plain[label.strip().lower()] > 1 and label in self._paths:
                findings.warn(
                    'labels that differ in case or blanks only',
                    self._paths[label][0], repr(label),
                    'They are different classes; to make them one, say '
                    '--mapping LABEL=CLASS,LABEL=CLASS.')


def note_empty(empty: str | None, number: int) -> list[str]:
    """Say what images without any shape are taken for."""
    if not number:
        return []
    if empty == BACKGROUND:
        return [f'{number} images without any shape are background all over']
    return [
        f'{number} images without any shape are taken for unlabelled' +
        ('' if empty else '; if nothing is to be seen in them, say --empty '
         'background')
    ]
