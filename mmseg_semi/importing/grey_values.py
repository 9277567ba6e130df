# Copyright (c) mmseg_semi authors.
"""What the values of one-channel label pictures mean."""
from collections.abc import Iterable

from ..datasets.paths import first_few
from .classes import BACKGROUND
from .options import IGNORED, ImportOptions, source_key

MAX_VALUES = 64
# Values on less of the pixels than this, when most values are such, are
# smoothed edges rather than classes.
RARE = 1e-3


def grey_targets(
    counts: dict[int, int], options: ImportOptions, palette: bool
) -> tuple[dict[str, str | None], tuple[str, ...] | None, list[str]]:
    """Find the class of every value, or say what the user has to decide.

    Values that follow on each other from 0 or 1, those of palette pictures
    and those below 64 are ids, of which data need not have all; 255 beside
    three or more of them (in palette pictures two) is the id of ignored
    pixels. Other values are classes in ascending order, 0 is the background.
    Two ids beside 255 may mean either, so they are asked for.

    Args:
        counts (dict[int, int]): Value -> pixels, of all pictures.
        options (ImportOptions): ``mapping``, ``ignore``, ``classes``.
        palette (bool): Whether they are palette pictures.

    Returns:
        tuple: Value -> name of its class (None is ignored), names of all
        classes in their order (None: those of the values), and notes.

    Raises:
        ValueError: If it cannot be told; names the options to use.
    """
    ignored = {source_key(text): None for text in options.ignore}
    if options.mapping is not None:
        return {**options.mapping, **ignored}, options.classes, []
    values = [v for v in sorted(counts) if str(v) not in ignored]
    ids = [value for value in values if value != IGNORED]
    if options.classes is not None:
        targets, notes = _named(values, ids, options.classes)
        return {**targets, **ignored}, options.classes, notes
    _check_number(values, ids, counts)
    notes = []
    like_ids = palette or _follow(ids) or max(ids, default=0) < MAX_VALUES
    if like_ids and IGNORED in values and len(ids) >= 2:
        if len(ids) == 2 and not palette:
            raise ValueError(_question(ids))
        notes.append('255 is taken for ignored pixels; if it is a class, say '
                     'which with --mapping')
        values, ignored['255'] = ids, None
    names = {value: f'class_{value}' for value in values}
    if 0 in names:
        names[0] = BACKGROUND
    return {str(v): names[v] for v in values} | ignored, None, notes


def _named(values: list[int], ids: list[int],
           names: tuple[str, ...]) -> tuple[dict, list[str]]:
    """Values by the names that the user gave."""
    if len(ids) >= 2 and max(ids) < len(names):
        targets = {str(value): names[value] for value in ids}
        if IGNORED not in values or len(names) > IGNORED:
            return targets, []
        return targets | {
            '255': None
        }, [
            f'255 is none of the {len(names)} classes and taken for ignored '
            'pixels'
        ]
    if len(values) == len(names):
        return {
            str(v): name
            for v, name in zip(values, names)
        }, ['the values in ascending order are the classes of --classes']
    raise ValueError(
        f'The masks hold the values {first_few(values, 20)}, --classes names '
        f'{len(names)} classes ({first_few(names)}): neither are all values '
        f'below {len(names)}, nor are they as many. Say what each means: '
        f'--mapping {_example(values)}, and --ignore for those that mean '
        'nothing.')


def _check_number(values: list[int], ids: list[int],
                  counts: dict[int, int]) -> None:
    if len(values) < 2:
        raise ValueError(
            f'All pixels of all masks have the value {first_few(values)}: '
            'there is nothing to learn. Are these the masks? Where a class '
            'does not occur yet, name all with --classes.')
    smooth = not _follow(ids) and mostly_rare(counts)
    if len(values) > MAX_VALUES or smooth:
        raise ValueError(
            f'The masks hold {len(values)} grey values ('
            f'{first_few(values, 10)}), '
            f'{"most of them on single pixels" if smooth else "too many"}: '
            'edges were smoothed, or a format with loss was used. Store '
            'masks as PNG without smoothing; or name the true values with '
            '--mapping and give all others to the nearest of them with '
            '--snap. If they are ids of so many classes, name these with '
            '--classes.')


def mostly_rare(counts: dict) -> bool:
    """Whether most values are on hardly any pixels."""
    total = sum(counts.values())
    rare = sum(count < RARE * total for count in counts.values())
    return len(counts) > 4 and 2 * rare > len(counts)


def _follow(ids: list[int]) -> bool:
    return bool(ids) and ids[0] in (0, 1) and ids == list(
        range(ids[0], ids[0] + len(ids)))


def _question(ids: list[int]) -> str:
    first, second = ids
    return (f'The masks hold the values {first}, {second} and 255. Is 255 a '
            'third class, or the mark of pixels that count for nothing? Say '
            f'--ignore 255, or --mapping {first}=NAME,{second}=NAME,255=NAME.')


def _example(values: Iterable[int]) -> str:
    return ','.join(f'{value}=NAME' for value in list(values)[:3])
