# Copyright (c) mmseg_semi authors.
"""Rules about the same image in two sets, or twice in one."""
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from .facts import IMAGE, MASK, FileFacts
from .findings import ERROR, WARNING, Finding, gather
from .scan import Facts
from .sets import LABELLED, SOURCE, TEST, UNLABELLED, VALIDATION, ImageSet

_ONLY_IMAGES = 'Set data_prefix.img_path or img_suffix to the images only.'
_SMALL = 16  # of so few pixels each may have any colour
_PIXELS = 'with the pixels of'
# Large public sets hold a few copies, with which they are published and
# compared: up to this share of a set does not stop a training.
_FEW = .01
# What may not be trained on; labelled images are unlabelled ones, too.
_LEAKS = {
    (LABELLED, VALIDATION): ERROR,
    (LABELLED, TEST): ERROR,
    (UNLABELLED, VALIDATION): ERROR,
    (UNLABELLED, TEST): WARNING,
    (SOURCE, VALIDATION): ERROR,
    (SOURCE, TEST): ERROR,
    (LABELLED, SOURCE): ERROR,
    (VALIDATION, TEST): WARNING,
}


def shared(sets: Sequence[ImageSet], facts: Facts) -> Iterator[Finding]:
    """Images that two sets share: the same file, a link, equal pixels."""
    for first, second in itertools.permutations(sets, 2):
        severity = _LEAKS.get((first.name, second.name))
        if severity is None:
            continue
        found = _equal(first, second, facts)
        for manner, pairs in found.items():
            path, other = pairs[0]
            count = len(pairs)
            few = manner == _PIXELS and count <= _FEW * len(second.images)
            yield from gather(
                'shared-image', WARNING if few else severity, first.name,
                [path for path, _ in pairs],
                f'{count} image{"s are" if count > 1 else " is"} also in the '
                f'{second.name} set: {manner} {other}',
                _remedy(first.name, second.name))


def repeated(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Images that a set holds twice, and whether their masks differ."""
    groups = defaultdict(list)
    masks = dict(images.pairs())
    for path in images.images:
        key = _content(path, facts) or facts[path, IMAGE].identity
        if key is not None:
            groups[key].append(path)
    groups = [paths for paths in groups.values() if len(paths) > 1]
    differing = [
        paths for paths in groups
        if len({facts[masks[p], MASK].digest
                for p in paths if p in masks}) > 1
    ]
    for kind, members, value, remedy in (
        ('masks-contradict', differing,
         'the same image with another mask than',
         'Keep the right mask of each and remove the other image.'),
        ('repeated-image', [g for g in groups
                            if g not in differing], 'the same image as',
         'Remove the copies, unless they are meant to count more.')):
        if members:
            yield from gather(
                kind, WARNING, images.name,
                [path for paths in members
                 for path in paths[1:]], f'{value} {members[0][0]}', remedy)


def masks_as_images(sets: Sequence[ImageSet],
                    facts: Facts) -> Iterator[Finding]:
    """Masks that a set would take for photographs."""
    masks = {
        facts[path, MASK].identity
        for images in sets
        for path in images.masks or ()
    } - {None}
    for images in sets:
        found = {
            path: None
            for path in images.images if facts[path, IMAGE].identity in masks
        }
        yield from gather('mask-as-image', ERROR, images.name, found,
                          'a mask of another image, taken for an image',
                          _ONLY_IMAGES)
        flat = [
            path for path in images.images
            if path not in found and _looks_like_a_mask(facts[path, IMAGE])
        ]
        yield from gather(
            'mask-as-image', WARNING, images.name, flat,
            f'{len(flat)} of {len(images.images)} images hold a few flat '
            'colours, as masks do', f'{_ONLY_IMAGES} Nothing to do if these '
            'are images.')


def _looks_like_a_mask(image: FileFacts) -> bool:
    return (not image.problem and image.colours > 1
            and min(image.size) >= _SMALL)


def _equal(first: ImageSet, second: ImageSet,
           facts: Facts) -> dict[str, list[tuple[str, str]]]:
    """How images agree -> pairs of paths; each image once."""
    files, contents = {}, {}
    for path in second.images:
        files.setdefault(facts[path, IMAGE].identity, path)
        contents.setdefault(_content(path, facts), path)
    files.pop(None, None)
    contents.pop(None, None)
    known = set(second.images)
    found = defaultdict(list)
    for path in dict.fromkeys(first.images):
        identity, content = facts[path, IMAGE].identity, _content(path, facts)
        if path in known:
            found['the same file,'].append((path, path))
        elif identity in files:
            other = files[identity]
            found['a link to, or the same file as,'].append((path, other))
        elif content in contents:
            found[_PIXELS].append((path, contents[content]))
    return found


def _content(path: str, facts: Facts) -> str | None:
    """Digest of an image that shows something; blank ones are all alike."""
    image = facts[path, IMAGE]
    return None if image.plain or image.problem else image.digest or None


def _remedy(first: str, second: str) -> str:
    if second == TEST and first == VALIDATION:
        return 'Scores of the test set are then not independent of the choice.'
    if first == UNLABELLED:
        return (f'Name the list of {second} images in val_ann_file (or in '
                '`exclude` of the unlabelled set), or move the copies away.')
    if second == SOURCE:
        return 'An image belongs to one domain: take it off one of the lists.'
    return (f'Take them off one of the two lists: a {second} score of images '
            'that were trained on means nothing.')
