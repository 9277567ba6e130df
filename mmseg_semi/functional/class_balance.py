# Copyright (c) mmseg_semi authors.
"""Weights of the classes against their imbalance (CMB Section 4.2)."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def class_counts(labels: Tensor,
                 num_classes: int,
                 mask: Optional[Tensor] = None) -> Tensor:
    """Count the pixels of every class, without waiting for the device.

    Not reduced over ranks: pass the result through ``dist.all_sum``.

    Args:
        labels (Tensor): Any shape, long; values outside [0, C) are left out.
        num_classes (int): C.
        mask (Tensor, optional): The shape of ``labels``, bool; counts where
            it is True.

    Returns:
        Tensor: (C,), long.
    """
    if mask is not None:
        labels = labels.masked_fill(~mask, -1)
    # A histogram, unlike bincount, has a size that the device need not tell;
    # fp64 counts beyond 2 ** 24 and the edges lie between the integers.
    return torch.histc(
        labels.double(), num_classes, min=-.5, max=num_classes - .5).long()


@torch.no_grad()
def balancing_weights(counts: Tensor) -> Tensor:
    """Root of the median frequency over the frequency.

    Args:
        counts (Tensor): (C,), pixels of every class in labels and
            pseudo-labels together, over all ranks.

    Returns:
        Tensor: (C,), fp32: sqrt(median(counts) / counts). Absent classes have
        the largest weight of the others. The median is that of all classes,
        unless more than half are absent: then of those present. All ones if
        nothing was counted.
    """
    counts = counts.double()
    present = counts > 0
    ordered = counts.sort().values
    median = _middle(ordered, torch.zeros_like(present.sum()))
    of_present = _middle(ordered, (~present).sum())
    median = torch.where(median > 0, median, of_present)
    weights = median / counts.masked_fill(~present, torch.inf)
    weights = torch.where(present, weights, weights.max()).sqrt().float()
    return torch.where(present.any(), weights, 1.)


def _middle(ordered: Tensor, skip: Tensor) -> Tensor:
    """Median of the sorted values behind the first ``skip``."""
    last = len(ordered) - 1
    places = torch.stack([(skip + last) // 2, (skip + last + 1) // 2])
    return ordered.gather(0, places.clamp_max(last)).mean()


@torch.no_grad()
def weights_at(weights: Tensor,
               labels: Tensor,
               ignore_index: int = 255) -> Tensor:
    """The weight of each pixel's class.

    Args:
        weights (Tensor): (C,).
        labels (Tensor): Any shape, long, in [0, C) or ``ignore_index``.
        ignore_index (int): Label whose weight is 0.

    Returns:
        Tensor: The shape of ``labels``, dtype of ``weights``.
    """
    slots = labels.masked_fill(labels == ignore_index, len(weights))
    return F.pad(weights, (0, 1))[slots]
