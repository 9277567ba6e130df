# Copyright (c) mmseg_semi authors.
"""RC²L: pseudo segments and losses between regions (arXiv 2204.13314).

Segments of a batch are padded to one slot per class, (B, C), slot c being
class c, so that every shape is fixed: ``present`` says which slots hold a
segment, ``assigned`` (B, C) which query is matched to it, -1 for none.
"""
from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision, upcast

UNIONS = ('max', 'noisy_or', 'soft', 'matched')
SIMILARITIES = ('dice', 'iou')


class Segments(NamedTuple):
    """The segments of a batch of label maps, on the grid of the masks.

    ``masks`` (B, C, h, w) bool, disjoint, empty where a slot is; ``present``
    (B, C) bool; ``valid`` (B, h, w) bool, False where no label is known.
    """
    masks: Tensor
    present: Tensor
    valid: Tensor


@torch.no_grad()
def pseudo_segments(labels: Tensor,
                    num_classes: int,
                    size: Tuple[int, int],
                    min_area: int = 16,
                    ignore_index: int = 255) -> Segments:
    """Split label maps into one binary mask per class present (Sec. 3.2).

    The paper's text (a class is never "no object", segments do not overlap,
    a segment is compared with the union of a class's regions) leaves one
    segment per class. A class too small to be seen on the
    grid, or of less than ``min_area`` pixels of the image, gives none; its
    pixels stay negatives of the others.

    Args:
        labels (Tensor): (B, H, W), long, in [0, C) or ``ignore_index``.
        num_classes (int): C.
        size (tuple[int, int]): h and w of the grid, sampled by nearest
            neighbour as MaskFormer does with its targets.
        min_area (int): In pixels of the image.
        ignore_index (int): Pixels of no segment that count nowhere.

    Returns:
        Segments: They cover all known pixels, but for those too small.
    """
    known = labels != ignore_index
    slots = labels.masked_fill(~known, num_classes).flatten(1)
    area = slots.new_zeros(len(labels), num_classes + 1)
    area.scatter_add_(1, slots, torch.ones_like(slots))
    small = F.interpolate(labels[:, None].to(torch.int32).float(), size=size)
    small = small[:, 0].long()
    classes = torch.arange(num_classes, device=labels.device)
    masks = small[:, None] == classes[:, None, None]
    present = masks.flatten(2).any(2) & (area[:, :-1] >= max(min_area, 1))
    return Segments(masks & present[:, :, None, None], present, small
                    != ignore_index)


def matched_rows(rows: Tensor, assigned: Tensor) -> Tensor:
    """What the matched queries say.

    Args:
        rows (Tensor): (B, Q, ...), one entry per query.
        assigned (Tensor): (B, C), long; the entry of -1 is arbitrary.

    Returns:
        Tensor: (B, C, ...).
    """
    index = assigned.clamp_min(0)
    index = index.view(*index.shape, *[1] * (rows.dim() - 2))
    return rows.gather(1, index.expand(-1, -1, *rows.shape[2:]))


@full_precision
def region_classification(class_logits: Tensor,
                          assigned: Tensor,
                          empty_weight: float = 0.) -> Tuple[Tensor, Tensor]:
    """RCC: each matched query shall name its segment's class (Eq. 9).

    The softmax runs over C + 1 classes. As printed, queries without a
    segment receive nothing.

    Args:
        class_logits (Tensor): (B, Q, C + 1), "no object" last.
        assigned (Tensor): (B, C), long, -1 for an empty slot.
        empty_weight (float): Weight of a query without a segment, which
            shall say "no object": 0.1 in MaskFormer's supervised loss.

    Returns:
        tuple[Tensor, Tensor]: The weighted loss and the weight of each
        query, both (B, Q), fp32 (fp64 for fp64 logits).
    """
    logits = upcast(class_logits)
    batch, queries, number = logits.shape
    empty = number - 1
    classes = torch.arange(empty, device=logits.device).expand(batch, -1)
    # One place more, for the empty slots to write to.
    target = torch.full((batch, queries + 1), empty, device=logits.device)
    target.scatter_(1, assigned.masked_fill(assigned < 0, queries), classes)
    target = target[:, :queries]
    weight = torch.ones_like(target, dtype=logits.dtype)
    weight.masked_fill_(target == empty, empty_weight)
    losses = F.cross_entropy(logits.mT, target, reduction='none')
    return losses * weight, weight


