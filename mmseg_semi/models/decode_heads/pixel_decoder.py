# Copyright (c) mmseg_semi authors.
"""Where a mask-classification head gets its per-pixel embedding from."""
from typing import Optional, Sequence, Tuple

import torch.nn.functional as F
from mmcv.cnn import Conv2d, ConvModule
from mmengine.model import BaseModule, ModuleList, caffe2_xavier_init
from torch import Tensor, nn

from .query_decoder import TransformerEncoder, sine_encoding
from .stock_pixel_decoder import StockPixelDecoder


class PixelDecoder(BaseModule):
    """MaskFormer's: a feature pyramid, nearest-neighbour upsampling.

    Names of modules and parameters are those of mmdet's ``PixelDecoder``.

    Args:
        in_channels (Sequence[int]): Of the maps, from fine to coarse.
        feat_channels (int): Width inside.
        out_channels (int): D, width of the per-pixel embedding.
        norm_cfg (dict, optional): Defaults to group norm.
        act_cfg (dict): Defaults to ReLU.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 feat_channels: int,
                 out_channels: int,
                 norm_cfg: Optional[dict] = dict(type='GN', num_groups=32),
                 act_cfg: dict = dict(type='ReLU'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        unit = dict(norm_cfg=norm_cfg, bias=norm_cfg is None)
        smooth = dict(unit, kernel_size=3, padding=1, act_cfg=act_cfg)
        self.lateral_convs = ModuleList([
            ConvModule(width, feat_channels, 1, act_cfg=None, **unit)
            for width in in_channels[:-1]
        ])
        self.output_convs = ModuleList([
            ConvModule(feat_channels, feat_channels, **smooth)
            for _ in in_channels[:-1]
        ])
        self._build_top(in_channels[-1], feat_channels, smooth)
        self.mask_feature = Conv2d(
            feat_channels, out_channels, kernel_size=3, padding=1)

    def _build_top(self, in_channels: int, channels: int,
                   smooth: dict) -> None:
        self.last_feat_conv = ConvModule(in_channels, channels, **smooth)
        self.memory_channels = in_channels

    def init_weights(self) -> None:
        """As MaskFormer; mmdet forgets the coarsest of the laterals."""
        super().init_weights()
        own = [self.lateral_convs, self.output_convs, self.mask_feature]
        for module in nn.ModuleList([*own, *self._top()]).modules():
            if isinstance(module, nn.Conv2d):
                caffe2_xavier_init(module, bias=0)

    def _top(self) -> Sequence[nn.Module]:
        return [self.last_feat_conv]

    def top(self, coarse: Tensor) -> Tuple[Tensor, Tensor]:
        """The coarsest level of the pyramid, and the memory."""
        return self.last_feat_conv(coarse), coarse

    def forward(self, feats: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """Maps, from fine to coarse -> embedding and memory.

        Args:
            feats (Sequence[Tensor]): (B, in_channels[i], h_i, w_i).

        Returns:
            tuple: (B, D, h_0, w_0) and (B, memory_channels, h_n, w_n).
        """
        y, memory = self.top(feats[-1])
        for feat, lateral, output in reversed(
                list(zip(feats, self.lateral_convs, self.output_convs))):
            own = lateral(feat)
            y = output(own + F.interpolate(y, own.shape[-2:], mode='nearest'))
        return self.mask_feature(y), memory


class TransformerEncoderPixelDecoder(PixelDecoder):
    """With a transformer encoder on the coarsest map, which is the memory.

    Args:
        encoder (dict): Of :class:`TransformerEncoder`; its width must be
            ``feat_channels``.
        positional_encoding (dict): Of :func:`sine_encoding`.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 feat_channels: int,
                 out_channels: int,
                 encoder: dict,
                 positional_encoding: Optional[dict] = None,
                 **kwargs) -> None:
        super().__init__(in_channels, feat_channels, out_channels, **kwargs)
        self.positional_encoding = dict(
            positional_encoding
            or dict(num_feats=feat_channels // 2, normalize=True))
        self.encoder = TransformerEncoder(**encoder)
        if self.encoder.embed_dims != feat_channels:
            raise ValueError(
                f'The encoder is {self.encoder.embed_dims} wide: it must be '
                f'as wide as feat_channels={feat_channels}.')

    def _build_top(self, in_channels: int, channels: int,
                   smooth: dict) -> None:
        self.encoder_in_proj = Conv2d(in_channels, channels, kernel_size=1)
        self.encoder_out_proj = ConvModule(channels, channels, **smooth)
        self.memory_channels = channels

    def _top(self) -> Sequence[nn.Module]:
        return [self.encoder_in_proj, self.encoder_out_proj]

    def top(self, coarse: Tensor) -> Tuple[Tensor, Tensor]:
        height, width = coarse.shape[-2:]
        position = sine_encoding(
            height, width, device=coarse.device, **self.positional_encoding)
        rows = self.encoder_in_proj(coarse).flatten(2).transpose(1, 2)
        position = position.flatten(1).T.expand(rows.shape[0], -1, -1)
        memory = self.encoder(rows, position)
        memory = memory.transpose(1, 2).unflatten(2, (height, width))
        return self.encoder_out_proj(memory), memory


def build_pixel_decoder(cfg: dict, in_channels: Sequence[int],
                        feat_channels: int, out_channels: int) -> BaseModule:
    """Build one of the three from its config.

    Args:
        cfg (dict): ``type`` is ``PixelDecoder`` or
            ``TransformerEncoderPixelDecoder``, with or without ``mmdet.``,
            ``StockPixelDecoder``, or that of any decode head, which it then
            is made of.
        in_channels (Sequence[int]): Of the maps of the backbone.
        feat_channels (int): Width inside MaskFormer's pixel decoders.
        out_channels (int): D.

    Returns:
        BaseModule: ``module(maps) -> (embedding, memory)``.
    """
    cfg = dict(cfg)
    for own in (PixelDecoder, TransformerEncoderPixelDecoder):
        if cfg['type'] in (own.__name__, f'mmdet.{own.__name__}'):
            del cfg['type']
            return own(in_channels, feat_channels, out_channels, **cfg)
    if cfg['type'] == StockPixelDecoder.__name__:
        del cfg['type']
    else:
        cfg = dict(head=cfg)
    return StockPixelDecoder(
        memory_channels=in_channels[-1], out_channels=out_channels, **cfg)
