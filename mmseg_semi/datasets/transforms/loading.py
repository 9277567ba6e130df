# Copyright (c) mmseg_semi authors.
import io
from typing import Optional

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from mmseg_semi.datasets.errors import UnreadableImageError
from mmseg_semi.datasets.label_ids import id_table, likely_cause
from .file_checks import find_damage


def _read(path: str, backend_args: Optional[dict]) -> bytes:
    """Read a whole image file or raise UnreadableImageError."""
    try:
        data = fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise UnreadableImageError(
            f'{path} cannot be read: {error}') from error
    damage = find_damage(data)
    if damage is not None:
        raise UnreadableImageError(
            f'{path} is not a whole image: {damage}. Replace the file or '
            'take it off the list.')
    return data


@TRANSFORMS.register_module()
class LoadStrictImage(LoadImageFromFile):
    """Load an image, but never part of one.

    Pixels are those of :class:`mmcv.transforms.LoadImageFromFile`, whose
    arguments it takes. A missing, empty, truncated or corrupt file, or one
    that is no image, raises an error; OpenCV 4 alone returns the readable
    part of a truncated JPEG. With ``ignore_empty=True`` such a sample is
    dropped (None), as in mmcv.

    Required Keys: img_path

    Added Keys: img (uint8 BGR (H, W, 3)), img_shape, ori_shape

    Raises:
        UnreadableImageError: Names the file and what is wrong with it.
    """

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']``."""
        path = results['img_path']
        try:
            data = _read(path, self.backend_args)
            image = self._decode(path, data)
        except UnreadableImageError:
            if self.ignore_empty:
                return None
            raise
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = image.shape[:2]
        return results

    def _decode(self, path: str, data: bytes) -> np.ndarray:
        try:
            image = mmcv.imfrombytes(
                data, flag=self.color_type, backend=self.imdecode_backend)
        except Exception as error:
            # Decoders raise their own types: cv2.error, PIL's, ValueError.
            raise UnreadableImageError(
                f'{path} cannot be decoded: {error}') from error
        if image is None:
            raise UnreadableImageError(self._not_decoded(path, data))
        return image

    def _not_decoded(self, path: str, data: bytes) -> str:
        # Here: the package that it is in imports this one.
        from mmseg_semi.data_check.formats import tiff_header
        header = tiff_header(io.BytesIO(data))
        if header is None:
            return (f'{path} cannot be decoded: it is damaged, or in a format '
                    f"that the backend '{self.imdecode_backend}' does not "
                    'know.')
        pixels = header[2]
        return (f'{path} has {pixels}, which are no photograph of 8 bits. '
                f'Load these files with LoadBands bands={pixels.bands}, '
                'range=(low, high) instead (docs/pixel_formats.md).')


@TRANSFORMS.register_module()
class LoadStrictAnnotations(LoadAnnotations):
    """Load a label map and check it against the classes.

    The result is that of :class:`mmseg.datasets.transforms.LoadAnnotations`
    (palette PNGs as ids, ``reduce_zero_label``, ``label_map``), which wraps
    ids above 255 silently and only trips over a colour mask later.

    Required Keys: seg_map_path, seg_fields, reduce_zero_label; label_map,
    ori_shape and img are optional (the mask must have the size of the image
    as it was loaded)

    Added Keys: gt_seg_map (uint8 (H, W)); seg_fields gets its name

    Args:
        num_classes (int, optional): Ids must be below it or ``ignore_index``.
            None checks everything else.
        ignore_index (int): The id without a label. Defaults to 255.
        kwargs: Of mmseg's LoadAnnotations.

    Raises:
        UnreadableImageError: If the file is missing or broken.
        ValueError: If it is no label map of these classes; names the file,
            the offending ids and the likely cause.
    """

    def __init__(self,
                 num_classes: Optional[int] = None,
                 ignore_index: int = 255,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def _load_seg_map(self, results: dict) -> None:
        path = results['seg_map_path']
        mask = self._decode_ids(path)
        # Where the image was resized before, masks keep their size to score.
        shape = results.get('ori_shape', mask.shape)
        if 'ori_shape' not in results and 'img' in results:
            shape = results['img'].shape[:2]
        if mask.shape != shape:
            raise ValueError(
                f'{path} is {mask.shape[1]}x{mask.shape[0]} (width x height) '
                f'but its image is {shape[1]}x{shape[0]}. A mask must have '
                'the size of its image; an EXIF rotation of the photo is one '
                'cause (load it with color_type="color_ignore_orientation").')
        table = self._table(results)
        present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        self._check_ids(path, present, table[present])
        results['gt_seg_map'] = table[mask]
        results['seg_fields'].append('gt_seg_map')

    def _decode_ids(self, path: str) -> np.ndarray:
        """Decode to uint8 ids (H, W)."""
        data = _read(path, self.backend_args)
        try:
            mask = mmcv.imfrombytes(
                data, flag='unchanged', backend=self.imdecode_backend)
        except Exception as error:
            raise UnreadableImageError(
                f'{path} cannot be decoded: {error}') from error
        if mask is None:
            raise UnreadableImageError(
                f'{path} cannot be decoded: it is damaged or no image.')
        if mask.ndim == 3 and mask.shape[2] == 1:
            mask = mask[..., 0]
        if mask.ndim != 2:
            raise ValueError(
                f'{path} has {mask.shape[2]} channels: it is a colour '
                'picture of the labels. A label map has one channel with '
                'class ids; map each colour to its id and save it as a '
                'greyscale or palette PNG.')
        if mask.dtype.kind == 'f' and not np.array_equal(mask, np.floor(mask)):
            raise ValueError(
                f'{path} holds NaN or fractions ({mask.dtype}). A label map '
                'holds whole numbers: save 255 where there is no label.')
        if mask.dtype != np.uint8 and mask.size and (mask.max() > 255
                                                     or mask.min() < 0):
            bad = np.unique(mask[(mask > 255) | (mask < 0)])
            raise ValueError(
                f'{path} holds ids outside 0..255: {bad[:10].tolist()} '
                f'({mask.dtype}). It is probably an instance or panoptic '
                'map; reduce it to class ids (Cityscapes: use '
                '*_labelTrainIds.png).')
        return mask.astype(np.uint8)

    def _table(self, results: dict) -> np.ndarray:
        """The dataset's change of ids, uint8 (256, )."""
        reduce_zero = results.get('reduce_zero_label', False)
        if self.reduce_zero_label not in (None, reduce_zero):
            raise ValueError(
                f'reduce_zero_label={self.reduce_zero_label} here but '
                f'{reduce_zero} in the dataset; set it in the dataset only.')
        return id_table(reduce_zero, results.get('label_map'))

    def _check_ids(self, path: str, raw: np.ndarray, ids: np.ndarray) -> None:
        if self.num_classes is None:
            return
        wrong = (ids >= self.num_classes) & (ids != self.ignore_index)
        if not wrong.any():
            return
        found = raw[wrong].tolist()
        cause = likely_cause(raw, self.num_classes, self.ignore_index)
        raise ValueError(
            f'{path} holds ids {found[:10]}{" ..." * (len(found) > 10)} but '
            f'there are {self.num_classes} classes (0..'
            f'{self.num_classes - 1}, {self.ignore_index} = ignored). '
            f'{cause}')

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(num_classes={self.num_classes}, '
                f'ignore_index={self.ignore_index}, '
                f'reduce_zero_label={self.reduce_zero_label}, '
                f"imdecode_backend='{self.imdecode_backend}', "
                f'backend_args={self.backend_args})')
