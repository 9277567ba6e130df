# Copyright (c) mmseg_semi authors.
"""Colour changes and blur of a batch on the device.

Images are RGB in [0, 1]; every image has an amount of its own. What does not
need colours takes any number of bands (:data:`COLOUR_CHANGES` does).
``adjust_*``
are the definitions of PIL and torchvision without their rounding to 8 bits.
Those of kornia 0.4.1 differ in three of four: see :data:`COLOR_LAWS`.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


def _per_image(amount: Tensor, image: Tensor) -> Tensor:
    return amount.to(image.dtype).view(-1, 1, 1, 1)


def to_gray(image: Tensor) -> Tensor:
    """Luma, (B, 1, H, W), of images (B, 3, H, W)."""
    red, green, blue = image.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def adjust_brightness(image: Tensor, factor: Tensor) -> Tensor:
    """Blend with black.

    Args:
        image (Tensor): (B, C, H, W), in [0, 1].
        factor (Tensor): (B,), at least 0; 1 changes nothing.

    Returns:
        Tensor: Like ``image``, clamped to [0, 1].
    """
    return (image * _per_image(factor, image)).clamp(0, 1)


def adjust_contrast(image: Tensor, factor: Tensor) -> Tensor:
    """Blend colours with their mean luma, other bands each with its mean.

    See :func:`adjust_brightness`.
    """
    levels = to_gray(image) if image.shape[1] == 3 else image
    mean = levels.mean(dim=(2, 3), keepdim=True)
    return torch.lerp(mean, image, _per_image(factor, image)).clamp(0, 1)


def adjust_saturation(image: Tensor, factor: Tensor) -> Tensor:
    """Blend with the luma of each pixel; see :func:`adjust_brightness`."""
    return torch.lerp(to_gray(image), image, _per_image(factor,
                                                        image)).clamp(0, 1)


def add_brightness(image: Tensor, factor: Tensor) -> Tensor:
    """Add ``factor - 1`` to every channel; see :func:`adjust_brightness`."""
    return (image + (_per_image(factor, image) - 1)).clamp(0, 1)


def scale_saturation(image: Tensor, factor: Tensor) -> Tensor:
    """Multiply S of HSV, at most up to 1; H and V stay.

    Unlike :func:`adjust_saturation` the brightest channel of a pixel keeps
    its value, so the luma changes.

    Args:
        image (Tensor): (B, 3, H, W), in [0, 1].
        factor (Tensor): (B,), at least 0; 1 changes nothing.

    Returns:
        Tensor: Like ``image``.
    """
    value = image.amax(dim=1, keepdim=True)
    chroma = value - image.amin(dim=1, keepdim=True)
    # Distances to V scale with S = chroma / V, which ends at 1.
    limit = value / torch.where(chroma > 0, chroma, 1.)
    return value - (value - image) * torch.minimum(
        _per_image(factor, image), limit)


def adjust_hue(image: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue in HSV space.

    Args:
        image (Tensor): (B, 3, H, W), in [0, 1].
        turn (Tensor): (B,), in circles; 0 changes nothing.

    Returns:
        Tensor: Like ``image``.
    """
    red, green, blue = image.split(1, dim=1)
    value = image.amax(dim=1, keepdim=True)
    chroma = value - image.amin(dim=1, keepdim=True)
    safe = torch.where(chroma > 0, chroma, 1.)
    # Hue in sixths of a circle; any value where there is no chroma.
    hue = torch.where(
        value == red, (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2,
                    (red - green) / safe + 4))
    hue = hue + 6 * _per_image(turn, image)
    channels = []
    for place in (5, 3, 1):
        angle = (hue + place) % 6
        channels.append(value -
                        chroma * torch.minimum(angle, 4 - angle).clamp(0, 1))
    return torch.cat(channels, dim=1)


COLOR_LAWS = dict(
    pil=dict(
        brightness=adjust_brightness,
        contrast=adjust_contrast,
        saturation=adjust_saturation,
        hue=adjust_hue),
    kornia=dict(
        brightness=add_brightness,
        contrast=adjust_brightness,  # a plain product, without the mean
        saturation=scale_saturation,
        hue=adjust_hue))
"""What a colour jitter does by the library that defines it.

``pil``: PIL and torchvision. ``kornia``: kornia 0.4.1, which the official
code of CMB pins.
"""
COLOUR_CHANGES = ('saturation', 'hue')
"""Those of them that need red, green and blue."""


@full_precision
def gaussian_blur(image: Tensor,
                  sigma_rows: Tensor,
                  sigma_cols: Tensor,
                  kernel_size: int = 23) -> Tensor:
    """Blur with a Gaussian, border pixels mirrored.

    Args:
        image (Tensor): (B, D, H, W), any range.
        sigma_rows (Tensor): (B,), standard deviation across rows, in pixels,
            above 0.
        sigma_cols (Tensor): (B,), across columns.
        kernel_size (int): Odd; an image smaller than half of it is mirrored
            as far as it reaches.

    Returns:
        Tensor: Like ``image``.
    """
    batch, channels, height, width = image.shape
    result = image.reshape(1, batch * channels, height, width)
    for axis, sigma, length in ((0, sigma_rows, height), (1, sigma_cols,
                                                          width)):
        radius = min(kernel_size // 2, length - 1)
        offset = torch.arange(-radius, radius + 1, device=image.device)
        kernel = (-(offset / sigma[:, None])**2 / 2).softmax(dim=1)
        kernel = kernel.to(image.dtype).repeat_interleave(channels, dim=0)
        shape, padding = [-1, 1, 1, 1], [0, 0, 0, 0]
        shape[2 + axis] = 2 * radius + 1
        padding[2 - 2 * axis:4 - 2 * axis] = radius, radius
        result = F.conv2d(
            F.pad(result, padding, mode='reflect'),
            kernel.view(shape),
            groups=batch * channels)
    return result.view_as(image)
