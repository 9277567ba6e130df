# Copyright (c) mmseg_semi authors.
"""LabelMe: a JSON file of shapes per image."""
import base64
import io
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from .findings import Findings
from .labels import Label
from .named_labels import USES, NamedClasses, note_empty
from .options import ImportOptions
from .photos import find_files
from .shapes import Shape, draw_shapes

_LINES = ('line', 'linestrip', 'point', 'points')


class LabelMeLabels:
    """A folder of LabelMe files, see :class:`~.labels.LabelSet`.

    Polygons, rectangles, circles and masks are drawn as LabelMe draws them;
    ``imageData`` is not looked at.

    Args:
        root (Path): The folder, or one file.
        options (ImportOptions): See :data:`.named_labels.USES`.
        findings (Findings): Gets files and shapes that cannot be used.
        track (Callable): Wraps a loop to show its progress.
    """
    format = 'labelme'
    uses = USES

    def __init__(self, root: Path, options: ImportOptions, findings: Findings,
                 track) -> None:
        self.labels, self.facts = [], {}
        self._shapes: dict[Path, list[Shape]] = {}
        files = [root] if root.is_file() else [
            path for path in find_files(root) if path.suffix.lower() == '.json'
        ]
        self._folder = root.parent if root.is_file() else root
        for path in track(files, 'Reading LabelMe files'):
            self._read(path, findings)
        findings.stop_on_errors()
        found = [(shape.label, str(path))
                 for path, shapes in self._shapes.items() for shape in shapes]
        self._classes = NamedClasses(found, (), options, findings)
        self.table, self.counts = self._classes.table, self._classes.counts
        self.notes = self._classes.notes + note_empty(
            options.empty, sum(label.empty for label in self.labels))
        self._overlap = options.overlap or 'last'

    def _read(self, path: Path, findings: Findings) -> None:
        try:
            data = json.loads(path.read_text(encoding='utf-8-sig'))
            size = data.get('imageWidth'), data.get('imageHeight')
            shapes = [
                shape for number, item in enumerate(data['shapes'])
                if (shape := _shape(item, number, path, findings))
            ]
        except (ValueError, KeyError, TypeError, AttributeError,
                OSError) as error:
            findings.error('file that is no LabelMe file', path,
                           f'{type(error).__name__}: {error}',
                           'Save it again with LabelMe, or take it away.')
            return
        known = all(isinstance(side, int) for side in size)
        name = path.relative_to(self._folder).with_suffix('').as_posix()
        self._shapes[path] = shapes
        self.labels.append(
            Label(name, str(path), path, size if known else None, not shapes))

    def mask(self, label: Label, size: tuple[int, int]) -> np.ndarray:
        """Draw a mask, see :meth:`~.labels.LabelSet.mask`."""
        return draw_shapes(self._shapes[label.key], self.table.mapping, size,
                           self._classes.fill, self._overlap)


def _shape(item: dict, number: int, path: Path,
           findings: Findings) -> Shape | None:
    """One entry of ``shapes``; None if it has no area or is wrong."""
    label, kind = str(item['label']), item.get('shape_type') or 'polygon'
    points = [(float(x), float(y)) for x, y in item['points']]
    what = f'shape {number + 1} ({kind}, {label!r}, {len(points)} points)'
    if kind in _LINES:
        findings.warn('shape without an area', path, what,
                      'It is left out; draw a polygon instead.')
        return None
    wanted = dict(polygon=3, rectangle=2, circle=2, mask=2)
    few = len(points) < wanted.get(kind, 0)
    many = kind != 'polygon' and len(points) > wanted.get(kind, 0)
    if kind not in wanted or few or many or not np.isfinite(points).all():
        findings.error(
            'shape that cannot be drawn', path, what,
            'Polygons need three points or more, rectangles, '
            'circles and masks two; mend it in LabelMe.')
        return None
    if kind == 'polygon':
        return Shape(label, 'polygon', points)
    if kind == 'circle':
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        return Shape(label, 'ellipse', [(x - radius, y - radius),
                                        (x + radius, y + radius)])
    corners = [tuple(np.min(points, 0)), tuple(np.max(points, 0))]
    if kind == 'rectangle':
        return Shape(label, 'rectangle', corners)
    with Image.open(io.BytesIO(base64.b64decode(item['mask']))) as bitmap:
        return Shape(label, 'bitmap', corners, np.asarray(bitmap) > 0)
