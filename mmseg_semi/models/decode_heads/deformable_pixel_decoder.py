# Copyright (c) mmseg_semi authors.
from typing import List, Optional, Sequence, Tuple

import torch.nn.functional as F
from mmcv.cnn import Conv2d, ConvModule
from mmengine.model import (BaseModule, ModuleList, caffe2_xavier_init,
                            normal_init, xavier_init)
from torch import Tensor, nn

from .deformable_attention import DeformableEncoder
from .query_decoder import sine_encoding


class MSDeformAttnPixelDecoder(BaseModule):
    """Mask2Former's: deformable attention between the coarse maps.

    The finer maps join as in a feature pyramid. Names of modules and
    parameters are those of mmdet's ``MSDeformAttnPixelDecoder``.

    Args:
        in_channels (Sequence[int]): Of the maps, from fine to coarse; the
            last ``num_levels`` of the encoder's attention take part in it.
        feat_channels (int): Width inside.
        out_channels (int): D, width of the per-pixel embedding.
        encoder (dict): Of :class:`DeformableEncoder`; its width must be
            ``feat_channels``.
        norm_cfg (dict, optional): Defaults to group norm.
        act_cfg (dict): Defaults to ReLU.
        positional_encoding (dict, optional): Of
            :func:`~.query_decoder.sine_encoding`. None is Mask2Former's.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 feat_channels: int,
                 out_channels: int,
                 encoder: dict,
                 norm_cfg: Optional[dict] = dict(type='GN', num_groups=32),
                 act_cfg: dict = dict(type='ReLU'),
                 positional_encoding: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.encoder = DeformableEncoder(**encoder)
        self.num_levels = self.encoder.num_levels
        if self.encoder.embed_dims != feat_channels:
            raise ValueError(
                f'The encoder is {self.encoder.embed_dims} wide: it must be '
                f'as wide as feat_channels={feat_channels}.')
        if self.num_levels > len(in_channels):
            raise ValueError(
                f'The encoder attends to num_levels={self.num_levels} maps, '
                f'but in_channels={list(in_channels)} names '
                f'{len(in_channels)}.')
        # From coarse to fine, as mmdet counts them.
        coarse = list(in_channels)[::-1][:self.num_levels]
        fine = list(in_channels)[::-1][self.num_levels:]
        self.input_convs = ModuleList([
            ConvModule(
                width,
                feat_channels,
                1,
                norm_cfg=norm_cfg,
                act_cfg=None,
                bias=True) for width in coarse
        ])
        unit = dict(norm_cfg=norm_cfg, bias=norm_cfg is None)
        self.lateral_convs = ModuleList([
            ConvModule(width, feat_channels, 1, act_cfg=None, **unit)
            for width in fine
        ])
        self.output_convs = ModuleList([
            ConvModule(
                feat_channels,
                feat_channels,
                3,
                padding=1,
                act_cfg=act_cfg,
                **unit) for _ in fine
        ])
        self.level_encoding = nn.Embedding(self.num_levels, feat_channels)
        self.mask_feature = Conv2d(feat_channels, out_channels, kernel_size=1)
        self.positional_encoding = dict(
            positional_encoding
            or dict(num_feats=feat_channels // 2, normalize=True))

    def init_weights(self) -> None:
        """As Mask2Former."""
        super().init_weights()
        for module in self.input_convs:
            xavier_init(module.conv, distribution='uniform')
        for module in (*self.lateral_convs, *self.output_convs):
            caffe2_xavier_init(module.conv, bias=0)
        caffe2_xavier_init(self.mask_feature, bias=0)
        normal_init(self.level_encoding, mean=0, std=1)

    def forward(self, feats: Sequence[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """Maps, from fine to coarse -> embedding and memories.

        Args:
            feats (Sequence[Tensor]): (B, in_channels[i], h_i, w_i).

        Returns:
            tuple: (B, D, h_0, w_0) and ``num_levels`` maps
            (B, feat_channels, h_i, w_i), the coarsest first.
        """
        maps, positions = [], []
        for i, conv in enumerate(self.input_convs):
            maps.append(conv(feats[-1 - i]))
            position = sine_encoding(
                *maps[-1].shape[-2:],
                device=maps[-1].device,
                **self.positional_encoding)
            level = self.level_encoding.weight[i][:, None, None] + position
            positions.append(level.expand_as(maps[-1]))
        memories = self.encoder(maps, positions)
        y = memories[-1]
        fine = feats[:len(feats) - self.num_levels]
        for feat, lateral, output in zip(
                reversed(fine), self.lateral_convs, self.output_convs):
            own = lateral(feat)
            y = output(own + F.interpolate(
                y, own.shape[-2:], mode='bilinear', align_corners=False))
        return self.mask_feature(y), memories
