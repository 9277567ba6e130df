# Copyright (c) mmseg_semi authors.
"""Cross entropies whose value does not depend on the number of GPUs."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dist import all_sum, world_size
from .precision import full_precision, upcast

NORMALIZERS = ('valid', 'all', 'kept_boost', 'weight', 'non_padding')


def global_mean(total: Tensor, count: Tensor) -> Tensor:
    """Divide a local sum by the number of terms on all ranks.

    DDP averages gradients over ranks, hence the factor W: the average of the
    result over the ranks, and of its gradient, is the mean over all terms of
    all ranks, whatever their distribution.

    Args:
        total (Tensor): 0-dim local sum, attached to the graph. Must be a
            finite number (0) where the local count is 0.
        count (Tensor): 0-dim local number of terms or sum of weights,
            detached.

    Returns:
        Tensor: 0-dim. An exact 0 with an exact-0 gradient if the count is 0
        on every rank.
    """
    total = upcast(total)
    count = all_sum(count).to(total.dtype)
    scale = torch.where(count > 0, world_size() / count, 0.)
    return total * scale


@full_precision
def pixel_losses(logits: Tensor,
                 target: Tensor,
                 ignore_index: int = 255) -> Tensor:
    """Cross entropy per pixel, which several criteria may share.

    Args:
        logits (Tensor): (N, C, *). Half precision is computed in fp32.
        target (Tensor): (N, *), long, in [0, C) or ``ignore_index``.
        ignore_index (int): Target value whose loss is exactly 0.

    Returns:
        Tensor: (N, *), fp32 (fp64 for fp64 logits).
    """
    return F.cross_entropy(
        upcast(logits), target, ignore_index=ignore_index, reduction='none')


@full_precision
def pixel_entropies(logits: Tensor) -> Tensor:
    """Entropy of the softmax per pixel, with gradient (CMB Eq. 7).

    Args:
        logits (Tensor): (N, C, *). Half precision is computed in fp32.

    Returns:
        Tensor: (N, *), in nats, fp32 (fp64 for fp64 logits).
    """
    log_probabilities = upcast(logits).log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)


@full_precision
def cross_entropy(logits: Tensor,
                  target: Tensor,
                  *,
                  weight: Optional[Tensor] = None,
                  normalizer: str = 'valid',
                  valid: Optional[Tensor] = None,
                  losses: Optional[Tensor] = None,
                  ignore_index: int = 255) -> Tensor:
    """Cross entropy with a named normaliser, counted over all ranks.

    With ``kept`` the pixels that are neither ignored nor invalid:

    ============  ======================================================
    normalizer    value
    ============  ======================================================
    valid         sum / #kept
    all           sum / #pixels (CMB)
    kept_boost    sum / #kept * (#pixels / #kept): the official code of
                  U2PL and BRPG; BRPG's Eq. 6 prints ``valid``
    weight        sum / sum of the weights of kept pixels
    non_padding   sum / #valid, dropped pixels included (UniMatch)
    ============  ======================================================

    The official codes count per GPU; here the counts are global, so the
    result does not depend on the number of GPUs.

    Args:
        logits (Tensor): (N, C, *). Half precision is computed in fp32.
        target (Tensor): (N, *), long, in [0, C) or ``ignore_index``.
        weight (Tensor, optional): (N, *), non-negative; multiplies the loss
            of each pixel. Detached by the caller.
        normalizer (str): See the table.
        valid (Tensor, optional): (N, *), bool, False on padding. Such pixels
            contribute nothing. Required by 'non_padding'.
        losses (Tensor, optional): :func:`pixel_losses` of ``logits`` and
            ``target``, if the caller has them already.
        ignore_index (int): Target value that contributes nothing.

    Returns:
        Tensor: 0-dim, fp32 (fp64 for fp64 logits). 0, attached to the graph,
        if nothing is kept.

    Raises:
        ValueError: Unknown normalizer, or its map is missing.
    """
    if normalizer not in NORMALIZERS:
        raise ValueError(f'normalizer={normalizer!r} is not one of '
                         f'{NORMALIZERS}.')
    if normalizer == 'weight' and weight is None:
        raise ValueError("normalizer='weight' needs `weight`.")
    if normalizer == 'non_padding' and valid is None:
        raise ValueError("normalizer='non_padding' needs `valid`.")
    kept = target != ignore_index
    if valid is not None:
        kept = kept & valid
        target = target.masked_fill(~valid, ignore_index)
    if losses is None:
        losses = pixel_losses(logits, target, ignore_index)
    elif valid is not None:
        losses = losses.masked_fill(~valid, 0.)
    if weight is not None:
        losses = losses * weight.to(losses.dtype).masked_fill(~kept, 0.)
    total = losses.sum()
    if normalizer == 'all':
        return global_mean(total, _pixel_count(kept))
    if normalizer == 'weight':
        weight = weight.detach().to(total.dtype)
        return global_mean(total, weight.masked_fill(~kept, 0.).sum())
    if normalizer == 'non_padding':
        return global_mean(total, valid.sum())
    if normalizer == 'kept_boost':
        num_kept, num_pixels = all_sum(
            torch.stack([kept.sum(), _pixel_count(kept)])).to(total.dtype)
        scale = world_size() / num_kept * (num_pixels / num_kept)
        return total * torch.where(num_kept > 0, scale, 0.)
    return global_mean(total, kept.sum())


def _pixel_count(pixels: Tensor) -> Tensor:
    """Number of elements as a 0-dim tensor, filled on the device."""
    return torch.full((), pixels.numel(), device=pixels.device)


@full_precision
def ohem_cross_entropy(logits: Tensor,
                       target: Tensor,
                       *,
                       thresh: float = 0.7,
                       min_kept: int = 100_000,
                       losses: Optional[Tensor] = None,
                       ignore_index: int = 255) -> Tensor:
    """Cross entropy over the hard pixels, as the code of U2PL and BRPG does.

    A pixel is kept if the probability of its label is at most
    ``max(thresh, the min_kept-th smallest such probability)``. The selection
    is made per GPU over its whole batch (mmseg's ``OHEMPixelSampler`` counts
    per image); a GPU with fewer than ``min_kept`` labelled pixels keeps them
    all. The mean over kept pixels is taken over all ranks.

    Args:
        logits (Tensor): (N, C, *). Half precision is computed in fp32.
        target (Tensor): (N, *), long, in [0, C) or ``ignore_index``.
        thresh (float): In [0, 1]; pixels up to it are always kept.
        min_kept (int): Number of pixels kept at least, per GPU. With 0 the
            threshold alone decides; the code of U2PL keeps all pixels then.
        losses (Tensor, optional): :func:`pixel_losses` of ``logits`` and
            ``target``, if the caller has them already.
        ignore_index (int): Target value that contributes nothing.

    Returns:
        Tensor: 0-dim. 0, attached to the graph, if all is ignored.
    """
    labelled = target != ignore_index
    if losses is None:
        losses = pixel_losses(logits, target, ignore_index)
    if losses.numel() < min_kept:
        return global_mean(losses.sum(), labelled.sum())
    # exp(-ce) is the probability of the label; an ignored pixel counts as 1.
    probability = losses.detach().neg().exp()
    if min_kept > 0:
        hardest = probability.flatten().kthvalue(min_kept).values
        few = labelled.sum() < min_kept
        kept = labelled & (few | (probability <= hardest.clamp_min(thresh)))
    else:
        kept = labelled & (probability <= thresh)
    return global_mean(losses.masked_fill(~kept, 0.).sum(), kept.sum())
