# Copyright (c) mmseg_semi authors.
from typing import List, Optional, Sequence, Tuple

import torch
from mmcv.cnn import Conv2d
from mmengine.model import caffe2_xavier_init
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..step import QueryOut
from .pixel_decoder import build_pixel_decoder
from .query_decoder import TransformerDecoder, decoder_layer, sine_encoding
from .query_head import QueryHead
from .set_criterion import SetCriterion

INITIAL_TARGETS = ('zeros', 'queries')


def check_maps(name: str, in_channels: Sequence[int],
               in_index: Optional[Sequence[int]]) -> None:
    """Refuse another number of maps than of widths."""
    if in_index is not None and len(in_index) != len(in_channels):
        raise ValueError(
            f'{name}: in_index={list(in_index)} names {len(in_index)} maps, '
            f'in_channels={list(in_channels)} {len(in_channels)}.')


@MODELS.register_module()
class MaskQueryHead(QueryHead):
    """MaskFormer's head; without class head, the prototypes of PPS.

    Its parameters have the names of MMSegmentation's ``MaskFormerHead``,
    whose config :func:`~.stock_query_heads.own_query_head` translates, so
    that its checkpoints load; neither mmdet nor a compiled mmcv is needed.

    Without class head (PPS 3.3, 3.4), query k * n + j is prototype j of
    class k, the score of a prototype is the product of its mask embedding
    and the pixel's, and classes score as ``assign`` says.

    Args:
        in_channels (Sequence[int]): Of the maps that take part, from fine to
            coarse.
        num_classes (int): C.
        feat_channels (int): Width of the transformer. Defaults to 256.
        out_channels (int): D, width of the embeddings. Defaults to 256.
        num_queries (int): Q. Defaults to 100.
        pixel_decoder (dict): ``PixelDecoder``,
            ``TransformerEncoderPixelDecoder``, or any decode head, see
            :class:`~.stock_pixel_decoder.StockPixelDecoder`: what its
            classifier reads is the per-pixel embedding.
        transformer_decoder (dict, optional): Of
            :class:`~.query_decoder.TransformerDecoder`. None is MaskFormer's:
            six layers, eight heads, feed-forward 2048, dropout 0.1.
        positional_encoding (dict, optional): Of
            :func:`~.query_decoder.sine_encoding`. None is MaskFormer's.
        initial_target (str): What the decoder starts from: ``zeros``, as
            MaskFormer, so that all a query says comes from the image and
            the queries only choose where to look; or the ``queries``
            themselves, so that each has something to say of its own.
            Defaults to ``zeros``.
        class_head (bool): Queries say which class they segment. Defaults to
            True; False makes them prototypes of fixed classes.
        assign (str): Without class head, how scores of prototypes become
            scores of classes, see :func:`mmseg_semi.functional.class_scores`.
            Defaults to ``lse``.
        loss_cls, loss_mask, loss_dice, train_cfg (dict, optional): See
            :class:`~.set_criterion.SetCriterion`. None are MaskFormer's.
            Without class head the loss is a cross-entropy of class scores.
        in_index (Sequence[int], optional): The maps of the backbone that
            take part; None takes all. A stock pixel decoder counts among
            those.
        ignore_index (int): Label without a class. Defaults to 255.
        align_corners (bool): Of the resizing of masks for predictions and
            pixel-wise losses. MaskFormer's mask losses resize with False
            whatever this is, as those of ``MaskFormerHead`` do. Defaults to
            False.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 num_classes: int,
                 feat_channels: int = 256,
                 out_channels: int = 256,
                 num_queries: int = 100,
                 pixel_decoder: dict = dict(type='PixelDecoder'),
                 transformer_decoder: Optional[dict] = None,
                 positional_encoding: Optional[dict] = None,
                 initial_target: str = 'zeros',
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
        if initial_target not in INITIAL_TARGETS:
            raise ValueError(
                f'MaskQueryHead: initial_target={initial_target!r} is '
                f'unknown: use one of {INITIAL_TARGETS}.')
        check_maps('MaskQueryHead', in_channels, in_index)
        self.in_index, self.test_cfg = in_index, test_cfg
        width = feat_channels
        self.pixel_decoder = build_pixel_decoder(pixel_decoder, in_channels,
                                                 width, out_channels)
        self.transformer_decoder = TransformerDecoder(
            **(transformer_decoder
               or dict(num_layers=6, layer_cfg=decoder_layer(width))))
        if self.transformer_decoder.embed_dims != width:
            raise ValueError(
                'MaskQueryHead: the transformer decoder is '
                f'{self.transformer_decoder.embed_dims} wide, it must be as '
                f'wide as feat_channels={width}.')
        memory = self.pixel_decoder.memory_channels
        self.decoder_input_proj = nn.Identity()
        if memory != width:
            self.decoder_input_proj = Conv2d(memory, width, kernel_size=1)
        self.positional_encoding = dict(
            positional_encoding or dict(num_feats=width // 2, normalize=True))
        self.initial_target = initial_target
        self.query_embed = nn.Embedding(num_queries, width)
        self.add_outputs(width, out_channels)
        self.criterion = SetCriterion(num_classes, loss_cls, loss_mask,
                                      loss_dice, train_cfg,
                                      ignore_index) if class_head else None

    def init_weights(self) -> None:
        """As MaskFormer: Xavier in the decoders, the rest as torch does."""
        # First: what `init_cfg` loads shall stay.
        if isinstance(self.decoder_input_proj, nn.Conv2d):
            caffe2_xavier_init(self.decoder_input_proj, bias=0)
        super().init_weights()

    def shared_parts(self) -> Tuple[str, ...]:
        """See :class:`QueryHead`; the projection only if it has weights."""
        parts = ('query_embed', 'transformer_decoder', 'mask_embed')
        if isinstance(self.decoder_input_proj, nn.Conv2d):
            parts += ('decoder_input_proj', )
        return parts

    def forward(self, x: Sequence[Tensor]) -> QueryOut:
        """See :meth:`QueryHead.forward`; the layers are the decoder's."""
        if self.in_index is not None:
            x = [x[i] for i in self.in_index]
        pixels, memory = self.pixel_decoder(x)
        states = self.decode(memory)
        if not self.has_classes:  # nothing learns from the others
            states = states[-1:]
        return self.answer(states, [self.mask_embed(s) for s in states],
                           pixels)

    def decode(self, memory: Tensor) -> List[Tensor]:
        """Memory (B, M, h, w) -> states (B, Q, feat_channels) per layer."""
        memory = self.decoder_input_proj(memory)
        position = sine_encoding(
            *memory.shape[-2:],
            device=memory.device,
            **self.positional_encoding)
        memory = memory.flatten(2).transpose(1, 2)
        query_pos = self.query_embed.weight.expand(memory.shape[0], -1, -1)
        target = query_pos
        if self.initial_target == 'zeros':
            target = torch.zeros_like(query_pos)
        return self.transformer_decoder(
            target, query_pos, memory,
            position.flatten(1).T.expand(memory.shape[0], -1, -1))
