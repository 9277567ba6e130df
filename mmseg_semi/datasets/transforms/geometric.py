# Copyright (c) mmseg_semi authors.
"""Resize, crop and shift laws of the published methods.

Every map named in ``results['seg_fields']`` moves with the image. Where
pixels are invented by padding, label maps get ``seg_pad_val`` and the map of
valid pixels always gets 255.
"""
from typing import Optional, Sequence, Tuple, Union

import numpy as np
from mmcv.image.geometric import pillow_interp_codes
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop, Resize
from mmseg.registry import TRANSFORMS
from PIL import Image

from .channels import MEAN_COLOR, is_colour, levels, num_bands, pad_border

_INVALID = 255


def _pad(results: dict, border: Tuple[int, int, int, int],
         img_pad_val: Sequence[int], seg_pad_val: int) -> None:
    """Pad image and maps by (top, bottom, left, right), in place."""
    image = results['img']
    results['img'] = pad_border(
        image, border, levels(img_pad_val, num_bands(image), 'img_pad_val'))
    for key in results.get('seg_fields', []):
        value = _INVALID if key == 'valid_map' else seg_pad_val
        results[key] = pad_border(results[key], border, value)
    results['img_shape'] = results['img'].shape[:2]


def _resize_bands(image: np.ndarray, size: Tuple[int, int],
                  interpolation: str) -> np.ndarray:
    """Resize by Pillow, which takes floats and other bands one by one.

    Args:
        image (np.ndarray): (H, W) or (H, W, C), uint8 or float32.
        size (tuple[int, int]): Width and height.
        interpolation (str): Pillow's name of it.
    """
    bands = [
        np.asarray(
            Image.fromarray(np.float32(band)).resize(
                size, pillow_interp_codes[interpolation]))
        for band in np.moveaxis(np.atleast_3d(image), 2, 0)
    ]
    resized = np.stack(bands, 2).reshape(*size[::-1], *image.shape[2:])
    if image.dtype.kind in 'ui':
        resized = np.rint(resized)
    return resized.clip(0, 255).astype(image.dtype)


class _DrawnResize(Resize):
    """A resize to a size that is drawn from the size of the image."""

    def __init__(self,
                 low: float = 0.5,
                 high: float = 2.,
                 backend: str = 'cv2',
                 interpolation: str = 'bilinear') -> None:
        # The scale given to the parent is a placeholder, replaced per image.
        super().__init__(scale=1, backend=backend, interpolation=interpolation)
        if not 0 < low <= high:
            raise ValueError(f'0 < low <= high is required, got low={low}, '
                             f'high={high}')
        self.low = low
        self.high = high

    def random_size(self, height: int, width: int) -> Tuple[int, int]:
        """Draw the new (height, width)."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Resize image and maps to the drawn size."""
        height, width = self.random_size(*results['img'].shape[:2])
        results['scale'] = (max(width, 1), max(height, 1))
        self._resize_img(results)
        self._resize_seg(results)
        return results

    def _resize_img(self, results: dict) -> None:
        image, size = results['img'], results['scale']
        if self.backend != 'pillow' or (image.dtype == np.uint8
                                        and is_colour(image)):
            super()._resize_img(results)
            return
        results['img'] = _resize_bands(image, size, self.interpolation)
        results['img_shape'] = results['img'].shape[:2]
        results['scale_factor'] = (size[0] / image.shape[1],
                                   size[1] / image.shape[0])
        results['keep_ratio'] = self.keep_ratio

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(low={self.low}, '
                f'high={self.high}, backend={self.backend}, '
                f'interpolation={self.interpolation})')


@TRANSFORMS.register_module()
class RandomTwoSidedResize(_DrawnResize):
    """Resize relative to the image's own size; half of the draws enlarge.

    With probability 0.5 the factor is U(low, 1), otherwise U(1, high); the
    new sides are truncated to integers. Law of the official code of U2PL,
    PCR and BRPG (labelled images); their papers say "random resize 0.5-2".

    Required Keys: img, and the maps named in seg_fields

    Modified Keys: img, the maps, img_shape, scale, scale_factor, keep_ratio

    Args:
        low (float): Smallest factor, at most 1. Defaults to 0.5.
        high (float): Largest factor, at least 1. Defaults to 2.
        backend (str): 'cv2' (no smoothing when shrinking, as in the official
            code) or 'pillow'. Defaults to 'cv2'.
        interpolation (str): Of the image; maps are nearest. Defaults to
            'bilinear'.
    """

    def __init__(self,
                 low: float = 0.5,
                 high: float = 2.,
                 backend: str = 'cv2',
                 interpolation: str = 'bilinear') -> None:
        super().__init__(low, high, backend, interpolation)
        if not low <= 1 <= high:
            raise ValueError(f'low <= 1 <= high is required, got low={low}, '
                             f'high={high}')

    @cache_randomness
    def random_size(self, height: int, width: int) -> Tuple[int, int]:
        """Draw the new (height, width)."""
        if np.random.rand() < 0.5:
            factor = np.random.uniform(self.low, 1)
        else:
            factor = np.random.uniform(1, self.high)
        return int(height * factor), int(width * factor)


