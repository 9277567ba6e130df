# Copyright (c) mmseg_semi authors.
"""Focal and dice loss between masks (MaskFormer), on logits.

Both give one value per mask; the caller sums and normalises.
"""
from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision, upcast


def _pixel_sum(values: Tensor, valid: Optional[Tensor]) -> Tensor:
    """Sum over the last two dimensions, without what is not valid."""
    if valid is not None:
        values = values.masked_fill(~valid, 0.)
    return values.sum((-2, -1))


@full_precision
def mask_focal_loss(logits: Tensor,
                    targets: Tensor,
                    valid: Optional[Tensor] = None,
                    alpha: float = .25,
                    gamma: float = 2.) -> Tensor:
    """Binary focal loss, mean over the pixels of a mask.

    -alpha_t (1 - p_t)^gamma log p_t, where p_t is the probability of the
    target and alpha_t is alpha on it and 1 - alpha off it.

    Args:
        logits (Tensor): (..., H, W). Half precision is computed in fp32.
        targets (Tensor): (..., H, W) of 0 and 1, bool or floating point.
        valid (Tensor, optional): bool, broadcasts to ``logits``; pixels
            that are not valid take no part.
        alpha (float): In [0, 1].
        gamma (float): At least 0.

    Returns:
        Tensor: (...), fp32 (fp64 for fp64 logits); an exact 0 for a mask
        without valid pixel.
    """
    logits = upcast(logits)
    targets = targets.to(logits.dtype)
    against = logits * (1 - 2 * targets)  # the logit of the wrong answer
    weight = 1 - alpha + (2 * alpha - 1) * targets
    losses = weight * against.sigmoid()**gamma * F.softplus(against)
    total = _pixel_sum(losses, valid)
    if valid is None:
        return total / (logits.shape[-2] * logits.shape[-1])
    count = valid.expand(logits.shape).sum((-2, -1))
    return total / count.clamp_min(1)


@full_precision
def mask_dice_loss(logits: Tensor,
                   targets: Tensor,
                   valid: Optional[Tensor] = None,
                   eps: float = 1.) -> Tensor:
    """1 - (2 sum(p t) + eps) / (sum(p) + sum(t) + eps) over a mask's pixels.

    Args:
        logits (Tensor): (..., H, W). Half precision is computed in fp32.
        targets (Tensor): (..., H, W) of 0 and 1, bool or floating point.
        valid (Tensor, optional): bool, broadcasts to ``logits``; pixels
            that are not valid take no part.
        eps (float): Positive.

    Returns:
        Tensor: (...), in [0, 1), fp32 (fp64 for fp64 logits).
    """
    probability = upcast(logits).sigmoid()
    targets = targets.to(probability.dtype)
    overlap = _pixel_sum(probability * targets, valid)
    areas = _pixel_sum(probability, valid) + _pixel_sum(targets, valid)
    return 1 - (2 * overlap + eps) / (areas + eps)
