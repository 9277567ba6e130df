# Copyright (c) mmseg_semi authors.
"""Trained models in forms that do not need this package."""
from .onnx_graph import GraphOptions
from .plain_model import NotExportableError
from .predictor import Predictor, load_predictor
from .run import TARGETS, export

__all__ = [
    'GraphOptions', 'NotExportableError', 'Predictor', 'TARGETS', 'export',
    'load_predictor'
]
