# Copyright (c) mmseg_semi authors.
"""Scores of prototypes turned into scores of classes (PPS, ACM MM 2022).

Prototypes are class-major: prototype j of class k has the index k n + j.
"""
import torch
from torch import Tensor

from .precision import full_precision, upcast

ASSIGNMENTS = ('lse', 'sum_logits', 'literal', 'softmax_sum')

LITERAL_LIMIT = 15.
"""exp of more than this, inside a softmax, is useless and soon infinite."""


def prototypes_per_class(num_prototypes: int, num_classes: int) -> int:
    """n, the same for every class (Section 3.4).

    Raises:
        ValueError: The prototypes are not a multiple of the classes.
    """
    if num_prototypes < 1 or num_prototypes % num_classes:
        raise ValueError(
            f'{num_prototypes} prototypes cannot be shared out evenly among '
            f'{num_classes} classes: use a multiple of {num_classes}, for '
            f'example {num_classes * max(1, num_prototypes // num_classes)}.')
    return num_prototypes // num_classes


@full_precision
def class_scores(scores: Tensor,
                 num_classes: int,
                 assign: str = 'lse') -> Tensor:
    """Class scores z, whose softmax is p_c (Eq. 8-9).

    The paper prints p_c = f(sum of p_m over the class), f(x) = softmax(psi(
    sigmoid(x))) and psi(u) = u / (1 - u), so that psi(sigmoid(x)) = exp(x).
    What is summed is open, with s the dot products:

    ===========  =======================================================
    assign       z_c
    ===========  =======================================================
    lse          log of the sum of exp(s): psi(sigmoid) of each prototype,
                 then sum and normalisation. p_c is the sum of the softmax
                 probabilities of its prototypes, and the softmax at n = 1
    sum_logits   sum of s: psi read as the logit. One linear centroid
    literal      exp(sum of s), the exponent cut at 15
    softmax_sum  exp(sum of the softmax probabilities); at most e, so the
                 cross-entropy cannot fall below 1.52 for 21 classes
    ===========  =======================================================

    Args:
        scores (Tensor): (B, n C, *), class-major.
        num_classes (int): C.
        assign (str): See the table.

    Returns:
        Tensor: (B, C, *), fp32 (fp64 for fp64 scores).

    Raises:
        ValueError: Unknown ``assign``, or prototypes that are not a multiple
            of the classes.
    """
    if assign not in ASSIGNMENTS:
        raise ValueError(f'assign={assign!r} is unknown: use one of '
                         f'{ASSIGNMENTS}.')
    prototypes_per_class(scores.shape[1], num_classes)
    scores = upcast(scores)
    if assign == 'softmax_sum':
        scores = scores.softmax(dim=1)
    grouped = scores.unflatten(1, (num_classes, -1))
    if assign == 'lse':
        return grouped.logsumexp(dim=2)
    total = grouped.sum(dim=2)
    if assign == 'sum_logits':
        return total
    return total.clamp_max(LITERAL_LIMIT).exp()


@torch.no_grad()
def draw_prototypes(num_classes: int, per_class: int,
                    generator: torch.Generator) -> Tensor:
    """One random prototype of every class, k n + r_k (Eq. 10).

    The printed index n j + random(n), j from 1, overruns the prototypes by
    one class; here classes count from 0.

    Args:
        num_classes (int): C.
        per_class (int): n.
        generator (torch.Generator): On the device of the result.

    Returns:
        Tensor: (C,), long.
    """
    device = generator.device
    chosen = torch.randint(
        per_class, (num_classes, ), generator=generator, device=device)
    return torch.arange(num_classes, device=device) * per_class + chosen


def activation_logits(scores: Tensor, drawn: Tensor) -> Tensor:
    """Class logits of the drawn prototypes alone (Eq. 10).

    The softmax over these logits is the softmax over all prototypes,
    normalised again over the drawn ones.

    Args:
        scores (Tensor): (B, N_p, *).
        drawn (Tensor): (C,), of :func:`draw_prototypes`.

    Returns:
        Tensor: (B, C, *), of the dtype of ``scores``.
    """
    return scores.index_select(1, drawn)
