# Copyright (c) mmseg_semi authors.
"""Rules about the classes that sets state, whatever their masks hold."""
from collections import Counter
from collections.abc import Iterator, Sequence

from mmseg.datasets import BaseSegDataset

from mmseg_semi.datasets.paths import first_few
from .findings import ERROR, WARNING, Finding
from .sets import LABELLED, TEST, VALIDATION, ImageSet

UNLABELLED_PIXEL = 255  # in every loss and metric


def classes_differ(sets: Sequence[ImageSet]) -> Iterator[Finding]:
    """All sets with classes must have the same, in the same order."""
    sets = [images for images in sets if images.classes is not None]
    for images in sets[1:]:
        first = sets[0]
        if images.classes != first.classes:
            order = sorted(images.classes) == sorted(first.classes)
            yield Finding(
                'classes-differ', ERROR, images.name, images.where,
                f'{list(images.classes)}, but the {first.name} set has '
                f'{list(first.classes)}',
                'Bring the classes into one order, and the ids of the masks '
                'with them.' if order else
                'Give all sets the same `metainfo` (or dataset type) with the '
                'same classes.')
        elif images.reduce_zero_label != first.reduce_zero_label:
            yield Finding(
                'classes-differ', WARNING, images.name, images.where,
                f'reduce_zero_label={images.reduce_zero_label}, but the '
                f'{first.name} set has {first.reduce_zero_label}: the same '
                'id means another class',
                'Give all sets one reduce_zero_label, unless their masks '
                'count differently.')


def one_class(sets: Sequence[ImageSet]) -> Iterator[Finding]:
    """Sets to train on must have two classes."""
    for images in sets:
        if images.name == LABELLED and len(images.classes or 'ab') == 1:
            name = images.classes[0]
            yield Finding(
                'one-class', ERROR, images.name, images.where,
                f'there is one class, "{name}", and nothing to tell apart',
                f"Give the rest a class, too: classes=('background', "
                f'{name!r}), ids 0 and 1 in the masks, model.num_classes=2.')


def stated(name: str, where: str,
           dataset: BaseSegDataset) -> Iterator[Finding]:
    """What a dataset says of its classes and of pixels without one.

    Args:
        name (str): Of the set.
        where (str): The setting that holds the dataset.
        dataset (BaseSegDataset): Built.
    """
    severity = WARNING if name == TEST else ERROR
    classes = dataset.metainfo.get('classes')
    if classes is None:
        yield Finding(
            'classes-unclear', ERROR if name == VALIDATION else WARNING, name,
            where, 'no classes are stated: ids are not checked, and nothing '
            'can be scored', "Set metainfo=dict(classes=('...', '...')), or a "
            'dataset type that has classes.')
        return
    repeated = [c for c, count in Counter(classes).items() if count > 1]
    if repeated:
        yield Finding(
            'classes-unclear', severity, name, where,
            f'classes of one name: {first_few(repeated)}',
            'Give every class a name of its own: results are told apart by '
            'name.')
    if dataset.ignore_index != UNLABELLED_PIXEL:
        yield Finding(
            'ignore-index', severity, name, where,
            f'ignore_index={dataset.ignore_index} does not change the masks: '
            f'losses and scores leave out {UNLABELLED_PIXEL} alone',
            f'Leave it out, and save {UNLABELLED_PIXEL} where there is no '
            'label (reduce_zero_label=True makes that of 0).')
