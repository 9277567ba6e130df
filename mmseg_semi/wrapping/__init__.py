# Copyright (c) mmseg_semi authors.
"""Checks that any model of MMSegmentation trains with any method."""
from .batches import NUM_CLASSES
from .cell import Cell, check_cell
from .families import find_families
from .methods import METHODS
from .networks import SIZES
from .page import as_page, as_text
from .runs import check_families, commit_of, sample

__all__ = [
    'METHODS', 'NUM_CLASSES', 'SIZES', 'Cell', 'as_page', 'as_text',
    'check_cell', 'check_families', 'commit_of', 'find_families', 'sample'
]
