# Copyright (c) mmseg_semi authors.
"""Datasets, sampler and transforms; importing registers them in mmseg."""
from . import transforms
from .bad_images import BadImageLog
from .batches import SemiBatchSampler, batches_of
from .coco81 import COCO81Dataset
from .digit_scenes_dataset import DigitScenesDataset
from .errors import UnreadableImageError
from .gta5 import GTA5Dataset
from .sampler import SemiSampler, StreamIndex
from .semi_dataset import SemiSegDataset
from .unlabeled import UnlabeledSegDataset

__all__ = [
    'BadImageLog', 'COCO81Dataset', 'DigitScenesDataset', 'GTA5Dataset',
    'SemiBatchSampler', 'SemiSampler', 'SemiSegDataset', 'StreamIndex',
    'UnlabeledSegDataset', 'UnreadableImageError', 'batches_of', 'transforms'
]
