# Copyright (c) mmseg_semi authors.
"""Preprocessors of batches with several branches."""
from functools import lru_cache
from typing import Any, Dict, Optional, Sequence, Tuple

from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor


class Branches(BaseDataPreprocessor):
    """Mix-in: a preprocessor takes each branch of a batch as it is made for.

    A training batch is ``{'inputs': {branch: [image | None, ...]},
    'data_samples': {branch: [sample | None, ...]}}``; ``None`` marks the
    samples that do not take part in a branch. Batches without branches
    (validation, test, inference) go through unchanged.
    """

    def forward(self, data: dict, training: bool = False) -> Dict[str, Any]:
        """Normalise and stack.

        Args:
            data (dict): As collated.
            training (bool): Whether this is a training batch.

        Returns:
            dict: ``inputs`` {branch: (B, C, H, W) float32 Tensor} and
            ``data_samples`` {branch: list}, or the plain pair.

        Raises:
            ValueError: An image has other bands than there are means, or
                images that are scored differ in size; names them.
        """
        if not isinstance(data['inputs'], dict):
            self._check_bands(data['inputs'], data.get('data_samples'))
            if not training:
                _check_sizes(data['inputs'], data.get('data_samples'))
            return super().forward(data, training)
        result: Dict[str, Any] = dict(inputs={}, data_samples={})
        for branch, images in data['inputs'].items():
            kept = [i for i, image in enumerate(images) if image is not None]
            if not kept:
                continue
            samples = data['data_samples'][branch]
            self._check_bands(images, samples)
            out = super().forward(
                dict(
                    inputs=[images[i] for i in kept],
                    data_samples=[samples[i] for i in kept]), training)
            for key in result:
                result[key][branch] = out[key]
        return result

    def _check_bands(self, images: Sequence[Optional[Tensor]],
                     samples: Optional[list]) -> None:
        """Broadcasting would make three bands of one."""
        mean = getattr(self, 'mean', None)
        if not isinstance(mean, Tensor):
            return
        for i, image in enumerate(images):
            if image is None or image.shape[-3] == len(mean):
                continue
            path = getattr(samples[i], 'img_path', '') if samples else ''
            raise ValueError(
                f'{path or "An image"} has {image.shape[-3]} bands, '
                f'data_preprocessor.mean {len(mean)} numbers. Give mean and '
                'std a number for each band (mmseg_semi.pixel_statistics.'
                'measure_pixels measures them), or load as many bands '
                '(LoadBands bands=...).')


def _check_sizes(images: Sequence[Tensor], samples: Optional[list]) -> None:
    """Images that are scored are not padded to each other's size."""
    for i, image in enumerate(images):
        if image.shape[-2:] == images[0].shape[-2:]:
            continue
        names = [
            getattr(samples[k], 'img_path', '') if samples else ''
            for k in (0, i)
        ]
        (h, w), (height, width) = images[0].shape[-2:], image.shape[-2:]
        raise ValueError(
            f'Images of one batch differ in size: {names[0]} {w} x {h}, '
            f'{names[1]} {width} x {height} (width x height). Set '
            'batch_size=1 of val_dataloader and test_dataloader.')


@MODELS.register_module()
class SemiDataPreProcessor(Branches, SegDataPreProcessor):
    """:class:`SegDataPreProcessor` for batches with several branches.

    Images are padded to the largest of their batch and not to ``size``,
    which stock configs set to the crop of their own training: crops of the
    pipeline that all have one size get no padding. ``size_divisor`` pads as
    in the stock one.

    Attributes:
        only_size (tuple[int, int], optional): Height and width of an encoder
            that takes images of one size alone: all are padded to it.
            Defaults to None.
    """
    only_size: Optional[Tuple[int, int]] = None

    def forward(self, data: dict, training: bool = False) -> Dict[str, Any]:
        if not isinstance(data['inputs'], dict) or (self.only_size is None
                                                    and self.size_divisor):
            return super().forward(data, training)
        given = self.size, self.size_divisor
        self.size, self.size_divisor = self._side(data['inputs']), None
        try:
            return super().forward(data, training)
        finally:
            self.size, self.size_divisor = given

    def _side(self, inputs: Dict[str, list]) -> Tuple[int, int]:
        """Height and width to which all images of a batch are padded."""
        images = [
            image for branch in inputs.values() for image in branch
            if image is not None
        ]
        height, width = largest = tuple(
            max(image.shape[dim] for image in images) for dim in (-2, -1))
        if self.only_size is None:
            return largest
        if height > self.only_size[0] or width > self.only_size[1]:
            raise ValueError(
                f'Images of {height} x {width} are larger than the one size '
                f'that this encoder takes, {self.only_size[0]} x '
                f'{self.only_size[1]}: crop them in the pipeline, or set '
                "the backbone's img_size.")
        return self.only_size


