# Copyright (c) mmseg_semi authors.
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS

from .digit_scenes import CLASSES, PALETTE


@DATASETS.register_module()
class DigitScenesDataset(PascalVOCDataset):
    """DigitScenes in PASCAL VOC layout: background and the digits 0..9.

    The files are written by ``tools/dataset_converters/digit_scenes.py``.
    Arguments are those of :class:`mmseg.datasets.PascalVOCDataset`, that is
    ``ann_file`` (a list of stems), ``data_root`` and ``data_prefix``.
    """
    METAINFO = dict(classes=CLASSES, palette=PALETTE)
