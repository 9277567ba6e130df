# Copyright (c) mmseg_semi authors.
from .brpg import BRPG
from .class_balance import ClassBalance
from .cmb import CMB
from .consistency import PixelConsistency
from .entropy import EntropyMinimization
from .supervised import SupervisedLoss
from .term import Term

__all__ = [
    'BRPG', 'CMB', 'ClassBalance', 'EntropyMinimization', 'PixelConsistency',
    'SupervisedLoss', 'Term'
]
