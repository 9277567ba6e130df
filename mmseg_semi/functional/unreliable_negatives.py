# Copyright (c) mmseg_semi authors.
"""U2PL's contrast with unreliable pixels (arXiv 2203.03884, Sec. 3.3).

A pixel whose class is uncertain still tells which classes it is not. Shapes
depend on the settings alone, so nothing here waits for the device.
"""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dist import world_size
from .filters import masked_percentile
from .precision import full_precision, upcast

RELIABLE = ('kept', 'lowest')


@torch.no_grad()
def reliability(entropy: Tensor,
                known: Tensor,
                keep_percent: float,
                reliable: str = 'kept') -> Tuple[Tensor, Tensor]:
    """Part pixels by the entropy of their prediction (Eq. 6).

    Percentiles are those of this GPU's pixels.

    Args:
        entropy (Tensor): (B, H, W).
        known (Tensor): (B, H, W), bool: pixels that take part.
        keep_percent (float): 100 (1 - alpha_t), in [0, 100].
        reliable (str): ``kept``: reliable is what is below this percentile,
            so everything that is not unreliable; ``lowest``: only the
            ``100 - keep_percent`` per cent of least entropy, as the
            authors' code does for its contrast.

    Returns:
        tuple[Tensor, Tensor]: reliable and unreliable, (B, H, W) bool.

    Raises:
        ValueError: ``reliable`` is unknown.
    """
    if reliable not in RELIABLE:
        raise ValueError(f'reliable={reliable!r} must be one of {RELIABLE}.')
    high = known & (entropy >= masked_percentile(entropy, known, keep_percent))
    if reliable == 'kept':
        return known & ~high, high
    lowest = masked_percentile(entropy, known, 100 - keep_percent)
    return known & (entropy <= lowest), high


@torch.no_grad()
def class_ranks(scores: Tensor) -> Tensor:
    """Place of every class in the order of falling scores, 0 the first.

    O_ij(c) of the paper; of equal scores the lower class id is first.

    Args:
        scores (Tensor): (N, C), probabilities or logits.

    Returns:
        Tensor: (N, C), long, a permutation of 0 ... C - 1 in each row.
    """
    order = scores.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(scores.shape[1], device=scores.device)
    return torch.empty_like(order).scatter_(1, order, places.expand_as(order))


@torch.no_grad()
def labeled_negatives(ranks: Tensor, labels: Tensor, low: int) -> Tensor:
    """Of which classes a labelled pixel is a negative, n^l(c).

    Of those it is not, if they are among the ``low`` most probable ones.

    Args:
        ranks (Tensor): (N, C), of :func:`class_ranks`.
        labels (Tensor): (N,), long. Pixels outside [0, C) are none's.
        low (int): r_l.

    Returns:
        Tensor: (N, C), bool.
    """
    num_classes = ranks.shape[1]
    known = (labels >= 0) & (labels < num_classes)
    own = labels[:, None] == torch.arange(num_classes, device=labels.device)
    return known[:, None] & ~own & (ranks < low)


@torch.no_grad()
def unreliable_negatives(ranks: Tensor, unreliable: Tensor, low: int,
                         high: int) -> Tensor:
    """Of which classes an unlabelled pixel is a negative, n^u(c).

    Of those it hardly is (rank ``low`` or later), but not of the very least
    probable ones (from rank ``high``).

    Args:
        ranks (Tensor): (N, C), of :func:`class_ranks`.
        unreliable (Tensor): (N,), bool.
        low (int): r_l.
        high (int): r_h.

    Returns:
        Tensor: (N, C), bool.
    """
    return unreliable[:, None] & (ranks >= low) & (ranks < high)


@torch.no_grad()
def draw_candidates(candidates: Tensor, number: int,
                    generator: torch.Generator) -> Tuple[Tensor, Tensor]:
    """Draw rows for every class, without replacement.

    Args:
        candidates (Tensor): (N, C), bool; a row may be several classes'.
        number (int): K, rows per class.
        generator (torch.Generator): On the device of ``candidates``.

    Returns:
        tuple[Tensor, Tensor]: index (C, K) long and valid (C, K) bool, False
        where the candidates ran out; the index is then arbitrary.
    """
    rows, num_classes = candidates.shape
    keys = torch.rand((num_classes, rows),
                      generator=generator,
                      device=candidates.device)
    keys = keys.masked_fill(~candidates.t(), -1.)
    best, index = keys.topk(min(number, rows), dim=1)
    short = (0, number - index.shape[1])
    return F.pad(index, short), F.pad(best, short, value=-1.) >= 0