@lru_cache(maxsize=None)
def with_branches(cls: type) -> type:
    """A preprocessor's class, made to take several branches."""
    return cls if issubclass(cls, Branches) else type(
        cls.__name__, (Branches, cls), dict(__module__=cls.__module__))


def preprocessor_config(wrapped: Optional[dict],
                        given: Optional[dict]) -> dict:
    """What the preprocessor of a wrapper is built from.

    Args:
        wrapped (dict, optional): That of the wrapped segmentor.
        given (dict, optional): That of the wrapper: options over the wrapped
            one's, or with a ``type`` another one.

    Returns:
        dict: With a ``type``, a copy.

    Raises:
        ValueError: There is none: images would not be normalised. Or mean,
            std and the swap of colours do not fit each other.
    """
    if wrapped is None and given is None:
        raise ValueError(
            'segmentor.data_preprocessor is missing: give '
            "dict(type='SegDataPreProcessor', mean=[...], std=[...], "
            'bgr_to_rgb=True, pad_val=0, seg_pad_val=255) with mean and std '
            'of the images that its encoder was pretrained on.')
    given = dict(given or {})
    cfg = given if 'type' in given else {**(wrapped or {}), **given}
    cfg.setdefault('type', SemiDataPreProcessor.__name__)
    _check_numbers(cfg)
    return cfg


def build_preprocessor(wrapped: Optional[dict],
                       given: Optional[dict]) -> BaseDataPreprocessor:
    """The preprocessor of a wrapper, see :func:`preprocessor_config`.

    Returns:
        BaseDataPreprocessor: Of the type that is named, stock ones of
        MMSegmentation as :class:`SemiDataPreProcessor`.

    Raises:
        TypeError: The type is no preprocessor.
        ValueError: As :func:`preprocessor_config`.
    """
    cfg = preprocessor_config(wrapped, given)
    kind = cfg.pop('type')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    if cls is SegDataPreProcessor:
        print_log(
            'SegDataPreProcessor becomes SemiDataPreProcessor: the same for '
            'batches of several branches, which are padded to their own '
            'crops.', 'current')
        cls = SemiDataPreProcessor
    if cls is None or not issubclass(cls, BaseDataPreprocessor):
        raise TypeError(f'data_preprocessor type {kind!r} is no registered '
                        'preprocessor (a BaseDataPreprocessor).')
    return with_branches(cls)(**cfg)


def _check_numbers(cfg: dict) -> None:
    """Mean, std and the swap of colours must be of the same bands."""
    mean, std = cfg.get('mean'), cfg.get('std')
    if mean is None:
        return
    bands = len(mean)
    if std is None or len(std) != bands:
        raise ValueError(
            f'data_preprocessor.mean has {bands} numbers, std '
            f'{"none" if std is None else len(std)}: give both a number for '
            'each band.')
    swaps = [n for n in ('bgr_to_rgb', 'rgb_to_bgr') if cfg.get(n)]
    if swaps and bands != 3:
        raise ValueError(
            f'data_preprocessor.{swaps[0]}=True swaps red and blue of three '
            f'bands, but mean has {bands} numbers: set {swaps[0]}=False. '
            'LoadBands bands=(...) gives the order of the bands.')
