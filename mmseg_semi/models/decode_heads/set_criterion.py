# Copyright (c) mmseg_semi authors.
"""MaskFormer's loss: match queries to segments, then compare them."""
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...functional import (global_mean, mask_dice_loss, mask_focal_loss,
                           match_on_host, upcast)
from ..step import QueryOut


def loss_options(name: str, cfg: Optional[dict], fixed: dict,
                 **defaults) -> dict:
    """Numbers out of the loss config of a MaskFormer config.

    Args:
        name (str): The argument it was given as.
        cfg (dict, optional): As written for mmdet.
        fixed (dict): What is computed here; another value is an error.
        **defaults: The numbers that may be chosen.

    Returns:
        dict: ``defaults`` with the values in ``cfg``.
    """
    cfg = dict(cfg or {})
    for key, only in fixed.items():
        given = cfg.pop(key, only)
        given = given.rsplit('.')[-1] if key == 'type' else given
        if given != only:
            raise ValueError(f'{name} has {key}={given!r}, only {only!r} is '
                             'supported.')
    unknown = set(cfg) - set(defaults)
    if unknown:
        raise ValueError(f'{name} does not know {sorted(unknown)}: use '
                         f'{sorted(defaults)}.')
    return {**defaults, **cfg}


def cost_weights(train_cfg: Optional[dict], names: Dict[str, tuple],
                 default: Dict[str, float],
                 numbers: Dict[str, float]) -> Dict[str, float]:
    """Weights of the matching costs out of mmdet's ``train_cfg``.

    Args:
        train_cfg (dict, optional): With an ``assigner`` of these costs; None
            for the default weights.
        names (dict): Type of a cost -> its name here and what is computed
            here; another value is an error.
        default (dict): Weights by name.
        numbers (dict): Of the losses, which the costs have in common.

    Returns:
        dict: Weights by name.
    """
    assigner = (train_cfg or {}).get('assigner')
    if assigner is None:
        return dict(default)
    weights = dict.fromkeys(default, 0.)
    for cost in assigner['match_costs']:
        kind = cost['type'].rsplit('.')[-1]
        if kind not in names:
            raise ValueError(f'The matching cost {kind} is unknown: use some '
                             f'of {sorted(names)}.')
        name, fixed = names[kind]
        for key, value in cost.items():
            if key in ('type', 'weight'):
                continue
            only = {**fixed, **numbers}.get(key)
            if value != only:
                raise ValueError(
                    f'The matching cost {kind} has {key}={value!r}, only '
                    f'{only!r} is supported, as in the loss.')
        weights[name] = cost.get('weight', 1.)
    return weights


class Matched(NamedTuple):
    """Segments and their queries, the same number S in every layer.

    Args:
        image (Tensor): (S,) long.
        cls (Tensor): (L, S) long, the class of each segment.
        row (Tensor): (L, S) long, the query's row among all images'.
        target (Tensor): (L, B, Q) long, the class of each query, C for "no
            object".
    """
    image: Tensor
    cls: Tensor
    row: Tensor
    target: Tensor


MEAN = dict(reduction='mean')
NAIVE_DICE = dict(
    MEAN, type='DiceLoss', use_sigmoid=True, activate=True, naive_dice=True)
CLASS_COST = ('cls', {})
DICE_COST = ('dice', dict(pred_act=True, naive_dice=True))


