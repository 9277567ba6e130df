# Copyright (c) mmseg_semi authors.
"""The ids of label maps: how a data set changes them, and why some are odd."""
from collections.abc import Mapping

import numpy as np


def id_table(reduce_zero_label: bool,
             label_map: Mapping[int, int] | None = None) -> np.ndarray:
    """The change of ids that mmseg's loader makes, as a table.

    Args:
        reduce_zero_label (bool): Whether id 0 becomes 255 and the others one
            less; 255 stays.
        label_map (Mapping[int, int], optional): Id -> id, afterwards.

    Returns:
        np.ndarray: uint8 (256, ), the id that each of 0..255 becomes.
    """
    table = np.arange(256)
    if reduce_zero_label:
        table = np.where((table == 0) | (table == 255), 255, table - 1)
    old = table.copy()
    for source, target in (label_map or {}).items():
        table[old == source] = target
    return table.astype(np.uint8)


def likely_cause(ids: np.ndarray, num_classes: int, ignore_index: int) -> str:
    """Why label maps hold ids that are no class, and the remedy.

    Args:
        ids (np.ndarray): The different ids as stored, 0..255, among them one
            that is neither a class nor ignored.
        num_classes (int): Number of classes.
        ignore_index (int): Id of pixels without a label.
    """
    real = ids[ids != ignore_index]
    if real.min() >= 1 and real.max() == num_classes:
        return ('Its ids start at 1: set reduce_zero_label=True in the '
                'dataset, or subtract 1.')
    strange = real[real > 0] >= num_classes
    if real.max() > 63 and strange.mean() > 0.5:
        return ('These look like grey levels of a picture, not ids: '
                'save the mask with the ids 0, 1, 2 and so on.')
    return ('Check num_classes, the classes of the dataset, and that '
            'this is its label map (Cityscapes: *_labelTrainIds.png, '
            'not *_labelIds.png).')
