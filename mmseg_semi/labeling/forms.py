# Copyright (c) mmseg_semi authors.
"""Masks in the forms of annotation programs.

All of them are read by ``mmseg-semi import`` again. In the forms of shapes
every pixel belongs to one: ignored ones to shapes with the label
``__ignore__``, as LabelMe calls what counts for nothing.
"""
import json
import os
import os.path as osp
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..engine.atomic import write_atomically
from ..importing.classes import hex_color
from ..importing.options import IGNORED
from ..predicting.outputs import encoded
from .confident import Region, regions

IGNORE = '__ignore__'
MASKS, LABELME = 'masks', 'labelme'
COCO, CVAT = 'coco.json', 'cvat.xml'


@dataclass(frozen=True)
class LabelClasses:
    """Names and colours of the classes.

    Attributes:
        names (Sequence[str]): C of them, at most 255.
        palette (Sequence): (C, 3), in 0..255.
    """
    names: Sequence[str]
    palette: Sequence[Sequence[int]]

    def name(self, label: int) -> str:
        """That of a class, or what ignored pixels are called."""
        return IGNORE if label == IGNORED else self.names[label]


@dataclass(frozen=True)
class Labelled:
    """An image with its mask.

    Attributes:
        path (str): The image.
        name (str): Of what is written for it, without suffix of its own.
        photo (str): Path of the image below the folder of all images.
        mask (np.ndarray): (H, W) uint8, 255 where ignored.
    """
    path: str
    name: str
    photo: str
    mask: np.ndarray


class PngForm:
    """Index PNG with the colours of the classes as palette."""

    def __init__(self, out: Path, classes: LabelClasses) -> None:
        self._out, self._classes = out, classes

    def files(self, name: str) -> list[Path]:
        """What :meth:`add` writes for an image of this name."""
        return [self._out / MASKS / f'{name}.png']

    def add(self, one: Labelled) -> None:
        """Write the mask of an image."""
        write_atomically(
            encoded(one.mask, 'PNG', self._classes.palette),
            self.files(one.name)[0])

    def close(self) -> list[Path]:
        """Write what is about all images; returns what to look at."""
        return [self._out / MASKS]


class LabelMeForm:
    """A LabelMe file per image, its polygons painted over each other.

    Polygons have no holes: what lies in a hole follows as a polygon of its
    own, which LabelMe and the import draw over it.

    Args:
        simplify (float): Pixels that a corner may be off.
    """

    def __init__(self, out: Path, classes: LabelClasses,
                 simplify: float) -> None:
        self._out, self._classes, self._simplify = out, classes, simplify

    def files(self, name: str) -> list[Path]:
        """See :meth:`PngForm.files`."""
        return [self._out / LABELME / f'{name}.json']

    def add(self, one: Labelled) -> None:
        """Write the polygons of an image."""
        path = self.files(one.name)[0]
        shapes = [
            dict(
                label=self._classes.name(region.label),
                points=outline(region, self._simplify),
                group_id=None,
                description='',
                shape_type='polygon',
                flags={}) for region in regions(one.mask)
        ]
        below = osp.relpath(osp.abspath(one.path), osp.abspath(path.parent))
        content = dict(
            version='5.5.0',
            flags={},
            shapes=shapes,
            imagePath=below.replace(os.sep, '/'),
            imageData=None,
            imageHeight=one.mask.shape[0],
            imageWidth=one.mask.shape[1])
        write_atomically(_as_json(content), path)

    def close(self) -> list[Path]:
        """See :meth:`PngForm.close`."""
        return [self._out / LABELME]


def outline(region: Region, simplify: float = 0.) -> list[list[float]]:
    """Corners of the outer edge of a region, through its outermost pixels.

    Args:
        region (Region): Holes are not looked at.
        simplify (float): Pixels that a corner may be off. Defaults to 0:
            Pillow's filled polygon is the region without its holes.

    Returns:
        list[list[float]]: [x, y], three or more.
    """
    found, _ = cv2.findContours(
        region.bitmap.astype(np.uint8), cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_SIMPLE)
    points = found[0]
    if simplify:
        fewer = cv2.approxPolyDP(points, simplify, True)
        points = fewer if len(fewer) > 2 else points
    corners = (points[:, 0] + (region.left, region.top)).astype(float)
    corners = corners.tolist()
    # A pixel or a line: programs want three corners of a polygon.
    return corners + corners[-1:] * (3 - len(corners))


