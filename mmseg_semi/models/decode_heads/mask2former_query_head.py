# Copyright (c) mmseg_semi authors.
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..step import QueryOut
from .deformable_pixel_decoder import MSDeformAttnPixelDecoder
from .mask_query_head import check_maps
from .point_criterion import PointSetCriterion
from .query_decoder import (MaskedTransformerDecoder, decoder_layer,
                            sine_encoding)
from .query_head import QueryHead


def deformable_layer(embed_dims: int = 256, num_levels: int = 3) -> dict:
    """Config of an encoder layer as Mask2Former's.

    Args:
        embed_dims (int): Width.
        num_levels (int): Number of maps.

    Returns:
        dict: Arguments of :class:`~.deformable_attention.DeformableLayer`.
    """
    return dict(
        self_attn_cfg=dict(
            embed_dims=embed_dims, num_levels=num_levels, dropout=0.),
        ffn_cfg=dict(
            embed_dims=embed_dims, feedforward_channels=1024, ffn_drop=0.))


@MODELS.register_module()
class Mask2FormerQueryHead(QueryHead):
    """Mask2Former's head in plain torch; without class head, prototypes.

    Its parameters have the names of MMSegmentation's ``Mask2FormerHead``,
    whose config :func:`~.stock_query_heads.own_query_head` translates, so
    that its checkpoints load; neither mmdet nor a compiled mmcv is needed.

    The queries already say something before the first decoder layer, and
    each layer sees only where the mask before it is (Mask2Former, Sec. 3.2).

    Args:
        in_channels (Sequence[int]): Of the maps that take part, from fine to
            coarse.
        num_classes (int): C.
        feat_channels (int): Width inside. Defaults to 256.
        out_channels (int): D, width of the embeddings. Defaults to 256.
        num_queries (int): Q. Defaults to 100.
        pixel_decoder (dict, optional): Of :class:`MSDeformAttnPixelDecoder`.
            None is Mask2Former's: six layers on three maps.
        transformer_decoder (dict, optional): Of
            :class:`~.query_decoder.MaskedTransformerDecoder`. None is
            Mask2Former's: nine layers, eight heads, feed-forward 2048.
        positional_encoding (dict, optional): Of
            :func:`~.query_decoder.sine_encoding`. None is Mask2Former's.
        class_head (bool): Queries say which class they segment. Defaults to
            True; False makes them prototypes of fixed classes.
        assign (str): See :class:`QueryHead`. Defaults to ``lse``.
        loss_cls, loss_mask, loss_dice, train_cfg (dict, optional): See
            :class:`~.point_criterion.PointSetCriterion`. None are
            Mask2Former's. Without class head the loss is a cross-entropy of
            class scores.
        in_index (Sequence[int], optional): The maps of the backbone that
            take part; None takes all.
        ignore_index (int): Label without a class. Defaults to 255.
        align_corners (bool): Of the resizing of masks for predictions and
            pixel-wise losses. Defaults to False.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 num_classes: int,
                 feat_channels: int = 256,
                 out_channels: int = 256,
                 num_queries: int = 100,
                 pixel_decoder: Optional[dict] = None,
                 transformer_decoder: Optional[dict] = None,
                 positional_encoding: Optional[dict] = None,
                 class_head: bool = True,
                 assign: str = 'lse',
                 loss_cls: Optional[dict] = None,
                 loss_mask: Optional[dict] = None,
                 loss_dice: Optional[dict] = None,
                 train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None,
                 in_index: Optional[Sequence[int]] = None,
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(num_classes, num_queries, class_head, assign,
                         ignore_index, align_corners, init_cfg)
        check_maps('Mask2FormerQueryHead', in_channels, in_index)
        self.in_index, self.test_cfg = in_index, test_cfg
        width = feat_channels
        self.pixel_decoder = self._pixel_decoder(pixel_decoder, in_channels,
                                                 width, out_channels)
        self.transformer_decoder = MaskedTransformerDecoder(**(
            transformer_decoder
            or dict(num_layers=9, layer_cfg=decoder_layer(width, dropout=0.))))
        if self.transformer_decoder.embed_dims != width:
            raise ValueError(
                'Mask2FormerQueryHead: the transformer decoder is '
                f'{self.transformer_decoder.embed_dims} wide, it must be as '
                f'wide as feat_channels={width}.')
        levels = self.pixel_decoder.num_levels
        self.positional_encoding = dict(
            positional_encoding or dict(num_feats=width // 2, normalize=True))
        self.query_embed = nn.Embedding(num_queries, width)
        self.query_feat = nn.Embedding(num_queries, width)
        self.level_embed = nn.Embedding(levels, width)
        self.add_outputs(width, out_channels)
        self.criterion = PointSetCriterion(
            num_classes, loss_cls, loss_mask, loss_dice, train_cfg,
            ignore_index) if class_head else None

    @staticmethod
    def _pixel_decoder(cfg: Optional[dict], in_channels: Sequence[int],
                       width: int,
                       out_channels: int) -> MSDeformAttnPixelDecoder:
        cfg = dict(
            cfg or dict(
                encoder=dict(num_layers=6, layer_cfg=deformable_layer(width))))
        kind = cfg.pop('type', 'MSDeformAttnPixelDecoder').rsplit('.')[-1]
        if kind != 'MSDeformAttnPixelDecoder':
            raise ValueError(
                f'Mask2FormerQueryHead: pixel_decoder {kind} gives no memory '
                'of several sizes: use MSDeformAttnPixelDecoder, or '
                'MaskQueryHead with this one.')
        return MSDeformAttnPixelDecoder(in_channels, width, out_channels,
                                        **cfg)

    def shared_parts(self) -> Tuple[str, ...]:
        """See :class:`QueryHead`."""
        return ('query_embed', 'query_feat', 'level_embed',
                'transformer_decoder', 'mask_embed')

    def forward(self, x: Sequence[Tensor]) -> QueryOut:
        """See :meth:`QueryHead.forward`.

        The layers are the queries before the decoder and those after each of
        its layers.
        """
        if self.in_index is not None:
            x = [x[i] for i in self.in_index]
        pixels, maps = self.pixel_decoder(x)
        states, embeds = self.decode(pixels, maps)
        if not self.has_classes:  # nothing learns from the others
            states, embeds = states[-1:], embeds[-1:]
        return self.answer(states, embeds, pixels)

    def decode(self, pixels: Tensor,
               maps: List[Tensor]) -> Tuple[List[Tensor], List[Tensor]]:
        """Run the decoder.

        Args:
            pixels (Tensor): (B, D, h, w), the per-pixel embedding.
            maps (list[Tensor]): (B, feat_channels, h_i, w_i), the coarsest
                first; the layers read them in turn.

        Returns:
            tuple: states (B, Q, feat_channels) and mask embeddings
            (B, Q, D), before the decoder and after each layer.
        """
        decoder, batch = self.transformer_decoder, pixels.shape[0]
        memories, positions, views = [], [], []
        for i, m in enumerate(maps):
            size = m.shape[-2:]
            memories.append(
                m.flatten(2).transpose(1, 2) + self.level_embed.weight[i])
            code = sine_encoding(
                *size, device=m.device, **self.positional_encoding)
            positions.append(code.flatten(1).T.expand(batch, -1, -1))
            # A mask at this size is the product with the embedding at it.
            views.append(
                F.interpolate(
                    pixels.detach(),
                    size,
                    mode='bilinear',
                    align_corners=False).flatten(2))
        query_pos = self.query_embed.weight.expand(batch, -1, -1)
        query = self.query_feat.weight.expand(batch, -1, -1)
        states = [decoder.post_norm(query)]
        embeds = [self.mask_embed(states[-1])]
        for i, layer in enumerate(decoder.layers):
            level = i % len(maps)
            query = layer(query, query_pos, memories[level], positions[level],
                          blocked(embeds[-1], views[level]))
            states.append(decoder.post_norm(query))
            embeds.append(self.mask_embed(states[-1]))
        return states, embeds


@torch.no_grad()
def blocked(embeds: Tensor, pixels: Tensor) -> Tensor:
    """Where a query may not look: off its mask, unless the mask is empty.

    Args:
        embeds (Tensor): (B, Q, D) mask embeddings.
        pixels (Tensor): (B, D, P) per-pixel embeddings.

    Returns:
        Tensor: (B, Q, P) bool.
    """
    off = (embeds @ pixels).sigmoid() < .5
    return off & ~off.all(-1, keepdim=True)