@torch.no_grad()
def named_classes(class_logits: Tensor, empty_competes: bool = True) -> Tensor:
    """The class each query takes for most probable.

    Args:
        class_logits (Tensor): (B, Q, C + 1), "no object" last.
        empty_competes (bool): "No object" may be most probable. False leaves
            it out.

    Returns:
        Tensor: (B, Q), long, in [0, C]; C is no class.
    """
    scores = class_logits if empty_competes else class_logits[..., :-1]
    return scores.argmax(dim=-1)


@full_precision
def union_logits(mask_logits: Tensor,
                 class_logits: Tensor,
                 assigned: Tensor,
                 kind: str = 'max',
                 empty_competes: bool = True) -> Tensor:
    """The student's semantic mask of each class, differentiable (Eq. 10).

    The student's regions of a class, the members, are the queries that take
    it for most probable and the one matched to its segment: without that
    one, the union has no gradient while no query names the class.

    ========  ===========================================================
    kind      logit of the union
    ========  ===========================================================
    max       largest mask logit of the members: the sigmoid is monotone,
              so this is the fuzzy OR
    noisy_or  of 1 - prod(1 - mask) over the members
    soft      of the semantic score sum_q p_q(c) mask_q over all queries,
              cut at 1, where its gradient vanishes
    matched   of the matched query's mask alone: no union (3.5)
    ========  ===========================================================

    Args:
        mask_logits (Tensor): (B, Q, h, w).
        class_logits (Tensor): (B, Q, C + 1), "no object" last. They choose
            the members, without gradient; ``soft`` has one.
        assigned (Tensor): (B, C), long, -1 for an empty slot.
        kind (str): See the table.
        empty_competes (bool): See :func:`named_classes`.

    Returns:
        Tensor: (B, C, h, w), fp32 (fp64 for fp64 masks), of no use where a
        class has no member.

    Raises:
        ValueError: Unknown kind.
    """
    masks = upcast(mask_logits)
    if kind == 'matched':
        return matched_rows(masks, assigned)
    if kind not in UNIONS:
        raise ValueError(f'union {kind!r} is unknown: use one of {UNIONS}.')
    if kind == 'soft':
        share = upcast(class_logits).softmax(-1)[..., :-1].to(masks.dtype)
        score = torch.einsum('bqc,bqhw->bchw', share, masks.sigmoid())
        tiny = torch.finfo(masks.dtype).eps
        return score.clamp(tiny, 1 - tiny).logit()
    named = named_classes(class_logits, empty_competes)
    if kind == 'noisy_or':
        return _noisy_or(masks, named, assigned)
    number = assigned.shape[1]
    lowest = masks.new_full((), torch.finfo(masks.dtype).min)
    index = named[:, :, None, None].expand_as(masks)
    union = lowest.expand(len(masks), number + 1, *masks.shape[2:])
    union = union.scatter_reduce(1, index, masks, 'amax')[:, :number]
    own = matched_rows(masks, assigned)
    empty = (assigned < 0)[:, :, None, None]
    return torch.maximum(union, own.masked_fill(empty, lowest))


def _noisy_or(masks: Tensor, named: Tensor, assigned: Tensor) -> Tensor:
    """Logit of 1 - prod(1 - mask), (B, C, h, w)."""
    queries = torch.arange(masks.shape[1], device=masks.device)
    classes = torch.arange(assigned.shape[1], device=masks.device)
    members = (named[:, None] == classes[:, None]) | (
        assigned[:, :, None] == queries)
    # -log of the probability that no member is there
    none = torch.einsum('bcq,bqhw->bchw', members.to(masks.dtype),
                        -F.logsigmoid(-masks))
    none = none.clamp_min(torch.finfo(masks.dtype).tiny)
    return none + (-torch.expm1(-none)).log()


