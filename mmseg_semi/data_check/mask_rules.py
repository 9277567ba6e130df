# Copyright (c) mmseg_semi authors.
"""Rules about what masks hold: of one set file by file, and as a whole."""
import functools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from mmseg_semi.datasets.label_ids import id_table, likely_cause
from mmseg_semi.datasets.paths import first_few
from .facts import MASK, FileFacts
from .findings import ERROR, WARNING, Finding, gather
from .scan import Facts
from .sets import LABELLED, SOURCE, ImageSet

_SHOWN_IDS = 10


def mask_formats(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Masks that hold something else than ids from 0 to 255."""
    masks = _read_masks(images, facts)
    lossy = [path for path, mask in masks if mask.lossy]
    yield from gather(
        'mask-lossy', ERROR, images.name, lossy,
        'compressed with loss: ids are changed at the borders',
        'Make the masks again as PNG; a copy of these files does not bring '
        'the ids back.')
    odd = [path for path, mask in masks if mask.odd]
    yield from gather(
        'mask-not-whole', ERROR, images.name, odd, 'holds NaN or fractions: '
        f'{sum(mask.odd for _, mask in masks)} pixels',
        'A label map holds whole numbers: save 255 where there is no label.')
    for mode in sorted({m.mode for _, m in masks if _is_colour(m)}):
        paths = [p for p, m in masks if _is_colour(m) and m.mode == mode]
        colours = facts[paths[0], MASK].colours
        yield from gather(
            'mask-colour', ERROR, images.name, paths,
            f'{mode or "several bands"} with '
            f'{colours or "more than 256"} colours in the first one',
            'Map every colour to its class id and save one band (grey or '
            'palette PNG).')
    yield from gather(
        'several-pages', WARNING, images.name,
        [path for path, mask in masks if mask.frames > 1],
        'several pages in a mask; the first one is loaded',
        'Save the page that holds the ids as a file of its own.')
    large = {
        path: [i for i in mask.counts if not 0 <= i <= 255]
        for path, mask in masks if mask.counts
    }
    large = {path: found for path, found in large.items() if found}
    outside = sorted(set().union(*large.values()))
    yield from gather(
        'mask-ids-over-255', ERROR, images.name, large,
        f'ids below 0 or above 255: {first_few(outside, _SHOWN_IDS)}',
        f'If {outside[0]} means that there is no label, save 255 instead.'
        if len(outside) == 1 else
        'Probably instance or panoptic maps: save class ids (Cityscapes: '
        '*_labelTrainIds.png).')


def ids(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Ids that are no class and not ignored."""
    if images.classes is None:
        return
    table = _table(images)
    files, number, present = [], Counter(), set()
    for path, mask in _usable(images, facts):
        wrong = [i for i in mask.counts if _is_outside(table[i], images)]
        if wrong:
            files.append(path)
            number.update(wrong)
            present.update(mask.counts)
    if not files:
        return
    shown = ', '.join(f'{i} (in {n} mask{"s" * (n > 1)})'
                      for i, n in sorted(number.items())[:_SHOWN_IDS])
    if len(number) > _SHOWN_IDS:
        shown += f', ... ({len(number)} ids)'
    count = len(images.classes)
    yield from gather(
        'mask-ids', ERROR, images.name, files,
        f'{shown}; there are {count} classes (0..{count - 1}, '
        f'{images.ignore_index} = ignored)',
        likely_cause(np.array(sorted(present)), count, images.ignore_index))


def contents(group: Sequence[ImageSet], facts: Facts) -> Iterator[Finding]:
    """What all masks of a set hold together: 0/255, nothing, one class.

    Args:
        group (Sequence[ImageSet]): The sets of one name.
        facts (dict): Of their files.
    """
    name = group[0].name
    binary = [(path, mask) for images in group
              for path, mask in _usable(images, facts)
              if images.ignore_index == 255]
    found = set().union(*(mask.counts for _, mask in binary))
    if found == {0, 255}:
        white = sum(mask.counts.get(255, 0) for _, mask in binary)
        total = sum(sum(mask.counts.values()) for _, mask in binary)
        yield from gather(
            'mask-0-255', ERROR, name,
            [path for path, mask in binary if 255 in mask.counts],
            f'0 and 255 are the only values of the set, 255 fills '
            f'{white / total:.1%}; it means "ignored"',
            'Save the object as 1: as it is, it is neither learnt nor '
            'scored.')
        return
    yield from _some_are_0_255(name, binary)
    pixels, complete = class_pixels(group, facts)
    ignored = [
        path for images in group for path, mask in _usable(images, facts)
        if not _labelled(images, mask)
    ]
    number = sum(len(images.masks or ()) for images in group)
    yield from gather(
        'mask-all-ignored', ERROR if len(ignored) == number else WARNING, name,
        ignored, f'{len(ignored)} of {number} masks hold no labelled pixel',
        'Label them or take them off the list: nothing is learnt from them '
        'and nothing scored.')
    if complete and pixels and len(ignored) < number:
        yield from _classes_found(group[0], pixels)


def _some_are_0_255(name: str,
                    masks: list[tuple[str, FileFacts]]) -> Iterator[Finding]:
    """Masks with 0 and 255 alone, where 255 is not usual in the set."""
    odd = [path for path, mask in masks if set(mask.counts) == {0, 255}]
    others = set().union(*(mask.counts for _, mask in masks
                           if set(mask.counts) != {0, 255}))
    if 255 in others and others != {0, 1, 255}:
        return  # borders or holes, here without an object beside them
    shown = ', '.join(map(str, sorted(others)[:_SHOWN_IDS]))
    yield from gather(
        'mask-0-255', WARNING, name, odd,
        f'0 and 255 alone, other masks of the set hold {shown}',
        'Save the object as its id if 255 is meant to be one: 255 means '
        '"ignored".')


def class_pixels(group: Sequence[ImageSet],
                 facts: Facts) -> tuple[dict[str, int], bool]:
    """Labelled pixels of every class.

    Args:
        group (Sequence[ImageSet]): The sets of one name.
        facts (dict): Of their files.

    Returns:
        tuple[dict[str, int], bool]: Class -> pixels, empty if there are no
        masks or the classes are not known; and whether all masks could be
        counted.
    """
    if any(not (images.classes and images.masks) for images in group):
        return {}, False
    total, complete = Counter(), True
    for images in group:
        masks = list(_usable(images, facts))
        complete &= len(masks) == len(images.masks or ())
        for _, mask in masks:
            total.update(_labelled(images, mask))
    classes = group[0].classes
    complete &= max(total, default=0) < len(classes)
    return {name: total[i] for i, name in enumerate(classes)}, complete


def _classes_found(images: ImageSet, pixels: dict) -> Iterator[Finding]:
    missing = [name for name, count in pixels.items() if not count]
    if not missing:
        return
    trained = images.name in (LABELLED, SOURCE)
    if trained and len(missing) == len(pixels) - 1:
        only = next(name for name in pixels if name not in missing)
        yield Finding(
            'one-class', ERROR, images.name, images.where,
            f'all labelled pixels are "{only}"; without a pixel: '
            f'{first_few(missing, 10)}',
            'There is nothing to tell apart: check the ids of the masks and '
            'the order of the classes.')
        return
    yield Finding(
        'empty-class', WARNING, images.name, images.where,
        f'{len(missing)} of {len(pixels)} classes have no pixel: '
        f'{first_few(missing, 10)}',
        'Label images that show these classes, choose another split, or '
        'leave the classes out.')


def _read_masks(images: ImageSet, facts: Facts) -> list[tuple[str, FileFacts]]:
    masks = [(path, facts[path, MASK]) for path in images.masks or ()]
    return [(p, m) for p, m in masks if m.decoded and not m.problem]


def _usable(images: ImageSet, facts: Facts) -> Iterator[tuple[str, FileFacts]]:
    """Masks with ids from 0 to 255 and nothing else."""
    for path, mask in _read_masks(images, facts):
        if mask.counts and not mask.lossy and not mask.odd and min(
                mask.counts) >= 0 and max(mask.counts) <= 255:
            yield path, mask


def _is_colour(mask: FileFacts) -> bool:
    return mask.counts is None


def _table(images: ImageSet) -> list[int]:
    """The set's change of ids, for each of 0..255."""
    changes = tuple((images.label_map or {}).items())
    return _cached_table(images.reduce_zero_label, changes)


@functools.lru_cache
def _cached_table(reduce_zero: bool, changes: tuple) -> list[int]:
    return id_table(reduce_zero, dict(changes)).tolist()


def _is_outside(index: int, images: ImageSet) -> bool:
    return index >= len(images.classes) and index != images.ignore_index


def _labelled(images: ImageSet, mask: FileFacts) -> Counter:
    """Id of the class -> pixels, without the ignored ones."""
    table = _table(images)
    pixels = Counter()
    for index, count in mask.counts.items():
        pixels[table[index]] += count
    del pixels[images.ignore_index]
    return pixels
