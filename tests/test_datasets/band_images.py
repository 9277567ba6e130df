# Copyright (c) mmseg_semi authors.
"""Files of many pixel formats, made on the spot."""
import cv2
import numpy as np
import pytest

SIZE = 12, 17


def values(bands, low, high, dtype, seed=0):
    """Random pixels (H, W, bands), both ends among them."""
    generator = np.random.default_rng(seed)
    pixels = generator.uniform(low, high, (*SIZE, bands)).astype(dtype)
    pixels[0, 0], pixels[0, 1] = low, high
    return pixels


def write_png(path, pixels):
    """8 or 16 bits, colours given as RGB."""
    pixels = np.squeeze(pixels)
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    if pixels.ndim == 3:
        pixels = pixels[..., order[pixels.shape[2]]]
    assert cv2.imwrite(str(path), pixels)
    return str(path)


def write_tiff(path, pixels, no_data=None, pages=False, **options):
    """A TIFF; the test is skipped where tifffile is missing."""
    tifffile = pytest.importorskip('tifffile')
    if no_data is not None:
        options['extratags'] = [(42113, 's', 0, str(no_data), True)]
    if pages:
        pixels = pixels.transpose(2, 0, 1)
    elif pixels.shape[2] != 3:
        options.setdefault('planarconfig', 'contig')
    if pixels.shape[-1] == 1:
        pixels, options['planarconfig'] = pixels[..., 0], None
    photometric = 'rgb' if pixels.shape[-1] == 3 else 'minisblack'
    tifffile.imwrite(path, pixels, photometric=photometric, **options)
    return str(path)
