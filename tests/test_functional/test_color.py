# Copyright (c) mmseg_semi authors.
import colorsys
import math

import numpy as np
import pytest
import torch

from mmseg_semi.functional import (COLOR_LAWS, add_brightness,
                                   adjust_brightness, adjust_contrast,
                                   adjust_hue, adjust_saturation,
                                   gaussian_blur, scale_saturation)

B, H, W = 3, 5, 6


def _images():
    gen = torch.Generator().manual_seed(0)
    images = torch.rand(B, 3, H, W, generator=gen, dtype=torch.float64)
    images[0, :, 0] = images[0, :1, 0]  # grey
    images[0, :, 1] = torch.tensor([1., 1., 0.]).view(3, 1)  # ties
    images[1, :, 0] = torch.tensor([0., .5, .5]).view(3, 1)
    images[1, :, 1] = 0
    images[2, :, 0] = 1
    return images


def _gray(red, green, blue):
    return .299 * red + .587 * green + .114 * blue


def _mean_gray(image):
    pixels = image.permute(1, 2, 0).reshape(-1, 3).tolist()
    return sum(_gray(*pixel) for pixel in pixels) / len(pixels)


def _brightness(pixel, factor, image):
    return [factor * channel for channel in pixel]


def _contrast(pixel, factor, image):
    mean = _mean_gray(image)
    return [mean + factor * (channel - mean) for channel in pixel]


def _saturation(pixel, factor, image):
    gray = _gray(*pixel)
    return [gray + factor * (channel - gray) for channel in pixel]


def _hue(pixel, turn, image):
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)


def _added(pixel, factor, image):
    return [channel + factor - 1 for channel in pixel]


def _hsv_saturation(pixel, factor, image):
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb(hue, min(factor * saturation, 1), value)


KORNIA = dict(
    brightness=_added,
    contrast=_brightness,
    saturation=_hsv_saturation,
    hue=_hue)
PIL = dict(
    brightness=_brightness,
    contrast=_contrast,
    saturation=_saturation,
    hue=_hue)


@pytest.mark.parametrize('adjust, pixel_law, amounts', [
    (add_brightness, _added, (.7, 1., 1.4)),
    (scale_saturation, _hsv_saturation, (0., 1.15, 3.)),
    (adjust_brightness, _brightness, (.7, 1., 1.4)),
    (adjust_contrast, _contrast, (.5, 1.3, 2.)),
    (adjust_saturation, _saturation, (0., 1.15, 1.9)),
    (adjust_hue, _hue, (-.1, .05, .5)),
])
def test_equals_pixel_by_pixel(adjust, pixel_law, amounts):
    images = _images()
    changed = adjust(images, torch.tensor(amounts, dtype=torch.float64))
    for b, y, x in np.ndindex(B, H, W):
        expected = pixel_law(images[b, :, y, x].tolist(), amounts[b],
                             images[b])
        expected = [min(max(channel, 0.), 1.) for channel in expected]
        assert changed[b, :, y, x].tolist() == pytest.approx(
            expected, abs=1e-12)


@pytest.mark.parametrize('adjust, neutral', [(adjust_brightness, 1.),
                                             (adjust_contrast, 1.),
                                             (add_brightness, 1.),
                                             (scale_saturation, 1.),
                                             (adjust_saturation, 1.),
                                             (adjust_hue, 0.),
                                             (adjust_hue, 1.)])
def test_neutral_amounts(adjust, neutral):
    images = _images().float()
    torch.testing.assert_close(
        adjust(images, torch.full((B, ), neutral)), images)


@pytest.mark.parametrize('name, slow', [('pil', PIL), ('kornia', KORNIA)])
def test_named_laws(name, slow):
    """All four in turn, each clamped before the next."""
    images = _images()
    amounts = dict(
        brightness=(.75, 1.2, 1.), contrast=(1.25, .8, 1.1),
        saturation=(.9, 1.12, 2.), hue=(.08, -.05, .3))  # yapf: disable
    changed = images
    for part, amount in amounts.items():
        amount = torch.tensor(amount, dtype=torch.float64)
        changed = COLOR_LAWS[name][part](changed, amount)
    for b in range(B):
        image = images[b].clone()
        for part, amount in amounts.items():
            before = image.clone()
            for y, x in np.ndindex(H, W):
                pixel = slow[part](before[:, y, x].tolist(), amount[b], before)
                image[:, y, x] = torch.tensor(pixel).double().clamp(0, 1)
        torch.testing.assert_close(changed[b], image, atol=1e-6, rtol=0)


def _slow_blur(image, sigma_rows, sigma_cols, radius):
    """(H, W), direct two-dimensional sum with mirrored borders."""
    height, width = image.shape

    def mirrored(i, length):
        i = abs(i)
        return 2 * (length - 1) - i if i >= length else i

    out = torch.zeros_like(image)
    for y, x in np.ndindex(height, width):
        total = norm = 0.
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                weight = math.exp(-dy**2 / (2 * sigma_rows**2) - dx**2 /
                                  (2 * sigma_cols**2))
                total += weight * image[mirrored(y + dy, height),
                                        mirrored(x + dx, width)].item()
                norm += weight
        out[y, x] = total / norm
    return out


def test_blur_equals_the_sum():
    gen = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 7, 6, generator=gen, dtype=torch.float64)
    rows = torch.tensor([.8, .1], dtype=torch.float64)
    cols = torch.tensor([.8, 1.5], dtype=torch.float64)
    blurred = gaussian_blur(images, rows, cols, kernel_size=7)
    for b in range(2):
        for c in range(3):
            torch.testing.assert_close(
                blurred[b, c],
                _slow_blur(images[b, c], rows[b].item(), cols[b].item(), 3))


def test_blur_of_a_small_image_and_of_none():
    images = torch.randn(2, 3, 4, 5)
    sigma = torch.tensor([2., .05])
    blurred = gaussian_blur(images, sigma, sigma)
    assert blurred.isfinite().all()
    assert blurred[0].std() < images[0].std()
    torch.testing.assert_close(blurred[1], images[1])
    same = torch.full((1, 2, 30, 30), .3)
    torch.testing.assert_close(gaussian_blur(same, sigma[:1], sigma[:1]), same)
