# Copyright (c) mmseg_semi authors.
"""What a user may say about an import."""
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path

IGNORED = 255
OVERLAP_RULES = ('last', 'first', 'smallest')
# Options about the reading of labels; a format uses some of them.
LABEL_OPTIONS = ('mapping', 'ignore', 'classes', 'colors', 'snap',
                 'unlabelled', 'empty', 'overlap')


@dataclass(frozen=True)
class ImportOptions:
    """Settings of an import; what is None is decided by the data.

    Args:
        format (str, optional): A key of
            :data:`mmseg_semi.importing.formats.FORMATS`.
        mapping (dict[str, str], optional): Grey value (``'255'``), colour
            (``'#ff0000'``) or label -> class. The order is that of the
            classes.
        ignore (tuple[str]): Values, colours or labels that become 255.
        classes (tuple[str], optional): Names in the order of their ids.
        colors (str, optional): File with a table of colours.
        snap (bool): Give pixels of other values or colours to the nearest one
            of ``mapping`` or ``colors``.
        unlabelled (str, optional): ``background`` (the default) or
            ``ignore``: what pixels outside of all shapes are.
        empty (str, optional): What an image without any shape is:
            ``unlabelled`` (the default), or ``background`` all over.
        overlap (str, optional): Which of several shapes a pixel belongs to:
            the ``last`` (the default), the ``first`` or the ``smallest``.
        label_tail (str, optional): What label files have after the name of
            their photo, ``_mask`` say.
        rotate_masks (bool): Turn masks of the photo as it is stored the way
            its EXIF orientation says.
        val (float): Share of the labelled images for validation, in [0, 1).
        seed (int): Of the split.
        group_by (str): ``none``, ``folder``, ``prefix:REGEX`` or
            ``csv:FILE:COLUMN``.
    """
    format: str | None = None
    mapping: dict[str, str] | None = None
    ignore: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    colors: str | None = None
    snap: bool = False
    unlabelled: str | None = None
    empty: str | None = None
    overlap: str | None = None
    label_tail: str | None = None
    rotate_masks: bool = False
    val: float = .2
    seed: int = 0
    group_by: str = 'none'

    def require_used(self, used: frozenset, what: str) -> None:
        """Refuse options about labels that this format has no use for.

        Args:
            used (frozenset[str]): Those of :data:`LABEL_OPTIONS` it reads.
            what (str): The format, for the message.

        Raises:
            ValueError: Names the options that would do nothing.
        """
        defaults = {field.name: field.default for field in fields(self)}
        idle = [
            name for name in LABEL_OPTIONS
            if name not in used and getattr(self, name) != defaults[name]
        ]
        if idle:
            names = ', '.join(f'--{name}' for name in idle)
            raise ValueError(
                f'{names}: of no use for labels of the format {what}. Leave '
                'it out, or name the format of the labels with --format.')


def source_key(text: str) -> str:
    """One spelling for a grey value, a colour or a label.

    ``'007'`` -> ``'7'``; ``'#FF0000'`` -> ``'#ff0000'``; a label stays.
    """
    text = text.strip()
    if re.fullmatch(r'#[0-9a-fA-F]{6}', text):
        return text.lower()
    if re.fullmatch(r'[0-9]+', text):
        return str(int(text))
    return text


def parse_mapping(text: str) -> dict[str, str]:
    """``'0=background,255=object'`` -> ``{'0': 'background', ...}``.

    Raises:
        ValueError: If a part has no ``=``, an empty side, or a source twice.
    """
    mapping = {}
    for part in text.split(','):
        source, equals, name = part.rpartition('=')
        source, name = source_key(source), name.strip()
        if not equals or not source or not name:
            raise ValueError(
                f'--mapping: {part.strip()!r} is not SOURCE=CLASS; write '
                '--mapping 0=background,255=object.')
        if source in mapping:
            raise ValueError(f'--mapping: {source} is there twice.')
        mapping[source] = name
    return mapping


def parse_classes(text: str) -> tuple[str, ...]:
    """Names from ``a,b,c``, from a file, or of a data set of mmseg.

    Args:
        text (str): Names with commas; the path of a text file, a name a line,
            or of a ``classes.json``; or a name that
            ``mmseg.utils.get_classes`` knows, as ``voc``.

    Raises:
        ValueError: If there are fewer than two names, or one twice.
    """
    if ',' in text:
        names = [name.strip() for name in text.split(',')]
    elif Path(text).is_file() and text.lower().endswith('.json'):
        names = _names_in(Path(text))
    elif Path(text).is_file():
        names = read_lines(Path(text))
    else:
        names = _known_classes(text)
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise ValueError(
            f'--classes: {names} is no list of two or more different names.')
    return tuple(names)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not a UTF-8 text file: {error}.') from (
            error)
    return [line.strip() for line in text.splitlines() if line.strip()]


def _names_in(path: Path) -> list[str]:
    """Those of a ``classes.json``."""
    try:
        names = json.loads(path.read_text('utf-8-sig'))['names']
        if not all(isinstance(name, str) for name in names):
            raise TypeError('a name that is no text')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'--classes: {path} is no classes.json as `mmseg-semi import` and '
            f'`pseudo` write it ({type(error).__name__}: {error}).') from error
    return names


def _known_classes(name: str) -> list[str]:
    from mmseg.utils import get_classes
    try:
        return list(get_classes(name))
    except ValueError:
        raise ValueError(
            f'--classes: {name!r} is no file and no data set whose classes '
            'are known. Write names with commas, as background,leaf, or the '
            'path of a text file with a name a line.') from None
