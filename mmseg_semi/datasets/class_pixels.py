# Copyright (c) mmseg_semi authors.
"""How many pixels of every class the masks of a labelled set hold."""
import numpy as np
from torch.utils.data import Dataset

from ..dist import call_on_main
from .label_ids import id_table


def class_pixels(dataset: Dataset) -> np.ndarray:
    """Count the labelled pixels of every image and class.

    Process 0 reads the masks, and of those that a check of the data has read
    before only what it has noted in the user's cache folder.

    Args:
        dataset (Dataset): Built, with ``metainfo['classes']`` and
            ``get_data_info``, as MMSegmentation's are. Pixels of its
            ``ignore_index`` (255 if it has none) are not counted.

    Returns:
        np.ndarray: int64 (images, classes).

    Raises:
        ValueError: If a mask cannot be read as a label map; names the file.
    """
    masks = [dataset.get_data_info(i) for i in range(len(dataset))]
    classes = len(dataset.metainfo['classes'])
    ignored = getattr(dataset, 'ignore_index', 255)
    ids = call_on_main(_pixels_of_ids,
                       [info['seg_map_path'] for info in masks])
    pixels = np.zeros((len(masks), classes), np.int64)
    for row, info, counts in zip(pixels, masks, ids):
        table = id_table(
            info.get('reduce_zero_label', False), info.get('label_map'))
        for index, number in counts.items():
            target = table[index]
            if target < classes and target != ignored:
                row[target] += number
    return pixels


def _pixels_of_ids(paths: list[str]) -> list[dict[int, int]]:
    """Id -> pixels of every mask, ids as stored."""
    # The check imports data sets, so it cannot be imported with them.
    from ..data_check import FactCache, default_cache
    from ..data_check.facts import MASK
    from ..data_check.scan import scan
    with FactCache(default_cache()) as cache:
        facts = scan([(path, MASK) for path in paths], cache)
    found = []
    for path in paths:
        mask = facts[path, MASK]
        counts = mask.counts
        if not counts or min(counts) < 0 or max(counts) > 255:
            reason = mask.problem or 'is no label map of one band with ids ' \
                'from 0 to 255'
            raise ValueError(f'The classes of {path} cannot be counted: it '
                             f'{reason}.')
        found.append(counts)
    return found
