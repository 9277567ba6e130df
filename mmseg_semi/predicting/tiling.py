# Copyright (c) mmseg_semi authors.
"""Where the tiles of a large image lie."""
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from torch import nn

TILE, OVERLAP = 1024, 256
LARGE_PIXELS = 2**23
"""An image with more pixels is predicted in tiles."""
LARGE_SCORES = 2**28
"""So is one with more scores (pixels times classes): 1 GiB."""
_ALIGN = 32  # every usual network divides it by its stride


class Span(NamedTuple):
    """A tile along one axis, in pixels; ends are not included.

    Only its core is kept: the rest is what the core's pixels see around
    them. Cores cover the axis without a gap and do not meet.
    """
    start: int
    end: int
    core_start: int
    core_end: int


@dataclass(frozen=True)
class AxisRule:
    """How to lay tiles along an axis.

    Attributes:
        size (int): Pixels of a tile.
        margin (int): Pixels at either side that are not kept.
        step (int): Starts are multiples of it.
    """
    size: int
    margin: int
    step: int

    def spans(self, length: int) -> list[Span]:
        """Tiles that cover an axis of ``length`` pixels."""
        if length <= self.size:
            return [Span(0, length, 0, length)]
        stride = (self.size - 2 * self.margin) // self.step * self.step
        # As much of the image in the last tile as in the others.
        last = -(-(length - self.size) // self.step) * self.step
        starts = [*range(0, last, stride), last]
        cuts = [0, *(start + self.margin for start in starts[1:]), length]
        return [
            Span(start, min(start + self.size, length), *core)
            for start, core in zip(starts, zip(cuts, cuts[1:]))
        ]


def tile_rules(model: nn.Module, tile: int | None,
               overlap: int | None) -> tuple[AxisRule, AxisRule]:
    """Rules for rows and columns that fit a model.

    Tiles begin at multiples of 32, so that every usual network sees the
    pixels at the same places of its strides as in the whole image. Where the
    model predicts windows (``test_cfg.mode='slide'``), tiles begin with a
    window and end with one, and margins hold every window that is cut: the
    result is that of the whole image.

    Args:
        model (nn.Module): The segmentor.
        tile (int, optional): Pixels of a side, rounded up to what fits.
            Defaults to None: 1024.
        overlap (int, optional): Pixels that neighbours share. Defaults to
            None: 256, or a quarter of a smaller tile.

    Returns:
        tuple[AxisRule, AxisRule]: For rows and for columns.

    Raises:
        ValueError: The overlap leaves nothing of a tile.
    """
    size = tile or TILE
    shared = min(OVERLAP, size // 4) if overlap is None else overlap
    if shared < 0 or size < 1:
        raise ValueError(f'Tiles of {size} pixels with an overlap of '
                         f'{shared}: both must be positive.')
    margin = -(-shared // 2)
    test_cfg = getattr(model, 'test_cfg', None) or {}
    if test_cfg.get('mode') == 'slide':
        rows, columns = (
            _sliding(size, margin, crop, stride)
            for crop, stride in zip(test_cfg['crop_size'], test_cfg['stride']))
        return rows, columns
    size = -(-size // _ALIGN) * _ALIGN
    if size - 2 * margin < _ALIGN:
        raise ValueError(
            f'An overlap of {shared} leaves too little of tiles of {size} '
            f'pixels: it may be {size - _ALIGN} at most.')
    return (AxisRule(size, margin, _ALIGN), ) * 2


def _sliding(size: int, margin: int, crop: int, stride: int) -> AxisRule:
    margin = max(margin, crop - stride)
    count = max(-(-(size - crop) // stride), 1)
    least = -(-(2 * margin + stride - crop) // stride)
    return AxisRule(crop + max(count, least) * stride, margin, stride)


def tiles(size: tuple[int, int],
          rules: tuple[AxisRule, AxisRule]) -> Iterator[tuple[Span, Span]]:
    """Rows and columns of every tile of an image (H, W)."""
    return product(*(rule.spans(n) for rule, n in zip(rules, size)))


def is_large(size: tuple[int, int], num_classes: int) -> bool:
    """Whether an image (H, W) is predicted in tiles unless told otherwise."""
    pixels = size[0] * size[1]
    return pixels > LARGE_PIXELS or pixels * num_classes > LARGE_SCORES
