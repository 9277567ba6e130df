# Copyright (c) mmseg_semi authors.
"""DETR's transformer: encoder, decoder of queries and sine encoding.

Modules and parameters have the names they have in mmdet, so that checkpoints
of MMSegmentation's MaskFormer load.
"""
import math
from typing import List, Optional

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn


def sine_encoding(height: int,
                  width: int,
                  num_feats: int,
                  device: torch.device,
                  temperature: float = 10_000,
                  normalize: bool = False,
                  scale: float = 2 * math.pi,
                  eps: float = 1e-6,
                  offset: float = 0.) -> Tensor:
    """Sine and cosine encoding of the position on a grid (DETR).

    Args:
        height (int): h.
        width (int): w.
        num_feats (int): Channels per axis.
        device (torch.device): Of the result.
        temperature (float): The longest wavelength, over 2 pi.
        normalize (bool): Positions run from 0 to ``scale`` whatever the size
            of the grid.
        scale (float): See ``normalize``.
        eps (float): See ``normalize``.
        offset (float): Added to the positions before they are normalised.

    Returns:
        Tensor: (2 * num_feats, h, w) fp32, the row first.
    """
    channel = torch.arange(num_feats, dtype=torch.float32, device=device)
    wavelength = temperature**(2 * (channel // 2) / num_feats)
    codes = []
    for size in (height, width):
        at = torch.arange(1, size + 1, dtype=torch.float32, device=device)
        if normalize:
            at = (at + offset) / (size + eps) * scale
        phase = at[:, None] / wavelength
        codes.append(
            torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()),
                        dim=2).flatten(1).T)
    rows, columns = codes
    return torch.cat(
        (rows[:, :, None].expand(-1, -1,
                                 width), columns[:,
                                                 None].expand(-1, height, -1)))


def decoder_layer(embed_dims: int = 256,
                  num_heads: int = 8,
                  feedforward_channels: int = 2048,
                  dropout: float = .1) -> dict:
    """Config of a decoder layer as MaskFormer's.

    Args:
        embed_dims (int): Width.
        num_heads (int): Of the attentions.
        feedforward_channels (int): Width inside the feed-forward network.
        dropout (float): Everywhere.

    Returns:
        dict: Arguments of :class:`TransformerLayer`.
    """
    attention = dict(
        embed_dims=embed_dims,
        num_heads=num_heads,
        attn_drop=dropout,
        proj_drop=dropout,
        dropout_layer=None)
    return dict(
        self_attn_cfg=attention,
        cross_attn_cfg=attention,
        ffn_cfg=dict(
            embed_dims=embed_dims,
            feedforward_channels=feedforward_channels,
            ffn_drop=dropout))


def _attention(cfg: dict) -> MultiheadAttention:
    if not cfg.get('batch_first', True):
        raise ValueError('The attention layers keep the batch first: remove '
                         '`batch_first=False`.')
    return MultiheadAttention(**{**cfg, 'batch_first': True})


