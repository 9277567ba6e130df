# Copyright (c) mmseg_semi authors.
"""COCO: one JSON file of polygons and run lengths for all images."""
import json
from pathlib import Path

import numpy as np

from ..datasets.coco81_masks import Instances
from ..datasets.paths import first_few
from .findings import Findings
from .labels import Label
from .named_labels import USES, NamedClasses, note_empty
from .options import ImportOptions
from .shapes import paint


class OwnInstances(Instances):
    """Instance annotations with categories of one's own.

    File names may have folders. See :class:`Instances`.

    Args:
        path (str): The file.
    """

    def _check_categories(self) -> None:
        names = [c.get('name') for c in self._coco.cats.values()]
        if not all(isinstance(name, str) and name for name in names):
            self._fail(f'its categories have the names {names}; every '
                       'category needs one')
        if len(set(names)) < len(names):
            self._fail(f'its categories have the names {first_few(names)}, '
                       'one of them twice')

    def _check_images(self) -> None:
        self._check_sizes()
        for number, image in self._coco.imgs.items():
            if not isinstance(image.get('file_name'), str):
                self._fail(f'image {number} has no file name')

    def categories(self) -> dict[int, str]:
        """Id -> name, in the order of the ids."""
        return {
            number: self._coco.cats[number]['name']
            for number in sorted(self._coco.cats)
        }

    def used(self, number: int) -> list[int]:
        """Categories of the annotations of an image."""
        return [a['category_id'] for a in self._coco.imgToAnns.get(number, [])]

    def size(self, number: int) -> tuple[int, int]:
        """Width and height of an image."""
        image = self._coco.imgs[number]
        return image['width'], image['height']

    def regions(self, number: int) -> list[tuple[int, np.ndarray]]:
        """Category and pixels, bool (H, W), of every annotation."""
        shape = self.size(number)[::-1]
        return [(a['category_id'], self._region(a, shape))
                for a in self._coco.imgToAnns.get(number, [])]


class CocoLabels:
    """A file of COCO annotations, see :class:`~.labels.LabelSet`.

    Polygons and run lengths are drawn by pycocotools, crowd regions like
    others.

    Args:
        root (Path): The file, or a folder that holds one.
        options (ImportOptions): See :data:`.named_labels.USES`.
        findings (Findings): Gets what cannot be used.
        track (Callable): Not used; the file is read at once.
    """
    format = 'coco'
    uses = USES

    def __init__(self, root: Path, options: ImportOptions, findings: Findings,
                 track) -> None:
        path = coco_file(root)
        self.facts = {}
        self._instances = OwnInstances(str(path))
        names = self._instances.categories()
        self.labels, found = [], []
        for number, name in self._instances.images.items():
            used = self._instances.used(number)
            where = f'{path}, image {number} ({name})'
            unknown = sorted({c for c in used if c not in names}, key=str)
            if unknown:
                findings.error('annotation of an unknown category', where,
                               first_few(unknown),
                               'Export the annotations again.')
            found += [(names[c], where) for c in used if c in names]
            self.labels.append(
                Label(name, where, number, self._instances.size(number),
                      not used))
        findings.stop_on_errors()
        self._classes = NamedClasses(found, names.values(), options, findings)
        self.table, self.counts = self._classes.table, self._classes.counts
        self._ids = {
            number: self.table.mapping[name]
            for number, name in names.items() if name in self.table.mapping
        }
        self.notes = self._classes.notes + note_empty(
            options.empty, sum(label.empty for label in self.labels))
        self._overlap = options.overlap or 'last'

    def mask(self, label: Label, size: tuple[int, int]) -> np.ndarray:
        """Draw a mask, see :meth:`~.labels.LabelSet.mask`."""
        regions = [(self._ids[category], region)
                   for category, region in self._instances.regions(label.key)]
        return paint(regions, label.size, self._classes.fill, self._overlap)


def coco_file(root: Path) -> Path:
    """The file itself, or the one of a folder."""
    if root.is_file():
        return root
    files = [path for path in sorted(root.rglob('*.json')) if is_coco(path)]
    if len(files) != 1:
        raise ValueError(
            f'--masks: {root} holds {len(files)} files of COCO annotations '
            f'({first_few(files)}). Name one of them.')
    return files[0]


def is_coco(path: Path) -> bool:
    """Whether a JSON file has the parts of COCO annotations."""
    try:
        data = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, OSError):
        return False
    return isinstance(data, dict) and {'images', 'annotations', 'categories'
                                       } <= data.keys()
