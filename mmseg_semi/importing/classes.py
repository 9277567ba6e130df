# Copyright (c) mmseg_semi authors.
"""Classes of an import: names, colours, and where their pixels come from."""
import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .options import IGNORED

BACKGROUND = 'background'
# An id of its own is needed for "ignored".
MAX_CLASSES = IGNORED

Color = tuple[int, int, int]


@dataclass(frozen=True)
class ClassTable:
    """Classes in the order of their ids.

    Attributes:
        names (tuple[str]): Names.
        palette (tuple[Color]): Their colours, 0 to 255 each.
        mapping (dict[str, int]): Grey value, colour or label -> id; 255 is
            ignored.
    """
    names: tuple[str, ...]
    palette: tuple[Color, ...]
    mapping: dict[str, int]

    def lines(self, counts: dict[str, str] | None = None) -> list[str]:
        """The mapping as text, a source a line."""
        counts = counts or {}
        width = max(map(len, self.mapping), default=0)
        return [
            f'{source:>{width}} -> ' +
            ('ignored (255)'
             if target == IGNORED else f'{target} {self.names[target]}') +
            (f'   {counts[source]}' if source in counts else '')
            for source, target in self.mapping.items()
        ]


def class_table(targets: dict[str, str | None],
                names: Iterable[str] | None = None,
                colors: dict[str, Color] | None = None) -> ClassTable:
    """Number classes.

    Args:
        targets (dict[str, str | None]): Source -> name of its class; None is
            ignored.
        names (Iterable[str], optional): All classes in the order of their
            ids. By default those of ``targets`` in their order.
        colors (dict[str, Color], optional): Colours of some classes.

    Returns:
        ClassTable: With different colours for the classes that have none.

    Raises:
        ValueError: If there are more than 255 classes, or none.
    """
    if names is None:
        names = (name for name in targets.values() if name is not None)
    names = tuple(dict.fromkeys(names))
    if not names:
        raise ValueError('All labels are ignored, no class is left. Check '
                         '--ignore and --mapping.')
    if len(names) > MAX_CLASSES:
        raise ValueError(f'{len(names)} classes: a mask holds at most '
                         f'{MAX_CLASSES}, 255 is for what is ignored. Merge '
                         'classes with --mapping.')
    ids = {name: number for number, name in enumerate(names)}
    mapping = {
        source: IGNORED if name is None else ids[name]
        for source, name in targets.items()
    }
    return ClassTable(names, _palette(names, colors or {}), mapping)


def _palette(names: Sequence[str], given: dict[str,
                                               Color]) -> tuple[Color, ...]:
    """Given colours; black for a background; hues for the others."""
    made = {
        name:
        tuple(
            round(255 * part)
            for part in colorsys.hsv_to_rgb(number / len(names), 1, 1))
        for number, name in enumerate(names)
    }
    if names[0] == BACKGROUND:
        made[BACKGROUND] = (0, 0, 0)
    made.update(given)
    return tuple(made[name] for name in names)


def hex_color(color: Sequence[int]) -> str:
    """``(255, 0, 0)`` -> ``'#ff0000'``."""
    return '#{:02x}{:02x}{:02x}'.format(*color)


def parse_hex(text: str) -> Color:
    """``'#ff0000'`` -> ``(255, 0, 0)``."""
    return tuple(int(text[i:i + 2], 16) for i in (1, 3, 5))
