# Copyright (c) mmseg_semi authors.
"""Choosing pixels and reading features there, without upsampling the map.

Positions are pixels of the full-resolution image. ``features_at`` and
``grid_features`` equal indexing the bilinearly upsampled feature map, but
touch only four feature vectors per position; ``all_features`` is that map.
"""
from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .precision import full_precision, upcast


def grid_positions(height: int,
                   width: int,
                   cells: int = 32) -> Tuple[Tensor, Tensor]:
    """Regular grid of (cells + 1) ** 2 pixels, both borders included.

    At 513 and 769 pixels this is the grid {0, s, ..., 31 s, H - 1} of BRPG's
    code, which the paper calls 32 x 32 (Section 3.5).

    Args:
        height (int): Image height.
        width (int): Image width.
        cells (int): Number of steps in each direction.

    Returns:
        tuple[Tensor, Tensor]: rows (M,) and cols (M,), long, row-major, on
        the CPU, which lets :func:`grid_features` look at them without a
        synchronisation.
    """
    rows = torch.linspace(0, height - 1, cells + 1, dtype=torch.float64)
    cols = torch.linspace(0, width - 1, cells + 1, dtype=torch.float64)
    return _product(rows.round().long(), cols.round().long())


def _product(rows: Tensor, cols: Tensor) -> Tuple[Tensor, Tensor]:
    rows, cols = torch.meshgrid(rows, cols, indexing='ij')
    return rows.flatten(), cols.flatten()


@torch.no_grad()
def jittered_positions(height: int, width: int, cells: int,
                       generator: torch.Generator) -> Tuple[Tensor, Tensor]:
    """One random pixel in every cell of a regular grid (PCR).

    The cells are ``height // cells`` by ``width // cells`` pixels, so the
    last rows and columns may belong to none (row 512 of 513).

    Args:
        height (int): Image height, at least ``cells``.
        width (int): Image width, at least ``cells``.
        cells (int): Number of cells in each direction; 32 in PCR's code.
        generator (torch.Generator): On the device of the positions.

    Returns:
        tuple[Tensor, Tensor]: rows (M,) and cols (M,), long, M = cells ** 2,
        row-major over the cells.

    Raises:
        ValueError: The image has fewer pixels than cells in a direction.
    """
    if min(height, width) < cells:
        raise ValueError(f'{cells} x {cells} cells do not fit an image of '
                         f'{height} x {width} pixels: lower `cells`.')
    device = generator.device
    first = torch.arange(cells, device=device)
    sides = height // cells, width // cells
    inside = [
        torch.randint(
            side, (cells, cells), generator=generator, device=device)
        for side in sides
    ]
    rows = first[:, None] * sides[0] + inside[0]
    cols = first[None, :] * sides[1] + inside[1]
    return rows.flatten(), cols.flatten()


def _source(position: Tensor, full: int, small: int,
            align_corners: bool) -> Tuple[Tensor, Tensor]:
    """Numerator and denominator of a position on the feature map.

    Integers, so that positions on a feature point are found exactly.
    """
    if align_corners:
        denominator = max(full - 1, 1)
        return position * (small - 1), denominator
    denominator = 2 * full
    return ((2 * position + 1) * small - full).clamp_min(0), denominator


