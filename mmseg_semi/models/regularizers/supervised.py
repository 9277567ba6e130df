# Copyright (c) mmseg_semi authors.
from typing import Dict, List, Optional, Sequence, Union

import torch
from mmengine.logging import print_log
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import (balancing_weights, cross_entropy,
                           ohem_cross_entropy, pixel_losses, weights_at)
from ..adapters import build_adapter
from ..class_weights import BALANCED, check_class_weight, weighable_losses
from ..step import Step
from .term import Term, term_class
from .training_plan import TrainingPlan

_ONLY_CROSS_ENTROPY = (
    'Class weights ({0}) apply to the criterion "cross_entropy" alone, not to '
    '{1.criterion}: change the criterion of SupervisedLoss or remove {0}.')
DECLARED = 'declared'
CRITERIA = dict(cross_entropy=cross_entropy, ohem=ohem_cross_entropy)


@MODELS.register_module()
class SupervisedLoss(Term):
    """Cross-entropy on the labelled images (BRPG Eq. 2).

    Args:
        criterion (list[dict], optional): Weighted criteria, each
            ``dict(type='cross_entropy' | 'ohem', weight=..., ...)``, averaged
            over non-ignored (OHEM: kept) pixels of all ranks, and on the
            class scores alone. BRPG's paper has one plain cross-entropy, its
            code half CE, half OHEM(0.7, 1e5). None, the default, takes the
            losses that the wrapped config declares for its heads, as
            ``segmentor.loss`` does.
        loss_weight (float): Of all its losses. Defaults to 1.
        aux_weight (float): Weight of auxiliary heads under ``criterion``.
            Defaults to 0.4.
        by_pixels (bool): With class weights (:class:`ClassBalance`), divide
            the weighted sum by the number of pixels, as CMB's Eq. 3 prints,
            and not by the sum of the weights, as its code does. Defaults to
            False.
        class_weight (str | Sequence[float], optional): Weights of the classes
            in all losses of pixels: a number for each, or ``'balanced'``, the
            root of the median frequency over the frequency in the labelled
            masks (:func:`.balancing_weights`). None leaves the losses as they
            are declared.
        until (int, optional): From this iteration on its weight is 0 (PCR
            Table 4, 2); the heads stay in the graph, because DDP wants a
            gradient for them. None is never.
    """
    name = 'supervised'

    def __init__(self,
                 criterion: Optional[Sequence[dict]] = None,
                 loss_weight: float = 1.,
                 aux_weight: float = .4,
                 by_pixels: bool = False,
                 class_weight: Union[str, Sequence[float], None] = None,
                 until: Optional[int] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.class_weight = check_class_weight(class_weight, self.num_classes)
        # Known from the data: not state of a checkpoint.
        self.register_buffer('_weights', None, persistent=False)
        self.criterion = criterion and [dict(c) for c in criterion]
        self.aux_weight, self.by_pixels = aux_weight, by_pixels
        self.until, self.loss_weight = until, loss_weight
        if loss_weight < 0:
            raise ValueError(f'supervised: loss_weight={loss_weight} must be '
                             'at least 0.')
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
        if self.class_weight is None:
            return
        if self.criterion is None:
            self._weighable = weighable_losses(net)
        elif not self._weighs_classes():
            raise ValueError(_ONLY_CROSS_ENTROPY.format('class_weight', self))
        if self.class_weight != BALANCED:
            self._weigh(torch.tensor(self.class_weight))

    def plan(self, training: TrainingPlan) -> None:
        if self.class_weight != BALANCED:
            return
        if training.class_pixels is None:
            raise ValueError(
                f'supervised: class_weight={BALANCED!r} follows from the '
                'pixels of the labelled masks, which this data set does not '
                'count. Train on SemiSegDataset, or give the weights.')
        pixels = torch.as_tensor(training.class_pixels())
        self._weigh(balancing_weights(pixels))
        print_log(
            'Weights of the classes: ' +
            ', '.join(f'{w:.3g}' for w in self._weights.tolist()), 'current')

    def _weigh(self, weights: Tensor) -> None:
        self._weights = weights.float()
        for loss in getattr(self, '_weighable', ()):
            loss.class_weight = self._weights.tolist()

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
        ended = self.until is not None and step.iteration >= self.until
        weight = 0. if ended else self.loss_weight
        losses = self._losses(step)
        if weight == 1:
            return losses
        return {
            name: _weighted(value, weight) if 'loss' in name else value
            for name, value in losses.items()
        }

    def _losses(self, step: Step) -> Dict[str, Tensor]:
        out, view = step.learner(self.net, 'sup'), step.views['sup']
        weights = step.class_weights
        if weights is not None and not self._weighs_classes():
            raise ValueError(_ONLY_CROSS_ENTROPY.format('ClassBalance', self))
        if weights is None:
            weights = self._weights
        elif self.class_weight is not None:
            raise ValueError('class_weight and ClassBalance both weigh the '
                             'classes: remove one of them.')
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


def _weighted(value, weight: float):
    """A loss, or a list of them, as mmengine sums it."""
    if isinstance(value, Tensor):
        return value * weight
    return [part * weight for part in value]


def with_class_weight(terms: Dict[str, Optional[dict]],
                      value: Union[str, Sequence[float], None]) -> dict:
    """Terms whose supervised losses weigh the classes.

    Args:
        terms (dict[str, dict | None]): Configs by name.
        value (str | Sequence[float], optional): ``class_weight`` of
            :class:`SupervisedLoss`.

    Returns:
        dict: A copy.

    Raises:
        ValueError: There is no supervised loss, or it has other weights.
    """
    found = {
        name: cfg
        for name, cfg in terms.items()
        if cfg is not None and issubclass(term_class(cfg), SupervisedLoss)
    }
    if not found and value is not None:
        raise ValueError(f'model.class_weight={value!r}, but model.terms has '
                         'no SupervisedLoss whose classes could be weighed.')
    for name, cfg in found.items():
        if cfg.get('class_weight', value) != value:
            raise ValueError(
                f'class_weight is {value!r} for the model and '
                f'{cfg["class_weight"]!r} for its term {name!r}: remove one.')
    return {
        **terms,
        **{
            name: dict(cfg, class_weight=value)
            for name, cfg in found.items()
        }
    }
