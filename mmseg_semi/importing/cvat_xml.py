# Copyright (c) mmseg_semi authors.
"""CVAT's "CVAT for images 1.1": one XML file for all images."""
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from ..datasets.paths import first_few
from .classes import Color, parse_hex
from .findings import Findings
from .labels import Label
from .named_labels import USES, NamedClasses, note_empty
from .options import ImportOptions
from .shapes import Shape, draw_shapes

_LINES = ('polyline', 'points', 'skeleton', 'cuboid', 'tag')


class CvatXmlLabels:
    """An XML file of CVAT, see :class:`~.labels.LabelSet`.

    Polygons, boxes (turned ones too), ellipses and masks are drawn in the
    order of ``z_order``, then of the file. A box ends where CVAT draws its
    edge: (2, 3) to (10, 8) is 8 x 5 pixels.

    Args:
        root (Path): The file, or a folder that holds one.
        options (ImportOptions): See :data:`.named_labels.USES`.
        findings (Findings): Gets shapes that cannot be used.
        track (Callable): Not used; the file is read at once.
    """
    format = 'cvat-xml'
    uses = USES

    def __init__(self, root: Path, options: ImportOptions, findings: Findings,
                 track) -> None:
        path = cvat_file(root)
        tree = _parse(path)
        self.labels, self.facts, found = [], {}, []
        self._shapes: dict[int, list[Shape]] = {}
        for number, image in enumerate(tree.iter('image')):
            name = image.get('name', '')
            where = f'{path}, image {name}'
            shapes = _image_shapes(image, where, findings)
            size = _size(image, where, findings)
            self._shapes[number] = shapes
            self.labels.append(Label(name, where, number, size, not shapes))
            found += [(shape.label, where) for shape in shapes]
        findings.stop_on_errors()
        colors = _labels(tree)
        self._classes = NamedClasses(found, colors, options, findings, {
            name: color
            for name, color in colors.items() if color
        })
        self.table, self.counts = self._classes.table, self._classes.counts
        self.notes = self._classes.notes + note_empty(
            options.empty, sum(label.empty for label in self.labels))
        self._overlap = options.overlap or 'last'

    def mask(self, label: Label, size: tuple[int, int]) -> np.ndarray:
        """Draw a mask, see :meth:`~.labels.LabelSet.mask`."""
        return draw_shapes(self._shapes[label.key], self.table.mapping, size,
                           self._classes.fill, self._overlap)


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is no XML file: {error}. Export the '
                         'annotations again.') from error


def _size(image: ElementTree.Element, where: str,
          findings: Findings) -> tuple[int, int] | None:
    try:
        return int(image.get('width')), int(image.get('height'))
    except (TypeError, ValueError):
        findings.error('image without a size', where,
                       f'width {image.get("width")!r}',
                       'Export the annotations again.')
        return None


def _labels(tree: ElementTree.Element) -> dict[str, Color | None]:
    """Labels of the task with their colours, in its order."""
    meta = tree.find('meta')
    entries = [] if meta is None else meta.iter('label')
    labels = {}
    for entry in entries:
        name, color = entry.findtext('name'), entry.findtext('color')
        if name:
            labels[name] = parse_hex(color) if color else None
    return labels


def _image_shapes(image: ElementTree.Element, where: str,
                  findings: Findings) -> list[Shape]:
    """What can be drawn of an image, in the order of painting."""
    items = sorted(image, key=lambda item: int(item.get('z_order') or 0))
    shapes = []
    for item in items:
        label = item.get('label', '')
        what = f'{item.tag} {label!r}'
        if item.tag in _LINES:
            if item.tag != 'tag':  # a tag is about the whole image
                findings.warn('shape without an area', where, what,
                              'It is left out; draw a polygon instead.')
            continue
        try:
            shapes.append(_SHAPES[item.tag](label, item))
        except (KeyError, TypeError, ValueError) as error:
            findings.error('shape that cannot be drawn', where,
                           f'{what}: {type(error).__name__} {error}',
                           'Mend it in CVAT and export again.')
    return shapes


def _numbers(item: ElementTree.Element, *names: str) -> list[float]:
    return [float(item.get(name)) for name in names]


def _polygon(label: str, item: ElementTree.Element) -> Shape:
    points = [
        tuple(map(float, point.split(',')))
        for point in item.get('points').split(';')
    ]
    if len(points) < 3 or any(len(point) != 2 for point in points):
        raise ValueError(f'{len(points)} points, three are needed')
    return Shape(label, 'polygon', points)


def _box(label: str, item: ElementTree.Element) -> Shape:
    left, top, right, bottom = _numbers(item, 'xtl', 'ytl', 'xbr', 'ybr')
    angle = float(item.get('rotation') or 0)
    if not angle:
        return Shape(label, 'box', [(left, top), (right, bottom)])
    middle = (left + right) / 2, (top + bottom) / 2
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return Shape(label, 'polygon',
                 [_turned(corner, middle, angle) for corner in corners])


def _turned(point: tuple, middle: tuple, angle: float) -> tuple:
    """A point turned clockwise by so many degrees."""
    x, y = point[0] - middle[0], point[1] - middle[1]
    sine, cosine = (f(math.radians(angle)) for f in (math.sin, math.cos))
    turned = (middle[0] + x * cosine - y * sine,
              middle[1] + x * sine + y * cosine)
    # Right angles shall give whole numbers, which Pillow rounds down.
    return tuple(round(value, 6) for value in turned)


def _ellipse(label: str, item: ElementTree.Element) -> Shape:
    x, y, rx, ry = _numbers(item, 'cx', 'cy', 'rx', 'ry')
    if float(item.get('rotation') or 0):
        raise ValueError('an ellipse that is turned')
    return Shape(label, 'ellipse', [(x - rx, y - ry), (x + rx, y + ry)])


def _mask(label: str, item: ElementTree.Element) -> Shape:
    """Run lengths of a window, row by row, the outside first."""
    left, top, width, height = map(
        int, _numbers(item, 'left', 'top', 'width', 'height'))
    runs = np.array([int(run) for run in item.get('rle').split(',')])
    inside = np.arange(len(runs)) % 2 == 1
    bitmap = np.repeat(inside, runs)
    if bitmap.size != width * height:
        raise ValueError(f'{bitmap.size} pixels in its runs, its window has '
                         f'{width * height}')
    return Shape(label, 'bitmap', [(left, top), (left + width, top + height)],
                 bitmap.reshape(height, width))


_SHAPES = dict(polygon=_polygon, box=_box, ellipse=_ellipse, mask=_mask)


def cvat_file(root: Path) -> Path:
    """The file itself, or the one of a folder."""
    if root.is_file():
        return root
    files = [path for path in sorted(root.rglob('*.xml')) if is_cvat(path)]
    if len(files) != 1:
        raise ValueError(f'--masks: {root} holds {len(files)} XML files of '
                         f'CVAT ({first_few(files)}). Name one of them.')
    return files[0]


def is_cvat(path: Path) -> bool:
    """Whether an XML file has annotations of images."""
    try:
        elements = ElementTree.iterparse(path, ('start', ))
        if next(elements)[1].tag != 'annotations':
            return False
        return any(element.tag == 'image' for _, element in elements)
    except (ElementTree.ParseError, OSError):
        return False
