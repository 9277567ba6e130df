# Copyright (c) mmseg_semi authors.
from .brpg import BRPG
from .consistency import PixelConsistency
from .supervised import SupervisedLoss
from .term import Term

__all__ = ['BRPG', 'PixelConsistency', 'SupervisedLoss', 'Term']
