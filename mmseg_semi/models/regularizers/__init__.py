# Copyright (c) mmseg_semi authors.
from .brpg import BRPG
from .class_balance import ClassBalance
from .cmb import CMB
from .consistency import PixelConsistency
from .entropy import EntropyMinimization
from .pcr import PCR
from .pps import PPS
from .rc2l import RC2L
from .squared_consistency import SquaredConsistency
from .supervised import SupervisedLoss
from .term import Term
from .u2pl import U2PL

__all__ = [
    'BRPG', 'CMB', 'ClassBalance', 'EntropyMinimization', 'PCR', 'PPS', 'RC2L',
    'PixelConsistency', 'SquaredConsistency', 'SupervisedLoss', 'Term', 'U2PL'
]
