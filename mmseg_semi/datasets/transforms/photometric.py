# Copyright (c) mmseg_semi authors.
"""Strong colour changes of the unlabelled view, on uint8 BGR images.

They follow the PIL/torchvision definitions that the papers' code uses, to
within rounding, in OpenCV.
"""
from typing import List, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

_LEVELS = np.arange(256, dtype=np.float32)


def _require_uint8(image: np.ndarray, name: str) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TypeError(
            f'{name} needs a uint8 BGR image (H, W, 3), got {image.dtype} '
            f'{image.shape}. Put it before any normalisation and load '
            'without to_float32.')


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f'p must lie in [0, 1], got {p}')


def _apply_curve(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    table = np.clip(curve, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table)


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black: ``factor * image``."""
    return _apply_curve(image, _LEVELS * factor)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the rounded mean of the grey image."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mean = int(gray.mean() + 0.5)
    return _apply_curve(image, mean + factor * (_LEVELS - mean))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the grey image."""
    gray = to_gray(image)
    return cv2.addWeighted(image, factor, gray, 1 - factor, 0)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by ``shift`` of a full circle."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)


def to_gray(image: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma in all three channels."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)


_ADJUST = dict(
    brightness=adjust_brightness,
    contrast=adjust_contrast,
    saturation=adjust_saturation,
    hue=adjust_hue)


@TRANSFORMS.register_module()
class SemiColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue in random order.

    With probability p. Factors are U(max(0, 1 - x), 1 + x), the hue shift is
    U(-hue, hue) of a circle, as in torchvision's ColorJitter. Defaults are
    those of BRPG's official code (and UniMatch's): (.5, .5, .5, .25), p .8.

    Required Keys: img (uint8 BGR)

    Modified Keys: img

    Args:
        p (float): Probability of any change. Defaults to 0.8.
        brightness (float): Half width of the factor. Defaults to 0.5.
        contrast (float): Half width of the factor. Defaults to 0.5.
        saturation (float): Half width of the factor. Defaults to 0.5.
        hue (float): Largest shift, at most 0.5. Defaults to 0.25.
    """

    def __init__(self,
                 p: float = 0.8,
                 brightness: float = 0.5,
                 contrast: float = 0.5,
                 saturation: float = 0.5,
                 hue: float = 0.25) -> None:
        _check_probability(p)
        if min(brightness, contrast, saturation) < 0 or not 0 <= hue <= 0.5:
            raise ValueError(
                'brightness, contrast and saturation must be >= 0 and hue in '
                f'[0, 0.5], got {brightness}, {contrast}, {saturation}, '
                f'{hue}')
        self.p = p
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    @cache_randomness
    def random_steps(self) -> List[Tuple[str, float]]:
        """Draw the changes in their order; empty for none."""
        if np.random.rand() >= self.p:
            return []
        steps = []
        for name in ('brightness', 'contrast', 'saturation'):
            width = getattr(self, name)
            if width > 0:
                factor = np.random.uniform(max(0, 1 - width), 1 + width)
                steps.append((name, factor))
        if self.hue > 0:
            steps.append(('hue', np.random.uniform(-self.hue, self.hue)))
        return [steps[i] for i in np.random.permutation(len(steps))]

    def transform(self, results: dict) -> dict:
        """Change the colours of ``results['img']``."""
        _require_uint8(results['img'], self.__class__.__name__)
        for name, amount in self.random_steps():
            results['img'] = _ADJUST[name](results['img'], amount)
        return results

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(p={self.p}, '
                f'brightness={self.brightness}, contrast={self.contrast}, '
                f'saturation={self.saturation}, hue={self.hue})')


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blur with probability p; the standard deviation is U(*sigma) pixels.

    The law of PIL's ``GaussianBlur(radius=U(.1, 2))`` in the papers' code;
    PIL approximates the Gaussian by box filters, this one is exact.

    Required Keys: img (uint8 BGR)

    Modified Keys: img

    Args:
        p (float): Probability. Defaults to 0.5.
        sigma (tuple[float, float]): Range of the standard deviation.
            Defaults to (0.1, 2).
    """

    def __init__(self,
                 p: float = 0.5,
                 sigma: Tuple[float, float] = (0.1, 2.)) -> None:
        _check_probability(p)
        if not 0 < sigma[0] <= sigma[1]:
            raise ValueError(f'0 < sigma[0] <= sigma[1] is required, got '
                             f'{sigma}')
        self.p = p
        self.sigma = tuple(sigma)

    @cache_randomness
    def random_sigma(self) -> float:
        """Draw the standard deviation; 0 means no blur."""
        if np.random.rand() >= self.p:
            return 0.
        return np.random.uniform(*self.sigma)

    def transform(self, results: dict) -> dict:
        """Blur ``results['img']``, or leave it."""
        _require_uint8(results['img'], self.__class__.__name__)
        sigma = self.random_sigma()
        if sigma > 0:
            results['img'] = cv2.GaussianBlur(
                results['img'], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(p={self.p}, sigma={self.sigma})'
