# Copyright (c) mmseg_semi authors.
"""The images that may be labelled, and those that are."""
import os
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from mmengine.config import Config

from ..data_check.config_sets import BuiltSets, build_sets
from ..data_check.sets import LABELLED, SOURCE, TEST, UNLABELLED, VALIDATION
from ..datasets.class_pixels import class_pixels
from ..datasets.unlabeled import file_keys
from ..predicting.images import Skipped, Source, find_images, name_images

_KNOWN = (LABELLED, VALIDATION, TEST, SOURCE)
# Findings that leave unknown which images a set has.
_UNKNOWN = ('link-loop', 'not-checked', 'set-not-built')


@dataclass(frozen=True)
class Pool:
    """Images without labels beside those of a config that have some.

    Attributes:
        sources (list[Source]): The images; no labelled, validation or test
            image is among them.
        base (str): The folder that their names are relative to.
        labelled (list[str]): Files of the labelled images.
        tail (str): Suffix that lists of labelled images leave out; may be
            empty.
        left_out (dict[str, int]): ``labelled``, ``validation``, ``test``,
            ``source`` -> images that are not taken because of it.
        skipped (list[Skipped]): Files that are no images by their names.
    """
    sources: list[Source]
    base: str
    labelled: list[str] = field(default_factory=list)
    tail: str = ''
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    _sets: BuiltSets | None = None

    def label_pixels(self, num_classes: int) -> np.ndarray:
        """Labelled pixels of every class.

        Args:
            num_classes (int): C, of the model.

        Returns:
            np.ndarray: int64 (C,).

        Raises:
            ValueError: The labels have other classes than the model.
        """
        total = np.zeros(num_classes, np.int64)
        for trial in self._sets.trials if self._sets else ():
            if trial.name != LABELLED:
                continue
            counted = class_pixels(trial.dataset).sum(0)
            if len(counted) != num_classes:
                raise ValueError(
                    f'The labels of the config have {len(counted)} classes, '
                    f'the model {num_classes}: give the config that the '
                    'checkpoint was trained with.')
            total += counted
        return total

    def below(self, source: Source) -> str:
        """Path of an image below :attr:`base`, with ``/`` and suffix."""
        below = osp.relpath(osp.abspath(source.path), osp.abspath(self.base))
        return below.replace(os.sep, '/')

    def list_entry(self, source: Source) -> str:
        """The line of a list of labelled images that names an image."""
        return self.below(source).removesuffix(self.tail)


def find_pool(cfg: Config,
              name: str,
              images: Sequence[str] = (),
              out: str = '',
              keep_suffix: bool = False) -> Pool:
    """Find the images without labels.

    Args:
        cfg (Config): Whose labelled, validation and test images are left
            out. It is not changed.
        name (str): Of the config, for messages.
        images (Sequence[str]): Places as :func:`.find_images` takes them.
            Defaults to none: the unlabelled images of the config.
        out (str): Folder of the results, which is not searched.
        keep_suffix (bool): See :func:`.find_images`.

    Raises:
        FileNotFoundError: There is no image.
        ValueError: The sets of the config cannot be read, or every image is
            a labelled, validation or test image.
    """
    built = build_sets(cfg)
    _check(built, name, bool(images))
    found = {kind: [] for kind in (*_KNOWN, UNLABELLED)}
    for one in built.sets:
        found[one.name].append(one)
    if images:
        sources, skipped = find_images(images, out, keep_suffix)
        base = _common([osp.dirname(source.path) for source in sources])
        if len(images) == 1 and osp.isdir(images[0]):
            base = images[0]
    else:
        unlabelled, skipped = found[UNLABELLED][0], []
        base = _common(unlabelled.folders)
        sources = name_images(
            map(_plain, unlabelled.images), base, keep_suffix)
    known = {
        key: kind
        for kind in reversed(_KNOWN)
        for one in found[kind]
        for key in file_keys(one.images)
    }
    kinds = [
        known.get(key) for key in file_keys(source.path for source in sources)
    ]
    left_out = Counter(filter(None, kinds))
    left = [source for source, kind in zip(sources, kinds) if kind is None]
    if not left:
        told = ', '.join(f'{n} {kind}' for kind, n in left_out.items())
        raise ValueError(
            f'No image is left: all {len(sources)} belong to the labelled, '
            f'validation or test images of {name} ({told}). Give images that '
            'have no label yet.')
    labelled = found[LABELLED]
    tails = {one.suffixes[0] for one in labelled}
    return Pool(left, base, [path for one in labelled for path in one.images],
                tails.pop() if len(tails) == 1 else '', dict(left_out),
                skipped, built)


def _check(built: BuiltSets, name: str, given: bool) -> None:
    """Refuse a config of which it is not known what is labelled."""
    needed = {LABELLED, VALIDATION} | (set() if given else {UNLABELLED})
    for finding in built.findings:
        if finding.kind in _UNKNOWN and finding.set in needed:
            raise ValueError(
                f'{name}, {finding.set} images: {finding.value} Which images '
                'have labels must be known, so that these are left out.')
    if not given and not any(one.name == UNLABELLED for one in built.sets):
        raise ValueError(
            f'{name} has no unlabelled images '
            '(train_dataloader.dataset.unlabeled): give a folder of images '
            'after the checkpoint.')


def _plain(path: str) -> str:
    """Without ``..``, where that leads to the same file."""
    plain = osp.normpath(path)
    there = osp.exists(plain) and osp.exists(path)
    return plain if there and osp.samefile(plain, path) else path


def _common(folders: Sequence[str]) -> str:
    return osp.commonpath([osp.abspath(folder) for folder in folders])
