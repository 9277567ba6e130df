# Copyright (c) mmseg_semi authors.
"""CMB's memory and contrastive loss (arXiv 2104.13415, Sec. 3.3-3.4).

Every feature is compared with every vector that memory holds of its class.
Both sides are weighted by themselves, never as a pair, so the mean over all
pairs is exactly a cosine with one vector per class (:func:`class_directions`)
and the table of pairs is not needed.
"""
import math
from numbers import Real
from typing import Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..dist import all_sum, world_size
from .precision import full_precision, upcast
from .prototypes import EPS


@full_precision
def masked_batch_norm(rows: Tensor,
                      keep: Tensor,
                      weight: Tensor,
                      bias: Tensor,
                      eps: float = 1e-5) -> Tensor:
    """Train-mode BatchNorm1d whose statistics come from some rows only.

    Equals dropping the other rows first, at a fixed shape. Without a kept
    row the statistics are those of zeros, with one it becomes 0.

    Args:
        rows (Tensor): (N, D).
        keep (Tensor): (N,), bool.
        weight (Tensor): (D,).
        bias (Tensor): (D,).
        eps (float): Added to the variance.

    Returns:
        Tensor: (N, D), fp32 (fp64 for fp64 rows), the other rows included.
    """
    rows = upcast(rows)
    share = keep.to(rows.dtype)
    share = share / share.sum().clamp_min(1)
    centred = rows - share @ rows
    variance = share @ centred.square()
    return centred * (weight * (variance + eps).rsqrt()) + bias


class _ClassCosine(torch.autograd.Function):
    """Product of a normalised row with the vector of its class.

    Autograd would hold three arrays of the rows' size; here the gradient is
    the only one.
    """

    @staticmethod
    def forward(ctx, rows, vectors, labels):
        norm = torch.linalg.vector_norm(rows, dim=1)
        inverse = norm.clamp_min(EPS).reciprocal().masked_fill(norm <= EPS, 0.)
        product = (rows @ vectors.t()).gather(1, labels[:, None])[:, 0]
        cosine = product * inverse
        ctx.save_for_backward(rows, vectors, labels, inverse, cosine)
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, vectors, labels, inverse, cosine = ctx.saved_tensors
        grad = grad * inverse
        spread = grad.new_zeros(len(rows), len(vectors))
        spread.scatter_(1, labels[:, None], grad[:, None])
        grad_rows = vectors.index_select(0, labels).mul_(grad[:, None])
        grad_rows.addcmul_(rows, (grad * inverse * cosine)[:, None], value=-1)
        return grad_rows, spread.t() @ rows, None


@full_precision
def class_directions(bank: Tensor,
                     present: Tensor,
                     attention: Optional[Tensor] = None) -> Tensor:
    """Attention-weighted mean of the normalised vectors of every class.

    z_c = mean over z' of w_z' z' / |z'|, with w_z' of Eq. 8. Not normalised:
    the less the vectors agree, the shorter it is.

    Args:
        bank (Tensor): (C, V, D). Carries no gradient.
        present (Tensor): (C, V), bool.
        attention (Tensor, optional): (C, V) positive; w is proportional to
            it. None weighs all alike.

    Returns:
        Tensor: (C, D), fp32 (fp64 for an fp64 bank). 0 without vectors.
    """
    bank = upcast(bank.detach())
    weight = present.to(bank.dtype)
    if attention is not None:
        weight = weight * attention.to(bank.dtype)
    total = weight.sum(dim=1, keepdim=True)
    weight = weight / total.masked_fill(total == 0, 1.)
    return torch.bmm(weight[:, None], F.normalize(bank, dim=2))[:, 0]


@full_precision
def class_cosine(features: Tensor, labels: Tensor,
                 directions: Tensor) -> Tensor:
    """Product of every normalised feature with the direction of its class.

    Args:
        features (Tensor): (N, D), the predictions p.
        labels (Tensor): (N,), long. Rows outside [0, C) get any value.
        directions (Tensor): (C, D), of :func:`class_directions`. Gradient
            passes to the attention inside.

    Returns:
        Tensor: (N,), fp32 (fp64 for fp64 features).
    """
    features = upcast(features)
    valid = (labels >= 0) & (labels < len(directions))
    return _ClassCosine.apply(features, directions.to(features.dtype),
                              labels.masked_fill(~valid, 0))


