# Copyright (c) mmseg_semi authors.
from mmseg.datasets import BaseSegDataset, COCOStuffDataset
from mmseg.registry import DATASETS

CLASSES = ('background', *COCOStuffDataset.METAINFO['classes'][:80])
"""Background and COCO's 80 things, in the order of their category ids."""

CATEGORY_IDS = tuple(
    i for i in range(1, 91)
    if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""COCO's category id of class 1, 2, ..., 80: ids have gaps, classes none."""


def palette(count: int) -> list[list[int]]:
    """The first colours of PASCAL VOC's colour map.

    Bit 3k of the class goes to bit 7 - k of red, the next one to green, the
    next to blue.
    """
    return [[
        sum((index >> 3 * bit + channel & 1) << 7 - bit for bit in range(3))
        for channel in range(3)
    ] for index in range(count)]


@DATASETS.register_module()
class COCO81Dataset(BaseSegDataset):
    """COCO 2017 with 81 classes: background (0) and the 80 things.

    Images are ``train2017/*.jpg`` and ``val2017/*.jpg``, masks are
    ``masks/*.png`` of both: the layout of the archive that UniMatch and BRPG
    link, and of what ``tools/dataset_converters/coco_instances_to_masks.py``
    writes. No pixel is 255.

    Args:
        img_suffix (str): Defaults to '.jpg'.
        seg_map_suffix (str): Defaults to '.png'.
        **kwargs: ``data_root``, ``data_prefix``, ``ann_file``, ``pipeline``
            and the others of :class:`mmseg.datasets.BaseSegDataset`.
    """
    METAINFO = dict(classes=CLASSES, palette=palette(len(CLASSES)))

    def __init__(self,
                 img_suffix: str = '.jpg',
                 seg_map_suffix: str = '.png',
                 **kwargs) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
