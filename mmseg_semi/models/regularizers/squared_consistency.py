# Copyright (c) mmseg_semi authors.
from dataclasses import replace
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import all_sum
from ...functional import confidence_filter, global_mean, squared_errors
from ..step import Pass, Step
from .term import Term


@MODELS.register_module()
class SquaredConsistency(Term):
    """Squared difference of the student's and the teacher's probabilities.

    The consistency loss of the original Mean Teacher (Tarvainen and Valpola,
    2017), on labelled images too and without mixing, and that of CutMix-Seg
    (French et al., 2020), whose teacher's probabilities are mixed as the
    images are. It needs no hard pseudo-label, and takes the place of
    :class:`PixelConsistency`.

    Args:
        labeled (bool): Also compare both networks on the labelled images.
            Defaults to False.
        over_classes (str): ``mean`` (Mean Teacher) or ``sum`` (CutMix-Seg)
            of the squared differences of a pixel.
        threshold (float, optional): Multiply the loss by the share of pixels
            with at least this confidence, one number for all GPUs
            (CutMix-Seg: 0.97). None does not.
        views (sequence[str], optional): Unlabelled views to compare on; None
            takes every view the network learns with a pseudo-label.
        loss_weight (float): Defaults to 1.
    """
    name = 'squared_consistency'
    unlabeled = True
    reads_views = True

    def __init__(self,
                 labeled: bool = False,
                 over_classes: str = 'sum',
                 threshold: Optional[float] = None,
                 loss_weight: float = 1.,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if over_classes not in ('mean', 'sum'):
            raise ValueError(f'squared_consistency: over_classes='
                             f'{over_classes!r} must be "mean" or "sum".')
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f'squared_consistency: threshold={threshold} '
                             'must be in [0, 1], or None.')
        if loss_weight < 0:
            raise ValueError(f'squared_consistency: loss_weight={loss_weight} '
                             'must be at least 0.')
        self.labeled, self.over_classes = labeled, over_classes
        self.threshold, self.loss_weight = threshold, loss_weight

    def needs(self) -> Dict[str, str]:
        return dict(teacher='use MeanTeacher')

    def batch_rules(self) -> List[str]:
        if self.threshold is None:
            return []
        return [f'{self.name}: share of confident pixels']

    def label_maps(self) -> Iterable[str]:
        return ('prob', )

    def passes(self, framework, step: Step) -> List[Pass]:
        """The teacher on labelled images, in the mode in which it labels."""
        if not (self.labeled and step.semi):
            return []
        labeler = next(
            p for p in framework.passes(step) if p.role == 'labeler')
        return [
            replace(
                labeler,
                name='labeler_sup',
                views=('sup', ),
                role='reference',
                features=frozenset())
        ]

    def loss(self, step: Step) -> Dict[str, Tensor]:
        views = self.chosen_views(step, labeled=True)
        if not views:  # burn-in: the teacher is the student
            return {}
        pairs = [self._unlabeled(step, view) for view in views]
        if self.labeled:
            pairs.append(self._labeled(step))
        total, number = (torch.stack(part).sum() for part in zip(*pairs))
        loss = global_mean(total, number)
        if self.over_classes == 'mean':
            loss = loss / self.num_classes
        return dict(loss_squared=self.loss_weight * loss *
                    self._gate(step, views))

    def _unlabeled(self, step: Step, view: str) -> Tuple[Tensor, Tensor]:
        labels = step.labels[self.net, view]
        return self._compare(step, view, labels['prob'], labels['valid'])

    def _labeled(self, step: Step) -> Tuple[Tensor, Tensor]:
        view = step.views['sup']
        target = step.outs['labeler_sup', 'sup'].at(view.size).softmax(dim=1)
        return self._compare(step, 'sup', target, view.valid)

    def _compare(self, step: Step, view: str, target: Tensor,
                 valid: Tensor) -> Tuple[Tensor, Tensor]:
        """Sum of the loss over the pixels of a view, and their number."""
        logits = step.learner(self.net, view).at(valid.shape[-2:])
        losses = squared_errors(logits, target)
        return losses.masked_fill(~valid, 0.).sum(), valid.sum()

    def _gate(self, step: Step, views: Sequence[str]) -> Tensor:
        """The share of confident pixels of all views and GPUs."""
        if self.threshold is None:
            return 1.
        maps = [step.labels[self.net, view] for view in views]
        sure = sum(
            confidence_filter(m['conf'], m['valid'], self.threshold).sum()
            for m in maps)
        valid = sum(m['valid'].sum() for m in maps)
        # Both numbers of all GPUs, or each GPU would weigh its own pixels.
        sure, valid = all_sum(torch.stack([sure, valid])).double()
        share = (sure / valid.clamp_min(1)).float()
        step.log['pseudo/confident_ratio'] = share
        return share
