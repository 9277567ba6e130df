# Copyright (c) mmseg_semi authors.
from .brpg import BRPG
from .class_balance import ClassBalance
from .consistency import PixelConsistency
from .entropy import EntropyMinimization
from .supervised import SupervisedLoss
from .term import Term

__all__ = [
    'BRPG', 'ClassBalance', 'EntropyMinimization', 'PixelConsistency',
    'SupervisedLoss', 'Term'
]
