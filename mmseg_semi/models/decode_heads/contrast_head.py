# Copyright (c) mmseg_semi authors.
import math
from typing import Optional

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...functional import class_mlp, masked_batch_norm, upcast


class MaskedBlock(nn.Module):
    """BatchNorm1d over some rows, ReLU and Linear: (N, D) -> (N, D').

    Batch statistics always, and no others are kept: the heads serve in
    training only, where the teacher too runs in train mode (CMB's code).
    The statistics are each process's own, as of ``BN``.

    Args:
        channels (int): D.
        out_channels (int, optional): D'. Defaults to D.
    """

    def __init__(self,
                 channels: int,
                 out_channels: Optional[int] = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.linear = nn.Linear(channels, out_channels or channels)

    def forward(self, rows: Tensor, keep: Tensor) -> Tensor:
        """``keep`` (N,) bool: the rows that exist; the others are computed
        along and have no influence."""
        rows = masked_batch_norm(rows, keep, self.weight, self.bias)
        return upcast(self.linear(rows.relu()))


class ClassSelectors(nn.Module):
    """C selectors: Linear, BatchNorm1d, LeakyReLU(0.2), Linear to a score.

    The first layers are stacked and have no bias (BatchNorm removes it).

    Args:
        num_classes (int): C.
        channels (int): D.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        # As nn.Linear initialises itself.
        bound = 1 / math.sqrt(channels)
        size = (num_classes, channels)
        self.weight = nn.Parameter(
            torch.empty(num_classes, channels,
                        channels).uniform_(-bound, bound))
        self.norm_weight = nn.Parameter(torch.ones(size))
        self.norm_bias = nn.Parameter(torch.zeros(size))
        self.out = nn.Parameter(torch.empty(size).uniform_(-bound, bound))
        self.out_bias = nn.Parameter(
            torch.empty(num_classes).uniform_(-bound, bound))

    def forward(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Scores before the sigmoid, shaped as ``labels``.

        See :func:`mmseg_semi.functional.class_mlp`: rows (N, D) with labels
        (N,), or (C, V, D) with a mask (C, V); the rows get no gradient.
        """
        return class_mlp(rows, labels, self.weight, self.norm_weight,
                         self.norm_bias, self.out, self.out_bias)


@MODELS.register_module()
class ContrastHead(BaseModule):
    """CMB's projection g, prediction q and selectors (Sec. 4.2).

    g and q are Linear, BatchNorm1d, ReLU, Linear. The first layer of g, a
    1x1 convolution, runs with the network; the rest runs inside the term,
    which knows which positions count for the BatchNorms. It predicts no
    classes.

    Args:
        in_channels (int): Of the tapped feature map.
        num_classes (int): C.
        channels (int): D. Defaults to 256.
        tap (str): The feature tap it reads; ``pre_cls`` is what the last
            classifier reads, before its dropout. Defaults to ``pre_cls``.
        selectors (bool): Selectors S of the predictions. Defaults to True.
        memory_selectors (bool): Selectors S^mem of the projections in
            memory. Defaults to True.
        align_corners (bool): Accepted like every head's; nothing is resized.
    """

    def __init__(self,
                 in_channels: int,
                 num_classes: int,
                 channels: int = 256,
                 tap: str = 'pre_cls',
                 selectors: bool = True,
                 memory_selectors: bool = True,
                 align_corners: bool = False,
                 init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.tap, self.channels = tap, channels
        self.reduce = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.projector = MaskedBlock(channels)
        self.predictor_in = nn.Linear(channels, channels, bias=False)
        self.predictor = MaskedBlock(channels)
        self.selectors = ClassSelectors(num_classes,
                                        channels) if selectors else None
        self.memory_selectors = ClassSelectors(
            num_classes, channels) if memory_selectors else None

    def features(self, inputs: Tensor) -> Tensor:
        """The first layer of g: (B, in_channels, h, w) -> (B, D, h, w)."""
        return self.reduce(inputs)

    def projections(self, rows: Tensor, keep: Tensor) -> Tensor:
        """z = g(v), not normalised, fp32.

        Args:
            rows (Tensor): (N, D), positions of :meth:`features`.
            keep (Tensor): (N,), bool, which of them count.
        """
        return self.projector(rows, keep)

    def predictions(self, projections: Tensor, keep: Tensor) -> Tensor:
        """p = q(z), (N, D), not normalised, fp32."""
        return self.predictor(self.predictor_in(projections), keep)
