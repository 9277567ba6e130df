# Copyright (c) mmseg_semi authors.
"""What of an image is scored."""
from typing import Sequence, Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from .channels import IMAGENET_MEAN, levels, num_bands, pad_border


@TRANSFORMS.register_module()
class PadCenterCrop(BaseTransform):
    """Score all images at one size, the border as a class.

    Smaller images are padded on both sides, larger ones cropped in the
    middle; prediction and label are compared at this size. U2PL and BRPG
    evaluate PASCAL VOC (513) and COCO (641) so. Every image of VOC has a
    border then, of class 0, which is easy: the scores are higher than those
    of whole images and cannot be compared with them.

    Put it after the annotations are loaded. Predictions have this size too;
    an image without a label, which is not scored, passes unchanged.

    Required Keys: img, and the maps named in seg_fields

    Modified Keys: img (float32), the maps, img_shape, ori_shape

    Args:
        crop_size (int | tuple[int, int]): Height and width.
        img_pad_val (float | sequence[float]): Colour of the border, BGR; of
            other bands one level, or one for each. Defaults to the ImageNet
            mean, as the code pads with 0 after normalisation; its grey for
            other bands.
        seg_pad_val (int): Label of the border. Defaults to 0, background.

    Raises:
        ValueError: The image has a label that is not loaded yet.
    """

    def __init__(self,
                 crop_size: Union[int, Tuple[int, int]],
                 img_pad_val: Union[float, Sequence[float]] = IMAGENET_MEAN,
                 seg_pad_val: int = 0) -> None:
        if isinstance(crop_size, int):
            crop_size = (crop_size, crop_size)
        if len(crop_size) != 2 or min(crop_size) < 1:
            raise ValueError('PadCenterCrop: crop_size must be one or two '
                             f'numbers of pixels, got {crop_size}.')
        self.crop_size = tuple(crop_size)
        self.img_pad_val = img_pad_val
        self.seg_pad_val = seg_pad_val

    def _fit(self, array: np.ndarray, value: Sequence[float]) -> np.ndarray:
        border, window = [], []
        for length, size in zip(array.shape, self.crop_size):
            missing, spare = max(size - length, 0), max(length - size, 0)
            border += [missing // 2, missing - missing // 2]
            window.append(slice(spare // 2, spare // 2 + size))
        padded = pad_border(array, border, value)
        return np.ascontiguousarray(padded[tuple(window)])

    def transform(self, results: dict) -> dict:
        """Pad or crop image and maps."""
        if not results.get('seg_fields'):
            if results.get('seg_map_path'):
                raise ValueError(
                    f"PadCenterCrop: {results['seg_map_path']} is not loaded "
                    'yet. Put LoadAnnotations before it.')
            return results
        # As float, since a mean colour has no place among 8-bit ones.
        image = results['img'].astype(np.float32)
        results['img'] = self._fit(
            image, levels(self.img_pad_val, num_bands(image), 'img_pad_val'))
        for key in results.get('seg_fields', []):
            results[key] = self._fit(results[key], self.seg_pad_val)
        # Predictions are made at the size of the original.
        results['img_shape'] = results['ori_shape'] = self.crop_size
        return results

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(crop_size={self.crop_size}, '
                f'img_pad_val={self.img_pad_val}, '
                f'seg_pad_val={self.seg_pad_val})')
