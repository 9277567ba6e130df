# Copyright (c) mmseg_semi authors.
from typing import Dict, List, Optional, Sequence

from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import (cross_entropy, ohem_cross_entropy, pixel_losses,
                           weights_at)
from ..adapters import build_adapter
from ..step import Step
from .term import Term

CRITERIA = dict(cross_entropy=cross_entropy, ohem=ohem_cross_entropy)


@MODELS.register_module()
class SupervisedLoss(Term):
    """Cross-entropy on the labelled images (BRPG Eq. 2).

    Args:
        criterion (list[dict], optional): Weighted criteria, each
            ``dict(type='cross_entropy' | 'ohem', weight=..., ...)``, averaged
            over non-ignored (OHEM: kept) pixels of all ranks. BRPG's code
            uses half CE, half OHEM(0.7, 1e5) (spec B10-1). None uses the
            ``loss_decode`` of the wrapped config's own heads. Defaults to
            plain CE.
        aux_weight (float): Weight of auxiliary heads under ``criterion``.
            Defaults to 0.4.
        by_pixels (bool): With class weights (:class:`ClassBalance`), divide
            the weighted sum by the number of pixels, as CMB's Eq. 3 prints,
            and not by the sum of the weights, as its code does. Defaults to
            False.
        until (int, optional): From this iteration on its weight is 0 (PCR
            Table 4, 2); the heads stay in the graph, because DDP wants a
            gradient for them. None is never.
    """
    name = 'supervised'

    def __init__(self,
                 criterion: Optional[Sequence[dict]] = (dict(
                     type='cross_entropy', weight=1.), ),
                 aux_weight: float = .4,
                 by_pixels: bool = False,
                 until: Optional[int] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.criterion = criterion and [dict(c) for c in criterion]
        self.aux_weight, self.by_pixels = aux_weight, by_pixels
        self.until = until
        for item in self.criterion or ():
            if item.get('type') not in CRITERIA:
                raise ValueError(f'supervised criterion {item} is unknown: '
                                 f'use type one of {sorted(CRITERIA)}.')

    def local_rules(self) -> List[str]:
        return [
            f'{self.name}: OHEM keeps at least {item["min_kept"]:,} pixels'
            for item in self.criterion or () if 'min_kept' in item
        ]

    def bind(self, net) -> None:
        if self.criterion is None:
            adapter = build_adapter(net)
            self.head_losses = lambda out, samples: adapter.losses(
                net, out, samples)

    def _criteria(self,
                  logits: Tensor,
                  labels: Tensor,
                  class_weights: Optional[Tensor] = None) -> Tensor:
        total, losses = 0., pixel_losses(logits, labels)
        weighted = {}
        if class_weights is not None:
            weighted = dict(
                weight=weights_at(class_weights, labels),
                normalizer='valid' if self.by_pixels else 'weight')
        for item in self.criterion:
            options = dict(item)
            loss = CRITERIA[options.pop('type')]
            weight = options.pop('weight', 1.)
            total = total + weight * loss(
                logits, labels, losses=losses, **{
                    **weighted,
                    **options
                })
        return total

    def loss(self, step: Step) -> Dict[str, Tensor]:
        losses = self._losses(step)
        if self.until is not None and step.iteration >= self.until:
            losses = {
                name: value * 0. if 'loss' in name else value
                for name, value in losses.items()
            }
        return losses

    def _losses(self, step: Step) -> Dict[str, Tensor]:
        out, view = step.learner(self.net, 'sup'), step.views['sup']
        weights = step.class_weights
        if weights is not None and not self._weighs_classes():
            raise ValueError(
                'Class weights (ClassBalance) apply to the criterion '
                f'"cross_entropy" alone, not to {self.criterion}: change the '
                'criterion of SupervisedLoss or remove ClassBalance.')
        if self.criterion is None:
            return self.head_losses(out, view.samples)
        losses = dict(
            loss_sup=self._criteria(
                out.at(view.labels.shape[-2:]), view.labels, weights))
        if out.rest:  # DDP wants a gradient for what makes them
            losses['loss_sup'] = losses['loss_sup'] + sum(
                part.float().mean() * 0. for part in out.rest)
        if out.aux:  # at weight 0 too
            losses['loss_aux'] = self.aux_weight * self._auxiliary(
                out.aux, view.labels, out.align_corners, weights)
        return losses

    def _weighs_classes(self) -> bool:
        return self.criterion is not None and all(
            item['type'] == 'cross_entropy' for item in self.criterion)

    def _auxiliary(self, maps: List[Tensor], labels: Tensor,
                   align_corners: bool,
                   class_weights: Optional[Tensor]) -> Tensor:
        return sum(
            self._criteria(
                resize(
                    m,
                    size=labels.shape[-2:],
                    mode='bilinear',
                    align_corners=align_corners), labels, class_weights)
            for m in maps)
