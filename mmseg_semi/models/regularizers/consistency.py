# Copyright (c) mmseg_semi authors.
from typing import Dict, Iterable, List

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import (confidence_filter, cross_entropy, entropy_filter,
                           keep_percent, softmax_entropy)
from ..step import LabelMaps, Pass, Step
from .term import Term


@MODELS.register_module()
class PixelConsistency(Term):
    """Cross-entropy against filtered pseudo-labels (BRPG Eq. 4-6).

    A label map ``weight``, if a term or framework made one, multiplies the
    loss of each pixel.

    Args:
        filter (str): ``entropy`` keeps the fraction of least entropy (Eq. 5),
            growing linearly from ``start`` to 100 % of the pixels over the
            training; ``confidence`` keeps pixels whose mixed confidence is
            at least ``threshold`` (Eq. 4). Defaults to ``entropy``.
        start (float): Kept percentage at the first iteration. Defaults to 80.
        epoch_iters (int, optional): Move the percentage once per this many
            iterations, as the official code does; None moves it smoothly.
        threshold (float): For ``confidence``, in [0, 1]. Defaults to 0.8.
        entropy_view (str): ``mixed`` measures the entropy of a train-mode
            teacher pass on the mixed batch (official code, spec B10-3);
            ``weak`` reuses the pass that made the labels.
        normalizer (str): See :func:`mmseg_semi.functional.cross_entropy`.
            Defaults to ``kept_boost``, the official mean over kept pixels
            times pixels / kept (spec B10-2); ``valid`` is Eq. 6.
        view (str): The learner's view. Defaults to ``unsup_student``.
        loss_weight (float): lambda_u. Defaults to 1.
    """
    name = 'pixel_consistency'
    unlabeled = True

    def __init__(self,
                 filter: str = 'entropy',
                 start: float = 80.,
                 epoch_iters: int = None,
                 threshold: float = .8,
                 entropy_view: str = 'mixed',
                 normalizer: str = 'kept_boost',
                 view: str = 'unsup_student',
                 loss_weight: float = 1.,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if filter not in ('entropy', 'confidence'):
            raise ValueError(f'filter {filter!r} is unknown: use "entropy" '
                             'or "confidence".')
        if entropy_view not in ('mixed', 'weak'):
            raise ValueError(f'entropy_view {entropy_view!r} is unknown: use '
                             '"mixed" or "weak".')
        self.filter, self.start, self.threshold = filter, start, threshold
        self.epoch_iters, self.entropy_view = epoch_iters, entropy_view
        self.normalizer, self.view = normalizer, view
        self.loss_weight = loss_weight

    @property
    def _measures_mixed(self) -> bool:
        return self.filter == 'entropy' and self.entropy_view == 'mixed'

    def passes(self, framework, step: Step) -> List[Pass]:
        if self._measures_mixed and step.semi:
            return [framework.statistics_pass(step)]
        return []

    def label_maps(self) -> Iterable[str]:
        weak = self.filter == 'entropy' and self.entropy_view == 'weak'
        return ('entropy', ) if weak else ()

    @torch.no_grad()
    def keep(self, step: Step, labels: LabelMaps) -> Tensor:
        """(B, H, W) bool: the pixels whose pseudo-label is trusted."""
        known = labels['valid'] & (labels['cls'] != 255)
        if self.filter == 'confidence':
            return confidence_filter(labels['conf'], known, self.threshold)
        if self._measures_mixed:
            size = labels['cls'].shape[-2:]
            out = step.outs['statistics', self.view]
            entropy = softmax_entropy(out.at(size))
        else:
            entropy = labels['entropy']
        percent = keep_percent(step.iteration, step.total_iters, self.start,
                               self.epoch_iters)
        return entropy_filter(entropy, known, percent)

    @torch.no_grad()
    def health(self, keep: Tensor, labels: LabelMaps,
               logits: Tensor) -> Dict[str, Tensor]:
        """Share kept, and how often the student agrees with its label.

        The agreement is looked at on every 16th pixel.
        """
        some = slice(None), slice(None, None, 4), slice(None, None, 4)
        guess = logits[:, :, ::4, ::4].argmax(dim=1)
        known = labels['valid'][some]
        agreed = (guess == labels['cls'][some]) & known
        return {
            'pseudo/keep_ratio': keep.float().mean(),
            'pseudo/agreement': agreed.sum() / known.sum().clamp_min(1),
        }

    def loss(self, step: Step) -> Dict[str, Tensor]:
        labels = step.labels.get((self.net, self.view))
        if labels is None:  # burn-in: no pseudo-label yet
            return {}
        keep = self.keep(step, labels)
        target = labels['cls'].masked_fill(~keep, 255)
        logits = step.learner(self.net, self.view).at(target.shape[-2:])
        step.log.update(self.health(keep, labels, logits))
        loss = cross_entropy(
            logits,
            target,
            weight=labels.get('weight'),
            normalizer=self.normalizer,
            valid=labels['valid'])
        return dict(loss_unsup=self.loss_weight * loss)