@torch.no_grad()
def draw_negatives(queues: Tensor, counts: Tensor, anchors: int, number: int,
                   generator: torch.Generator) -> Tensor:
    """Rows of every class's queue for each of its anchors, with replacement.

    Args:
        queues (Tensor): (C, V, D).
        counts (Tensor): (C,), long, rows present, the first ones. Of an
            empty queue its first row is drawn, whatever it holds.
        anchors (int): M, anchors per class.
        number (int): N, rows per anchor.
        generator (torch.Generator): On the device of ``queues``.

    Returns:
        Tensor: (C, M, N, D).
    """
    num_classes, capacity, dim = queues.shape
    draws = torch.rand((num_classes, anchors, number),
                       generator=generator,
                       device=queues.device)
    places = (draws * counts[:, None, None]).long()
    # In fp32 a draw just below 1 times the count may round up to it.
    places = places.minimum((counts - 1).clamp_min(0)[:, None, None])
    first = torch.arange(num_classes, device=queues.device) * capacity
    places = (places + first[:, None, None]).flatten()
    return queues.reshape(-1, dim).index_select(0, places).view(
        num_classes, anchors, number, dim)


@full_precision
@torch.no_grad()
def class_sums(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sum of the features of every class.

    Args:
        features (Tensor): (B, D, h, w).
        labels (Tensor): (B, h, w), long. Pixels outside [0, C) do not count.
        num_classes (int): C.

    Returns:
        Tensor: (C, D), fp32 (fp64 for fp64 features).
    """
    features = upcast(features)
    classes = torch.arange(num_classes, device=labels.device)
    own = labels.flatten(1)[..., None] == classes
    sums = torch.bmm(features.flatten(2), own.to(features.dtype)).sum(0)
    return sums.t()


@full_precision
def negative_contrast(anchors: Tensor,
                      positives: Tensor,
                      negatives: Tensor,
                      temperature: float = .5) -> Tensor:
    """InfoNCE of every anchor with its positive and its negatives (Eq. 4).

    Similarity is the cosine. Gradient reaches the anchors alone.

    Args:
        anchors (Tensor): (C, M, D).
        positives (Tensor): (C, D), one of every class.
        negatives (Tensor): (C, M, N, D), of length 1 each.
        temperature (float): tau.

    Returns:
        Tensor: (C, M), fp32 (fp64 for fp64 anchors).
    """
    anchors = F.normalize(upcast(anchors), dim=2, eps=1e-8)
    positives = positives.detach().to(anchors.dtype)
    positives = F.normalize(positives, dim=1, eps=1e-8)
    alike = torch.einsum('cmd,cd->cm', anchors, positives)
    unlike = torch.einsum('cmd,cmnd->cmn', anchors,
                          negatives.detach().to(anchors.dtype))
    logits = torch.cat([alike[..., None], unlike], dim=2) / temperature
    return logits.logsumexp(dim=2) - logits[..., 0]


def anchor_mean(losses: Tensor, drawn: Tensor, share: Tensor, active: Tensor,
                divisor: Tensor) -> Tensor:
    """Mean over a class's anchors of all GPUs, then over classes (Eq. 4).

    A GPU draws of its own candidates. Weighing its mean by its share of them
    gives what drawing from all GPUs' candidates gives on average.

    Args:
        losses (Tensor): (C, M), finite.
        drawn (Tensor): (C, M), bool, False in places without an anchor.
        share (Tensor): (C,), of the candidates of all GPUs this one's.
        active (Tensor): (C,), bool, the same on all GPUs: classes that count.
        divisor (Tensor): 0-dim, by how many classes to divide.

    Returns:
        Tensor: 0-dim. An exact zero, attached to the graph, if no class is
        active.
    """
    means = (losses * drawn).sum(1) / drawn.sum(1).clamp_min(1)
    total = (means * share).masked_fill(~active, 0.).sum()
    return total * world_size() / divisor.clamp_min(1)
