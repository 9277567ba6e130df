# Copyright (c) mmseg_semi authors.
"""Metrics, and what to say about differences between them."""
from .bootstrap import paired_difference, resampled_miou, score_intervals
from .per_image_iou import PerImageAreas, PerImageIoUMetric
from .protocol import evaluation_protocol

__all__ = [
    'PerImageAreas', 'PerImageIoUMetric', 'evaluation_protocol',
    'paired_difference', 'resampled_miou', 'score_intervals'
]
