# Copyright (c) mmseg_semi authors.
from numbers import Integral
from typing import Dict, Optional, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...functional import balancing_weights, class_counts
from ..step import Step
from .term import IterationSums, Term
from .training_plan import TrainingPlan

WEAK = 'unsup_teacher'


@MODELS.register_module()
class ClassBalance(Term):
    """Class weights from the frequencies seen so far (CMB Section 4.2).

    No loss of its own: it gives the step the weights that
    :class:`SupervisedLoss` and :class:`PixelConsistency` use. Ground truth is
    counted in the first batches, then kept; pseudo-labels in a window of the
    latest batches; both before mixing and augmentation and over all ranks.
    Images of a source domain are not counted.

    Several batches that make an iteration together fill one place of each
    window, and all of them are weighted by the iterations before; a single
    batch counts in its own weights.

    Args:
        windows (tuple[int, int], optional): Iterations that count ground
            truth and pseudo-labels. None is one pass each: floor(labelled
            images / labelled batch) and floor(unlabelled images / unlabelled
            batch), batches over all GPUs. CMB on Cityscapes 1/30: (20, 1437).
        begin (int, optional): First iteration with weights, if both windows
            are full by then. None is 2001 (CMB: after 2000), but in
            proportion in a training of less than 80,000 iterations.
        view (str, optional): The view whose pseudo-labels are counted. None
            is the images as they come, where the framework keeps their
            labels, or else the first strong view.
    """
    name = 'class_balance'
    unlabeled = True

    def __init__(self,
                 windows: Optional[Tuple[int, int]] = None,
                 begin: Optional[int] = None,
                 view: Optional[str] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        _check_windows(windows)
        if view is not None and not view.startswith('unsup_'):
            raise ValueError(f'ClassBalance: view={view!r} is none of '
                             'unlabelled images, as unsup_teacher is.')
        self.windows, self.begin, self.view = windows, begin, view
        zeros = torch.zeros(self.num_classes, dtype=torch.long)
        self.register_state('labeled', zeros, over_ranks='sum')
        self.register_state(
            'unlabeled_batches',
            zeros.new_zeros(windows[1] if windows else 0, self.num_classes),
            over_ranks='sum',
            resizable=True)
        # Counted iterations of ground truth and of pseudo-labels.
        self.register_state(
            'seen', torch.zeros(2, dtype=torch.long), over_ranks='same')
        self._sums = IterationSums()

    def needs(self) -> Dict[str, str]:
        if self.view != WEAK:
            return {}
        return dict(weak_labels='leave `view` out')

    def plan(self, training: TrainingPlan) -> None:
        self.settle(begin=training.cmb_iteration(2001))
        if self.windows is not None:
            return
        try:
            self.settle(windows=training.passes())
        except ValueError as err:
            raise ValueError(f'ClassBalance: {err} Give `windows`.') from err
        self._resize(self.option('windows')[1])

    def _resize(self, window: int) -> None:
        self.unlabeled_batches = self.unlabeled_batches.new_zeros(
            window, self.num_classes)

    def on_labels(self, step: Step) -> None:
        total = self._sums.add(step, self._counts(step))
        weights = self.weights() if step.accumulate > 1 else None
        if total is not None:
            self._count(*self.reduced('labeled', total[0]))
        if weights is None:
            weights = self.weights()
        started = step.iteration >= self.option('begin')
        step.class_weights = weights if started else torch.ones_like(weights)

    def _counts(self, step: Step) -> Tensor:
        """Pixels of every class in the ground truth and, but in burn-in, in
        the pseudo-labels of a batch: (1 or 2, C) long."""
        truth = step.originals['sup']
        counts = [class_counts(truth.labels, self.num_classes, truth.target)]
        if step.semi:
            pseudo = self._pseudo_labels(step)
            counts.append(class_counts(pseudo, self.num_classes))
        return torch.stack(counts)

    def _count(self, truth: Tensor, pseudo: Optional[Tensor] = None) -> None:
        """Take up the counts (C,) of an iteration."""
        windows = self.option('windows')
        # Images of the source domain alone have no labels to count.
        new = (truth.sum() > 0) & (self.seen[0] < windows[0])
        self.labeled += truth * new
        self.seen[0] += new
        if pseudo is not None:
            row = self.seen[1:] % windows[1]
            self.unlabeled_batches.index_copy_(0, row, pseudo[None])
            self.seen[1] += 1

    def _pseudo_labels(self, step: Step) -> Tensor:
        known = [v for net, v in step.labels if net == self.net and v != 'sup']
        view = self.view or (WEAK if WEAK in known else min(known, default=''))
        if view not in known:
            raise ValueError(f'ClassBalance: view={view!r} has no pseudo-'
                             f'labels of {self.net}; those with are {known}.')
        return step.labels[self.net, view]['cls']

    def weights(self) -> Tensor:
        """(C,) fp32; ones until both windows are full."""
        full = torch.stack([
            seen >= window
            for seen, window in zip(self.seen, self.option('windows'))
        ]).all()
        counts = self.labeled + self.unlabeled_batches.sum(0)
        return torch.where(full, balancing_weights(counts), 1.)

    def loss(self, step: Step) -> Dict[str, Tensor]:
        return {}

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        stored = state_dict.get(prefix + 'unlabeled_batches')
        if stored is not None and stored.shape != self.unlabeled_batches.shape:
            windows = self.windows or self._settled.get('windows')
            if windows or stored.shape[1:] != self.labeled.shape:
                # Raised here, because a non-strict load would only log it.
                raise RuntimeError(
                    f'{prefix}unlabeled_batches: the checkpoint counted '
                    f'(window, classes) {tuple(stored.shape)}, this model '
                    f'{tuple(self.unlabeled_batches.shape)}. To resume, give '
                    f'ClassBalance windows=({windows and windows[0]}, '
                    f'{stored.shape[0]}) again; to start from the weights '
                    f'alone, drop {prefix}* from the checkpoint.')
            self._resize(len(stored))  # no training: the model predicts
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check_windows(windows: Optional[Tuple[int, int]]) -> None:
    fits = windows is None or isinstance(
        windows, (tuple, list)) and len(windows) == 2 and all(
            isinstance(window, Integral) and not isinstance(window, bool)
            and window >= 1 for window in windows)
    if not fits:
        raise ValueError(
            'ClassBalance windows are two integers of at least 1, the '
            'iterations of one pass over the labelled and over the unlabelled '
            f'images, for example (20, 1437); got {windows!r}.')
