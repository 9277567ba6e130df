# Copyright (c) mmseg_semi authors.
"""Metrics, and what to say about differences between them."""
from .bootstrap import paired_difference, resampled_miou
from .per_image_iou import PerImageAreas, PerImageIoUMetric

__all__ = [
    'PerImageAreas', 'PerImageIoUMetric', 'paired_difference', 'resampled_miou'
]
