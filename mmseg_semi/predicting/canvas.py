# Copyright (c) mmseg_semi authors.
"""A large image as a place to take tiles from."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from .pipeline import Sample, TestPipeline
from .tiling import Span

ReadWindow = Callable[[slice, slice], np.ndarray]


@dataclass(frozen=True)
class SourceCanvas:
    """Pixels of the source: a tile goes through the pipeline by itself.

    Attributes:
        size (tuple[int, int]): Height and width.
        read (ReadWindow): Rows and columns -> (h, w, C), as loaded.
        pipeline (TestPipeline): Makes samples of a tile.
    """
    size: tuple[int, int]
    read: ReadWindow
    pipeline: TestPipeline

    @property
    def image_size(self) -> tuple[int, int]:
        """Of the image that the prediction is for."""
        return self.size

    def samples(self, rows: Span, columns: Span) -> list[Sample]:
        """The samples of one tile."""
        image = np.ascontiguousarray(
            self.read(
                slice(rows.start, rows.end), slice(columns.start,
                                                   columns.end)))
        shape = image.shape[:2]
        return self.pipeline.prepare(
            dict(
                img=image,
                img_path=None,
                img_shape=shape,
                ori_shape=shape,
                reduce_zero_label=False))


@dataclass(frozen=True)
class PreparedCanvas:
    """An image that went through the pipeline, which changes its size.

    Attributes:
        sample (Sample): The whole image, as the pipeline left it.
    """
    sample: Sample

    @property
    def size(self) -> tuple[int, int]:
        """Of what the network reads."""
        return tuple(self.sample['inputs'].shape[-2:])

    @property
    def image_size(self) -> tuple[int, int]:
        """Of the image that the prediction is for."""
        return tuple(self.sample['data_samples'].ori_shape[:2])

    def samples(self, rows: Span, columns: Span) -> list[Sample]:
        """The sample of one tile, to be predicted at its own size."""
        inputs = self.sample['inputs'][:, rows.start:rows.end,
                                       columns.start:columns.end]
        shape = tuple(inputs.shape[-2:])
        sample = SegDataSample(
            metainfo=dict(img_path=None, img_shape=shape, ori_shape=shape))
        return [dict(inputs=inputs, data_samples=sample)]


@dataclass(frozen=True)
class Axis:
    """Where pixels of an image lie between those of a smaller or larger map.

    Attributes:
        low, high (Tensor): (n,) long, neighbours in the map.
        weight (Tensor): (n,) float32 in [0, 1), that of ``high``.
        first (int): Of the n neighbouring pixels of the image.
    """
    low: Tensor
    high: Tensor
    weight: Tensor
    first: int

    def part(self, begin: int, end: int) -> 'Axis':
        """Some of the pixels."""
        area = slice(begin, end)
        return Axis(self.low[area], self.high[area], self.weight[area],
                    self.first + begin)


def between(span: Span, length: int, wanted: int, align_corners: bool) -> Axis:
    """Pixels of an image that belong to the core of a tile of its map.

    Args:
        span (Span): The tile, in pixels of the map.
        length (int): Pixels of the whole map along this axis.
        wanted (int): Pixels of the image.
        align_corners (bool): As of bilinear interpolation.

    Returns:
        Axis: ``low`` and ``high`` are relative to the tile.
    """
    index = torch.arange(wanted, dtype=torch.float64)
    if align_corners:
        place = index * ((length - 1) / max(wanted - 1, 1))
    else:
        place = ((index + .5) * (length / wanted) - .5).clamp_min(0)
    low = place.long().clamp_max(length - 1)
    inside = ((low >= span.core_start) & (low < span.core_end)).nonzero()[:, 0]
    low, place = low[inside], place[inside]
    high = (low + 1).clamp_max(span.end - 1)
    return Axis(low - span.start, high - span.start, (place - low).float(),
                int(inside[0]) if len(inside) else 0)


def enlarge(scores: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Bilinear interpolation of (C, h, w) at some pixels of an image."""
    device = scores.device
    weight = rows.weight.to(device)[:, None]
    scores = scores[:, rows.low.to(device)] * (1 - weight) + \
        scores[:, rows.high.to(device)] * weight
    weight = columns.weight.to(device)
    return scores[..., columns.low.to(device)] * (1 - weight) + \
        scores[..., columns.high.to(device)] * weight
