# Copyright (c) mmseg_semi authors.
from .augment import ViewAugment
from .banks import ClassBank
from .data_preprocessor import SemiDataPreProcessor
from .decode_heads import PrototypeHead, PublishedDeepLabV3PlusHead
from .mixing import BatchMixer
from .regularizers import (BRPG, ClassBalance, EntropyMinimization,
                           PixelConsistency, SupervisedLoss, Term)
from .segmentors import Framework, MeanTeacher, SemiSegmentor

__all__ = [
    'BRPG', 'BatchMixer', 'ClassBalance', 'ClassBank', 'EntropyMinimization',
    'Framework', 'MeanTeacher', 'PixelConsistency', 'PrototypeHead',
    'PublishedDeepLabV3PlusHead', 'SemiDataPreProcessor', 'SemiSegmentor',
    'SupervisedLoss', 'Term', 'ViewAugment'
]
