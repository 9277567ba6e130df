# Copyright (c) mmseg_semi authors.
"""Bipartite matching between queries and segments (MaskFormer).

The costs of the whole batch, and of all decoder layers where they are given,
are computed at once and reach the host in one transfer; the Hungarian
algorithm itself takes microseconds per image there.
"""
import warnings
from typing import Dict, Optional

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .precision import full_precision, upcast

COST_WEIGHTS = dict(cls=1., focal=20., dice=1.)
"""MaskFormer's."""

LARGEST = 1e6
"""No cost is larger."""

WORST = 2 * LARGEST
"""In place of a cost that is no number."""


@full_precision
@torch.no_grad()
def matching_costs(mask_logits: Tensor,
                   class_logits: Optional[Tensor],
                   labels: Tensor,
                   masks: Tensor,
                   valid: Optional[Tensor] = None,
                   weights: Dict[str, float] = COST_WEIGHTS,
                   alpha: float = .25,
                   gamma: float = 2.,
                   eps: float = 1.) -> Tensor:
    """What it costs to let a query explain a segment.

    cls * (-p(class)) + focal * focal loss + dice * dice loss of the query's
    mask against the segment's, as MaskFormer's matcher.

    Args:
        mask_logits (Tensor): (..., B, Q, h, w).
        class_logits (Tensor, optional): (..., B, Q, K), softmax over K;
            None compares masks alone.
        labels (Tensor): (B, N) long, the class of every segment, -1 for an
            empty slot.
        masks (Tensor): (B, N, h, w) of 0 and 1.
        valid (Tensor, optional): (B, h, w) bool; pixels that are not valid
            take no part.
        weights (dict): ``cls``, ``focal`` and ``dice``.
        alpha (float): Of the focal loss.
        gamma (float): Of the focal loss.
        eps (float): Of the dice loss.

    Returns:
        Tensor: (..., B, Q, N), fp32 (fp64 for fp64 masks). At most
        ``LARGEST``, ``WORST`` instead of NaN; ``inf`` in empty slots.
    """
    if mask_logits.dim() > 4:
        # The maps in between are larger than the logits; one layer's at a
        # time stay in the cache.
        classes = class_logits
        if classes is None:
            classes = [None] * len(mask_logits)
        return torch.stack([
            matching_costs(layer, scores, labels, masks, valid, weights, alpha,
                           gamma, eps)
            for layer, scores in zip(mask_logits, classes)
        ])
    logits = upcast(mask_logits).flatten(-2)
    targets = masks.to(logits.dtype).flatten(-2)
    probability = logits.sigmoid()
    hit = F.softplus(-logits)  # -log p
    miss = hit + logits  # -log(1 - p)
    miss.mul_(probability**gamma).mul_(1 - alpha)
    hit.mul_((1 - probability)**gamma).mul_(alpha)
    pixels = logits.shape[-1]
    if valid is not None:
        valid = valid.flatten(-2)[:, None]
        targets = targets.masked_fill(~valid, 0.)
        miss = miss.masked_fill(~valid, 0.)
        probability = probability.masked_fill(~valid, 0.)
        pixels = valid.sum(-1, keepdim=True).clamp_min(1)
    # The sum over pixels of hit * t + miss * (1 - t), for all pairs.
    focal = _overlaps(hit.sub_(miss), targets)
    focal = focal + miss.sum(-1, keepdim=True)
    areas = probability.sum(-1, keepdim=True) + targets.sum(-1)[:, None]
    overlap = 2 * _overlaps(probability, targets)
    cost = weights['focal'] * focal / pixels + weights['dice'] * (
        1 - (overlap + eps) / (areas + eps))
    if class_logits is not None:
        likely = upcast(class_logits).softmax(-1)
        index = labels.clamp_min(0)[:, None].expand(cost.shape)
        cost = cost - weights['cls'] * likely.gather(-1, index)
    # Of an overflow the gradient scaler shall hear, not the solver.
    cost = cost.clamp(-LARGEST, LARGEST).nan_to_num(nan=WORST)
    return cost.masked_fill(labels[:, None] < 0, torch.inf)


def _overlaps(maps: Tensor, targets: Tensor) -> Tensor:
    """(..., B, Q, P) and (B, N, P) -> (..., B, Q, N)."""
    return torch.einsum('...bqp,bnp->...bqn', maps, targets)


def assign(costs: np.ndarray) -> np.ndarray:
    """The one-to-one assignment of least total cost, for every image.

    Args:
        costs (ndarray): (..., Q, N); ``inf`` marks the empty slots,
            ``WORST`` what was NaN.

    Returns:
        ndarray: (..., N) long, the query of every segment; -1 in an empty
        slot, and for segments left over where they outnumber the queries.
    """
    if (costs == WORST).any():
        warnings.warn(
            'A matching cost is NaN, as the network gives NaN or infinity; '
            'its query is matched last. A step or two under AMP do no harm: '
            'the loss scaler skips them. Otherwise lower the learning rate '
            'or clip the gradients (optim_wrapper.clip_grad).')
    queries, slots = costs.shape[-2:]
    result = np.full((*costs.shape[:-2], slots), -1)
    for index in np.ndindex(*costs.shape[:-2]):
        segments = np.flatnonzero(np.isfinite(costs[index][0]))
        if len(segments) > queries:
            warnings.warn(
                f'{len(segments)} segments in one image, but only {queries} '
                'queries: the segments left over are not learnt. Raise '
                'num_queries.')
        rows, columns = linear_sum_assignment(costs[index][:, segments])
        result[index][segments[columns]] = rows
    return result


def match_on_host(class_logits: Optional[Tensor], mask_logits: Tensor,
                  labels: Tensor, masks: Tensor, **kwargs) -> Tensor:
    """As :func:`match`, with the result where the solver ran."""
    if labels.device.type != 'cpu':
        costs = matching_costs(mask_logits, class_logits, labels, masks,
                               **kwargs)
        return torch.from_numpy(assign(costs.cpu().numpy()))
    # Nothing waits for a device here, so ask which slots are empty.
    used = _used_slots(labels)
    images = torch.arange(len(used))[:, None]
    costs = matching_costs(mask_logits, class_logits, labels[images, used],
                           masks[images, used], **kwargs)
    found = torch.from_numpy(assign(costs.numpy()))
    result = found.new_full((*found.shape[:-1], labels.shape[1]), -1)
    return result.scatter_(-1, used.expand_as(found), found)


def _used_slots(labels: Tensor) -> Tensor:
    """(B, N) -> (B, n), as many slots as the fullest image needs.

    They are all that an image uses, and empty ones where it has fewer.
    """
    empty = labels < 0
    most = max((~empty).sum(1).tolist(), default=0)
    return empty.int().argsort(dim=1, stable=True)[:, :most]


def match(class_logits: Optional[Tensor], mask_logits: Tensor, labels: Tensor,
          masks: Tensor, **kwargs) -> Tensor:
    """Match segments to queries, as MaskFormer does.

    Waits for the device once, whatever the number of images and layers.

    Args:
        class_logits (Tensor, optional): (..., B, Q, K).
        mask_logits (Tensor): (..., B, Q, h, w).
        labels (Tensor): (B, N) long, -1 for an empty slot.
        masks (Tensor): (B, N, h, w) of 0 and 1.
        **kwargs: ``valid``, ``weights``, ... of :func:`matching_costs`.

    Returns:
        Tensor: (..., B, N) long on the device, the query of every segment,
        -1 in empty slots and for segments without a query (see
        :func:`assign`).
    """
    found = match_on_host(class_logits, mask_logits, labels, masks, **kwargs)
    return found.to(mask_logits.device)
