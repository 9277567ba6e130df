# Copyright (c) mmseg_semi authors.
"""Tables of colours: read from a file, or found in label pictures."""
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ..datasets.paths import first_few, require
from .classes import BACKGROUND, Color, hex_color, parse_hex
from .grey_values import mostly_rare
from .options import ImportOptions, read_lines, source_key

MAX_FOUND = 256
# Around the objects of VOC, for pixels that count for nothing.
_VOC_BORDER = (224, 224, 192)
_NUMBERS = (r'(?P<r>\d{1,3})[,;\s]+(?P<g>\d{1,3})[,;\s]+(?P<b>\d{1,3})')
_GAP = r'[,;:=\s]'
# name:r,g,b:parts:actions of CVAT; name r g b; r g b name; with a hex colour
_LINES = (rf'(?P<name>[^:]+):{_NUMBERS}:.*', rf'(?P<name>.+?){_GAP}+'
          rf'{_NUMBERS}{_GAP}*', rf'{_NUMBERS}{_GAP}+(?P<name>.+?)')
_HEX = rf'(?P<before>.*?){_GAP}*(?P<hex>#[0-9a-fA-F]{{6}}){_GAP}*' \
       r'(?P<after>.*?)'


def read_colors(path: str) -> dict[str, Color]:
    """Read a table of colours.

    Args:
        path (str): A text file with a class a line, its name and three
            numbers or ``#rrggbb`` in either order, with commas, blanks or
            colons between (CVAT's ``labelmap.txt`` and tables in CSV are
            such); or JSON, ``{"name": [r, g, b]}``.

    Returns:
        dict[str, Color]: Name -> colour, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is no such, or a name or colour is there twice.
    """
    require(path, 'table of colours', False)
    if path.lower().endswith('.json'):
        table = _read_json(path)
    else:
        table = {}
        for number, line in enumerate(read_lines(Path(path)), 1):
            found = _parse_line(line)
            if found is None:
                if number == 1 or re.match(r'#(?![0-9a-fA-F]{6})', line):
                    continue  # a header or a comment
                raise ValueError(
                    f'{path}: {line!r} is no name with a colour; write '
                    '"leaf 0 128 0" or "leaf #008000".')
            name, color = found
            if table.setdefault(name, color) != color:
                raise ValueError(f'{path}: {name!r} is there twice.')
    _check_table(path, table)
    return table


def _parse_line(line: str) -> tuple[str, Color] | None:
    found = re.fullmatch(_HEX, line)
    if found:
        name = (found['before'] + found['after']).strip(' ,;:=\t')
        return (name, parse_hex(found['hex'])) if name else None
    for pattern in _LINES:
        found = re.fullmatch(pattern, line)
        if found:
            color = tuple(int(found[channel]) for channel in 'rgb')
            if max(color) <= 255:
                return found['name'].strip(), color
    return None


def _read_json(path: str) -> dict[str, Color]:
    try:
        table = json.loads(Path(path).read_text(encoding='utf-8'))
        return {
            str(name):
            parse_hex(color) if isinstance(color, str) else tuple(
                int(value) for value in color)
            for name, color in table.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'{path} is not JSON of the kind '
                         f'{{"leaf": [0, 128, 0]}}: {error}.') from error


def _check_table(path: str, table: dict[str, Color]) -> None:
    names: dict[Color, str] = {}
    for name, color in table.items():
        if len(color) != 3 or not all(0 <= value <= 255 for value in color):
            raise ValueError(f'{path}: {name!r} has the colour {color}; three '
                             'numbers from 0 to 255 are needed.')
        other = names.setdefault(color, name)
        if other != name:
            raise ValueError(f'{path}: {other!r} and {name!r} have the same '
                             f'colour {hex_color(color)}.')
    if len(table) < 2:
        raise ValueError(f'{path} holds {len(table)} colour(s); at least two '
                         'classes are needed.')


def color_targets(counts: dict[Color, int], options: ImportOptions,
                  table: dict[str, Color] | None) -> dict[str, str | None]:
    """Find the class of every colour.

    Args:
        counts (dict[Color, int]): Colour -> pixels, of all pictures.
        options (ImportOptions): ``mapping``, ``ignore``.
        table (dict[str, Color], optional): Name -> colour. By default the
            colours that occur, black first; among VOC's colours that of its
            borders is ignored.

    Returns:
        dict[str, str | None]: ``#rrggbb`` -> name of its class; None is
        ignored.

    Raises:
        ValueError: If there are too many colours to be classes, or one.
    """
    ignored = {_color_key(key): None for key in options.ignore}
    if options.mapping is not None:
        targets = {
            _color_key(key): name
            for key, name in options.mapping.items()
        }
    elif table is not None:
        targets = {hex_color(color): name for name, color in table.items()}
        targets = {
            key: None if name in ignored else name
            for key, name in targets.items()
        }
        ignored = {key: None for key in ignored if key.startswith('#')}
    else:
        _check_found(counts)
        if options.classes is not None:
            raise ValueError(
                'Which colour is which class cannot be told from --classes. '
                f'The masks hold {first_few(map(hex_color, sorted(counts)))}; '
                'say --mapping "#000000=background,#ff0000=leaf", or give a '
                'table with --colors FILE.')
        targets = {
            hex_color(color): f'color_{hex_color(color)[1:]}'
            for color in sorted(counts)
        }
        if (0, 0, 0) in counts:
            targets['#000000'] = BACKGROUND
        if _VOC_BORDER in counts and _is_voc(counts):
            targets[hex_color(_VOC_BORDER)] = None
    return targets | ignored


def _is_voc(colors: Iterable[Color]) -> bool:
    """Whether all are colours of VOC: 0, 64, 128 or 192 but for the border."""
    return all(color == _VOC_BORDER or all(value % 64 == 0 for value in color)
               for color in colors)


def _color_key(text: str) -> str:
    """A colour, or a grey value as a colour; names stay."""
    key = source_key(text)
    return hex_color(
        (int(key), ) * 3) if key.isdigit() and int(key) <= 255 else key


def _check_found(counts: dict[Color, int]) -> None:
    smooth = mostly_rare(counts)
    if len(counts) > MAX_FOUND or smooth:
        shown = sorted(counts, key=lambda color: -counts[color])[:8]
        raise ValueError(
            f'The masks hold {len(counts)} colours, '
            f'{"most of them on single pixels" if smooth else "too many"}: '
            'are these photos? Or edges were smoothed, or a format with '
            'loss was used. Store '
            'masks as PNG without smoothing; or name the true colours with '
            '--colors FILE or --mapping and give all others to the nearest '
            'of them with --snap. Most frequent are '
            f'{", ".join(map(hex_color, shown))}.')
    if len(counts) < 2:
        raise ValueError(
            f'All pixels of all masks are {first_few(map(hex_color, counts))}'
            ': there is nothing to learn. Are these the masks?')
