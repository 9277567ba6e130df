# Copyright (c) mmseg_semi authors.
"""CutMix, ClassMix and Cutout on a batch, on the device.

Masks are drawn from a generator that lives on that device, one per image,
and say where image i takes over the content of its partner: image
(i + 1) mod B, or image i of another batch. One mask moves the image and every
map of its labels.
"""
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor

# Proposals per box in `single_boxes`. From 6 % (largest area) to 72 % of them
# fit; if none does (one box in 10 ** 7), the first is cut at the border.
NUM_PROPOSALS = 256


def _uniform(shape: Tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _integers(count: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform integers in [0, count), an upper limit per element."""
    draws = _uniform(tuple(count.shape), generator) * count
    return torch.minimum(draws.long(), count - 1)


def _spans(start: Tensor, number: Tensor, length: int) -> Tensor:
    """(..., length) bool, True in the ``number`` places from ``start`` on."""
    at = torch.arange(length, device=start.device)
    start = start[..., None]
    return (at >= start) & (at < start + number[..., None])


def _inside(top: Tensor, left: Tensor, box_height: Tensor, box_width: Tensor,
            height: int, width: int) -> Tensor:
    """Turn boxes (B,) into masks (B, height, width), True inside."""
    rows = _spans(top, box_height, height)[:, :, None]
    cols = _spans(left, box_width, width)[:, None, :]
    # As bytes: on a CPU this takes a tenth of the time of bool.
    return (rows.byte() & cols.byte()).view(torch.bool)


def half_area_boxes(batch: int, height: int, width: int,
                    generator: torch.Generator) -> Tensor:
    """One box of half the image area per image (official U2PL, PCR, BRPG).

    The width is a uniform integer from ``width // 2 + 1`` to ``width - 1``,
    the height ``round(height * width / 2 / box width)`` and the position
    uniform among those that fit.

    Args:
        batch (int): Number of masks.
        height (int): Image height.
        width (int): Image width, at least 2.
        generator (torch.Generator): On the device of the masks.

    Returns:
        Tensor: (batch, height, width), bool, True inside the box.
    """
    smallest = width // 2 + 1
    spread = torch.full((batch, ),
                        max(width - smallest, 1),
                        device=generator.device)
    box_width = smallest + _integers(spread, generator)
    box_height = (height * width / 2 / box_width).round().long()
    top = _integers(height - box_height + 1, generator)
    left = _integers(width - box_width + 1, generator)
    return _inside(top, left, box_height, box_width, height, width)


def single_boxes(
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
    area: Tuple[float, float] = (0.02, 0.4),
    aspect: Tuple[float, float] = (0.3, 1 / 0.3)
) -> Tensor:
    """One box of random area and aspect per image (UniMatch).

    The area is drawn once; aspect (height over width) and position are drawn
    again until the box fits, which favours aspects that leave room. Whether
    an image gets a box at all (UniMatch: with p = 0.5) is up to the caller.

    Args:
        batch (int): Number of masks.
        height (int): Image height.
        width (int): Image width.
        generator (torch.Generator): On the device of the masks.
        area (tuple[float, float]): Range of the share of the image area.
        aspect (tuple[float, float]): Range of height over width.

    Returns:
        Tensor: (batch, height, width), bool, True inside the box.
    """
    share = area[0] + (area[1] - area[0]) * _uniform((batch, 1), generator)
    pixels = share * (height * width)
    shape = (batch, NUM_PROPOSALS)
    ratio = aspect[0] + (aspect[1] - aspect[0]) * _uniform(shape, generator)
    box_height = (pixels * ratio).sqrt().long()
    box_width = (pixels / ratio).sqrt().long()
    top = _integers(torch.full_like(box_height, height), generator)
    left = _integers(torch.full_like(box_width, width), generator)
    fits = (top + box_height <= height) & (left + box_width <= width)
    first = fits.byte().argmax(dim=1, keepdim=True)
    top, left, box_height, box_width = (
        value.gather(1, first).squeeze(1)
        for value in (top, left, box_height, box_width))
    return _inside(top, left, box_height, box_width, height, width)


def xor_boxes(batch: int,
              height: int,
              width: int,
              generator: torch.Generator,
              boxes: int = 3) -> Tensor:
    """Boxes that toggle what they cover (code of CPS, French et al.).

    A box has the share p ~ U(.25, .5) of the image, its height p ** u of the
    image's, u ~ U(0, 1), its width the rest; both are shrunk by
    sqrt(1 / boxes) and rounded, and its place is uniform among those that
    fit. A pixel under an odd number of boxes is in the mask; with the
    defaults a quarter of them, on average.

    Args:
        batch (int): Number of masks.
        height (int): Image height.
        width (int): Image width.
        generator (torch.Generator): On the device of the masks.
        boxes (int): Boxes per mask.

    Returns:
        Tensor: (batch, height, width), bool.
    """
    shape = (batch, boxes)
    share = 0.25 + 0.25 * _uniform(shape, generator)
    tall = share**_uniform(shape, generator)
    shrink = boxes**-0.5
    box_height = (tall * (shrink * height)).round().long()
    box_width = (share / tall * (shrink * width)).round().long()
    top = ((height - box_height) * _uniform(shape, generator)).round().long()
    left = ((width - box_width) * _uniform(shape, generator)).round().long()
    return _parity(top, left, box_height, box_width, height, width)


def _parity(top: Tensor, left: Tensor, box_height: Tensor, box_width: Tensor,
            height: int, width: int) -> Tensor:
    """Turn K boxes each, (B, K), into masks: True under an odd number.

    Between two edges of boxes all rows of a mask are alike, so the
    2 K + 1 different ones are made and then repeated.
    """
    bottom = top + box_height
    edges = torch.cat([top, bottom], 1).sort(1)[0]
    starts = torch.cat([torch.zeros_like(edges[:, :1]), edges], 1)[..., None]
    rows = (starts >= top[:, None]) & (starts < bottom[:, None])
    cols = _spans(left, box_width, width)
    odd = (rows[..., None] & cols[:, None]).sum(2) % 2 == 1
    at = torch.arange(height, device=top.device)
    kind = (at >= edges[..., None]).sum(1)  # (B, height), 0 to 2 K
    images = torch.arange(len(top), device=top.device)
    kind += starts.shape[1] * images[:, None]
    return odd.flatten(0, 1).index_select(0, kind.flatten()).view(
        len(top), height, width)


def class_masks(labels: Tensor,
                num_classes: int,
                generator: torch.Generator,
                extra: int = 1,
                ignore_index: int = 255,
                background: Optional[int] = None) -> Tensor:
    """ClassMix masks: the pixels of some classes of the partner image.

    From the n classes of every label map, ``floor(n / 2) + extra`` (at most
    n) are chosen without replacement. ``mask[i]`` marks their pixels in
    ``labels[(i + 1) % B]``, so :func:`mix` pastes these classes of the
    partner onto image i.

    Args:
        labels (Tensor): (B, H, W), long, (pseudo-)labels.
        num_classes (int): Number of classes.
        generator (torch.Generator): On the device of the labels.
        extra (int): 1 in CMB's code, 0 in the original ClassMix.
        ignore_index (int): Never chosen; an image of nothing else gives an
            empty mask.
        background (int, optional): A class that is left out if the image has
            another one (CMB on VOC).

    Returns:
        Tensor: (B, H, W), bool.
    """
    ignored = labels == ignore_index
    slots = labels.masked_fill(ignored, num_classes).flatten(1)
    present = torch.zeros(
        len(labels), num_classes + 1, dtype=torch.bool, device=labels.device)
    present.scatter_(1, slots, True)
    present[:, num_classes] = False
    if background is not None:
        present[:, background] &= present.sum(1) == 1
    number = present.sum(1)
    chosen_number = torch.minimum(number // 2 + extra, number)
    keys = _uniform(tuple(present.shape), generator).masked_fill(~present, 2.)
    rank = keys.argsort(dim=1).argsort(dim=1)
    chosen = rank < chosen_number[:, None]
    return chosen.gather(1, slots).view_as(labels).roll(-1, dims=0)


def _over(mask: Tensor, tensor: Tensor) -> Tensor:
    """View a (B, H, W) mask so that it broadcasts over (B, ..., H, W)."""
    middle = (1, ) * (tensor.dim() - mask.dim())
    return mask.view(mask.shape[:1] + middle + mask.shape[1:])


def mix(maps: Dict[str, Tensor],
        mask: Tensor,
        partner: Optional[Dict[str, Tensor]] = None) -> Dict[str, Tensor]:
    """Put the partner's content inside the mask, in all maps alike.

    Args:
        maps (dict[str, Tensor]): Maps (B, ..., H, W): image, label,
            confidence, validity.
        mask (Tensor): (B, H, W), bool. All False leaves an image as it is.
        partner (dict[str, Tensor], optional): The same maps of another
            batch, whose image i goes into image i. Defaults to None: image
            (i + 1) mod B of this batch.

    Returns:
        dict[str, Tensor]: ``where(mask[i], partner[i], map[i])``.
    """
    if partner is None:
        partner = {n: value.roll(-1, dims=0) for n, value in maps.items()}
    return {
        name: torch.where(_over(mask, value), partner[name], value)
        for name, value in maps.items()
    }


def cutout(maps: Dict[str, Tensor], mask: Tensor,
           fill: Dict[str, float]) -> Dict[str, Tensor]:
    """Overwrite the inside of the mask with a constant per map.

    Args:
        maps (dict[str, Tensor]): Maps (B, ..., H, W).
        mask (Tensor): (B, H, W), bool.
        fill (dict[str, float]): The value for every map, e.g. image 0, label
            255, confidence 0.

    Returns:
        dict[str, Tensor]: The maps after cutting.

    Raises:
        KeyError: A map has no fill value.
    """
    missing = sorted(set(maps) - set(fill))
    if missing:
        raise KeyError(f'cutout: give `fill` a value for {missing}.')
    return {
        name: value.masked_fill(_over(mask, value), fill[name])
        for name, value in maps.items()
    }