def _neighbours(position: Tensor, full: int, small: int,
                align_corners: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Feature index before and after a position, weight of the latter."""
    numerator, denominator = _source(position, full, small, align_corners)
    before = numerator // denominator
    weight = (numerator % denominator).double() / denominator
    return before, (before + 1).clamp_max(small - 1), weight


def _corners(rows: Tensor, cols: Tensor, size: Tuple[int, int],
             feature_size: Tuple[int, int],
             align_corners: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and bilinear weights (4, N) of the neighbours."""
    top, bottom, low = _neighbours(rows, size[0], feature_size[0],
                                   align_corners)
    left, right, along = _neighbours(cols, size[1], feature_size[1],
                                     align_corners)
    weight = torch.stack([(1 - low) * (1 - along), (1 - low) * along,
                          low * (1 - along), low * along])
    return (torch.stack([top, top, bottom,
                         bottom]), torch.stack([left, right, left,
                                                right]), weight)


@full_precision
def features_at(features: Tensor, image: Tensor, rows: Tensor, cols: Tensor,
                size: Tuple[int, int], align_corners: bool) -> Tensor:
    """Features at single pixels of single images.

    Args:
        features (Tensor): (B, D, h, w).
        image (Tensor): (N,), long, in [0, B).
        rows (Tensor): (N,), long, in [0, size[0]).
        cols (Tensor): (N,), long, in [0, size[1]).
        size (tuple[int, int]): Height and width of the full image.
        align_corners (bool): Of the replaced upsampling.

    Returns:
        Tensor: (N, D), fp32 (fp64 for fp64 features).
    """
    at_rows, at_cols, weight = _corners(rows, cols, size, features.shape[-2:],
                                        align_corners)
    _, dim, height, width = features.shape
    # A table of feature vectors and one gather for all four neighbours: the
    # backward pass is one sum into the table's rows.
    table = features.permute(0, 2, 3, 1).reshape(-1, dim)
    index = (image * height + at_rows) * width + at_cols
    corners = upcast(table.index_select(0, index.flatten()))
    weight = weight.to(corners.dtype).expand(index.shape).reshape(-1, 1)
    # In place: the corners are the largest tensor here.
    return corners.mul_(weight).view(*index.shape, dim).sum(0)


class _SamePoints(torch.autograd.Function):
    """Weighted sum of the same four points of every image's feature map.

    A table of feature vectors, as for points that differ by image, would be
    as large as the map, and so would be its gradient beside the map's.
    """

    @staticmethod
    def forward(ctx, features, points, weight):
        ctx.save_for_backward(points, weight)
        ctx.shape, ctx.dtype = features.shape, features.dtype
        width = features.shape[3]
        corners = features.permute(0, 2, 3, 1)[:, points // width,
                                               points % width]
        return upcast(corners).mul_(weight[..., None]).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        points, weight = ctx.saved_tensors
        corners = (grad.transpose(1, 2)[:, :, None] * weight).flatten(2)
        result = grad.new_zeros(ctx.shape).flatten(2)
        result.scatter_add_(2, points.flatten().expand_as(corners), corners)
        return result.view(ctx.shape).to(ctx.dtype), None, None


def _axis_slice(numerator: Tensor, denominator: int) -> Optional[slice]:
    """The slice that picks these feature points, if there is one."""
    index = numerator // denominator
    step = int(index[1] - index[0]) if len(index) > 1 else 1
    if step < 1 or (numerator % denominator).any():
        return None
    expected = index[0] + step * torch.arange(len(index))
    if not torch.equal(index, expected):
        return None
    return slice(int(index[0]), int(index[-1]) + 1, step)


def _grid_slices(rows: Tensor, cols: Tensor, size: Tuple[int, int],
                 feature_size: Tuple[int, int],
                 align_corners: bool) -> Optional[Tuple[slice, slice]]:
    """The slices of feature rows and columns that are these positions.

    None if there are none, or if that cannot be seen without waiting for a
    device.
    """
    if rows.device.type != 'cpu' or len(rows) == 0:
        return None
    width = int((rows == rows[0]).sum())
    row_axis, col_axis = rows[::width], cols[:width]
    if len(rows) % width or not torch.equal(
            rows, row_axis.repeat_interleave(width)) or not torch.equal(
                cols, col_axis.repeat(len(row_axis))):
        return None
    points = tuple(
        _axis_slice(*_source(axis, full, small, align_corners))
        for axis, full, small in zip((row_axis, col_axis), size, feature_size))
    return None if None in points else points


@full_precision
def grid_features(features: Tensor, rows: Tensor, cols: Tensor,
                  size: Tuple[int, int], align_corners: bool) -> Tensor:
    """Features at the same pixels of every image.

    A grid given on the CPU, such as :func:`grid_positions`, is a strided
    slice where it falls on feature points, as at 513 and stride 4. Other
    positions are read one by one; give them on the device of the features,
    or they are copied there.

    Args:
        features (Tensor): (B, D, h, w).
        rows (Tensor): (M,), long, in [0, size[0]).
        cols (Tensor): (M,), long, in [0, size[1]).
        size (tuple[int, int]): Height and width of the full image.
        align_corners (bool): Of the replaced upsampling.

    Returns:
        Tensor: (B, M, D), fp32 (fp64 for fp64 features).
    """
    points = _grid_slices(rows, cols, size, features.shape[-2:], align_corners)
    if points is not None:
        return upcast(features[(..., *points)].flatten(2).transpose(1, 2))
    rows, cols = (
        axis.to(features.device, non_blocking=True) for axis in (rows, cols))
    at_rows, at_cols, weight = _corners(rows, cols, size, features.shape[-2:],
                                        align_corners)
    weight = weight.to(torch.promote_types(features.dtype, torch.float32))
    return _SamePoints.apply(features, at_rows * features.shape[3] + at_cols,
                             weight)


@full_precision
def all_features(features: Tensor, size: Tuple[int, int],
                 align_corners: bool) -> Tensor:
    """Features at every pixel, row by row.

    Args:
        features (Tensor): (B, D, h, w).
        size (tuple[int, int]): Height H and width W of the full image.
        align_corners (bool): Of the upsampling.

    Returns:
        Tensor: (B, H W, D), fp32 (fp64 for fp64 features).
    """
    full = F.interpolate(
        upcast(features), size, mode='bilinear', align_corners=align_corners)
    return full.flatten(2).transpose(1, 2)


@full_precision
def row_features(features: Tensor, rows: Tensor, size: Tuple[int, int],
                 align_corners: bool) -> Tensor:
    """Whole rows of the upsampled map, for those that cannot hold all.

    Args:
        features (Tensor): (B, D, h, w).
        rows (Tensor): (R,), long, in [0, size[0]).
        size (tuple[int, int]): Height H and width W of the full image.
        align_corners (bool): Of the upsampling.

    Returns:
        Tensor: (B, D, R, W), fp32 (fp64 for fp64 features).
    """
    top, bottom, weight = _neighbours(rows, size[0], features.shape[2],
                                      align_corners)
    features = upcast(features)
    weight = weight.to(features.dtype)[:, None]
    between = torch.lerp(features[:, :, top], features[:, :, bottom], weight)
    return F.interpolate(
        between, (len(rows), size[1]),
        mode='bilinear',
        align_corners=align_corners)


@torch.no_grad()
def draw_positions(
        candidates: Tensor, num: int,
        generator: torch.Generator) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw pixels without replacement, pooled over the batch.

    The shape of the result is fixed, so nothing waits for the device: the
    ``num`` largest of random keys, candidates first.

    Args:
        candidates (Tensor): (B, H, W), bool.
        num (int): Number of draws (BRPG: 1000 B).
        generator (torch.Generator): On the device of ``candidates``.

    Returns:
        tuple[Tensor, ...]: image, rows, cols, each (num,) long, and valid
        (num,) bool, False where the candidates ran out; the position is then
        an arbitrary pixel.
    """
    _, height, width = candidates.shape
    keys = torch.rand(
        candidates.shape, generator=generator, device=candidates.device)
    keys = keys.masked_fill(~candidates, -1.).flatten()
    best, chosen = keys.topk(min(num, len(keys)))
    short = num - len(chosen)
    if short > 0:
        best = torch.cat([best, best.new_full((short, ), -1.)])
        chosen = torch.cat([chosen, chosen.new_zeros(short)])
    pixel = chosen % (height * width)
    return (chosen // (height * width), pixel // width, pixel % width, best
            >= 0)
