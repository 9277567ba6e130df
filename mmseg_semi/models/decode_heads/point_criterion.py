# Copyright (c) mmseg_semi authors.
"""Mask2Former's loss: masks are compared at points, not at all pixels."""
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...functional import full_precision, mask_dice_loss, upcast
from ...functional.set_matching import LARGEST, WORST, assign
from ..step import QueryOut
from .set_criterion import (CLASS_COST, DICE_COST, MEAN, Matched, SetCriterion,
                            matched_masks)


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps between their pixels, bilinearly, 0 outside.

    Args:
        maps (Tensor): (N, K, h, w).
        points (Tensor): (N, P, 2), x and y in [0, 1] of width and height.

    Returns:
        Tensor: (N, K, P).
    """
    grid = (2 * points - 1)[:, None].to(maps.dtype)
    return F.grid_sample(maps, grid, align_corners=False)[:, :, 0]


def label_corners(labels: Tensor, image: Tensor,
                  points: Tensor) -> Tuple[Tensor, Tensor]:
    """The four pixels around each point and what they weigh in between.

    The share of class c at a point, the sum of the weights of its corners of
    that label, is the mask of c read by :func:`sample_maps`; no mask has to
    be made for that.

    Args:
        labels (Tensor): (B, H, W) long.
        image (Tensor): (N,) long, the image that each row of points is in.
        points (Tensor): (N, P, 2), x and y in [0, 1].

    Returns:
        tuple: labels (N, P, 4) long and weights (N, P, 4), 0 outside.
    """
    height, width = labels.shape[-2:]
    x, y = points[..., 0] * width - .5, points[..., 1] * height - .5
    left, top = x.floor(), y.floor()
    right_share, low_share = x - left, y - top
    index, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            row, col = top.long() + down, left.long() + right
            inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
            share = (right_share if right else 1 - right_share) * (
                low_share if down else 1 - low_share)
            weights.append(share * inside)
            row = row.clamp(0, height - 1) + image[:, None] * height
            index.append(row * width + col.clamp(0, width - 1))
    return labels.flatten()[torch.stack(index, -1)], torch.stack(weights, -1)


class PointSetCriterion(SetCriterion):
    """Losses of all decoder layers at random points.

    Queries are matched by their masks at random points, the same for all
    queries of an image and drawn for each image and layer; a matched mask is
    then compared at points of its own, most of them the ones, of more random
    points, where it is least sure (Mask2Former, Sec. 3.3).

    Args:
        num_classes (int): C.
        loss_cls (dict, optional): ``loss_weight`` (2) and ``class_weight``
            (C + 1 numbers; 1 for classes, 0.1 for "no object").
        loss_mask (dict, optional): ``loss_weight`` (5) of the binary
            cross-entropy.
        loss_dice (dict, optional): ``loss_weight`` (5) and ``eps`` (1).
        train_cfg (dict, optional): mmdet's: the matching costs and
            ``num_points`` (12544), ``oversample_ratio`` (3),
            ``importance_sample_ratio`` (0.75); None for Mask2Former's.
        ignore_index (int): Label without a class.
    """
    loss_weights = dict(cls=2., mask=5., dice=5.)
    mask_fixed = dict(MEAN, type='CrossEntropyLoss', use_sigmoid=True)
    mask_numbers: Dict[str, float] = {}
    cost_names = dict(
        ClassificationCost=CLASS_COST,
        CrossEntropyLossCost=('mask', dict(use_sigmoid=True)),
        DiceCost=DICE_COST)
    cost_defaults = dict(cls=2., mask=5., dice=5.)

    def __init__(self,
                 num_classes: int,
                 loss_cls: Optional[dict] = None,
                 loss_mask: Optional[dict] = None,
                 loss_dice: Optional[dict] = None,
                 train_cfg: Optional[dict] = None,
                 ignore_index: int = 255) -> None:
        super().__init__(num_classes, loss_cls, loss_mask, loss_dice,
                         train_cfg, ignore_index)
        cfg = train_cfg or {}
        self.num_points = cfg.get('num_points', 12544)
        self.oversample = cfg.get('oversample_ratio', 3.)
        self.importance = cfg.get('importance_sample_ratio', .75)
        if self.num_points < 1 or self.oversample < 1 or not (
                0 <= self.importance <= 1):
            raise ValueError(
                f'train_cfg: num_points={self.num_points} must be at least '
                f'1, oversample_ratio={self.oversample} at least 1 and '
                f'importance_sample_ratio={self.importance} in [0, 1].')

    @torch.no_grad()
    def match(self, queries: QueryOut, labels: Tensor) -> Matched:
        """Match every layer; one transfer each way."""
        known, slots = self.known(labels)
        costs = torch.stack([
            self._layer_costs(queries, i, known, slots)
            for i in range(len(queries.mask_embed))
        ])
        found = assign(costs.cpu().numpy())
        return self._upload(found, costs.shape[:3], labels.device)

    def _layer_costs(self, queries: QueryOut, layer: int, known: Tensor,
                     slots: Tensor) -> Tensor:
        """(B, Q, C) costs of one layer, each image at points of its own."""
        masks = queries.mask_logits(layer)
        images = torch.arange(len(known), device=known.device)
        points = torch.rand(
            len(known), self.num_points, 2, device=masks.device)
        corners, weights = label_corners(known, images, points)
        shares = weights.new_zeros(*points.shape[:2], self.num_classes + 1)
        shares.scatter_add_(2, corners, weights)
        return point_costs(
            sample_maps(masks, points), queries.class_logits[layer],
            shares[..., :-1].to(masks.dtype), slots, **self.costs)

    def _mask_losses(self, queries: QueryOut, matched: Matched,
                     labels: Tensor) -> Tuple[Tensor, Tensor]:
        """(L,) cross-entropy and dice losses at the points."""
        masks = matched_masks(queries, matched)
        layers, segments = masks.shape[:2]
        masks = masks.flatten(0, 1)[:, None]  # may be empty
        points = self.choose_points(masks.detach())
        image = matched.image.repeat(layers)
        corners, weights = label_corners(labels, image, points)
        own = corners == matched.cls.flatten()[:, None, None]
        targets = (weights * own).sum(-1).to(masks.dtype)
        logits = sample_maps(masks, points)[:, 0]
        mask = F.binary_cross_entropy_with_logits(
            logits, targets, reduction='none').mean(-1)
        dice = mask_dice_loss(logits[:, None], targets[:, None], **self.dice)
        return self.mean_over_segments(matched, mask.view(layers, segments),
                                       dice.view(layers, segments))

    @torch.no_grad()
    def choose_points(self, masks: Tensor) -> Tensor:
        """Points where a mask is least sure, and random ones.

        Args:
            masks (Tensor): (N, 1, h, w) logits.

        Returns:
            Tensor: (N, num_points, 2).
        """
        number = len(masks)
        many = torch.rand(
            number,
            int(self.num_points * self.oversample),
            2,
            device=masks.device)
        unsure = int(self.num_points * self.importance)
        doubt = -sample_maps(masks, many)[:, 0].abs()
        best = doubt.topk(unsure, dim=1)[1]
        chosen = many.gather(1, best[..., None].expand(-1, -1, 2))
        rest = torch.rand(
            number, self.num_points - unsure, 2, device=masks.device)
        return torch.cat([chosen, rest], dim=1)


@full_precision
@torch.no_grad()
def point_costs(logits: Tensor, class_logits: Tensor, shares: Tensor,
                slots: Tensor, weights: Dict[str,
                                             float], eps: float) -> Tensor:
    """What it costs to let a query explain a segment (Mask2Former).

    cls * (-p(class)) + mask * binary cross-entropy + dice * dice loss over
    the points.

    Args:
        logits (Tensor): (B, Q, P), of the masks at the points.
        class_logits (Tensor): (B, Q, C + 1).
        shares (Tensor): (B, P, C) in [0, 1], of each class at the points.
        slots (Tensor): (B, C) long, -1 for a class that is not there.
        weights (dict): ``cls``, ``mask`` and ``dice``.
        eps (float): Of the dice loss.

    Returns:
        Tensor: (B, Q, C) as of
        :func:`mmseg_semi.functional.set_matching.matching_costs`.
    """
    logits, shares = upcast(logits), upcast(shares)
    # -log p on the segment and -log(1 - p) off it differ by the logit.
    entropy = F.softplus(logits).sum(-1, keepdim=True) - logits @ shares
    probability = logits.sigmoid()
    overlap = 2 * (probability @ shares)
    areas = probability.sum(-1, keepdim=True) + shares.sum(1)[:, None]
    likely = upcast(class_logits).softmax(-1)[..., :-1]
    cost = (
        weights['mask'] * entropy / logits.shape[-1] + weights['dice'] *
        (1 - (overlap + eps) / (areas + eps)) - weights['cls'] * likely)
    # Of an overflow the gradient scaler shall hear, not the solver.
    cost = cost.clamp(-LARGEST, LARGEST).nan_to_num(nan=WORST)
    return cost.masked_fill(slots[:, None] < 0, torch.inf)
