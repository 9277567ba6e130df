# Copyright (c) mmseg_semi authors.
"""Drawing labelled shapes into a mask."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ..datasets.coco81_masks import OVERLAPS

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A labelled region.

    Attributes:
        label (str): Its label.
        kind (str): ``polygon``, ``rectangle``, ``ellipse``, ``box`` or
            ``bitmap``.
        points (Sequence[Point]): (x, y) in pixels. Corners of a polygon;
            the upper left and lower right corner of what encloses a
            rectangle, an ellipse or a bitmap. The right and lower edges of a
            ``box`` are where it ends, of a ``rectangle`` its last pixels.
        bitmap (np.ndarray, optional): bool (h, w), what a bitmap fills.
    """
    label: str
    kind: str
    points: Sequence[Point]
    bitmap: np.ndarray | None = None

    def region(self, size: tuple[int, int]) -> np.ndarray:
        """The pixels of the shape, bool (H, W).

        Those that the edge of a polygon, rectangle or ellipse touches belong
        to it (Pillow's rule, and LabelMe's); what is outside of the image is
        cut off.

        Args:
            size (tuple[int, int]): Width and height of the image.
        """
        if self.kind in ('bitmap', 'box'):
            return self._pasted(size)
        canvas = Image.new('L', size)
        draw = getattr(ImageDraw.Draw(canvas), self.kind)
        draw([tuple(point) for point in self.points], outline=1, fill=1)
        return np.asarray(canvas).astype(bool)

    def _pasted(self, size: tuple[int, int]) -> np.ndarray:
        """A bitmap or a box, cut at the borders of the image."""
        region = np.zeros((size[1], size[0]), bool)
        (left, top), (right, bottom) = np.rint(self.points).astype(int)
        if self.bitmap is not None:
            bitmap = self.bitmap
        else:
            bitmap = np.ones((max(0, bottom - top), max(0, right - left)),
                             bool)
        bitmap = bitmap[max(0, -top):, max(0, -left):]
        top, left = max(0, top), max(0, left)
        part = region[top:top + len(bitmap), left:left + bitmap.shape[1]]
        part |= bitmap[:part.shape[0], :part.shape[1]]
        return region


def draw_shapes(shapes: Sequence[Shape], ids: dict[str, int],
                size: tuple[int, int], fill: int, overlap: str) -> np.ndarray:
    """Draw shapes over each other.

    Args:
        shapes (Sequence[Shape]): In the order of the annotation.
        ids (dict[str, int]): Label -> id.
        size (tuple[int, int]): Width and height.
        fill (int): Id of the pixels outside of all shapes.
        overlap (str): ``last``, ``first`` or ``smallest``, as for COCO.

    Returns:
        np.ndarray: uint8 (H, W).
    """
    regions = [(ids[shape.label], shape.region(size)) for shape in shapes]
    return paint(regions, size, fill, overlap)


def paint(regions: list[tuple[int, np.ndarray]], size: tuple[int, int],
          fill: int, overlap: str) -> np.ndarray:
    """Paint regions (id and bool (H, W)), see :func:`draw_shapes`."""
    mask = np.full((size[1], size[0]), fill, np.uint8)
    for number, region in OVERLAPS[overlap](regions):
        mask[region] = number
    return mask
