# Copyright (c) mmseg_semi authors.
"""Resize, crop or pad, and flip a batch with its label maps, on the device.

Every image has a scale and place of its own and keeps its size. One gather
per corner moves a map; nothing waits for the device. On the CPU, where nothing
has to wait, images are moved one by one and those of unchanged scale copied.
"""
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor

from .host import on_host


@dataclass(frozen=True)
class Placement:
    """Which part of the resized image each output shows.

    Args:
        rows (tuple[Tensor, Tensor]): Height after resizing and the row of the
            resized image in output row 0 (negative: padding above), (B,)
            long each.
        cols (tuple[Tensor, Tensor]): The same for the width.
        flip (Tensor): (B,), bool; mirror the result horizontally.
    """
    rows: Tuple[Tensor, Tensor]
    cols: Tuple[Tensor, Tensor]
    flip: Tensor


def draw_placements(batch: int,
                    height: int,
                    width: int,
                    generator: torch.Generator,
                    scale: Tuple[float, float] = (.75, 1.75),
                    scale_prob: float = .5,
                    flip_prob: float = .5,
                    shared: bool = False) -> Placement:
    """Draw the geometric augmentation of CMB (Table 1).

    A smaller image is centred, a larger one cropped at a uniform place.

    Args:
        batch (int): Number of images.
        height (int): Image height.
        width (int): Image width.
        generator (torch.Generator): On the device of the images.
        scale (tuple[float, float]): Range of the uniform resize factor.
        scale_prob (float): Probability of resizing.
        flip_prob (float): Probability of flipping.
        shared (bool): One draw for all images.

    Returns:
        Placement: For :func:`place`.
    """
    draws = torch.rand(
        1 if shared else batch,
        5,
        generator=generator,
        device=generator.device).expand(batch, -1)
    gate, where, row, col, flip = draws.unbind(1)
    factor = scale[0] + (scale[1] - scale[0]) * where
    factor = torch.where(gate < scale_prob, factor, 1.)
    return Placement(
        rows=_axis(height, factor, row),
        cols=_axis(width, factor, col),
        flip=flip < flip_prob)


