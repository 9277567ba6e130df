# Copyright (c) mmseg_semi authors.
"""From a file or an array to what a network reads."""
import copy
import os

import numpy as np
from mmcv.transforms import LoadImageFromFile, TestTimeAug
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS

from ..datasets.errors import UnreadableImageError
from ..datasets.transforms.bands import LoadBands
from ..datasets.transforms.loading import LoadStrictImage

Image = str | os.PathLike | np.ndarray
Sample = dict
"""``inputs`` (C, H, W) and ``data_samples``, as PackSegInputs leaves them."""


class TestPipeline:
    """The test pipeline of a config without what loads labels.

    Its first transform loads; the others are ``steps``. With ``tta`` those
    of the config's ``tta_pipeline``, which make several samples of an image.

    Args:
        cfg (Config): Is not changed.
        tta (bool): Test-time augmentation.

    Raises:
        ValueError: The config has no test pipeline, or one that does not
            begin with a loader.
    """
    __test__ = False  # pytest: no test of its own

    def __init__(self, cfg: Config, tta: bool = False) -> None:
        scope = cfg.get('default_scope') or 'mmseg'
        with DefaultScope.overwrite_default_scope(scope):
            first, *rest = _transforms(cfg)
            if tta:
                rest = list(cfg.get('tta_pipeline') or [first, *_TTA])[1:]
            self.loader = TRANSFORMS.build(_strict(first))
            self.steps = Compose(
                [_without_labels(t) for t in rest if not _loads_labels(t)])
        if not hasattr(self.loader, 'transform') or not type(
                self.loader).__name__.startswith('Load'):
            raise ValueError(
                f'The test pipeline begins with {type(self.loader).__name__}, '
                'where a transform that loads the image is expected.')

    @property
    def keeps_size(self) -> bool:
        """Whether nothing but loading and packing happens."""
        return all(_packs(t) for t in self.steps.transforms)

    @property
    def scales_alone(self) -> bool:
        """Whether test-time augmentation resizes by factors alone."""
        *before, last = self.steps.transforms
        return not before and isinstance(last, TestTimeAug) and all(
            getattr(t, 'scale', None) is None for branch in last.subroutines
            for t in branch.transforms)

    def __call__(self, image: Image) -> list[Sample]:
        """Load and prepare; several samples with test-time augmentation."""
        return self.prepare(self.load(image))

    def load(self, image: Image) -> dict:
        """What the loader leaves: ``img`` (H, W, C) and its shape.

        Args:
            image (str | PathLike | np.ndarray): A file; or (H, W, C) or
                (H, W), BGR, in the numbers of the files.

        Raises:
            UnreadableImageError: It cannot be read, or is empty.
            TypeError: It is something else.
        """
        if isinstance(image, np.ndarray):
            return self._load_array(image)
        if not isinstance(image, (str, os.PathLike)):
            raise TypeError(f'An image is a path or an array (H, W, C), not '
                            f'{type(image).__name__}.')
        path = os.fspath(image)
        if not os.path.isfile(path):
            raise FileNotFoundError(f'There is no image {path}.')
        try:
            results = self.loader(dict(img_path=path, reduce_zero_label=False))
        except (UnreadableImageError, ModuleNotFoundError):
            raise
        except Exception as error:  # loaders of all kinds raise their own
            raise UnreadableImageError(f'{path} cannot be read: '
                                       f'{str(error).strip()}.') from error
        if results is None or results.get('img') is None:
            raise UnreadableImageError(f'{path} cannot be read.')
        return results

    def _load_array(self, array: np.ndarray) -> dict:
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or not array.size or array.dtype.kind not in 'uif':
            raise UnreadableImageError(
                f'An array of shape {array.shape} and type {array.dtype} is '
                'no image: it must be (H, W, C) of numbers.')
        if isinstance(self.loader, LoadBands):
            array = self.loader.from_array(array)
        elif array.shape[2] == 1:
            array = np.repeat(array, 3, axis=2)
        shape = array.shape[:2]
        return dict(
            img=array,
            img_path=None,
            img_shape=shape,
            ori_shape=shape,
            reduce_zero_label=False)

    def prepare(self, loaded: dict) -> list[Sample]:
        """All that follows loading.

        Args:
            loaded (dict): Of :meth:`load`.

        Returns:
            list[Sample]: One, with test-time augmentation several.
        """
        found = self.steps(dict(loaded))
        if isinstance(found['inputs'], list):
            return [
                dict(inputs=one, data_samples=sample)
                for one, sample in zip(found['inputs'], found['data_samples'])
            ]
        return [found]


def _transforms(cfg: Config) -> list[dict]:
    """A copy of the test pipeline's configs."""
    found = cfg.get('test_pipeline')
    if not found:
        dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
        while 'pipeline' not in dataset and dataset.get('dataset'):
            dataset = dataset['dataset']
        found = dataset.get('pipeline')
    if not found:
        raise ValueError('The config has neither test_pipeline nor '
                         'test_dataloader.dataset.pipeline, which say how an '
                         'image is loaded.')
    return copy.deepcopy(list(found))


def _strict(transform: dict) -> dict:
    """The stock loader as the one that refuses part of an image."""
    kind = transform['type']
    if kind is LoadImageFromFile or kind in ('LoadImageFromFile',
                                             'mmcv.LoadImageFromFile'):
        return dict(transform, type=LoadStrictImage)
    return transform


def _packs(transform) -> bool:
    return type(transform).__name__ in ('PackSegInputs', 'PackSemiInputs')


def _loads_labels(transform: dict) -> bool:
    kind = transform['type']
    name = kind if isinstance(kind, str) else kind.__name__
    name = name.rpartition('.')[2]
    return name.startswith('Load') and name.endswith('Annotations')


def _without_labels(transform: dict) -> dict:
    """A transform of several branches without those that load labels."""
    if 'transforms' not in transform:
        return transform
    branches = [[t for t in branch if not _loads_labels(t)]
                for branch in transform['transforms']]
    return dict(transform, transforms=[b for b in branches if b])


# As MMSegmentation's own configs have it, without their loader.
_TTA = [
    dict(
        type='TestTimeAug',
        transforms=[[
            dict(type='Resize', scale_factor=factor, keep_ratio=True)
            for factor in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
        ],
                    [
                        dict(
                            type='RandomFlip',
                            prob=prob,
                            direction='horizontal') for prob in (0., 1.)
                    ], [dict(type='PackSegInputs')]])
]
