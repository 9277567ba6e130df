# Copyright (c) mmseg_semi authors.
"""Looking into trained models."""
from .class_scatter import ClassScatter, VarianceTraces
from .features import FeatureReader, labels_at_input, load_for_analysis

__all__ = [
    'ClassScatter', 'FeatureReader', 'VarianceTraces', 'labels_at_input',
    'load_for_analysis'
]