def _axis(length: int, factor: Tensor, draw: Tensor) -> Tuple[Tensor, Tensor]:
    """Resized length and offset along one axis."""
    size = (factor * length).long().clamp_min(1)
    spare = size - length
    crop = torch.minimum((draw * (spare + 1)).long(), spare)
    return size, torch.where(spare < 0, -(-spare // 2), crop)


def place(maps: Dict[str, Tensor], placement: Placement,
          fill: Dict[str, Union[float, Tensor]]) -> Dict[str, Tensor]:
    """Apply one placement to an image and all maps of its pixels.

    Floating-point maps are resized bilinearly with aligned corners, all
    others (labels, masks) by the nearest neighbour.

    Args:
        maps (dict[str, Tensor]): Maps (B, ..., H, W) of one H and W.
        placement (Placement): Of the B images.
        fill (dict[str, float | Tensor]): Content of padding per map; a tensor
            broadcasts against an image, (..., H, W).

    Returns:
        dict[str, Tensor]: Shapes and dtypes of the input.

    Raises:
        KeyError: A map has no fill value.
    """
    missing = sorted(set(maps) - set(fill))
    if missing:
        raise KeyError(f'place: give `fill` a value for {missing}.')
    if on_host(placement.flip):
        return _one_by_one(maps, placement, fill)
    return _all_at_once(maps, placement, fill)


class _Source(NamedTuple):
    """Where the pixels of one axis come from: (B, L), or (L,) of one image."""
    closest: Tensor
    below: Tensor
    above: Tensor
    share: Tensor

    def move(self, value: Tensor, dim: int) -> Tensor:
        """Resize maps along ``dim``, -2 or -1."""
        if not value.is_floating_point():
            return _along(value, self.closest, dim)
        share = _axis_view(self.share.to(value.dtype), value, dim)
        return _along(value, self.below,
                      dim).lerp_(_along(value, self.above, dim), share)


def _source(length: int,
            size: Tensor,
            offset: Tensor,
            flip: Optional[Tensor] = None) -> Tuple[_Source, Tensor]:
    """In exact integer arithmetic; and (B, L) bool, what is inside."""
    size = size[:, None]
    at = torch.arange(length, device=size.device) + offset[:, None]
    if flip is not None:
        at = torch.where(flip[:, None], at.flip(1), at)
    inside = (at >= 0) & (at < size)
    at = torch.minimum(at.clamp_min(0), size - 1)
    steps = (size - 1).clamp_min(1)
    scaled = at * (length - 1)
    below = scaled // steps
    share = (scaled - below * steps).double() / steps
    return _Source(at * length // size, below,
                   (below + 1).clamp_max(length - 1), share), inside


def _axis_view(index: Tensor, value: Tensor, dim: int) -> Tensor:
    """View (B, L) or (L,) so that it broadcasts along ``dim`` of maps."""
    if index.dim() == 1:
        return index if dim == -1 else index[:, None]
    shape = [len(index)] + [1] * (value.dim() - 1)
    shape[dim] = index.shape[1]
    return index.view(shape)


def _along(value: Tensor, index: Tensor, dim: int) -> Tensor:
    if index.dim() == 1 and dim == -2:
        return value.index_select(-2, index)  # whole rows
    shape = list(value.shape)
    shape[dim] = index.shape[-1]
    return value.gather(dim, _axis_view(index, value, dim).expand(shape))


def _all_at_once(maps: Dict[str, Tensor], placement: Placement,
                 fill: Dict[str, Union[float, Tensor]]) -> Dict[str, Tensor]:
    """:func:`place` with shapes that do not depend on the placement."""
    height, width = next(iter(maps.values())).shape[-2:]
    rows, in_rows = _source(height, *placement.rows)
    cols, in_cols = _source(width, *placement.cols, flip=placement.flip)
    inside = in_rows[:, :, None] & in_cols[:, None, :]
    moved = {}
    for name, value in maps.items():
        middle = (1, ) * (value.dim() - 3)
        view = value.shape[:1] + middle + value.shape[-2:]
        result = cols.move(rows.move(value, -2), -1)
        moved[name] = torch.where(inside.view(view), result, fill[name])
    return moved


def _one_by_one(maps: Dict[str, Tensor], placement: Placement,
                fill: Dict[str, Union[float, Tensor]]) -> Dict[str, Tensor]:
    """:func:`place` that computes nothing outside an image, and nothing at
    all where an image keeps its scale."""
    height, width = next(iter(maps.values())).shape[-2:]
    (tall, top), (wide, left), flip = placement.rows, placement.cols, \
        placement.flip
    scaled = (tall != height) | (top != 0) | (wide != width) | (left != 0)
    moving = scaled.nonzero()[:, 0]
    rows = _inside(*_source(height, tall[moving], top[moving]))
    cols = _inside(*_source(width, wide[moving], left[moving], flip[moving]))
    parts = dict(zip(moving.tolist(), zip(rows, cols)))
    moved = {name: torch.empty_like(value) for name, value in maps.items()}
    for image, mirrored in enumerate(flip.tolist()):
        for name, value in maps.items():
            one, result = value[image], moved[name][image]
            if image not in parts:
                result[:] = one.flip(-1) if mirrored else one
                continue
            (row, at_rows), (col, at_cols) = parts[image]
            one = col.move(row.move(one, -2), -1)
            if one.shape != result.shape:
                result[:] = fill[name]
            result[..., at_rows, at_cols] = one
    return moved


def _inside(source: _Source, inside: Tensor) -> List[Tuple[_Source, slice]]:
    """Per image: where what is inside comes from, and where it is."""
    starts = inside.byte().argmax(1).tolist()
    windows = [
        slice(start, start + number)
        for start, number in zip(starts,
                                 inside.sum(1).tolist())
    ]
    return [(_Source(*(part[i, window] for part in source)), window)
            for i, window in enumerate(windows)]