@full_precision
def contrastive_loss(cosine: Tensor,
                     labels: Tensor,
                     present: Tensor,
                     attention: Optional[Tensor] = None) -> Tensor:
    """CMB's positive-only contrastive loss (Eq. 8-11), factorised.

    L_c = mean over p of w_p (1 - p / |p| . z_c) and their sum over classes
    divided by C. A class with fewer than two features, or fewer than two
    vectors in memory, contributes 0 and still counts in C. Means and weights
    are over the features of all ranks.

    Args:
        cosine (Tensor): (N,), of :func:`class_cosine`.
        labels (Tensor): (N,), long. Rows outside [0, C) do not count.
        present (Tensor): (C,), bool, False where memory has too little.
        attention (Tensor, optional): (N,) positive; w_p is proportional to
            it, with mean 1 over a class (Eq. 8). It receives gradient; its
            scores must come from detached features. None: all alike.

    Returns:
        Tensor: 0-dim, of the dtype of ``cosine``.
    """
    num_classes = len(present)
    valid = (labels >= 0) & (labels < num_classes)
    slots = labels.masked_fill(~valid, num_classes)

    def class_sums(values: Tensor) -> Tensor:
        sums = values.new_zeros(num_classes + 1)
        return sums.index_add(0, slots, values)[:-1]

    distance, ones = 1 - cosine, torch.ones_like(cosine)
    mass = ones if attention is None else attention.to(cosine.dtype)
    weighted, mass = class_sums(mass * distance), class_sums(mass)
    totals = all_sum(torch.stack([weighted, mass, class_sums(ones)]))
    counts = present & (totals[2] > 1)
    divisor = totals[1].masked_fill(~counts, 1.)
    # The mass of all ranks is a constant here; what its gradient would be is
    # added through this rank's part, at value 0.
    change = totals[0] / divisor * (mass - mass.detach())
    means = (weighted - change) / divisor
    total = means.masked_fill(~counts, 0.).sum()
    return total * (world_size() / num_classes)


@torch.no_grad()
def quality_filter(probabilities: Tensor, labels: Tensor,
                   threshold: float) -> Tensor:
    """Which labelled features may enter memory (Sec. 3.4).

    Args:
        probabilities (Tensor): (..., C), the teacher's.
        labels (Tensor): (...), long; an ignored label never passes.
        threshold (float): phi, 0.95 in the paper.

    Returns:
        Tensor: (...), bool: predicted right, with more than the threshold.
    """
    confidence, predicted = probabilities.max(dim=-1)
    return (predicted == labels) & (confidence > threshold)


@torch.no_grad()
def best_rows(scores: Tensor, labels: Tensor, num_classes: int,
              number: int) -> Tuple[Tensor, Tensor]:
    """The rows of highest score of every class, at a fixed shape.

    Args:
        scores (Tensor): (N,), finite.
        labels (Tensor): (N,), long. Rows outside [0, C) are not chosen.
        num_classes (int): C.
        number (int): K, rows per class.

    Returns:
        tuple[Tensor, Tensor]: index (C, k) long into the rows, worst first,
        and valid (C, k) bool, False where a class has fewer; k = min(K, N).
    """
    classes = torch.arange(num_classes, device=labels.device)[:, None]
    scores = torch.where(labels == classes, scores, -torch.inf)
    index = scores.topk(min(number, len(labels)), dim=1).indices.flip(1)
    return index, labels[index] == classes


def memory_rows_per_image(rule: Union[str, float], capacity: int,
                          num_labeled: Optional[int],
                          num_classes: int) -> float:
    """How many vectors an image adds to each class of memory, at most.

    ``city``: max(1, round(V / n)), the official code on Cityscapes; ``voc``:
    max(1, floor(C / 3 round(V / n))), the official code on VOC; ``paper``:
    max(1, V / n), not rounded. All vectors of a batch compete together, so
    what counts is this number times the images of the batch.

    Args:
        rule (str | float): One of these, or the number itself.
        capacity (int): V, vectors per class.
        num_labeled (int, optional): n, labelled images; a number does not
            need it.
        num_classes (int): C.

    Returns:
        float: More than 0; by a rule at least 1.

    Raises:
        ValueError: Unknown rule, a number that is not positive, or no n.
    """
    if isinstance(rule, Real) and not isinstance(rule, bool):
        if not 0 < rule < math.inf:
            raise ValueError(f'rows_per_image={rule} must be more than 0.')
        return rule
    if rule not in ('city', 'voc', 'paper'):
        raise ValueError(f'rows_per_image={rule!r} is unknown: use "city", '
                         '"voc", "paper" or a number.')
    if not num_labeled or num_labeled < 1:
        raise ValueError(f'rows_per_image={rule!r} needs num_labeled, the '
                         f'number of labelled images; got {num_labeled}.')
    share = capacity / num_labeled
    if rule == 'paper':
        return max(1., share)
    if rule == 'voc':
        return max(1, int(num_classes / 3 * round(share)))
    return max(1, round(share))
