# Copyright (c) mmseg_semi authors.
import math
from typing import Dict

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import global_mean, pixel_entropies
from ..step import Step
from .term import Term


@MODELS.register_module()
class EntropyMinimization(Term):
    """Entropy of the network on the unlabelled views (CMB Eq. 7).

    The mean is over pixels with a pseudo-label, of all views and ranks.

    Args:
        normalized (bool): Divide by ln C, as CMB's code does, so that the
            entropy is in [0, 1]; False takes nats, as Eq. 7 prints. Defaults
            to True.
        views (sequence[str], optional): Views whose pixels form one mean;
            None takes every view the network learns with a pseudo-label.
        loss_weight (float): lambda_ent. Defaults to 0.01.
    """
    name = 'entropy'
    unlabeled = True
    reads_views = True

    def __init__(self,
                 normalized: bool = True,
                 loss_weight: float = .01,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if loss_weight < 0:
            raise ValueError('entropy: loss_weight must not be negative, got '
                             f'{loss_weight}.')
        self.normalized, self.loss_weight = normalized, loss_weight

    def loss(self, step: Step) -> Dict[str, Tensor]:
        views = self.chosen_views(step, labeled=True)
        if not views:  # burn-in: no pseudo-label yet
            return {}
        totals, counts = [], []
        for view in views:
            labels = step.labels[self.net, view]
            kept = labels['valid'] & (labels['cls'] != 255)
            logits = step.learner(self.net, view).at(kept.shape[-2:])
            totals.append(pixel_entropies(logits).masked_fill(~kept, 0.).sum())
            counts.append(kept.sum())
        loss = global_mean(
            torch.stack(totals).sum(),
            torch.stack(counts).sum())
        if self.normalized:
            loss = loss / math.log(self.num_classes)
        return dict(loss_entropy=self.loss_weight * loss)
