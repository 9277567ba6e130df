# Copyright (c) mmseg_semi authors.
"""Bringing a user's own labels into the form that training reads."""
from .adding import add_labels
from .findings import DataFaultsError, Finding, Findings
from .formats import FORMATS
from .importer import ImportReport, import_labels
from .options import ImportOptions
from .settings import config_lines, dataset_settings

__all__ = [
    'DataFaultsError', 'FORMATS', 'Finding', 'Findings', 'ImportOptions',
    'ImportReport', 'add_labels', 'config_lines', 'dataset_settings',
    'import_labels'
]
