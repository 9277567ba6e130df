# Copyright (c) mmseg_semi authors.
"""Which label belongs to which photograph."""
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from ..datasets.paths import first_few
from ..datasets.splits import IMAGE_SUFFIXES
from .findings import Findings
from .labels import Label
from .photos import Photo

# What programs put after the name of the photo.
TAILS = ('_mask', '-mask', '_masks', '_label', '-label', '_labels', '_gt',
         '_seg', '_segmentation', '_annotation', '_labelTrainIds', '.mask')


def match(labels: Sequence[Label], photos: Sequence[Photo], tail: str | None,
          findings: Findings) -> tuple[dict[Photo, Label], str]:
    """Find the photograph of every label.

    A label is named like its photo, with or without suffix. Its path below
    the folder decides; where that fits no photo, its file name alone, if only
    one photo has it. Upper and lower case differ, composed and decomposed
    accents do not.

    Args:
        labels (Sequence[Label]): Labels, with the names they give.
        photos (Sequence[Photo]): All photographs.
        tail (str, optional): What labels have after the name of the photo.
            By default nothing or, if that fits no photo at all, the one of
            :data:`TAILS` that fits most.
        findings (Findings): Gets labels without photo (warnings), and those
            that fit several photos or share one (errors).

    Returns:
        tuple[dict[Photo, Label], str]: The pairs in the order of the photos,
        and the tail that was used.
    """
    index = _Index(photos)
    if tail is None:
        tail = _best_tail(labels, index)
    taken: dict[Photo, list[Label]] = defaultdict(list)
    for label in labels:
        fits = index.find(label.name, tail)
        if len(fits) == 1:
            taken[fits[0]].append(label)
        elif fits:
            findings.error(
                'label that fits several photos', label.path,
                first_few(photo.name for photo in fits),
                'Give labels the folders of their photos, or the photos '
                'different names.')
        else:
            findings.warn('label without photo', label.path,
                          f'there is no photo {label.name}{_hint(tail)}',
                          'It is left out; check names and folders.')
    for photo, several in taken.items():
        if len(several) > 1:
            findings.error('photo with several labels', photo.path,
                           first_few(label.path for label in several),
                           'Keep one of them.')
    if labels and not taken and not any(f.fatal for f in findings.all):
        findings.error(
            'no label fits a photo', labels[0].path,
            f'labels are called {first_few([x.name for x in labels], 3)}; '
            f'photos {first_few([p.name for p in photos], 3)}',
            'Labels must be called like their photos; for something after '
            'the name, say --label-tail _mask.')
    return {photo: taken[photo][0] for photo in photos if photo in taken}, tail


def _hint(tail: str) -> str:
    return f' (without {tail!r})' if tail else ''


def _best_tail(labels: Sequence[Label], index: '_Index') -> str:
    """The tail that fits most, no tail if that fits any."""

    def fitting(tail: str) -> int:
        return sum(bool(index.find(label.name, tail)) for label in labels)

    return '' if fitting('') else max(('', *TAILS), key=fitting)


class _Index:
    """Photos by path and by name, each with and without suffix."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._paths, self._names = defaultdict(list), defaultdict(list)
        for photo in photos:
            name = _normal(photo.name)
            for key in (name, without_suffix(name)):
                self._paths[key].append(photo)
                self._names[key.rsplit('/', 1)[-1]].append(photo)

    def find(self, name: str, tail: str) -> list[Photo]:
        """The photos that a label of this name may belong to."""
        name = _normal(name)
        keys = [name, without_suffix(name)]
        if tail:
            keys = [
                key.removesuffix(tail) for key in keys if key.endswith(tail)
            ]
        for key in keys:
            if key in self._paths:
                return self._paths[key]
        for key in keys:
            if key.rsplit('/', 1)[-1] in self._names:
                return self._names[key.rsplit('/', 1)[-1]]
        return []


def _normal(name: str) -> str:
    return unicodedata.normalize('NFC', name.replace('\\', '/'))


def without_suffix(name: str) -> str:
    """``a/b.JPG`` -> ``a/b``; what is no suffix of an image stays."""
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[:-len(suffix)]
    return name
