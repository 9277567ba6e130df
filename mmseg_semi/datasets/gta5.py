# Copyright (c) mmseg_semi authors.
from mmseg.datasets import BaseSegDataset, CityscapesDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class GTA5Dataset(BaseSegDataset):
    """GTA5 (Richter et al., ECCV 2016) with the 19 classes of Cityscapes.

    Rendered street scenes, the usual source domain for Cityscapes. Masks are
    ``*_labelTrainIds.png``, written beside the published label images by
    ``tools/dataset_converters/gta5_to_trainids.py``.

    Args:
        img_suffix (str): Defaults to '.png'.
        seg_map_suffix (str): Defaults to '_labelTrainIds.png'.
        **kwargs: ``data_root``, ``data_prefix``, ``ann_file``, ``pipeline``
            and the others of :class:`mmseg.datasets.BaseSegDataset`.
    """
    METAINFO = CityscapesDataset.METAINFO

    def __init__(self,
                 img_suffix: str = '.png',
                 seg_map_suffix: str = '_labelTrainIds.png',
                 **kwargs) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
