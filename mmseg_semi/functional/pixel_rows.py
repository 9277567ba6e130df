# Copyright (c) mmseg_semi authors.
"""The pixels of several maps as the rows of one table, without building it."""
from typing import Sequence, Tuple

import torch
from torch import Tensor


def rows_at(maps: Sequence[Tensor], index: Tensor) -> Tensor:
    """Feature vectors of some pixels of several maps.

    Args:
        maps (sequence[Tensor]): (B, D, h, w) each; D is the same.
        index (Tensor): (N,), long, counts the pixels of all maps, image by
            image and row by row, one map after the other.

    Returns:
        Tensor: (N, D), of the dtype of the maps. Gradient reaches the maps.
    """
    rows, first = 0., 0
    for features in maps:
        height, width = features.shape[-2:]
        number = len(features) * height * width
        inside = (index >= first) & (index < first + number)
        pixel = (index - first).clamp(0, number - 1)
        image, pixel = pixel // (height * width), pixel % (height * width)
        found = features[image, :, pixel // width, pixel % width]
        rows = rows + found.masked_fill(~inside[:, None], 0.)
        first += number
    return rows


def nearest(values: Tensor, size: Tuple[int, int]) -> Tensor:
    """A map at another size, by the nearest neighbour.

    Args:
        values (Tensor): (B, H, W), any dtype.
        size (tuple[int, int]): Height h and width w.

    Returns:
        Tensor: (B, h, w); row i is row floor(i H / h) of ``values``.
    """
    for dim, (new, old) in enumerate(zip(size, values.shape[1:]), start=1):
        index = torch.arange(new, device=values.device) * old // new
        values = values.index_select(dim, index)
    return values
