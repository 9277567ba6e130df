# Copyright (c) mmseg_semi authors.
"""From COCO's instance annotations to masks of 81 classes.

PseudoSeg, UniMatch and BRPG report on COCO with 81 classes: 0 where nothing is
annotated, 1 to 80 in the order of the category ids, no 255. UniMatch and BRPG
link one archive of ready masks. Neither says to which annotation a pixel of
several belongs, nor whether crowd regions are drawn. So the rule is an option
here, and whoever wants the published masks to the pixel takes the archive,
which the dataset class reads as well.
"""
import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_semi.engine.atomic import write_atomically
from .coco81 import CATEGORY_IDS, CLASSES
from .paths import first_few, require

# From the annotations of an image, in the order of the file, with their
# pixels, to the order of painting: what is painted later covers.
OVERLAPS: dict[str, Callable[[list], list]] = dict(
    last=lambda regions: regions,
    first=lambda regions: regions[::-1],
    smallest=lambda regions: sorted(
        regions, key=lambda region: -np.count_nonzero(region[1])))


class Instances:
    """COCO's instance annotations of one file.

    Args:
        path (str): ``instances_train2017.json`` or one in its format. Its
            categories must be among COCO's 80.

    Attributes:
        images (dict[int, str]): Image id -> file name, in the order of the
            file. Images without annotations are among them.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If pycocotools is missing; says how to install it.
        ValueError: If the content is none of the kind; says what and where.
    """

    def __init__(self, path: str) -> None:
        require(path, 'instance annotations', False)
        self.path = path
        self._coco = _read(path)
        self._check_categories()
        self._check_images()
        self.images = {
            number: image['file_name']
            for number, image in self._coco.imgs.items()
        }

    def _fail(self, what: str) -> None:
        raise ValueError(f'{self.path}: {what}.')

    def _check_categories(self) -> None:
        names = dict(zip(CATEGORY_IDS, CLASSES[1:]))
        for number, category in self._coco.cats.items():
            if names.get(number) != category.get('name'):
                self._fail(
                    f'category {number} is {category.get("name")!r}, in COCO '
                    f'it is {names.get(number)!r}. Only instance annotations '
                    'with the 80 categories of COCO are converted')

    def _check_images(self) -> None:
        self._check_sizes()
        stems = {}
        for number, image in self._coco.imgs.items():
            name = image.get('file_name', '')
            stem = Path(name).stem
            if not stem or os.path.basename(name) != name or '\\' in name:
                self._fail(f'image {number} has the file name {name!r}; a '
                           'plain name is needed')
            if stem in stems:
                self._fail(f'images {stems[stem]} and {number} would have '
                           f'one mask, {stem}.png')
            stems[stem] = number

    def _check_sizes(self) -> None:
        """Every annotated image is known, and its size."""
        stray = sorted(
            set(self._coco.imgToAnns) - set(self._coco.imgs), key=str)
        if stray:
            self._fail(f'images {first_few(stray)} have annotations, but are '
                       'not among its images')
        for number, image in self._coco.imgs.items():
            sides = image.get('height'), image.get('width')
            if not all(isinstance(side, int) and side > 0 for side in sides):
                self._fail(f'image {number} has the height and width {sides}')

    def mask(self, number: int, overlap: str = 'last') -> np.ndarray:
        """Mask of an image.

        Crowd regions are annotations like others.

        Args:
            number (int): Its id, a key of :attr:`images`.
            overlap (str): Which annotation a pixel of several belongs to:
                the ``last`` or the ``first`` in the file, or the
                ``smallest``, counted in pixels (of equals the last).

        Returns:
            np.ndarray: uint8 (H, W), 0 to 80.

        Raises:
            ValueError: If an annotation cannot be drawn; names it.
        """
        image = self._coco.imgs[number]
        mask = np.zeros((image['height'], image['width']), np.uint8)
        regions = [(self._label(a), self._region(a, mask.shape))
                   for a in self._coco.imgToAnns.get(number, [])]
        for label, region in OVERLAPS[overlap](regions):
            mask[region] = label
        return mask

    def _label(self, annotation: dict) -> int:
        category = annotation['category_id']
        if category not in self._coco.cats:
            self._fail(f'annotation {annotation["id"]} has the unknown '
                       f'category {category}')
        return CATEGORY_IDS.index(category) + 1

    def _region(self, annotation: dict, size: tuple[int, int]) -> np.ndarray:
        name = f'annotation {annotation["id"]}'
        shape = annotation.get('segmentation')
        if isinstance(shape, list):
            # pycocotools would take four numbers for a box.
            bad = [len(p) for p in shape if len(p) < 6 or len(p) % 2]
            if bad or not shape:
                self._fail(f'{name} has polygons of {bad} numbers; three '
                           'points, six numbers, are the least')
        elif not isinstance(shape, dict) or 'counts' not in shape:
            self._fail(f'{name} has neither polygons nor run lengths')
        elif tuple(shape.get('size', ())) != size:
            self._fail(f'{name} has run lengths of an image of the size '
                       f'{shape.get("size")}, its image has {list(size)}')
        return self._coco.annToMask(annotation).astype(bool)


def _read(path: str):
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise ImportError(
            'COCO annotations are read with pycocotools, which '
            'is not installed: pip install pycocotools') from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(path)
    except (json.JSONDecodeError, UnicodeDecodeError, AssertionError, KeyError,
            TypeError) as error:
        raise ValueError(f'{path} is no file of instance annotations: '
                         f'{error}. Take instances_train2017.json and '
                         'instances_val2017.json of COCO 2017.') from error
    for key in ('images', 'annotations', 'categories'):
        if not coco.dataset.get(key):
            raise ValueError(f'{path} has no {key!r}. Take '
                             'instances_train2017.json and '
                             'instances_val2017.json of COCO 2017.')
    return coco


def write_mask(mask: np.ndarray, path: Path, force: bool = False) -> str:
    """Write a mask; never replace a different one silently.

    Args:
        mask (np.ndarray): uint8 (H, W).
        path (Path): The PNG, 8 bit, one channel.
        force (bool): Whether to replace a different file.

    Returns:
        str: ``written``, or ``unchanged`` if the file had these pixels.

    Raises:
        FileExistsError: If the file differs and not ``force``.
    """
    if path.exists():
        if _same(path, mask):
            return 'unchanged'
        if not force:
            raise FileExistsError(
                f'{path} exists and differs from the mask to be written: it '
                'was made by another program or with another --overlap. '
                'Choose another folder with --masks, or replace all such '
                'files with --force.')
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format='png')
    write_atomically(buffer.getvalue(), path)
    return 'written'


def _same(path: Path, mask: np.ndarray) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in ('L', 'P') and np.array_equal(
                np.asarray(image), mask)
    except (OSError, SyntaxError, ValueError):
        return False
