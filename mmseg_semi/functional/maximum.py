# Copyright (c) mmseg_semi authors.
"""The largest of a few scores per pixel, fast on the CPU too."""
from typing import Tuple

import torch
from torch import Tensor


def max_along(scores: Tensor, dim: int) -> Tuple[Tensor, Tensor]:
    """``scores.max(dim)`` for a short dimension of a large map.

    Torch's CPU kernel for values with indices reads one element at a time
    unless ``dim`` is last in memory, at ten times the cost of the whole
    maps compared here. The gradient goes to the first maximum alone.

    Args:
        scores (Tensor): fp32 or fp64, without NaN.
        dim (int): Dimension, of less than 2 ** 24 elements.

    Returns:
        tuple[Tensor, Tensor]: Values, and the index of the first maximum,
        long; the shape of ``scores`` without ``dim``.
    """
    if scores.device.type != 'cpu':
        values, index = scores.max(dim)
        return values, index
    size = scores.shape[dim]
    shape = [1] * scores.dim()
    shape[dim] = size
    with torch.no_grad():
        best = scores.amax(dim, keepdim=True)
        countdown = torch.arange(
            size - 1, -1, -1, dtype=scores.dtype).view(shape)
        # In place, because a bool map takes longer to write than floats.
        first = scores.clone().eq_(best).mul_(countdown)
        index = size - 1 - first.amax(dim, keepdim=True).long()
    if scores.requires_grad and torch.is_grad_enabled():
        best = scores.gather(dim, index)
    return best.squeeze(dim), index.squeeze(dim)