class TransformerLayer(BaseModule):
    """Self-attention, cross-attention if there is a memory, and an MLP.

    Each is followed by its norm (post-norm).

    Args:
        self_attn_cfg (dict): Of mmcv's ``MultiheadAttention``.
        ffn_cfg (dict): Of mmcv's ``FFN``.
        cross_attn_cfg (dict, optional): Of ``MultiheadAttention``; None for
            a layer of an encoder.
        norm_cfg (dict): Defaults to layer norm.
    """

    def __init__(self,
                 self_attn_cfg: dict,
                 ffn_cfg: dict,
                 cross_attn_cfg: Optional[dict] = None,
                 norm_cfg: dict = dict(type='LN'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.self_attn = _attention(self_attn_cfg)
        if cross_attn_cfg is not None:
            self.cross_attn = _attention(cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**ffn_cfg)
        self.norms = ModuleList([
            build_norm_layer(norm_cfg, self.embed_dims)[1]
            for _ in range(2 if cross_attn_cfg is None else 3)
        ])

    def forward(self,
                query: Tensor,
                query_pos: Tensor,
                memory: Optional[Tensor] = None,
                memory_pos: Optional[Tensor] = None) -> Tensor:
        """(B, Q, D) queries that attend to each other and to (B, P, D)."""
        norms = iter(self.norms)
        query = self.self_attn(query, query_pos=query_pos, key_pos=query_pos)
        query = next(norms)(query)
        if memory is not None:
            query = self.cross_attn(
                query, key=memory, query_pos=query_pos, key_pos=memory_pos)
            query = next(norms)(query)
        return next(norms)(self.ffn(query))


class MaskedTransformerLayer(TransformerLayer):
    """A decoder layer of Mask2Former: looks at its own region, then around.

    Cross-attention comes first and sees only the positions that are not
    blocked.
    """

    def forward(self, query: Tensor, query_pos: Tensor, memory: Tensor,
                memory_pos: Tensor, blocked: Tensor) -> Tensor:
        """(B, Q, D) queries, memory (B, P, D), blocked (B, Q, P) bool."""
        norms = iter(self.norms)
        query = self.cross_attn(
            query,
            key=memory,
            query_pos=query_pos,
            key_pos=memory_pos,
            attn_mask=blocked.repeat_interleave(self.cross_attn.num_heads, 0))
        query = next(norms)(query)
        query = self.self_attn(query, query_pos=query_pos, key_pos=query_pos)
        query = next(norms)(query)
        return next(norms)(self.ffn(query))


def layers(number: int, cfg: dict, layer: type = TransformerLayer):
    """So many layers of a transformer.

    Args:
        number (int): At least 1.
        cfg (dict): Arguments of ``layer``.
        layer (type): Its class.

    Returns:
        ModuleList: The layers.
    """
    if number < 1:
        raise ValueError(f'A transformer of {number} layers: num_layers must '
                         'be at least 1.')
    return ModuleList([layer(**cfg) for _ in range(number)])


def xavier(module: nn.Module, law=nn.init.xavier_uniform_) -> None:
    """Draw all matrices of a module; vectors stay."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            law(parameter)


class TransformerEncoder(BaseModule):
    """Positions of a map that attend to each other.

    Args:
        num_layers (int): Number of layers.
        layer_cfg (dict): Of :class:`TransformerLayer`.
    """

    def __init__(self,
                 num_layers: int,
                 layer_cfg: dict,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.layers = layers(num_layers, layer_cfg)
        self.embed_dims = self.layers[0].embed_dims

    def init_weights(self) -> None:
        xavier(self)

    def forward(self, query: Tensor, query_pos: Tensor) -> Tensor:
        """(B, P, D) -> (B, P, D)."""
        for layer in self.layers:
            query = layer(query, query_pos)
        return query


class TransformerDecoder(BaseModule):
    """Queries that attend to each other and to a memory.

    Args:
        num_layers (int): Number of layers.
        layer_cfg (dict): Of :class:`TransformerLayer`.
        return_intermediate (bool): Give the queries after every layer.
            Defaults to True; False gives those after the last.
        post_norm_cfg (dict): Of the norm that all outputs pass.
    """

    def __init__(self,
                 num_layers: int,
                 layer_cfg: dict,
                 return_intermediate: bool = True,
                 post_norm_cfg: dict = dict(type='LN'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.layers = layers(num_layers, layer_cfg)
        self.embed_dims = self.layers[0].embed_dims
        self.return_intermediate = return_intermediate
        self.post_norm = build_norm_layer(post_norm_cfg, self.embed_dims)[1]

    def init_weights(self) -> None:
        xavier(self)

    def forward(self, query: Tensor, query_pos: Tensor, memory: Tensor,
                memory_pos: Tensor) -> List[Tensor]:
        """Queries (B, Q, D) and memory (B, P, D) -> (B, Q, D) per layer."""
        states = []
        for layer in self.layers:
            query = layer(query, query_pos, memory, memory_pos)
            states.append(query)
        if not self.return_intermediate:
            states = states[-1:]
        return [self.post_norm(state) for state in states]


class MaskedTransformerDecoder(BaseModule):
    """The layers of Mask2Former's decoder, which the head calls itself.

    After each of them the head makes masks, which block the next layer.

    Args:
        num_layers (int): Number of layers.
        layer_cfg (dict): Of :class:`MaskedTransformerLayer`.
        post_norm_cfg (dict): Of the norm before classes and masks.
    """

    def __init__(self,
                 num_layers: int,
                 layer_cfg: dict,
                 post_norm_cfg: dict = dict(type='LN'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.layers = layers(num_layers, layer_cfg, MaskedTransformerLayer)
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = build_norm_layer(post_norm_cfg, self.embed_dims)[1]

    def init_weights(self) -> None:
        xavier(self, nn.init.xavier_normal_)