@full_precision
def region_similarity(masks: Tensor,
                      targets: Tensor,
                      valid: Tensor,
                      kind: str = 'dice') -> Tensor:
    """Soft overlap d of every mask with every segment (Eq. 5).

    The paper prints 2 |m ∩ t| / (|m| ∪ |t|), between Dice and IoU: ``dice`` is
    2 |m t| / (|m| + |t|), in [0, 1]; ``iou`` is 2 |m t| / (|m| + |t| - |m t|),
    in [0, 2].

    Args:
        masks (Tensor): (B, N, h, w), probabilities.
        targets (Tensor): (B, M, h, w), bool.
        valid (Tensor): (B, h, w), bool; other pixels do not count.
        kind (str): ``dice`` or ``iou``.

    Returns:
        Tensor: (B, N, M), fp32 (fp64 for fp64 masks). 0 for an empty pair.

    Raises:
        ValueError: Unknown kind.
    """
    if kind not in SIMILARITIES:
        raise ValueError(f'similarity {kind!r} is unknown: use one of '
                         f'{SIMILARITIES}.')
    masks = (upcast(masks) * valid[:, None]).flatten(2)
    targets = (targets & valid[:, None]).flatten(2).to(masks.dtype)
    both = masks @ targets.mT
    total = masks.sum(2)[:, :, None] + targets.sum(2)[:, None]
    if kind == 'iou':
        total = total - both
    return 2 * both / total.clamp_min(torch.finfo(masks.dtype).tiny)


@full_precision
def region_features(features: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """Mean feature under each mask (Eq. 6 and 7).

    The paper averages the product of feature and mask over the whole map;
    dividing by the mask's area instead changes neither the cosine nor its
    gradient and keeps small regions in range.

    Args:
        features (Tensor): (B, D, h, w).
        masks (Tensor): (B, N, h, w), probabilities or bool.
        valid (Tensor): (B, h, w), bool; other pixels do not count.

    Returns:
        Tensor: (B, N, D), fp32 (fp64 for fp64 features). 0 for no mask.
    """
    features = upcast(features).flatten(2)
    masks = (masks.to(features.dtype) * valid[:, None]).flatten(2)
    area = masks.sum(2, keepdim=True)
    return masks @ features.mT / area.clamp_min(
        torch.finfo(features.dtype).eps)


@full_precision
def region_cosines(features: Tensor, targets: Tensor) -> Tensor:
    """Cosine d of every mean feature with every segment's (Eq. 8).

    Args:
        features (Tensor): (B, N, D).
        targets (Tensor): (B, M, D).

    Returns:
        Tensor: (B, N, M), in [-1, 1], fp32 (fp64 for fp64 features). 0 for
        a feature of 0.
    """
    return F.normalize(
        upcast(features), dim=-1) @ F.normalize(
            upcast(targets), dim=-1).mT


@full_precision
def region_contrast(similarity: Tensor,
                    present: Tensor,
                    temperature: float,
                    include_positive: bool = False) -> Tuple[Tensor, Tensor]:
    """Each segment's own region against the image's others (Eq. 5 and 8).

    As printed, the denominator runs over the matched regions without the
    positive one, so the loss may be negative: with two segments it is
    -(d+ - d-) / temperature and never saturates. With one there is no
    denominator, and the image counts nothing.

    Args:
        similarity (Tensor): (B, N, N), [b, j, i] of the region matched to
            segment j and of segment i.
        present (Tensor): (B, N), bool, the segments that exist.
        temperature (float): tau, positive.
        include_positive (bool): Add the positive to the denominator, as
            InfoNCE does. Defaults to False.

    Returns:
        tuple[Tensor, Tensor]: The loss of each segment, (B, N), and whether
        it counts, (B, N) bool; the loss is 0 where it does not.
    """
    logits = upcast(similarity) / temperature
    counts = present & (present.sum(1, keepdim=True) > 1)
    rivals = present[:, :, None].expand_as(logits)
    if not include_positive:
        rivals = rivals & ~torch.eye(
            present.shape[1], dtype=torch.bool, device=present.device)
    masked = logits.masked_fill(~rivals, -torch.inf)
    # A column without rivals would turn the gradient into NaN.
    masked = masked.masked_fill(~counts[:, None], 0.)
    losses = masked.logsumexp(1) - logits.diagonal(dim1=1, dim2=2)
    return losses.masked_fill(~counts, 0.), counts
