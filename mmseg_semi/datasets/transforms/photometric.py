# Copyright (c) mmseg_semi authors.
"""Strong changes of the unlabelled view, for any number of bands.

On colours (three bands, BGR) they follow the PIL/torchvision definitions that
the papers' code uses, to within rounding, in OpenCV. Brightness, contrast and
blur act on all bands of other images alike; what needs colours is left out
for them, which is said once. uint8 stays uint8; float32 in [0, 255] stays
float32 and is not rounded.
"""
from typing import List, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS

from .channels import (blend, check_pixels, gray, is_colour, num_bands,
                       say_skipped)


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f'p must lie in [0, 1], got {p}')


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black: ``factor * image``."""
    return blend(image, factor, 0)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend colours with their mean luma, other bands each with its mean.

    The mean is rounded for images of 8 bits.
    """
    if is_colour(image):
        mean = gray(image).mean()
    else:
        mean = image.reshape(-1, num_bands(image)).mean(0)
    if image.dtype == np.uint8:
        mean = np.floor(mean + 0.5)
    return blend(image, factor, mean)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend colours with their luma."""
    mixed = cv2.addWeighted(image, factor, to_gray(image), 1 - factor, 0)
    return mixed if image.dtype == np.uint8 else mixed.clip(0, 255)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue of colours by ``shift`` of a full circle."""
    if image.dtype == np.uint8:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
        hsv[..., 0] += np.uint8(int(shift * 255) % 256)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
    return turn_hue(image, 360 * shift)


def turn_hue(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turn the hue of colours that are float32 in [0, 255]."""
    hsv = cv2.cvtColor(image / 255, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255).clip(0, 255)


def to_gray(image: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma in all three channels."""
    return cv2.cvtColor(gray(image), cv2.COLOR_GRAY2BGR)


_ADJUST = dict(
    brightness=adjust_brightness,
    contrast=adjust_contrast,
    saturation=adjust_saturation,
    hue=adjust_hue)
_OF_COLOURS = ('saturation', 'hue')


@TRANSFORMS.register_module()
class SemiColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue in random order.

    With probability p. Factors are U(max(0, 1 - x), 1 + x), the hue shift is
    U(-hue, hue) of a circle, as in torchvision's ColorJitter. Defaults are
    those of BRPG's official code (and UniMatch's): (.5, .5, .5, .25), p .8.

    Required Keys: img (uint8 or float32 in [0, 255])

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
        image = results['img']
        check_pixels(image, self.__class__.__name__)
        for name, amount in self.random_steps():
            if name in _OF_COLOURS and not is_colour(image):
                say_skipped(self.__class__.__name__, 'saturation and hue',
                            num_bands(image))
                continue
            image = _ADJUST[name](image, amount)
        results['img'] = image
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

    Required Keys: img (uint8 or float32 in [0, 255])

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
        image = results['img']
        check_pixels(image, self.__class__.__name__)
        sigma = self.random_sigma()
        if sigma > 0:
            results['img'] = cv2.GaussianBlur(
                image, (0, 0), sigma,
                borderType=cv2.BORDER_REPLICATE).reshape(image.shape)
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(p={self.p}, sigma={self.sigma})'


@TRANSFORMS.register_module()
class SemiGrayscale(BaseTransform):
    """Replace colours by their luma (ITU-R 601) with probability ``prob``.

    On 8 bits it is mmcv's ``RandomGrayscale(prob, keep_channels=True,
    channel_weights=(0.114, 0.587, 0.299))`` to within rounding, which makes
    8 bits of any image and fails on other numbers of bands. These pass
    unchanged here.

    Required Keys: img (uint8 or float32 in [0, 255])

    Modified Keys: img

    Args:
        prob (float): Probability. Defaults to 0.2.
    """

    def __init__(self, prob: float = 0.2) -> None:
        _check_probability(prob)
        self.prob = prob

    @cache_randomness
    def random_choice(self) -> bool:
        """Draw whether colours are replaced."""
        return np.random.rand() < self.prob

    def transform(self, results: dict) -> dict:
        """Replace the colours of ``results['img']``, or leave them."""
        image = results['img']
        check_pixels(image, self.__class__.__name__)
        if self.random_choice():
            if is_colour(image):
                results['img'] = to_gray(image)
            else:
                say_skipped(self.__class__.__name__, 'grey images',
                            num_bands(image))
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(prob={self.prob})'


@TRANSFORMS.register_module()
class SemiPhotoMetricDistortion(PhotoMetricDistortion):
    """mmseg's PhotoMetricDistortion for any number of bands.

    The same on colours of 8 bits. Floats are not rounded; bands that are no
    colours get brightness and contrast alone.

    Required Keys: img (uint8 or float32 in [0, 255])

    Modified Keys: img

    Args:
        args: Those of :class:`mmseg.datasets.transforms.PhotoMetricDistortion`
            (in levels of 0 to 255; ``hue_delta`` in units of two degrees).
    """

    def transform(self, results: dict) -> dict:
        """Distort ``results['img']``."""
        check_pixels(results['img'], self.__class__.__name__)
        return super().transform(results)

    def convert(self,
                img: np.ndarray,
                alpha: float = 1,
                beta: float = 0) -> np.ndarray:
        """``alpha * img + beta`` within [0, 255], in the type of ``img``."""
        levels = img.astype(np.float32) * alpha + beta
        return levels.clip(0, 255).astype(img.dtype)

    def saturation(self, img: np.ndarray) -> np.ndarray:
        """Multiply the saturation of colours, in half of the calls."""
        if self._leaves(img):
            return img
        if img.dtype == np.uint8:
            return super().saturation(img)
        if np.random.randint(2):
            hsv = cv2.cvtColor(img / 255, cv2.COLOR_BGR2HSV)
            factor = np.random.uniform(self.saturation_lower,
                                       self.saturation_upper)
            hsv[..., 1] = (hsv[..., 1] * factor).clip(0, 1)
            img = (cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255).clip(0, 255)
        return img

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Turn the hue of colours, in half of the calls."""
        if self._leaves(img):
            return img
        if img.dtype == np.uint8:
            return super().hue(img)
        if np.random.randint(2):
            turn = np.random.randint(-self.hue_delta, self.hue_delta)
            img = turn_hue(img, 2 * turn)
        return img

    def _leaves(self, img: np.ndarray) -> bool:
        if is_colour(img):
            return False
        say_skipped(self.__class__.__name__, 'saturation and hue',
                    num_bands(img))
        return True
