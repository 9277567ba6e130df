# Copyright (c) mmseg_semi authors.
"""Prototype similarity, loss and update of PCR and BRPG.

A store of prototypes is a tensor (C, K, D) with a mask (C, K), because
classes may have different numbers of them.
"""
from typing import Optional, Tuple

import torch
from torch import Tensor

from .losses import cross_entropy, ohem_cross_entropy, pixel_losses
from .maximum import max_along
from .precision import full_precision, upcast

# As in F.cosine_similarity.
EPS = 1e-8


def _unit(vectors: Tensor) -> Tensor:
    """L2-normalise; a zero vector stays zero and gets no gradient."""
    # Not vector_norm, whose backward pass masks the whole result.
    square = vectors.square().sum(dim=-1, keepdim=True)
    scale = square.clamp_min(EPS**2).rsqrt()
    return vectors * scale.masked_fill(square <= EPS**2, 0.)


@full_precision
def prototype_similarity(features: Tensor, prototypes: Tensor,
                         valid: Tensor) -> Tensor:
    """Cosine similarity to every prototype.

    Args:
        features (Tensor): (N, D).
        prototypes (Tensor): (C, K, D), not normalised.
        valid (Tensor): (C, K), bool.

    Returns:
        Tensor: (N, C, K), fp32 (fp64 for fp64 features), in [-1, 1]; -inf
        where there is no prototype.
    """
    features = _unit(upcast(features))
    prototypes = _unit(prototypes.detach().to(features.dtype)).flatten(0, 1)
    absent = torch.zeros_like(prototypes[:, :1])
    absent = absent.masked_fill(~valid.view(-1, 1), -torch.inf)
    # Samples last in memory: reductions over classes then run in parallel.
    similarity = torch.addmm(absent, prototypes, features.t())
    return similarity.view(*valid.shape, -1).permute(2, 0, 1)


@full_precision
def prototype_logits(similarity: Tensor, temperature: float) -> Tensor:
    """Class scores: the best prototype of the class, over the temperature.

    PCR Eq. 2, BRPG Eq. 15 and 16.

    Args:
        similarity (Tensor): (N, C, K), -inf where there is no prototype.
        temperature (float): tau, 0.1 in both papers.

    Returns:
        Tensor: (N, C); -inf for a class without prototypes.
    """
    # Samples last, as prototype_similarity lays them out.
    best, _ = max_along(upcast(similarity).permute(1, 2, 0), dim=1)
    return best.t() / temperature


@full_precision
def prototype_loss(logits: Tensor,
                   target: Tensor,
                   ignore_index: int = 255,
                   normalizer: str = 'valid',
                   ohem: Optional[dict] = None) -> Tensor:
    """Cross entropy of the prototype classifier.

    PCR Eq. 6 and 10, BRPG Eq. 17 and 18. Samples that are ignored, or whose
    class has no prototype yet, contribute nothing. The mean is over the
    samples of all ranks (the official code of BRPG divides the gradient once
    more by the number of GPUs).

    Args:
        logits (Tensor): (N, C), -inf for a class without prototypes.
        target (Tensor): (N,), long, in [0, C) or ``ignore_index``.
        ignore_index (int): Target value that contributes nothing.
        normalizer (str): See :func:`cross_entropy`; the samples take the
            place of the pixels.
        ohem (dict, optional): ``thresh`` and ``min_kept`` of
            :func:`ohem_cross_entropy` on the samples, instead of the mean.

    Returns:
        Tensor: 0-dim. 0, attached to the graph, if no sample counts.
    """
    logits = upcast(logits)
    known = target.masked_fill(target == ignore_index, 0)
    own = logits.detach().gather(1, known[:, None]).squeeze(1)
    target = target.masked_fill(own.isneginf(), ignore_index)
    # A finite floor: a row of -inf would turn the gradient into NaN.
    logits = logits.clamp_min(torch.finfo(logits.dtype).min)
    # As one image of N pixels, which is several times faster on the CPU.
    losses = pixel_losses(logits.t()[None], target[None], ignore_index)[0]
    if ohem is not None:
        return ohem_cross_entropy(
            logits, target, losses=losses, ignore_index=ignore_index, **ohem)
    return cross_entropy(
        logits,
        target,
        losses=losses,
        normalizer=normalizer,
        ignore_index=ignore_index)


@full_precision
@torch.no_grad()
def assigned_sums(features: Tensor,
                  similarity: Tensor,
                  target: Tensor,
                  ignore_index: int = 255) -> Tuple[Tensor, Tensor]:
    """Sum the features that move each prototype (of BRPG Eq. 22).

    Every sample goes to the most similar prototype of its own class. Not
    reduced over ranks: pass both results through ``dist.all_sum``.

    Args:
        features (Tensor): (N, D), raw, not normalised. A row that is not
            finite (fp16 overflow) is left out.
        similarity (Tensor): (N, C, K) of the same features; not finite
            exactly where a feature is not, or where there is no prototype.
        target (Tensor): (N,), long, in [0, C) or ``ignore_index``.
        ignore_index (int): Target value of samples that move nothing.

    Returns:
        tuple[Tensor, Tensor]: sums (C, K, D) and counts (C, K), floating
        point, detached.
    """
    features = upcast(features)
    _, num_classes, number = similarity.shape
    usable = target != ignore_index
    safe = target.masked_fill(~usable, 0)
    by_class = similarity.permute(1, 2, 0)
    own = by_class.gather(0, safe.expand(1, number, -1)).squeeze(0)
    best, nearest = max_along(own, dim=0)
    usable = usable & best.isfinite()
    unused = num_classes * number
    slot = (safe * number + nearest).masked_fill(~usable, unused)
    sums = features.new_zeros(unused + 1, features.shape[1])
    sums.index_add_(0, slot, features)
    counts = features.new_zeros(unused + 1)
    counts.index_add_(0, slot, torch.ones_like(counts[:1]).expand_as(best))
    return (sums[:-1].view(num_classes, number,
                           -1), counts[:-1].view(num_classes, number))


@torch.no_grad()
def moved_prototypes(prototypes: Tensor, sums: Tensor, counts: Tensor,
                     momentum: float) -> Tensor:
    """Move each prototype towards the mean of its features.

    BRPG Eq. 22; PCR Eq. 11 with the mean of the iteration, as its code. The
    result is not normalised.

    Args:
        prototypes (Tensor): (C, K, D).
        sums (Tensor): (C, K, D), over all ranks.
        counts (Tensor): (C, K), over all ranks.
        momentum (float): 0.99 in both papers.

    Returns:
        Tensor: (C, K, D). Prototypes without samples are unchanged.
    """
    counts = counts[..., None]
    mean = (sums / counts.clamp_min(1)).to(prototypes.dtype)
    moved = momentum * prototypes + (1 - momentum) * mean
    return torch.where(counts > 0, moved, prototypes)