class SetCriterion(nn.Module):
    """Losses of all decoder layers, each with its own matching.

    A segment is the mask of one class in one image. Ignored pixels belong to
    no mask, so they are negatives, as in MaskFormer. The means over segments
    (mask losses) and over queries (class loss) are taken over all ranks.

    Args:
        num_classes (int): C.
        loss_cls (dict, optional): ``loss_weight`` (1) and ``class_weight``
            (C + 1 numbers; 1 for classes, 0.1 for "no object").
        loss_mask (dict, optional): ``loss_weight`` (20), ``alpha`` (0.25)
            and ``gamma`` (2) of the focal loss.
        loss_dice (dict, optional): ``loss_weight`` (1) and ``eps`` (1).
        train_cfg (dict, optional): mmdet's, with the matching costs; None
            for MaskFormer's. The costs have the losses' alpha, gamma, eps.
        ignore_index (int): Label without a class.
    """
    # Weights of the losses, what is computed and what may be chosen of the
    # mask loss, and the matching costs; all are MaskFormer's.
    loss_weights = dict(cls=1., mask=20., dice=1.)
    mask_fixed = dict(MEAN, type='FocalLoss', use_sigmoid=True)
    mask_numbers = dict(alpha=.25, gamma=2.)
    cost_names = dict(
        ClassificationCost=CLASS_COST,
        FocalLossCost=('focal', dict(binary_input=True, eps=1e-12)),
        DiceCost=DICE_COST)
    cost_defaults = dict(cls=1., focal=20., dice=1.)

    def __init__(self,
                 num_classes: int,
                 loss_cls: Optional[dict] = None,
                 loss_mask: Optional[dict] = None,
                 loss_dice: Optional[dict] = None,
                 train_cfg: Optional[dict] = None,
                 ignore_index: int = 255) -> None:
        super().__init__()
        weights = self.loss_weights
        cls = loss_options(
            'loss_cls',
            loss_cls,
            dict(MEAN, type='CrossEntropyLoss', use_sigmoid=False),
            loss_weight=weights['cls'],
            class_weight=[1.] * num_classes + [.1])
        mask = loss_options(
            'loss_mask',
            loss_mask,
            self.mask_fixed,
            loss_weight=weights['mask'],
            **self.mask_numbers)
        dice = loss_options(
            'loss_dice',
            loss_dice,
            NAIVE_DICE,
            loss_weight=weights['dice'],
            eps=1.)
        if len(cls['class_weight']) != num_classes + 1:
            raise ValueError(
                f'loss_cls.class_weight has {len(cls["class_weight"])} '
                f'numbers: give one for each of the {num_classes} classes '
                'and one for "no object".')
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.weights = dict(
            cls=cls['loss_weight'],
            mask=mask.pop('loss_weight'),
            dice=dice.pop('loss_weight'))
        self.mask, self.dice = mask, dice
        self.costs = dict(
            weights=cost_weights(train_cfg, self.cost_names,
                                 self.cost_defaults, {
                                     **dice,
                                     **mask
                                 }),
            **mask,
            **dice)
        # Not in the checkpoint, which the stock head's shall fit.
        self.register_buffer(
            'class_weight',
            torch.tensor(cls['class_weight']),
            persistent=False)

    def known(self, labels: Tensor) -> Tuple[Tensor, Tensor]:
        """What segments there are; slot c holds class c.

        Args:
            labels (Tensor): (B, H, W) long.

        Returns:
            tuple: the labels, C where there is no class, and the class
            (B, C) long of every slot, -1 for a class that is not in the
            image.
        """
        known = torch.where(labels == self.ignore_index, self.num_classes,
                            labels)
        classes = torch.arange(self.num_classes, device=labels.device)
        present = known.new_zeros(len(known), self.num_classes + 1)
        present.scatter_(1, known.flatten(1), 1)
        return known, torch.where(present[:, :-1] > 0, classes, -1)

    def segments(self, labels: Tensor,
                 size: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
        """The segments of label maps; slot c holds class c.

        Args:
            labels (Tensor): (B, H, W) long.
            size (tuple[int, int]): (h, w), of the masks to match.

        Returns:
            tuple: the class (B, C) long of every slot, -1 for a class that
            is not in the image, and the masks (B, C, h, w), of the nearest
            pixels, fp32.
        """
        known, present = self.known(labels)
        classes = torch.arange(self.num_classes, device=labels.device)
        small = F.interpolate(known[:, None].float(), size, mode='nearest')
        return present, (small == classes[:, None, None]).float()

    def match(self, queries: QueryOut, labels: Tensor) -> Matched:
        """Match every layer; one transfer each way."""
        layers = range(len(queries.mask_embed))
        slots, masks = self.segments(labels, queries.pixel_embed.shape[-2:])
        with torch.no_grad():
            logits = torch.stack([queries.mask_logits(i) for i in layers])
            classes = torch.stack(queries.class_logits)
        found = match_on_host(classes, logits, slots, masks, **self.costs)
        return self._upload(found.numpy(), classes.shape[:3], labels.device)

    def _upload(self, found: np.ndarray, shape: Tuple[int, int, int],
                device: torch.device) -> Matched:
        """Turn queries by slot, (L, B, C), into :class:`Matched`."""
        number, _, width = shape
        layer, image, cls = np.nonzero(found >= 0)
        query = found[layer, image, cls]
        target = np.full(shape, self.num_classes)
        target[layer, image, query] = cls
        row = image * width + query
        parts = [
            part.reshape(number, -1) for part in (image, cls, row, target)
        ]
        both = torch.from_numpy(np.concatenate(parts, axis=1)).to(device)
        image, cls, row, target = both.split([p.shape[1] for p in parts],
                                             dim=1)
        return Matched(image[0], cls, row, target.reshape(shape))

    def forward(self, queries: QueryOut, labels: Tensor) -> Dict[str, Tensor]:
        """The losses.

        Args:
            queries (QueryOut): Of a head with class head.
            labels (Tensor): (B, H, W) long, ``ignore_index`` for no class.

        Returns:
            dict: ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the last
            layer; those of layer i before it are prefixed ``d{i}.``.
        """
        matched = self.match(queries, labels)
        losses = dict(
            loss_cls=self._class_loss(queries.class_logits, matched.target))
        focal, dice = self._mask_losses(queries, matched, labels)
        losses.update(loss_mask=focal, loss_dice=dice)
        last = len(queries.mask_embed) - 1
        return {
            name if i == last else f'd{i}.{name}': values[i]
            for i in (last, *range(last))
            for name, values in losses.items()
        }

    def _class_loss(self, logits: List[Tensor], target: Tensor) -> Tensor:
        """(L,): cross-entropy, "no object" weighing less."""
        logits = torch.stack([upcast(layer) for layer in logits])
        losses = F.cross_entropy(
            logits.flatten(0, 2), target.flatten(), reduction='none')
        weight = self.class_weight[target]
        total = (weight * losses.view_as(weight)).sum((1, 2))
        return self.weights['cls'] * global_mean(total, weight.sum((1, 2)))

    def _mask_losses(self, queries: QueryOut, matched: Matched,
                     labels: Tensor) -> Tuple[Tensor, Tensor]:
        """(L,) focal and dice losses at the size of the labels."""
        logits = matched_masks(queries, matched)
        targets = labels[matched.image] == matched.cls[..., None, None]
        # Masks in the batch dimension, which may be empty.
        logits = F.interpolate(
            logits.flatten(0, 1)[:, None],
            labels.shape[-2:],
            mode='bilinear',
            align_corners=False).view_as(targets)
        return self.mean_over_segments(
            matched, mask_focal_loss(logits, targets, **self.mask),
            mask_dice_loss(logits, targets, **self.dice))

    def mean_over_segments(self, matched: Matched, mask: Tensor,
                           dice: Tensor) -> Tuple[Tensor, Tensor]:
        """Losses (L, S) of every segment -> the weighted means (L,)."""
        count = torch.full((), len(matched.image), device=mask.device)
        return tuple(self.weights[name] * global_mean(value.sum(1), count)
                     for name, value in (('mask', mask), ('dice', dice)))


def matched_masks(queries: QueryOut, matched: Matched) -> Tensor:
    """Mask logits of the matched queries, with gradient.

    Args:
        queries (QueryOut): B images, L layers.
        matched (Matched): S segments.

    Returns:
        Tensor: (L, S, h, w) fp32.
    """
    return torch.stack([
        queries.mask_logits(i).flatten(0, 1).index_select(0, row)
        for i, row in enumerate(matched.row)
    ])
