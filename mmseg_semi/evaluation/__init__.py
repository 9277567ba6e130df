# Copyright (c) mmseg_semi authors.
"""Metrics, and what to say about differences between them."""
from .bootstrap import paired_difference, resampled_miou, score_intervals
from .gate import gate_alarms, gate_lines, suggest_threshold
from .label_precision import LabelPrecision
from .per_image_iou import PerImageAreas, PerImageIoUMetric
from .protocol import evaluation_protocol

__all__ = [
    'LabelPrecision', 'PerImageAreas', 'PerImageIoUMetric',
    'evaluation_protocol', 'gate_alarms', 'gate_lines', 'paired_difference',
    'resampled_miou', 'score_intervals', 'suggest_threshold'
]
