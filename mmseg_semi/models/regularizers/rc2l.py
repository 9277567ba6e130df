# Copyright (c) mmseg_semi authors.
"""RC²L: region-level contrast and consistency (arXiv 2204.13314)."""
from typing import Dict, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import (SIMILARITIES, UNIONS, Segments, global_mean,
                           matched_rows, pseudo_segments,
                           region_classification, region_contrast,
                           region_cosines, region_features, region_similarity,
                           union_logits)
from ...functional.mask_losses import mask_dice_loss, mask_focal_loss
from ...functional.set_matching import COST_WEIGHTS, match_on_host
from ..decode_heads.query_head import QueryHead
from ..step import QueryOut, Step
from .term import Term

LOSSES = ('rcc', 'smc', 'rmc', 'rfc')
REDUCTIONS = ('segment', 'image')


@MODELS.register_module()
class RC2L(Term):
    """Learn the teacher's label map region by region (Eq. 2).

    The mixed label map is split into one pseudo segment per class, and each
    is matched to one of the student's queries. Then

    - RCC: the matched query names the segment's class (Eq. 9);
    - SMC: the union of the student's regions of that class covers the
      segment (Eq. 10);
    - RMC: the matched query's mask overlaps its own segment more than those
      of the image's other matched queries do (Eq. 5);
    - RFC: so with the mean feature under the mask (Eq. 8).

    It takes the place of :class:`PixelConsistency`. The paper's start of the
    unlabelled losses is the framework's ``burn_in``, its
    teacher the framework's. Mask consistency alone, the
    baseline of Table 3, is ``betas=(0, 20, 0, 0), union='matched'``; the
    pixel-wise one is :class:`PixelConsistency`.

    Args:
        betas (sequence[float]): Weights of RCC, SMC, RMC and RFC; one of 0
            is not computed (Table 3). Defaults to (1, 20, 4, 4).
        loss_weight (float): alpha (Table 4): 2 on VOC Train, 1 on VOC Aug
            and Cityscapes. Defaults to 1.
        smc_weights (tuple[float, float]): Of focal and dice within SMC, under
            its beta. Defaults to (1, 0.05): with a beta of 20 they
            weigh 20 and 1 in all, as in MaskFormer. (20, 1) is the literal
            reading, which unlearns in training (README).
        match_weights (dict, optional): Of ``cls``, ``focal`` and ``dice`` in
            the cost of matching. ``dict(cls=0.)`` matches by masks
            alone, as the text reads. Defaults to MaskFormer's 1, 20, 1.
        similarity (str): ``dice`` or ``iou`` in RMC, see
            :func:`mmseg_semi.functional.region_similarity`.
        tau (tuple[float, float]): tau_m and tau_f. Defaults to
            (0.5, 0.5).
        include_positive (bool): The positive pair is in the denominator too,
            as in InfoNCE. Defaults to False, as printed.
        union (str): ``max``, ``noisy_or``, ``soft`` or ``matched``,
            see :func:`mmseg_semi.functional.union_logits`.
        empty_competes (bool): A query that says "no object" is in no union
            unless matched. Defaults to True.
        empty_weight (float): Of queries without a segment in RCC, which then
            learn "no object", wherever their masks are, over pixels
            without a label too. Defaults to 0.
        detach_target (bool): No gradient through the mean feature under the
            segment. Defaults to False.
        min_area (int): Smaller segments, in pixels, are dropped.
            Defaults to 16.
        threshold (float): Pixels whose best class the teacher's semantic
            inference scores lower are without a label. Defaults to
            0: all have one.
        ignore_invalid (bool): Pixels without a label (padding, unsure ones)
            belong to no segment and count in no mask. False makes
            them negatives of every segment, as MaskFormer does. Defaults to
            True.
        reduction (str): ``segment`` divides by the segments of all ranks,
            for RMC and RFC by those of images with two or more, for RCC by
            the weights of all queries; ``image`` by the images, as the
            printed sums suggest.
        deep_supervision (bool): Sum over all decoder layers, each with a
            matching of its own. Defaults to False: the last alone.
        views (sequence[str], optional): See :class:`Term`; their segments
            form one mean.
    """
    name = 'rc2l'
    unlabeled = True
    queries = True
    reads_views = True
    replaces = ('pixel_consistency', )

    def __init__(self,
                 betas: Sequence[float] = (1., 20., 4., 4.),
                 loss_weight: float = 1.,
                 smc_weights: Sequence[float] = (1., .05),
                 match_weights: Optional[dict] = None,
                 similarity: str = 'dice',
                 tau: Sequence[float] = (.5, .5),
                 include_positive: bool = False,
                 union: str = 'max',
                 empty_competes: bool = True,
                 empty_weight: float = 0.,
                 detach_target: bool = False,
                 min_area: int = 16,
                 threshold: float = 0.,
                 ignore_invalid: bool = True,
                 reduction: str = 'segment',
                 deep_supervision: bool = False,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        _check_choices(
            similarity=(similarity, SIMILARITIES),
            union=(union, UNIONS),
            reduction=(reduction, REDUCTIONS))
        match_weights = _cost_weights(match_weights)
        _check_numbers(
            betas,
            smc_weights,
            match_weights,
            tau,
            threshold,
            loss_weight=loss_weight,
            empty_weight=empty_weight,
            min_area=min_area)
        self.betas = dict(zip(LOSSES, betas))
        self.loss_weight, self.smc_weights = loss_weight, smc_weights
        self.match_weights = match_weights
        self.similarity, self.union = similarity, union
        self.tau = dict(zip(('rmc', 'rfc'), tau))
        self.include_positive = include_positive
        self.empty_competes, self.empty_weight = empty_competes, empty_weight
        self.detach_target, self.min_area = detach_target, min_area
        self.threshold, self.ignore_invalid = threshold, ignore_invalid
        self.reduction, self.deep_supervision = reduction, deep_supervision

    def bind(self, net) -> None:
        head = net.decode_head
        if not isinstance(head, QueryHead) or not head.has_classes:
            raise TypeError(
                'RC2L matches queries and names their classes; '
                f'{type(head).__name__} has none. Use MaskQueryHead with '
                'class_head=True; its pixel_decoder may be any stock head.')

    def loss(self, step: Step) -> Dict[str, Tensor]:
        views = self.chosen_views(step, labeled=True)
        parts = [self._sums(step, view) for view in views]
        return {
            f'loss_{name}':
            self.loss_weight * self.betas[name] * global_mean(
                sum(part[name][0]
                    for part in parts), sum(part[name][1] for part in parts))
            for name in (parts[0] if parts else ())
        }

    def _sums(self, step: Step, view: str) -> Dict[str, Tuple[Tensor, Tensor]]:
        """Sum and count of each loss over the segments of one view."""
        labels = self._trusted(step, view)
        classes, masks, features = self._queries(
            step.learner(self.net, view).queries)
        layers = len(masks) // len(labels)
        labels = labels.repeat(layers, 1, 1)
        segments = pseudo_segments(labels, self.num_classes, masks.shape[-2:],
                                   self.min_area)
        if not self.ignore_invalid:
            segments = segments._replace(valid=torch.ones_like(segments.valid))
        found = self._match(classes, masks, segments)
        assigned = found.to(masks.device)
        present = assigned >= 0
        sums = {}
        if self.betas['rcc']:
            losses, weight = region_classification(classes, assigned,
                                                   self.empty_weight)
            sums['rcc'] = losses.sum(), weight.sum()
        if self.betas['smc']:
            union = union_logits(masks, classes, assigned, self.union,
                                 self.empty_competes)
            sums['smc'] = self._cover(union, labels, found)
        regions = matched_rows(masks, assigned).sigmoid()
        overlap = region_similarity(regions, segments.masks, segments.valid,
                                    self.similarity)
        if self.betas['rmc']:
            sums['rmc'] = self._contrast(overlap, present, 'rmc')
        if self.betas['rfc']:
            cosine = self._cosines(features, regions, segments)
            sums['rfc'] = self._contrast(cosine, present, 'rfc')
        self._health(step, classes, overlap, assigned)
        images = torch.full((), len(labels) // layers, device=labels.device)
        return {
            name:
            (total, images if self.reduction == 'image' else count / layers)
            for name, (total, count) in sums.items()
        }

    @property
    def confidence_threshold(self) -> Optional[float]:
        return self.threshold or None

    @torch.no_grad()
    def _trusted(self, step: Step, view: str) -> Tensor:
        """The mixed label map, 255 where nothing is known, (B, H, W)."""
        maps = step.labels[self.net, view]
        unknown = ~maps['valid'] | (maps['conf'] < self.threshold)
        return maps['cls'].masked_fill(unknown, 255)

    def _queries(self, out: QueryOut) -> Tuple[Tensor, Tensor, Tensor]:
        """Class logits, mask logits and pixel embeddings; layers, if there
        are several, are so many batches."""
        if not self.deep_supervision:
            return out.class_logits[-1], out.mask_logits(), out.pixel_embed
        layers = range(len(out.mask_embed))
        return (torch.cat([out.class_logits[i] for i in layers]),
                torch.cat([out.mask_logits(i) for i in layers]),
                out.pixel_embed.repeat(len(layers), 1, 1, 1))

    @torch.no_grad()
    def _match(self, classes: Tensor, masks: Tensor,
               segments: Segments) -> Tensor:
        """The query of each segment, (B, C) on the host, -1 for none."""
        slots = torch.arange(self.num_classes, device=masks.device)
        return match_on_host(
            classes,
            masks,
            torch.where(segments.present, slots, -1),
            segments.masks,
            valid=segments.valid,
            weights=self.match_weights)

    def _cover(self, union: Tensor, labels: Tensor,
               found: Tensor) -> Tuple[Tensor, Tensor]:
        """SMC at image size.

        The host has just seen which segments there are, so only those are
        enlarged: of 21 slots an image of VOC fills two or three.
        """
        image, slot = (
            index.to(labels.device, non_blocking=True)
            for index in (found >= 0).nonzero(as_tuple=True))
        logits = F.interpolate(
            union[image, slot][:, None],
            size=labels.shape[-2:],
            mode='bilinear',
            align_corners=False)[:, 0]
        labels = labels.to(torch.uint8)[image]  # one map per segment
        target = labels == slot[:, None, None]
        valid = labels != 255 if self.ignore_invalid else None
        focal, dice = self.smc_weights
        losses = focal * mask_focal_loss(logits, target, valid)
        losses = losses + dice * mask_dice_loss(logits, target, valid)
        number = torch.full((), len(image), device=labels.device)
        return losses.sum(), number

    def _cosines(self, features: Tensor, regions: Tensor,
                 segments: Segments) -> Tensor:
        """Cosines of the student's features under mask and segment."""
        mine = region_features(features, regions, segments.valid)
        target = region_features(features, segments.masks, segments.valid)
        if self.detach_target:
            target = target.detach()
        return region_cosines(mine, target)

    def _contrast(self, similarity: Tensor, present: Tensor,
                  name: str) -> Tuple[Tensor, Tensor]:
        losses, counts = region_contrast(similarity, present, self.tau[name],
                                         self.include_positive)
        return losses.sum(), counts.sum()

    @torch.no_grad()
    def _health(self, step: Step, classes: Tensor, overlap: Tensor,
                assigned: Tensor) -> None:
        """Segments per image; how well matched queries fit already."""
        present = assigned >= 0
        number = present.sum().clamp_min(1)
        own = overlap.diagonal(dim1=1, dim2=2)
        named = matched_rows(classes, assigned).argmax(-1)
        right = named == torch.arange(self.num_classes, device=named.device)
        step.log.update({
            'regions/segments':
            present.sum(1).float().mean(),
            'regions/overlap':
            own.masked_fill(~present, 0.).sum() / number,
            'regions/named': (right & present).sum() / number,
        })


def _check_choices(**choices) -> None:
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f'RC2L: {name}={value!r} is unknown: use one of '
                             f'{known}.')


def _cost_weights(given: Optional[dict]) -> dict:
    if not isinstance(given or {}, dict):
        raise ValueError(f'RC2L: match_weights={given!r} must be a dict of '
                         f'some of {sorted(COST_WEIGHTS)}.')
    return {**COST_WEIGHTS, **(given or {})}


def _check_numbers(betas, smc_weights, match_weights, tau, threshold,
                   **weights) -> None:
    for name, values, count in (('betas', betas, 4), ('smc_weights',
                                                      smc_weights, 2)):
        if not _are_weights(values, count) or not any(values):
            raise ValueError(f'RC2L: {name}={values!r} must be {count} '
                             'weights of at least 0, not all of them 0.')
    if not _are_weights(tau, 2) or not all(tau):
        raise ValueError(f'RC2L: tau={tau!r} must be two positive numbers.')
    costs = tuple(match_weights.values())
    if (set(match_weights) != set(COST_WEIGHTS)
            or not _are_weights(costs, len(costs)) or not any(costs)):
        raise ValueError(
            f'RC2L: match_weights={match_weights} must weigh some of '
            f'{sorted(COST_WEIGHTS)}, with numbers of at least 0.')
    if not _are_weights((threshold, ), 1) or threshold >= 1:
        raise ValueError(f'RC2L: threshold={threshold!r} must be in [0, 1).')
    for name, value in weights.items():
        if not _are_weights((value, ), 1):
            raise ValueError(f'RC2L: {name}={value!r} must be a number of at '
                             'least 0.')


def _are_weights(values, count: int) -> bool:
    return (isinstance(values, Sequence) and len(values) == count
            and all(isinstance(v, (int, float)) and v >= 0 for v in values))