class CocoForm:
    """COCO annotations of all images, a run-length mask per region.

    Categories have the ids of the classes plus one; crowd is 0.
    """

    def __init__(self, out: Path, classes: LabelClasses) -> None:
        self._path = out / COCO
        self._images, self._annotations = [], []
        names = [*classes.names, IGNORE]
        self._categories = [
            dict(id=number, name=name) for number, name in enumerate(names, 1)
        ]
        self._encode = _coco_encoder()

    def files(self, name: str) -> list[Path]:
        """See :meth:`PngForm.files`."""
        return [self._path]

    def add(self, one: Labelled) -> None:
        """Note the regions of an image."""
        height, width = one.mask.shape
        number = len(self._images) + 1
        self._images.append(
            dict(id=number, file_name=one.photo, width=width, height=height))
        for region in regions(one.mask):
            shape = region.bitmap.shape
            category = (
                len(self._categories)
                if region.label == IGNORED else region.label + 1)
            self._annotations.append(
                dict(
                    id=len(self._annotations) + 1,
                    image_id=number,
                    category_id=category,
                    segmentation=self._encode(region, (height, width)),
                    bbox=[region.left, region.top, shape[1], shape[0]],
                    area=region.area,
                    iscrowd=0))

    def close(self) -> list[Path]:
        """See :meth:`PngForm.close`."""
        write_atomically(
            _as_json(
                dict(
                    images=self._images,
                    annotations=self._annotations,
                    categories=self._categories)), self._path)
        return [self._path]


def _coco_encoder():
    """A function of a region and the size (H, W) that gives COCO's RLE."""
    try:
        from pycocotools import mask as coco_mask
    except ImportError as error:
        raise ImportError('--format coco needs pycocotools: pip install '
                          'pycocotools.') from error

    def encode(region: Region, size: tuple[int, int]) -> dict:
        # Column by column, and only within the window.
        columns, rows = np.nonzero(region.bitmap.T)
        places = (columns + region.left) * size[0] + rows + region.top
        breaks = np.flatnonzero(np.diff(places) != 1)
        starts = places[np.r_[0, breaks + 1]]
        ends = places[np.r_[breaks, len(places) - 1]] + 1
        edges = np.r_[0,
                      np.stack([starts, ends], 1).ravel(), size[0] * size[1]]
        counts = np.diff(edges).tolist()
        packed = coco_mask.frPyObjects(
            dict(counts=counts, size=list(size)), *size)
        return dict(size=list(size), counts=packed['counts'].decode())

    return encode


class CvatForm:
    """CVAT's "CVAT for images 1.1", a mask per region."""

    def __init__(self, out: Path, classes: LabelClasses) -> None:
        self._path, self._classes = out / CVAT, classes
        self._root = ElementTree.Element('annotations')
        ElementTree.SubElement(self._root, 'version').text = '1.1'
        task = ElementTree.SubElement(
            ElementTree.SubElement(self._root, 'meta'), 'task')
        labels = ElementTree.SubElement(task, 'labels')
        colors = [*classes.palette[:len(classes.names)], (128, 128, 128)]
        for name, color in zip([*classes.names, IGNORE], colors):
            label = ElementTree.SubElement(labels, 'label')
            ElementTree.SubElement(label, 'name').text = name
            ElementTree.SubElement(label, 'color').text = hex_color(color)
        self._count = 0

    def files(self, name: str) -> list[Path]:
        """See :meth:`PngForm.files`."""
        return [self._path]

    def add(self, one: Labelled) -> None:
        """Note the regions of an image."""
        height, width = one.mask.shape
        image = ElementTree.SubElement(
            self._root,
            'image',
            id=str(self._count),
            name=one.photo,
            width=str(width),
            height=str(height))
        self._count += 1
        for region in regions(one.mask):
            rows, columns = region.bitmap.shape
            ElementTree.SubElement(
                image,
                'mask',
                label=self._classes.name(region.label),
                source='auto',
                occluded='0',
                rle=', '.join(map(str, _runs(region.bitmap))),
                left=str(region.left),
                top=str(region.top),
                width=str(columns),
                height=str(rows),
                z_order='0')

    def close(self) -> list[Path]:
        """See :meth:`PngForm.close`."""
        ElementTree.indent(self._root)
        write_atomically(
            ElementTree.tostring(
                self._root, encoding='utf-8', xml_declaration=True),
            self._path)
        return [self._path]


def _runs(bitmap: np.ndarray) -> list[int]:
    """Lengths of runs, row by row, the outside first."""
    flat = bitmap.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.r_[0, edges, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


def _as_json(content: dict) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + '\n').encode()


def make_forms(names: Sequence[str], out: Path, classes: LabelClasses,
               simplify: float) -> list:
    """The writers of :data:`FORMS` by their names."""
    return [
        FORMS[name](out, classes, simplify)
        if name == 'labelme' else FORMS[name](out, classes) for name in names
    ]


FORMS = dict(png=PngForm, coco=CocoForm, labelme=LabelMeForm, cvat=CvatForm)
