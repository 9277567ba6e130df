# Copyright (c) mmseg_semi authors.
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...dist import gather_rows
from ...functional import draw_negatives, negative_contrast
from ..banks import ClassBank


class NegativeQueues(nn.Module):
    """A queue of negatives for every class, the first one of its own size.

    They hold directions: only cosines with negatives are taken.

    Args:
        num_classes (int): C.
        capacity (tuple[int, int]): Of class 0 and of every other class.
        dim (int): D.
    """

    def __init__(self, num_classes: int, capacity: Sequence[int],
                 dim: int) -> None:
        super().__init__()
        if not isinstance(capacity, Sequence) or len(capacity) != 2:
            raise ValueError(f'U2PL: capacity={capacity!r} must give two '
                             'numbers, for class 0 and for every other one.')
        self.first = ClassBank(1, capacity[0], dim)
        self.others = ClassBank(num_classes - 1, capacity[1], dim)

    def _parts(self) -> List[Tuple[ClassBank, slice]]:
        return [(self.first, slice(0, 1)), (self.others, slice(1, None))]

    def push(self, features: Tensor, labels: Tensor) -> None:
        """Gather the rows of all GPUs and enqueue them.

        Args:
            features (Tensor): (n, D), the same n on every GPU.
            labels (Tensor): (n,), long, -1 in rows to skip.
        """
        rows = gather_rows(F.normalize(features, dim=1, eps=1e-8), equal=True)
        labels = gather_rows(labels, equal=True)
        ones = torch.ones_like(rows[:, 0])
        for bank, classes in self._parts():
            bank.allocate()
            bank.push(rows, labels - classes.start, ones)

    def count(self) -> Tensor:
        """Rows present in every class, (C,) long."""
        return torch.cat([self.first.count, self.others.count])

    def fill(self) -> Tensor:
        """Share (C,) of the capacity in use, in [0, 1]."""
        return torch.cat([self.first.fill(), self.others.fill()])

    def contrast(self, anchors: Tensor, centres: Tensor, number: int,
                 temperature: float, generator: torch.Generator) -> Tensor:
        """InfoNCE (C, M) of anchors (C, M, D) with drawn negatives."""
        losses = []
        for bank, classes in self._parts():
            negatives = draw_negatives(bank.features, bank.count,
                                       anchors.shape[1], number, generator)
            losses.append(
                negative_contrast(anchors[classes], centres[classes],
                                  negatives, temperature))
        return torch.cat(losses)
