# Copyright (c) mmseg_semi authors.
from typing import Optional, Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .initial_weights import DrawnWeights


@MODELS.register_module()
class PublishedDeepLabV3PlusHead(DrawnWeights, BaseDecodeHead):
    """The DeepLabV3+ decoders of U2PL, PCR, BRPG, UniMatch and CPS.

    It differs from :class:`DepthwiseSeparableASPPHead`: ordinary
    convolutions, 256 low-level channels, the low-level map first in the
    concatenation Z, and two Conv-BN-ReLU-Dropout2d blocks before the 1x1
    classifier. The defaults are those of U2PL, PCR and BRPG. The decoders of
    UniMatch and CPS have 48 low-level channels, rates 6, 12 and 18,
    ``fusion_kernel=1``, ``conv_bias=False`` and no dropout; that of CPS also
    ``aspp_act_cfg=dict(type='LeakyReLU')`` and ``init='kaiming_fan_in'``.

    Args:
        c1_in_channels (int): Channels of the stride-4 map, ``inputs[0]``.
        c1_channels (int): Its width in Z. Defaults to 256.
        dilations (tuple[int]): ASPP rates; the first is its 1x1 branch.
        fusion_kernel (int): Side of the convolution that fuses the branches
            of the ASPP, odd. Defaults to 3.
        conv_bias (bool): Whether the convolutions of the low-level map and
            of the two blocks have a bias, although a BatchNorm follows.
            Defaults to True.
        aspp_act_cfg (dict, optional): Activation in the ASPP and after its
            fusion. Defaults to that of the rest, ``act_cfg``.
        init (str): The law of the initial weights, see
            :class:`~.initial_weights.DrawnWeights`. Defaults to ``torch``.
        in_channels, channels, in_index, ...: As in :class:`BaseDecodeHead`;
            ``in_channels`` is that of ``inputs[in_index]``.

    Raises:
        ValueError: ``fusion_kernel`` is not odd, or ``init`` unknown.
    """
    feature_taps = dict(decoder='fuse:output', pre_cls='classifier:output')

    def __init__(self,
                 c1_in_channels: int,
                 c1_channels: int = 256,
                 dilations: Sequence[int] = (1, 12, 24, 36),
                 fusion_kernel: int = 3,
                 conv_bias: bool = True,
                 aspp_act_cfg: Optional[dict] = None,
                 **kwargs) -> None:
        if fusion_kernel < 1 or fusion_kernel % 2 == 0:
            raise ValueError(
                f'PublishedDeepLabV3PlusHead: fusion_kernel={fusion_kernel} '
                'must be odd: 3 as in U2PL, PCR and BRPG, 1 as in UniMatch.')
        kwargs.setdefault('align_corners', True)
        super().__init__(**kwargs)
        unit = dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        biased = dict(unit, bias=conv_bias)
        if aspp_act_cfg is not None:
            unit['act_cfg'] = aspp_act_cfg
        width, drop = self.channels, self.dropout_ratio
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            ConvModule(self.in_channels, width, 1, **unit))
        self.aspp_modules = ASPPModule(
            dilations, self.in_channels, width, conv_cfg=None, **unit)
        self.bottleneck = nn.Sequential(
            ConvModule(
                (len(dilations) + 1) * width,
                width,
                fusion_kernel,
                padding=fusion_kernel // 2,
                **unit), nn.Dropout2d(drop))
        self.low_conv = ConvModule(c1_in_channels, c1_channels, 1, **biased)
        self.fuse = nn.Identity()  # its output is Z, the tap `decoder`
        z = c1_channels + width
        self.classifier = nn.Sequential(
            ConvModule(z, width, 3, padding=1, **biased), nn.Dropout2d(drop),
            ConvModule(width, width, 3, padding=1, **biased))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (B, C, h, w) at the stride of ``inputs[0]``."""
        x = self._transform_inputs(inputs)
        pooled = self.image_pool(x)
        branches = [
            resize(
                pooled,
                size=x.shape[2:],
                mode='bilinear',
                align_corners=self.align_corners)
        ]
        branches += self.aspp_modules(x)
        deep = self.bottleneck(torch.cat(branches, dim=1))
        low = self.low_conv(inputs[0])
        deep = resize(
            deep,
            size=low.shape[2:],
            mode='bilinear',
            align_corners=self.align_corners)
        z = self.fuse(torch.cat([low, deep], dim=1))
        return self.cls_seg(self.classifier(z))
