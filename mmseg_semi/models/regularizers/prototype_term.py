# Copyright (c) mmseg_semi authors.
"""What terms with class prototypes have in common (BRPG, PCR)."""
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ...functional import (assigned_sums, grid_features, moved_prototypes,
                           prototype_logits)
from ...functional.clustering import BACKENDS
from ..state import reduced, share_state
from ..step import Step
from .term import IterationSums, Term


class Samples(NamedTuple):
    """The sampled pixels of a step: (N, D), (N, C, K) and (N,) long."""
    features: Tensor
    similarity: Tensor
    target: Tensor


class PrototypeTerm(Term):
    """Owns a prototype head, scores samples with it and moves its prototypes.

    Subclasses say where prototypes come from and which pixels are sampled.

    Args:
        head (dict): :class:`PrototypeHead` config. Without a projector its
            features are those of the tap, so ``channels`` may be left out.
        size (int): K, places per class.
        momentum (float): Of the prototypes; 1 freezes them.
        loss_weight (float): Weight of the prototype loss.
        sync_prototypes (bool): Reduce the update over ranks; False lets
            every rank drift, and a checkpoint holds those of rank 0.
        kmeans (str): ``faiss`` or ``minibatch``.
        seed (int): Of the clustering.
    """
    reads_views = True

    def __init__(self,
                 head: dict,
                 size: int,
                 momentum: float = .99,
                 loss_weight: float = 1.,
                 sync_prototypes: bool = True,
                 kmeans: str = 'faiss',
                 seed: int = 0,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if kmeans not in BACKENDS:
            raise ValueError(f'kmeans={kmeans!r} must be one of {BACKENDS}.')
        if not 0 <= momentum <= 1:
            raise ValueError(f'momentum={momentum} of the prototypes must be '
                             'in [0, 1] (1 freezes them).')
        if loss_weight < 0:
            raise ValueError(f'loss_weight={loss_weight} of the prototype '
                             'loss must be at least 0.')
        self.size = size
        head = self.sized_head(head, 'PrototypeHead')
        if head.get('projector', 'conv') is None:
            head.setdefault('channels', head['in_channels'])
        self.head_cfg = dict(head, num_prototypes=size)
        self.momentum, self.loss_weight = momentum, loss_weight
        self.sync_prototypes = sync_prototypes
        self.kmeans, self.seed = kmeans, seed
        self.samples: Optional[Samples] = None
        self._sums = IterationSums()

    def heads(self) -> Dict[str, dict]:
        return {self.name: self.head_cfg}

    def bind(self, net) -> None:
        super().bind(net)
        if not self.sync_prototypes:
            for name in ('prototypes', 'prototype_valid'):
                share_state(self.head, name, 'per_rank')

    def stage(self, step: Step) -> str:
        """The latest of :meth:`stages` that has begun."""
        return [
            name for name, first in self.stages().items()
            if first <= step.iteration
        ][-1]

    def require_prototypes(self, why: str) -> None:
        """Without any, the loss would be 0 for the rest of the training."""
        if not bool(self.head.prototype_valid.any()):
            raise RuntimeError(f'{type(self).__name__}: {why}')

    def at_grid(self, step: Step, view: str, labels: Tensor, rows: Tensor,
                cols: Tensor) -> Tuple[Tensor, Tensor]:
        """The learner's features (N, D) and labels (N,) at the same pixels
        (M,) of every image of a view."""
        out = step.learner(self.net, view)
        size = tuple(labels.shape[-2:])
        features = grid_features(out.features[self.name], rows, cols, size,
                                 out.align_corners).flatten(0, 1)
        rows, cols = (  # non_blocking: or the host waits for the device
            axis.to(labels.device, non_blocking=True) for axis in (rows, cols))
        return features, labels[:, rows, cols].flatten()

    def scores(self, drawn: Sequence[Tuple[Tensor, Tensor]]) -> List[Tensor]:
        """Prototype logits (N_i, C) of several draws (features, target)."""
        features, target = (torch.cat(parts) for parts in zip(*drawn))
        similarity = self.head.similarity(features)
        self.samples = Samples(features, similarity, target)
        logits = prototype_logits(similarity, self.head.temperature)
        return list(logits.split([len(labels) for _, labels in drawn]))

    def update_after(self, step: Step) -> None:
        """Move the prototypes by all samples of an iteration.

        PCR Eq. 11, BRPG Eq. 22.
        """
        if self.samples is None:
            return
        total = self._sums.add(step, *assigned_sums(*self.samples))
        self.samples = None
        if total is None:
            return
        sums, counts = (
            reduced(self.head, 'prototypes', part) for part in total)
        self.head.prototypes.copy_(
            moved_prototypes(self.head.prototypes, sums, counts,
                             self.momentum))
        valid = self.head.prototype_valid
        step.log['proto/used_ratio'] = (counts > 0).sum() / valid.sum()