@TRANSFORMS.register_module()
class RandomLongSideResize(_DrawnResize):
    """Resize so that the long side is uniform in pixels; keeps the aspect.

    For a long side L the new one is an integer drawn uniformly from
    int(low * L) to int(high * L), both included; the short side is rounded.
    Law of the official BRPG code for unlabelled images (as in UniMatch).

    Required Keys: img, and the maps named in seg_fields

    Modified Keys: img, the maps, img_shape, scale, scale_factor, keep_ratio

    Args:
        low (float): Smallest factor. Defaults to 0.5.
        high (float): Largest factor. Defaults to 2.
        backend (str): 'pillow' (smooths when shrinking, as in the official
            code) or 'cv2' (faster). Defaults to 'pillow'.
        interpolation (str): Of the image; maps are nearest. Defaults to
            'bilinear'.
    """

    def __init__(self,
                 low: float = 0.5,
                 high: float = 2.,
                 backend: str = 'pillow',
                 interpolation: str = 'bilinear') -> None:
        super().__init__(low, high, backend, interpolation)

    @cache_randomness
    def random_size(self, height: int, width: int) -> Tuple[int, int]:
        """Draw the new (height, width)."""
        long = max(height, width)
        new = np.random.randint(
            int(self.low * long),
            int(self.high * long) + 1)
        return (int(height * new / long + 0.5), int(width * new / long + 0.5))


@TRANSFORMS.register_module()
class RandomPadCrop(RandomCrop):
    """Pad to at least the crop size, then crop at a random place.

    ``pad='symmetric'`` splits the border between both sides and fills it with
    the mean colour: U2PL's and PCR's images and BRPG's labelled ones, which
    are padded with 0 after normalisation. ``pad='corner'`` pads right and
    bottom with black: BRPG's unlabelled images.

    The official code also pads labels with class 0 (background, or road on
    Cityscapes), an evident slip; that is ``seg_pad_val=0``.

    Required Keys: img, and the maps named in seg_fields

    Modified Keys: img, the maps, img_shape

    Args:
        crop_size (int | tuple[int, int]): Height and width of the crop.
        pad (str): 'symmetric' or 'corner'. Defaults to 'symmetric'.
        img_pad_val (int | sequence[int], optional): Colour of the padding,
            BGR; of other bands one level, or one for each. None: the ImageNet
            mean for 'symmetric' (its grey for other bands), black for
            'corner'.
        seg_pad_val (int): Label of the padding. Defaults to 255. The map of
            valid pixels is always padded with 255.
        kwargs: ``cat_max_ratio`` and ``ignore_index`` of mmseg's RandomCrop.
    """

    def __init__(self,
                 crop_size: Union[int, Tuple[int, int]],
                 pad: str = 'symmetric',
                 img_pad_val: Optional[Union[int, Sequence[int]]] = None,
                 seg_pad_val: int = 255,
                 **kwargs) -> None:
        super().__init__(crop_size, **kwargs)
        if pad not in ('symmetric', 'corner'):
            raise ValueError(
                f"pad must be 'symmetric' or 'corner', got {pad!r}")
        if img_pad_val is None:
            img_pad_val = MEAN_COLOR if pad == 'symmetric' else 0
        self.pad = pad
        self.img_pad_val = img_pad_val
        self.seg_pad_val = seg_pad_val

    def transform(self, results: dict) -> dict:
        """Pad where needed, crop."""
        height, width = results['img'].shape[:2]
        rows = max(self.crop_size[0] - height, 0)
        columns = max(self.crop_size[1] - width, 0)
        if rows or columns:
            symmetric = self.pad == 'symmetric'
            top = rows // 2 if symmetric else 0
            left = columns // 2 if symmetric else 0
            border = (top, rows - top, left, columns - left)
            _pad(results, border, self.img_pad_val, self.seg_pad_val)
        return super().transform(results)

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(crop_size={self.crop_size}, '
                f"pad='{self.pad}', img_pad_val={self.img_pad_val}, "
                f'seg_pad_val={self.seg_pad_val}, '
                f'cat_max_ratio={self.cat_max_ratio})')


@TRANSFORMS.register_module()
class RandomShift(BaseTransform):
    """Move image and maps by a random number of pixels; the size stays.

    Both offsets are integers drawn uniformly from -max_shift to max_shift.
    For images too small to be cropped.

    Required Keys: img, and the maps named in seg_fields

    Modified Keys: img, the maps

    Args:
        max_shift (int): Largest offset in pixels. Defaults to 6.
        img_pad_val (int | sequence[int]): Colour of the uncovered border,
            BGR; of other bands one level, or one for each. Defaults to the
            ImageNet mean, its grey for other bands.
        seg_pad_val (int): Label of the uncovered border. Defaults to 255. The
            map of valid pixels always gets 255.
    """

    def __init__(self,
                 max_shift: int = 6,
                 img_pad_val: Union[int, Sequence[int]] = MEAN_COLOR,
                 seg_pad_val: int = 255) -> None:
        if max_shift < 0:
            raise ValueError(f'max_shift must be >= 0, got {max_shift}')
        self.max_shift = max_shift
        self.img_pad_val = img_pad_val
        self.seg_pad_val = seg_pad_val

    @cache_randomness
    def random_offset(self) -> Tuple[int, int]:
        """Draw how far down and right the content moves."""
        down, right = np.random.randint(
            -self.max_shift, self.max_shift + 1, size=2)
        return int(down), int(right)

    def transform(self, results: dict) -> dict:
        """Shift image and maps."""
        down, right = self.random_offset()
        height, width = results['img'].shape[:2]
        border = (max(down, 0), max(-down, 0), max(right, 0), max(-right, 0))
        _pad(results, border, self.img_pad_val, self.seg_pad_val)
        window = np.s_[max(-down, 0):max(-down, 0) + height,
                       max(-right, 0):max(-right, 0) + width]
        for key in ('img', *results.get('seg_fields', [])):
            results[key] = np.ascontiguousarray(results[key][window])
        results['img_shape'] = (height, width)
        return results

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(max_shift={self.max_shift}, '
                f'img_pad_val={self.img_pad_val}, '
                f'seg_pad_val={self.seg_pad_val})')
