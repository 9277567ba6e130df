# Copyright (c) mmseg_semi authors.
"""Batch mixing as a step uses it: draws on the device, one operator."""
import warnings
from typing import Dict, Optional

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ..functional import (class_masks, cutout, half_area_boxes, mix,
                          single_boxes)
from .step import LabelMaps, Step, moved_view

# What a removed pixel carries (Cutout); unknown maps get 0.
CUTOUT_FILL = dict(image=0., cls=255, conf=0., valid=False, target=False)


@MODELS.register_module()
class BatchMixer:
    """CutMix, ClassMix or Cutout over the images of one view.

    Image, (pseudo-)label, confidence and valid mask move together. The
    partner of image i is image i+1 of the same batch.

    Args:
        kind (str): ``cutmix`` (box of half the image area, official U2PL,
            PCR and BRPG code), ``cutmix_single`` (area U(.02, .4), aspect
            U(.3, 1/.3), UniMatch), ``classmix`` or ``cutout`` (half-area
            box).
        prob (float): Probability of mixing, in [0, 1]. Defaults to 0.5.
        per_image (bool): Decide per image rather than once per batch as the
            official code does. Defaults to False.
        begin (int): First iteration that mixes. Defaults to 0.
        background (int, optional): A class that ClassMix leaves where it is
            if the image has another one (CMB on VOC).
        extra (int): ClassMix pastes floor(n / 2) + ``extra`` of the n classes
            of an image: 1 in CMB's code, 0 in the original. Defaults to 1.
    """
    KINDS = ('cutmix', 'cutmix_single', 'classmix', 'cutout')

    def __init__(self,
                 kind: str = 'cutmix',
                 prob: float = .5,
                 per_image: bool = False,
                 begin: int = 0,
                 background: Optional[int] = None,
                 extra: int = 1) -> None:
        if kind not in self.KINDS:
            raise ValueError(
                f'mixing kind {kind!r} is unknown: use one of {self.KINDS}.')
        if not 0 <= prob <= 1:
            raise ValueError(f'mixing prob must be in [0, 1], got {prob}.')
        self.kind, self.prob, self.per_image = kind, prob, per_image
        self.begin, self.background, self.extra = begin, background, extra

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
        box = single_boxes if self.kind == 'cutmix_single' else half_area_boxes
        return box(batch, height, width, generator)

    def __call__(self, step: Step, view: str, labels: LabelMaps,
                 num_classes: int) -> LabelMaps:
        """Mix ``step.views[view]`` in place of the view and its labels.

        Returns:
            dict[str, Tensor]: The mixed label maps.
        """
        if step.iteration < self.begin:
            return labels
        if not self.per_image and step.random.random() >= self.prob:
            return labels
        if self.kind != 'cutout' and len(labels['cls']) == 1:
            which = 'labelled' if view == 'sup' else 'unlabelled'
            warnings.warn(f'{self.kind} has one {which} image per process: '
                          'it is its own partner and nothing is mixed. Give '
                          'each process two (SemiSampler counts).')
        mask = self.masks(labels, num_classes, step.generator)
        if self.per_image:
            gate = torch.rand(
                len(mask), device=mask.device, generator=step.generator)
            mask = mask & (gate < self.prob)[:, None, None]
        old = step.views[view]
        maps: Dict[str, Tensor] = dict(labels, image=old.image)
        maps['valid'] = old.valid
        if old.target is not None:
            maps['target'] = old.target
        if self.kind == 'cutout':
            fill = {name: CUTOUT_FILL.get(name, 0) for name in maps}
            maps = cutout(maps, mask, fill)
        else:
            maps = mix(maps, mask)
        step.views[view] = moved_view(old, maps)
        return maps
