# Copyright (c) mmseg_semi authors.
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .contrast_head import MaskedBlock
from .initial_weights import DrawnWeights


@MODELS.register_module()
class ProjectionHead(DrawnWeights, BaseModule):
    """PPS's projector Phi: Linear, BatchNorm, ReLU, Linear per pixel.

    The paper says non-linear and low-dimensional. It runs
    inside the term, on the drawn pixels alone; they make the statistics of
    the BatchNorm, those of both networks together. It predicts no classes.

    Args:
        in_channels (int): Of the tapped feature map.
        num_classes (int): Accepted like every head's.
        channels (int): Width of the projections. Defaults to 128.
        tap (str): The feature tap it reads. Defaults to ``pixel_embed``.
        align_corners (bool): Accepted like every head's; nothing is resized.
        init (str): The law of the initial weights, see
            :class:`~.initial_weights.DrawnWeights`. Defaults to ``torch``.
    """

    def __init__(self,
                 in_channels: int,
                 num_classes: int,
                 channels: int = 128,
                 tap: str = 'pixel_embed',
                 align_corners: bool = False,
                 init: str = 'torch',
                 init_cfg=None) -> None:
        super().__init__(init=init, init_cfg=init_cfg)
        self.tap = tap
        self.reduce = nn.Linear(in_channels, in_channels, bias=False)
        self.project = MaskedBlock(in_channels, channels)

    def features(self, inputs: Tensor) -> Tensor:
        """The tapped map as it is: pixels are chosen before projecting."""
        return inputs

    def projections(self, rows: Tensor, keep: Tensor) -> Tensor:
        """Rows (N, in_channels) -> (N, channels), not normalised, fp32.

        Args:
            rows (Tensor): Pixels of :meth:`features`.
            keep (Tensor): (N,), bool, which of them exist.
        """
        return self.project(self.reduce(rows), keep)
