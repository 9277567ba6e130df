# Copyright (c) mmseg_semi authors.
"""Which pseudo-labels are kept."""
import math
from typing import Optional, Tuple, Union

import torch
from torch import Tensor

from .maximum import max_along
from .precision import full_precision, upcast


@full_precision
@torch.no_grad()
def softmax_entropy(logits: Tensor, dim: int = 1) -> Tensor:
    """Entropy of the softmax, in nats.

    Exact, without the 1e-10 that the official codes add inside the logarithm.

    Args:
        logits (Tensor): Class scores along ``dim``. Half precision is
            computed in fp32; -inf is a probability of 0.
        dim (int): Class dimension.

    Returns:
        Tensor: The shape of ``logits`` without ``dim``, in [0, ln C].
    """
    logits = upcast(logits)
    shifted = logits - logits.amax(dim, keepdim=True)
    odds = shifted.exp()
    return _entropy(shifted, odds, odds.sum(dim), dim)


@full_precision
@torch.no_grad()
def predictions(
        logits: Tensor,
        dim: int = 1,
        entropy: bool = False) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    """The class of the largest softmax probability.

    Args:
        logits (Tensor): Class scores along ``dim``. Half precision is
            computed in fp32; -inf is a probability of 0.
        dim (int): Class dimension.
        entropy (bool): Also return what :func:`softmax_entropy` does, which
            needs the same exponentials.

    Returns:
        tuple[Tensor, Tensor, Tensor | None]: Class, long; its probability;
        the entropy or None. The shape of ``logits`` without ``dim``.
    """
    logits = upcast(logits)
    best, label = max_along(logits, dim)
    shifted = logits - best.unsqueeze(dim)
    odds = shifted.exp()  # against the most probable class
    total = odds.sum(dim)
    return label, total.reciprocal(), _entropy(shifted, odds, total,
                                               dim) if entropy else None


def _entropy(shifted: Tensor, odds: Tensor, total: Tensor, dim: int) -> Tensor:
    """ln(total) - sum(odds * shifted) / total; overwrites its arguments."""
    # A finite floor: 0 * -inf would be NaN.
    shifted.clamp_min_(torch.finfo(shifted.dtype).min)
    return total.log() - odds.mul_(shifted).sum(dim) / total


@torch.no_grad()
def masked_percentile(values: Tensor, mask: Tensor,
                      q: Union[float, Tensor]) -> Tensor:
    """``np.percentile(values[mask], q)`` (linear) without leaving the device.

    ``torch.quantile`` is limited to 2 ** 24 elements and would need the
    selected values, whose number only the device knows.

    Args:
        values (Tensor): Any shape, floating point.
        mask (Tensor): Same shape, bool.
        q (float or Tensor): In [0, 100]; a tensor is 0-dim.

    Returns:
        Tensor: 0-dim; NaN if the mask is empty.
    """
    values = upcast(values).masked_fill(~mask, -torch.inf).flatten()
    last = mask.sum() - 1
    # fp64 holds every index; fp32 would not from 2 ** 24 on.
    fraction = q.double() / 100 if torch.is_tensor(q) else q / 100
    # However many values are selected, the percentile is among so many of the
    # largest: far fewer to sort than all, for the high percentiles in use.
    number = len(values)
    if not torch.is_tensor(q):
        number = min(number, math.ceil((number - 1) * (1 - fraction)) + 2)
    largest = values.topk(number).values
    position = last.clamp_min(0).double() * fraction
    below = position.floor().long()
    above = torch.minimum(below + 1, last.clamp_min(0))
    places = (last - torch.stack([below, above])).clamp_min(0)
    # gather, because indexing with a 0-dim tensor synchronises.
    low, high = largest.gather(0, places)
    result = low + (high - low) * (position - below).to(low.dtype)
    return torch.where(last >= 0, result, torch.nan)


@torch.no_grad()
def entropy_filter(entropy: Tensor, valid: Tensor,
                   keep_percent: Union[float, Tensor]) -> Tensor:
    """Keep the pixels of lowest entropy (BRPG Eq. 5, as U2PL's code).

    The threshold is the percentile over this GPU's valid pixels. Pixels at
    the threshold are dropped, so even ``keep_percent=100`` drops the maximum.

    Args:
        entropy (Tensor): (B, H, W).
        valid (Tensor): (B, H, W), bool: pixels that take part.
        keep_percent (float or Tensor): In [0, 100].

    Returns:
        Tensor: (B, H, W), bool; all False if nothing is valid.
    """
    return valid & (entropy < masked_percentile(entropy, valid, keep_percent))


@torch.no_grad()
def confidence_filter(confidence: Tensor, valid: Tensor,
                      threshold: Union[float, Tensor]) -> Tensor:
    """Keep the pixels with at least the given confidence (BRPG Eq. 4).

    Args:
        confidence (Tensor): (B, H, W), in [0, 1].
        valid (Tensor): (B, H, W), bool: pixels that take part.
        threshold (float or Tensor): A number, or a map that broadcasts.

    Returns:
        Tensor: (B, H, W), bool.
    """
    return valid & (confidence >= threshold)
