# Copyright (c) mmseg_semi authors.
from numbers import Integral
from typing import Dict, Tuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...dist import all_sum
from ...functional import balancing_weights, class_counts
from ..step import Step
from .term import Term


@MODELS.register_module()
class ClassBalance(Term):
    """Class weights from the frequencies seen so far (CMB Section 4.2).

    No loss of its own: it gives the step the weights that
    :class:`SupervisedLoss` and :class:`PixelConsistency` use. Ground truth is
    counted in the first batches, then kept; pseudo-labels in a window of the
    latest batches; both before mixing and augmentation and over all ranks.
    Images of a source domain are not counted.

    Args:
        windows (tuple[int, int]): Iterations that count ground truth and
            pseudo-labels, about one pass each: floor(labelled images /
            labelled batch) and floor(unlabelled images / unlabelled batch),
            batches over all GPUs. CMB on Cityscapes 1/30: (20, 1437).
        begin (int): First iteration with weights, if both windows are full
            by then. Defaults to 2001 (CMB: after 2000).
        view (str): The view whose pseudo-labels are counted.
    """
    name = 'class_balance'
    unlabeled = True

    def __init__(self,
                 windows: Tuple[int, int],
                 begin: int = 2001,
                 view: str = 'unsup_teacher',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        _check_windows(windows)
        self.windows, self.begin, self.view = tuple(windows), begin, view
        zeros = torch.zeros(windows[1], self.num_classes, dtype=torch.long)
        self.register_buffer('labeled', zeros[0].clone())
        self.register_buffer('unlabeled_batches', zeros)
        # Counted batches of ground truth and of pseudo-labels.
        self.register_buffer('seen', torch.zeros(2, dtype=torch.long))

    def on_labels(self, step: Step) -> None:
        truth = step.originals['sup']
        counts = [class_counts(truth.labels, self.num_classes, truth.target)]
        if step.semi:
            pseudo = self._pseudo_labels(step)
            counts.append(class_counts(pseudo, self.num_classes))
        counts = all_sum(torch.stack(counts))
        last = step.part == step.accumulate - 1  # batch of the iteration
        # A batch of the source domain alone has no labels to count.
        new = (counts[0].sum() > 0) & (self.seen[0] < self.windows[0])
        self.labeled += counts[0] * new
        self.seen[0] += new * last
        if step.semi:
            row = self.seen[1:] % self.windows[1]
            if step.part == 0:
                self.unlabeled_batches.index_fill_(0, row, 0)
            self.unlabeled_batches.index_add_(0, row, counts[1:])
            self.seen[1] += last
        step.class_weights = (
            self.weights() if step.iteration >= self.begin else torch.ones(
                self.num_classes, device=counts.device))

    def _pseudo_labels(self, step: Step) -> Tensor:
        if (self.net, self.view) not in step.labels:
            known = [view for net, view in step.labels if net == self.net]
            raise ValueError(
                f'ClassBalance: view={self.view!r} has no pseudo-labels of '
                f'{self.net}; those with are {known}.')
        return step.labels[self.net, self.view]['cls']

    def weights(self) -> Tensor:
        """(C,) fp32; ones until both windows are full."""
        full = torch.stack([
            seen >= window for seen, window in zip(self.seen, self.windows)
        ]).all()
        counts = self.labeled + self.unlabeled_batches.sum(0)
        return torch.where(full, balancing_weights(counts), 1.)

    def loss(self, step: Step) -> Dict[str, Tensor]:
        return {}

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        stored = state_dict.get(prefix + 'unlabeled_batches')
        if stored is not None and stored.shape != self.unlabeled_batches.shape:
            # Raised here, because a non-strict load would only log it.
            raise RuntimeError(
                f'{prefix}unlabeled_batches: the checkpoint counted (window, '
                f'classes) {tuple(stored.shape)}, this model '
                f'{tuple(self.unlabeled_batches.shape)}. To resume, give '
                f'ClassBalance windows=({self.windows[0]}, '
                f'{stored.shape[0]}) again; to start from the weights alone, '
                f'drop {prefix}* from the checkpoint.')
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check_windows(windows: Tuple[int, int]) -> None:
    fits = isinstance(windows, (tuple, list)) and len(windows) == 2 and all(
        isinstance(window, Integral) and not isinstance(window, bool)
        and window >= 1 for window in windows)
    if not fits:
        raise ValueError(
            'ClassBalance windows are two integers of at least 1, the '
            'iterations of one pass over the labelled and over the unlabelled '
            f'images, for example (20, 1437); got {windows!r}.')
