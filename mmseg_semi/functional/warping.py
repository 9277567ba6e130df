# Copyright (c) mmseg_semi authors.
"""Resize, crop or pad, and flip a batch with its label maps, on the device.

Every image has a scale and place of its own and keeps its size. One gather
per corner moves a map; nothing waits for the device.
"""
from dataclasses import dataclass
from typing import Dict, Tuple, Union

import torch
from torch import Tensor


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
            broadcasts against (B, ..., H, W).

    Returns:
        dict[str, Tensor]: Shapes and dtypes of the input.

    Raises:
        KeyError: A map has no fill value.
    """
    missing = sorted(set(maps) - set(fill))
    if missing:
        raise KeyError(f'place: give `fill` a value for {missing}.')
    length, width = next(iter(maps.values())).shape[-2:]
    rows = _Source(length, *placement.rows)
    cols = _Source(width, *placement.cols, flip=placement.flip)
    inside = rows.inside[:, :, None] & cols.inside[:, None, :]
    moved = {}
    for name, value in maps.items():
        middle = (1, ) * (value.dim() - 3)
        view = value.shape[:1] + middle + value.shape[-2:]
        if value.is_floating_point():
            result = cols.interpolate(rows.interpolate(value, -2), -1)
        else:
            result = cols.nearest(rows.nearest(value, -2), -1)
        moved[name] = torch.where(inside.view(view), result, fill[name])
    return moved


class _Source:
    """Where the pixels of one axis come from, in exact integer arithmetic."""

    def __init__(self,
                 length: int,
                 size: Tensor,
                 offset: Tensor,
                 flip: Tensor = None) -> None:
        size = size[:, None]
        at = torch.arange(length, device=size.device) + offset[:, None]
        if flip is not None:
            at = torch.where(flip[:, None], at.flip(1), at)
        self.inside = (at >= 0) & (at < size)
        at = torch.minimum(at.clamp_min(0), size - 1)
        self.closest = at * length // size
        steps = (size - 1).clamp_min(1)
        self.below = at * (length - 1) // steps
        self.above = (self.below + 1).clamp_max(length - 1)
        self.share = (at * (length - 1) % steps).double() / steps

    def nearest(self, value: Tensor, dim: int) -> Tensor:
        return _along(value, self.closest, dim)

    def interpolate(self, value: Tensor, dim: int) -> Tensor:
        share = _axis_view(self.share.to(value.dtype), value, dim)
        return torch.lerp(
            _along(value, self.below, dim), _along(value, self.above, dim),
            share)


def _axis_view(per_image: Tensor, value: Tensor, dim: int) -> Tensor:
    """View (B, L) so that it broadcasts along ``dim`` of ``value``."""
    shape = [len(per_image)] + [1] * (value.dim() - 1)
    shape[dim] = per_image.shape[1]
    return per_image.view(shape)


def _along(value: Tensor, index: Tensor, dim: int) -> Tensor:
    return value.gather(dim, _axis_view(index, value, dim).expand_as(value))
