# Copyright (c) mmseg_semi authors.
from functools import reduce
from typing import Dict, Iterable, List, Optional

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import (NORMALIZERS, confidence_filter, cross_entropy,
                           entropy_filter, keep_percent, max_along,
                           pixel_losses, softmax_entropy, warm_up, weights_at)
from ..step import LabelMaps, Pass, Step
from .term import Term
from .training_plan import TrainingPlan


@MODELS.register_module()
class PixelConsistency(Term):
    """Cross-entropy against filtered pseudo-labels (BRPG Eq. 4-6, CMB Eq. 6).

    A label map ``weight``, if a term or framework made one, and the step's
    class weights multiply the loss of each pixel. CMB's form is
    ``filter='none', sharpen=6, normalizer='all', ramp=dict(length=2000)``.

    Args:
        filter (str): ``entropy`` keeps the fraction of least entropy (Eq. 5),
            growing linearly from ``start`` to 100 % of the pixels over the
            training; ``confidence`` keeps pixels whose mixed confidence is
            at least ``threshold`` (Eq. 4); ``both`` keeps what these two
            keep; ``none`` keeps all. Defaults to ``entropy``.
        start (float): Kept percentage at the first iteration. Defaults to 80.
        epoch_iters (int, optional): Move the percentage once per this many
            iterations, as the official code does; None moves it smoothly.
        threshold (float): For ``confidence``, in [0, 1]. Defaults to 0.8.
        entropy_view (str): ``mixed`` measures the entropy of a train-mode
            teacher pass on the mixed batch (official code);
            ``weak`` reuses the pass that made the labels.
        normalizer (str): See :func:`mmseg_semi.functional.cross_entropy`.
            Defaults to ``kept_boost``, the official mean over kept pixels
            times pixels / kept; ``valid`` is Eq. 6.
        sharpen (float): The loss of a pixel is multiplied by its confidence
            to this power (CMB: 6). Defaults to 0: all alike.
        ramp (dict, optional): Arguments ``length`` and ``kind`` of
            :func:`mmseg_semi.functional.warm_up`, whose value multiplies the
            loss (CMB: 2000 iterations, ``exp``; its text prints ``hard``).
            Without ``length`` it is CMB's, see
            :meth:`.TrainingPlan.cmb_iteration`.
        views (sequence[str], optional): Views whose pixels form one mean;
            None takes every view the network learns with a pseudo-label.
        loss_weight (float): lambda_u. Defaults to 1.
    """
    name = 'pixel_consistency'
    unlabeled = True
    reads_views = True

    def __init__(self,
                 filter: str = 'entropy',
                 start: float = 80.,
                 epoch_iters: int = None,
                 threshold: float = .8,
                 entropy_view: str = 'mixed',
                 normalizer: str = 'kept_boost',
                 sharpen: float = 0.,
                 ramp: Optional[dict] = None,
                 loss_weight: float = 1.,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if filter not in ('entropy', 'confidence', 'both', 'none'):
            raise ValueError(f'filter {filter!r} is unknown: use "entropy", '
                             '"confidence", "both" or "none".')
        if entropy_view not in ('mixed', 'weak'):
            raise ValueError(f'entropy_view {entropy_view!r} is unknown: use '
                             '"mixed" or "weak".')
        if normalizer not in NORMALIZERS:
            raise ValueError(f'normalizer {normalizer!r} is unknown: use one '
                             f'of {NORMALIZERS}.')
        _check_ranges(start, threshold, sharpen, loss_weight)
        self.filter, self.start, self.threshold = filter, start, threshold
        self.epoch_iters, self.entropy_view = epoch_iters, entropy_view
        self.normalizer, self.sharpen = normalizer, sharpen
        self.ramp = None if ramp is None else dict(ramp)
        self.ramp_length = self.ramp and self.ramp.pop('length', None)
        if ramp is not None:  # wrong arguments shall fail now
            length = 1 if self.ramp_length is None else self.ramp_length
            warm_up(0, length, **self.ramp)
        self.loss_weight = loss_weight

    @property
    def confidence_threshold(self) -> Optional[float]:
        return self.threshold if self.filter in ('confidence',
                                                 'both') else None

    def needs(self) -> Dict[str, str]:
        if self._entropy_source != 'mixed':
            return {}
        return dict(mixed_pass='use entropy_view="weak"')

    def plan(self, training: TrainingPlan) -> None:
        self.settle(ramp_length=max(1, training.cmb_iteration(2000)))

    @property
    def _entropy_source(self) -> Optional[str]:
        uses = self.filter in ('entropy', 'both')
        return self.entropy_view if uses else None

    def passes(self, framework, step: Step) -> List[Pass]:
        if self._entropy_source == 'mixed' and step.semi:
            return [framework.statistics_pass(step)]
        return []

    def local_rules(self) -> List[str]:
        if self.filter not in ('entropy', 'both'):
            return []
        return [f'{self.name}: percentile of the entropy']

    def label_maps(self) -> Iterable[str]:
        return ('entropy', ) if self._entropy_source == 'weak' else ()

    @torch.no_grad()
    def keep(self, step: Step, view: str, labels: LabelMaps) -> Tensor:
        """(B, H, W) bool: the pixels whose pseudo-label is trusted."""
        known = labels['valid'] & (labels['cls'] != 255)
        keep = known
        if self.filter in ('confidence', 'both'):
            keep = confidence_filter(labels['conf'], known, self.threshold)
        if self._entropy_source is None:
            return keep
        if self._entropy_source == 'mixed':
            size = labels['cls'].shape[-2:]
            out = step.outs['statistics', view]
            entropy = softmax_entropy(out.at(size))
        else:
            entropy = labels['entropy']
        percent = keep_percent(step.iteration, step.total_iters, self.start,
                               self.epoch_iters)
        return keep & entropy_filter(entropy, known, percent)

    @torch.no_grad()
    def weight(self, step: Step, labels: LabelMaps) -> Optional[Tensor]:
        """(B, H, W) factor of every pixel's loss; None for ones."""
        factors = [labels['weight']] if 'weight' in labels else []
        if self.sharpen:
            factors.append(labels['conf']**self.sharpen)
        if step.class_weights is not None:
            factors.append(weights_at(step.class_weights, labels['cls']))
        return reduce(torch.mul, factors) if factors else None

    @torch.no_grad()
    def health(self, keep: Tensor, labels: LabelMaps,
               logits: Tensor) -> Dict[str, Tensor]:
        """Share kept, and how often the student agrees with its label.

        The agreement is looked at on every 16th pixel.
        """
        some = slice(None), slice(None, None, 4), slice(None, None, 4)
        _, guess = max_along(logits[:, :, ::4, ::4], dim=1)
        known = labels['valid'][some]
        agreed = (guess == labels['cls'][some]) & known
        return {
            'pseudo/keep_ratio': keep.float().mean(),
            'pseudo/agreement': agreed.sum() / known.sum().clamp_min(1),
        }

    def loss(self, step: Step) -> Dict[str, Tensor]:
        views = self.chosen_views(step, labeled=True)
        if not views:  # burn-in: no pseudo-label yet
            return {}
        parts = [self._view_maps(step, view) for view in views]
        maps = {
            name: torch.cat([part[name] for part in parts])
            for name in parts[0]
        } if len(parts) > 1 else parts[0]
        logits = step.learner(self.net, views[0]).logits
        loss = cross_entropy(logits, normalizer=self.normalizer, **maps)
        if self.ramp is not None:
            loss = loss * warm_up(step.iteration, self.option('ramp_length'),
                                  **self.ramp)
        return dict(loss_unsup=self.loss_weight * loss)

    def _view_maps(self, step: Step, view: str) -> Dict[str, Tensor]:
        """What the mean over pixels needs of one view."""
        labels = step.labels[self.net, view]
        keep = self.keep(step, view, labels)
        target = labels['cls'].masked_fill(~keep, 255)
        logits = step.learner(self.net, view).at(target.shape[-2:])
        if 'pseudo/keep_ratio' not in step.log:  # of the first view
            step.log.update(self.health(keep, labels, logits))
        maps = dict(
            losses=pixel_losses(logits, target),
            target=target,
            valid=labels['valid'])
        weight = self.weight(step, labels)
        return maps if weight is None else dict(maps, weight=weight)


def _check_ranges(start: float, threshold: float, sharpen: float,
                  loss_weight: float) -> None:
    ranges = dict(
        start=(0 < start <= 100, start, 'a percentage in (0, 100]'),
        threshold=(0 <= threshold <= 1, threshold, 'in [0, 1]'),
        sharpen=(sharpen >= 0, sharpen, 'at least 0'),
        loss_weight=(loss_weight >= 0, loss_weight, 'at least 0'))
    for name, (fits, value, wanted) in ranges.items():
        if not fits:
            raise ValueError(f'pixel_consistency: {name}={value} must be '
                             f'{wanted}.')
