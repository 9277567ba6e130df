# Copyright (c) mmseg_semi authors.
"""Trained models in forms that do not need this package."""
from .exportable import Exportable, load_exportable
from .onnx_graph import GraphOptions
from .plain_model import NotExportableError
from .run import TARGETS, export

__all__ = [
    'GraphOptions', 'NotExportableError', 'Exportable', 'TARGETS', 'export',
    'load_exportable'
]
