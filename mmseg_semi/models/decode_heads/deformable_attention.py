# Copyright (c) mmseg_semi authors.
"""Deformable attention over several maps (Deformable DETR), plain torch."""
import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule, ModuleList, constant_init, xavier_init
from torch import Tensor, nn

from .query_decoder import layers, xavier

Sizes = Sequence[Tuple[int, int]]


def sample_levels(values: Tensor, sizes: Sizes, points: Tensor,
                  weights: Tensor) -> Tensor:
    """Weighted sums of values read at points of several maps.

    Args:
        values (Tensor): (B, S, M, D), the pixels of all maps, one map after
            the other, of M heads.
        sizes (Sequence[tuple[int, int]]): (h, w) of the L maps.
        points (Tensor): (B, N, M, L, P, 2), x and y in [0, 1] of each map;
            values outside are 0.
        weights (Tensor): (B, N, M, L, P).

    Returns:
        Tensor: (B, N, M * D).
    """
    batch, _, heads, width = values.shape
    grids = (2 * points - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    shares = weights.permute(3, 0, 2, 1, 4).flatten(1, 2)[:, :, None]
    maps = values.permute(0, 2, 3, 1).flatten(0, 1)
    total = 0.
    for level, size, grid, share in zip(
            maps.split([h * w for h, w in sizes], dim=2), sizes, grids,
            shares):
        read = F.grid_sample(
            level.unflatten(2, size),
            grid.to(level.dtype),
            align_corners=False)
        total = total + (read * share).sum(-1)
    return total.view(batch, heads * width, -1).transpose(1, 2)


class Grid(NamedTuple):
    """Where the S pixels of L maps are, one map after the other.

    Args:
        sizes (list[tuple[int, int]]): (h, w) of the maps.
        centres (Tensor): (S, 2), x and y of each pixel in [0, 1] of its map.
        scales (Tensor): (L, 2), w and h of the maps.
    """
    sizes: List[Tuple[int, int]]
    centres: Tensor
    scales: Tensor


def grid_of(maps: Sequence[Tensor]) -> Grid:
    """The :class:`Grid` of maps (B, D, h_i, w_i)."""
    sizes = [tuple(m.shape[-2:]) for m in maps]
    kind = dict(dtype=maps[0].dtype, device=maps[0].device)
    centres, scales = [], []
    for height, width in sizes:
        y, x = ((torch.arange(n, **kind) + .5) / n for n in (height, width))
        centres.append(
            torch.stack((x.repeat(height), y.repeat_interleave(width)), -1))
        # Made on the device: a copy from the host would wait for it.
        scales.append(
            torch.stack([torch.full((), n, **kind) for n in (width, height)]))
    return Grid(sizes, torch.cat(centres), torch.stack(scales))


class DeformableAttention(BaseModule):
    """Every position reads a few points of each map, which it chooses.

    Parameters are named as those of mmcv's
    ``MultiScaleDeformableAttention``, whose arguments it takes; no compiled
    operator is needed.

    Args:
        embed_dims (int): Width. Defaults to 256.
        num_heads (int): M. Defaults to 8.
        num_levels (int): L, number of maps. Defaults to 4.
        num_points (int): P, points that a head reads of a map. Defaults
            to 4.
        dropout (float): Of the result. Defaults to 0.1.
        value_proj_ratio (float): Width of the values over ``embed_dims``.
            Defaults to 1.
        batch_first (bool): Must be True.
        im2col_step (int): Accepted: a setting of the compiled operator.
        norm_cfg (dict, optional): Accepted: mmcv does not use it either.
    """

    def __init__(self,
                 embed_dims: int = 256,
                 num_heads: int = 8,
                 num_levels: int = 4,
                 num_points: int = 4,
                 dropout: float = .1,
                 value_proj_ratio: float = 1.,
                 batch_first: bool = True,
                 im2col_step: int = 64,
                 norm_cfg: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims={embed_dims} must be a multiple of '
                             f'num_heads={num_heads}.')
        if not batch_first:
            raise ValueError('The attention layers keep the batch first: '
                             'remove `batch_first=False`.')
        self.embed_dims, self.num_heads = embed_dims, num_heads
        self.num_levels, self.num_points = num_levels, num_points
        reads = num_heads * num_levels * num_points
        inner = int(embed_dims * value_proj_ratio)
        self.sampling_offsets = nn.Linear(embed_dims, 2 * reads)
        self.attention_weights = nn.Linear(embed_dims, reads)
        self.value_proj = nn.Linear(embed_dims, inner)
        self.output_proj = nn.Linear(inner, embed_dims)
        self.dropout = nn.Dropout(dropout)

    def init_weights(self) -> None:
        """Heads look into directions around, point p at distance p."""
        super().init_weights()
        constant_init(self.sampling_offsets, 0.)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        ways = torch.stack((angles.cos(), angles.sin()), -1)
        ways = ways / ways.abs().amax(-1, keepdim=True)
        far = torch.arange(1., self.num_points + 1)
        offsets = ways[:, None, None] * far[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(
                offsets.expand(-1, self.num_levels, -1, -1).flatten())
        constant_init(self.attention_weights, 0.)
        for projection in (self.value_proj, self.output_proj):
            xavier_init(projection, distribution='uniform')

    def forward(self, query: Tensor, query_pos: Tensor, grid: Grid) -> Tensor:
        """All positions of all maps -> what they read, added to them.

        Args:
            query (Tensor): (B, S, embed_dims).
            query_pos (Tensor): (B, S, embed_dims), its position.
            grid (Grid): Where they are.

        Returns:
            Tensor: (B, S, embed_dims).
        """
        asked = query + query_pos
        shape = (self.num_heads, self.num_levels, self.num_points)
        values = self.value_proj(query).unflatten(-1, (self.num_heads, -1))
        weights = self.attention_weights(asked).unflatten(
            -1, (self.num_heads, -1)).softmax(-1).unflatten(-1, shape[1:])
        # Offsets count pixels of the map they are in.
        offsets = self.sampling_offsets(asked).unflatten(-1, (*shape, 2))
        points = grid.centres[:, None, None, None] + (
            offsets / grid.scales[:, None])
        read = sample_levels(values, grid.sizes, points, weights)
        return query + self.dropout(self.output_proj(read))


class DeformableLayer(BaseModule):
    """Deformable attention and an MLP, each followed by its norm.

    Args:
        self_attn_cfg (dict): Of :class:`DeformableAttention`.
        ffn_cfg (dict): Of mmcv's ``FFN``.
        norm_cfg (dict): Defaults to layer norm.
    """

    def __init__(self,
                 self_attn_cfg: dict,
                 ffn_cfg: dict,
                 norm_cfg: dict = dict(type='LN'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.self_attn = DeformableAttention(**self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**ffn_cfg)
        self.norms = ModuleList(
            [build_norm_layer(norm_cfg, self.embed_dims)[1] for _ in range(2)])

    def forward(self, query: Tensor, query_pos: Tensor, grid: Grid) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        query = self.self_attn(query, query_pos, grid)
        query = self.norms[0](query)
        return self.norms[1](self.ffn(query))


class DeformableEncoder(BaseModule):
    """Positions of several maps that attend to each other.

    Args:
        num_layers (int): Number of layers.
        layer_cfg (dict): Of :class:`DeformableLayer`.
    """

    def __init__(self,
                 num_layers: int,
                 layer_cfg: dict,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.layers = layers(num_layers, layer_cfg, DeformableLayer)
        self.embed_dims = self.layers[0].embed_dims
        self.num_levels = self.layers[0].self_attn.num_levels

    def init_weights(self) -> None:
        """As Mask2Former: Xavier's normal law, but for the attention."""
        xavier(self, nn.init.xavier_normal_)
        for layer in self.layers:
            layer.self_attn.init_weights()

    def forward(self, maps: List[Tensor],
                positions: List[Tensor]) -> List[Tensor]:
        """Maps (B, D, h_i, w_i) and their positions alike -> maps alike."""
        query, query_pos = (
            torch.cat([m.flatten(2) for m in group], 2).transpose(1, 2)
            for group in (maps, positions))
        grid = grid_of(positions)
        for layer in self.layers:
            query = layer(query, query_pos, grid)
        sizes = [h * w for h, w in grid.sizes]
        parts = query.transpose(1, 2).split(sizes, dim=2)
        return [part.unflatten(2, s) for part, s in zip(parts, grid.sizes)]
