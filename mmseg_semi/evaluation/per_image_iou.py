# Copyright (c) mmseg_semi authors.
"""IoU with the areas of every image, so that images can be resampled."""
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from ..datasets.splits import stem


class PerImageAreas(NamedTuple):
    """Areas in pixels; the IoU of a set of images is a ratio of their sums.

    ``ids`` (N,) are the file names without suffix, ``intersect`` and
    ``union`` (N, C) non-negative integers, in the order of the dataset.
    """
    ids: np.ndarray
    intersect: np.ndarray
    union: np.ndarray

    def to_bytes(self, iteration: int) -> bytes:
        """A compressed npz file in the narrowest fitting integers.

        Args:
            iteration (int): Training iteration that was evaluated.

        Returns:
            bytes: The file; about 20 kB for 1,000 images of 11 classes.
        """
        file = io.BytesIO()
        dtype = np.min_scalar_type(int(self.union.max(initial=0)))
        np.savez_compressed(
            file,
            iteration=iteration,
            ids=self.ids,
            intersect=self.intersect.astype(dtype),
            union=self.union.astype(dtype))
        return file.getvalue()

    @classmethod
    def load(cls, path: str | Path) -> tuple['PerImageAreas', int]:
        """Read what :meth:`to_bytes` made.

        Args:
            path (str | Path): The npz file.

        Returns:
            tuple[PerImageAreas, int]: Areas as int64, and the iteration.
        """
        with np.load(path, allow_pickle=False) as file:
            return cls(file['ids'], file['intersect'].astype(np.int64),
                       file['union'].astype(np.int64)), int(file['iteration'])


@METRICS.register_module()
class PerImageIoUMetric(IoUMetric):
    """mmseg's ``IoUMetric``, which also keeps the areas of every image.

    Results and arguments are those of ``IoUMetric``. On the main process
    ``per_image`` holds the areas of the last evaluation, from all processes
    and without the samples that padded their last batches;
    :class:`RunRecordHook` writes them to the work directory.

    Args:
        **kwargs: Of ``mmseg.evaluation.IoUMetric``.

    Attributes:
        per_image (PerImageAreas, optional): None before the first
            evaluation, and with ``format_only``.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.per_image: PerImageAreas | None = None

    def process(self, data_batch: dict, data_samples: list) -> None:
        """Take one batch; see ``IoUMetric``."""
        start = len(self.results)
        super().process(data_batch, data_samples)
        self.results[start:] = [
            (*areas, stem(sample['img_path']))
            for areas, sample in zip(self.results[start:], data_samples)
        ]

    def compute_metrics(self, results: list) -> dict:
        """Results of ``IoUMetric``; called on the main process only."""
        self.per_image = None
        if not self.format_only and results:
            self.per_image = _areas(results)
        return super().compute_metrics([result[:4] for result in results])

    def areas(self) -> PerImageAreas:
        """Areas of the images that this process has processed so far."""
        return _areas(self.results)


def _areas(results: list) -> PerImageAreas:
    *areas, ids = zip(*results)
    intersect, union = (
        np.stack([one.numpy() for one in areas[i]]).astype(np.int64)
        for i in (0, 1))
    return PerImageAreas(np.array(ids), intersect, union)
