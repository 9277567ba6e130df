# Copyright (c) mmseg_semi authors.
"""Confidence thresholds per class (BRPG Section 4.3.2, the row EMA 0.7-0.9).

The paper averages "the mean confidence predicted for each category"; its
code averages the probability of the true class over that class's pixels,
which is what is done here, over all ranks instead of one.
"""
from typing import Tuple

import torch
from torch import Tensor

from .precision import full_precision


@full_precision
@torch.no_grad()
def class_confidence_sums(probabilities: Tensor,
                          target: Tensor,
                          ignore_index: int = 255) -> Tuple[Tensor, Tensor]:
    """Sum the probability of the true class, per class.

    Not reduced over ranks: pass both results through ``dist.all_sum``.

    Args:
        probabilities (Tensor): (B, C, H, W), in [0, 1].
        target (Tensor): (B, H, W), long, in [0, C) or ``ignore_index``.
        ignore_index (int): Target value that is left out.

    Returns:
        tuple[Tensor, Tensor]: sums (C,) and counts (C,), both fp64: one fp32
        sum over millions of pixels stops growing evenly.
    """
    num_classes = probabilities.shape[1]
    ignored = target == ignore_index
    safe = target.masked_fill(ignored, 0)
    values = probabilities.gather(1, safe[:, None]).flatten().double()
    slot = target.masked_fill(ignored, num_classes).flatten()
    sums = values.new_zeros(num_classes + 1).index_add_(0, slot, values)
    counts = values.new_zeros(num_classes + 1)
    counts.index_add_(0, slot, torch.ones_like(values))
    return sums[:-1], counts[:-1]


@torch.no_grad()
def moved_thresholds(thresholds: Tensor,
                     sums: Tensor,
                     counts: Tensor,
                     momentum: float = .999) -> Tensor:
    """Move each class's threshold towards its mean confidence.

    The result is not limited to [0.7, 0.9]: the code clamps where the
    threshold is used and lets the average itself run free.

    Args:
        thresholds (Tensor): (C,), 0.8 at first.
        sums (Tensor): (C,), over all ranks.
        counts (Tensor): (C,), over all ranks.
        momentum (float): Decay of the average.

    Returns:
        Tensor: (C,). Classes without pixels keep their threshold.
    """
    mean = (sums / counts.clamp_min(1)).to(thresholds.dtype)
    moved = momentum * thresholds + (1 - momentum) * mean
    return torch.where(counts > 0, moved, thresholds)
