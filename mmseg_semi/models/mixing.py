# Copyright (c) mmseg_semi authors.
"""Batch mixing as a step uses it: draws on the device, one operator."""
import warnings
from typing import Dict, List, Optional, Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ..dist import from_next_rank, world_size
from ..functional import (class_masks, cutout, half_area_boxes, mix,
                          single_boxes, xor_boxes)
from .step import LabelMaps, Step, View, moved_view

BOXES = dict(
    cutmix=half_area_boxes,
    cutmix_single=single_boxes,
    cutmix_xor=xor_boxes,
    cutout=half_area_boxes)

# What a removed pixel carries (Cutout); unknown maps get 0.
CUTOUT_FILL = dict(image=0., cls=255, conf=0., valid=False, target=False)


@MODELS.register_module()
class BatchMixer:
    """CutMix, ClassMix or Cutout over the images of one view.

    Image, (pseudo-)label, confidence and valid mask move together. The
    partner of image i is image i+1 of the same batch, where every process
    has a single image that of the next process, or image i of another batch
    (:meth:`blend`).

    Args:
        kind (str): ``cutmix`` (box of half the image area, official U2PL,
            PCR and BRPG code), ``cutmix_single`` (area U(.02, .4), aspect
            U(.3, 1/.3), UniMatch), ``cutmix_xor`` (three boxes that toggle
            what they cover, CPS), ``classmix`` or ``cutout`` (half-area
            box).
        prob (float): Probability of mixing, in [0, 1]. Defaults to 0.5.
        per_image (bool): Decide per image rather than once per batch as the
            official code does. Defaults to False.
        begin (int | float): First iteration that mixes; below 1 as a share
            of the training. Defaults to 0.
        background (int, optional): A class that ClassMix leaves where it is
            if the image has another one (CMB on VOC).
        extra (int): ClassMix pastes floor(n / 2) + ``extra`` of the n classes
            of an image: 1 in CMB's code, 0 in the original. Defaults to 1.
        boxes (int): Of ``cutmix_xor``. One box alone covers a quarter to
            half of the image. Defaults to 3.
    """
    KINDS = (*BOXES, 'classmix')

    def __init__(self,
                 kind: str = 'cutmix',
                 prob: float = .5,
                 per_image: bool = False,
                 begin: float = 0,
                 background: Optional[int] = None,
                 extra: int = 1,
                 boxes: int = 3) -> None:
        if kind not in self.KINDS:
            raise ValueError(
                f'mixing kind {kind!r} is unknown: use one of {self.KINDS}.')
        if not 0 <= prob <= 1:
            raise ValueError(f'mixing prob must be in [0, 1], got {prob}.')
        self.kind, self.prob, self.per_image = kind, prob, per_image
        if boxes < 1:
            raise ValueError(f'mixing needs at least one box, got {boxes}.')
        self.begin, self.background, self.extra = begin, background, extra
        self.boxes = boxes

    def local_rule(self) -> str:
        """See :meth:`Term.local_rules`."""
        return f'{self.kind}: partners among the images of the batch'

    def masks(self, labels: LabelMaps, num_classes: int,
              generator: torch.Generator) -> Tensor:
        """(B, H, W) bool, True where a pixel is replaced."""
        batch, height, width = labels['cls'].shape
        if self.kind == 'classmix':
            return class_masks(
                labels['cls'],
                num_classes,
                generator,
                extra=self.extra,
                background=self.background)
        law = dict(boxes=self.boxes) if self.kind == 'cutmix_xor' else {}
        return BOXES[self.kind](batch, height, width, generator, **law)

    def draw(self, step: Step, labels: LabelMaps,
             num_classes: int) -> Optional[Tensor]:
        """Decide whether to mix, and draw the :meth:`masks`; None if not."""
        if not self._has_begun(step):
            return None
        if not self.per_image and step.random.random() >= self.prob:
            return None
        mask = self.masks(labels, num_classes, step.generator)
        if self.per_image:
            gate = torch.rand(
                len(mask), device=mask.device, generator=step.generator)
            mask = mask & (gate < self.prob)[:, None, None]
        return mask

    def _has_begun(self, step: Step) -> bool:
        share = 0 < self.begin < 1
        begin = self.begin * step.total_iters if share else self.begin
        return step.iteration >= begin

    def __call__(self, step: Step, view: str, labels: LabelMaps,
                 num_classes: int) -> LabelMaps:
        """Mix ``step.views[view]`` in place of the view and its labels.

        Returns:
            dict[str, Tensor]: The mixed label maps.
        """
        maps = {**labels, **_pixels(step.views[view])}
        partner = None
        if self.kind != 'cutout' and len(labels['cls']) == 1 and \
                self._has_begun(step):
            # Before anything is drawn, because all processes take part.
            partner = partner_of_one(maps, view)
        mask = self.draw(step, partner or labels, num_classes)
        if mask is None:
            return labels
        if self.kind == 'cutout':
            fill = {name: CUTOUT_FILL.get(name, 0) for name in maps}
            maps = cutout(maps, mask, fill)
        else:
            maps = mix(maps, mask, partner)
        step.views[view] = moved_view(step.views[view], maps)
        return maps

    def blend(self, step: Step, view: str, labels: Sequence[LabelMaps],
              partner: View, partner_labels: Sequence[LabelMaps],
              num_classes: int) -> List[LabelMaps]:
        """Paste another batch into ``step.views[view]``, one mask for all.

        Boxes only: what ClassMix pastes would depend on whose labels.

        Args:
            step (Step): The step; its view is replaced.
            view (str): The view that is pasted into.
            labels (Sequence[dict[str, Tensor]]): Sets of label maps of it,
                one of every network that labels.
            partner (View): As many other images.
            partner_labels (Sequence[dict[str, Tensor]]): Their labels, in
                the same order.
            num_classes (int): C.

        Returns:
            list[dict[str, Tensor]]: The sets of mixed label maps.
        """
        mask = self.draw(step, labels[0], num_classes)
        if mask is None:
            return list(labels)
        old = step.views[view]
        step.views[view] = moved_view(
            old, mix(_pixels(old), mask, _pixels(partner)))
        return [
            mix(own, mask, other)
            for own, other in zip(labels, partner_labels)
        ]


def partner_of_one(maps: Dict[str, Tensor],
                   view: str) -> Optional[Dict[str, Tensor]]:
    """The partner of the only image that this process has of a view.

    Args:
        maps (dict[str, Tensor]): Its maps (1, ..., H, W).
        view (str): Name of the view, for the warning.

    Returns:
        dict[str, Tensor] or None: The same maps of the next process; None,
        with a warning, where there is only one process.
    """
    if world_size() > 1:
        return from_next_rank(maps)
    which = 'labelled' if view == 'sup' else 'unlabelled'
    warnings.warn(f'A batch has one {which} image: it is its own partner and '
                  'nothing is mixed. Let an iteration have two '
                  '(train_dataloader.sampler.counts), or accumulate fewer '
                  'batches.')
    return None


def _pixels(view: View) -> Dict[str, Tensor]:
    """The maps of a view that move with its image."""
    maps = dict(image=view.image, valid=view.valid)
    if view.target is not None:
        maps['target'] = view.target
    return maps
