# Copyright (c) mmseg_semi authors.
from typing import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .initial_weights import DrawnWeights


@MODELS.register_module()
class CMBDeepLabV3PlusHead(DrawnWeights, BaseDecodeHead):
    """The DeepLabV3+ decoder of ClassMix and CMB.

    It differs from :class:`DepthwiseSeparableASPPHead` by its ordinary
    convolutions, a 1x1 bottleneck and elementwise dropout: 0.5 after the
    ASPP, 0.1 before the classifier.

    The tap ``decoder`` is the concatenation; ``pre_cls``, what CMB's features
    are, follows the two 3x3 convolutions and comes before the dropout.

    Args:
        c1_in_channels (int): Channels of the stride-4 map, ``inputs[0]``.
        c1_channels (int): Its width in the concatenation. Defaults to 48.
        dilations (tuple[int]): ASPP rates; the first is its 1x1 branch.
        aspp_dropout (float): Dropout after the ASPP. Defaults to 0.5.
        init (str): The law of the initial weights, see
            :class:`~.initial_weights.DrawnWeights`. Defaults to ``normal``,
            as in the official code.
        in_channels, channels, in_index, ...: As in :class:`BaseDecodeHead`;
            ``in_channels`` is that of ``inputs[in_index]``.
    """
    feature_taps = dict(decoder='fuse:output', pre_cls='classifier:output')

    def __init__(self,
                 c1_in_channels: int,
                 c1_channels: int = 48,
                 dilations: Sequence[int] = (1, 6, 12, 18),
                 aspp_dropout: float = .5,
                 **kwargs) -> None:
        super().__init__(**{'align_corners': True, 'init': 'normal', **kwargs})
        unit = dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        width = self.channels
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            ConvModule(self.in_channels, width, 1, **unit))
        self.aspp_modules = ASPPModule(
            dilations, self.in_channels, width, conv_cfg=None, **unit)
        self.bottleneck = nn.Sequential(
            ConvModule((len(dilations) + 1) * width, width, 1, **unit),
            nn.Dropout(aspp_dropout))
        self.low_conv = ConvModule(c1_in_channels, c1_channels, 1, **unit)
        self.fuse = nn.Identity()  # its output is the tap `decoder`
        self.classifier = nn.Sequential(
            ConvModule(width + c1_channels, width, 3, padding=1, **unit),
            ConvModule(width, width, 3, padding=1, **unit))
        if self.dropout is not None:
            self.dropout = nn.Dropout(self.dropout_ratio)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (B, C, h, w) at the stride of ``inputs[0]``."""
        x = self._transform_inputs(inputs)
        pooled = self.image_pool(x)
        branches = self.aspp_modules(x)
        branches.append(
            resize(
                pooled,
                size=x.shape[2:],
                mode='bilinear',
                align_corners=self.align_corners))
        deep = self.bottleneck(torch.cat(branches, dim=1))
        low = self.low_conv(inputs[0])
        deep = resize(
            deep,
            size=low.shape[2:],
            mode='bilinear',
            align_corners=self.align_corners)
        z = self.fuse(torch.cat([deep, low], dim=1))
        return self.cls_seg(self.classifier(z))
