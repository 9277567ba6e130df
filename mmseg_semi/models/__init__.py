# Copyright (c) mmseg_semi authors.
from .augment import ViewAugment
from .backbones import CeilPoolResNet, Xception65
from .banks import ClassBank
from .data_preprocessor import SemiDataPreProcessor
from .decode_heads import (CMBDeepLabV3PlusHead, ContrastHead, DeepLabV2Head,
                           ProjectionHead, PrototypeHead,
                           PublishedDeepLabV3PlusHead)
from .mixing import BatchMixer
from .regularizers import (BRPG, CMB, PCR, PPS, ClassBalance,
                           EntropyMinimization, PixelConsistency,
                           SupervisedLoss, Term)
from .segmentors import (CrossPseudo, FixMatch, Framework, MeanTeacher,
                         SemiSegmentor)

__all__ = [
    'BRPG', 'BatchMixer', 'CMB', 'CMBDeepLabV3PlusHead', 'CeilPoolResNet',
    'ClassBalance', 'ClassBank', 'ContrastHead', 'CrossPseudo',
    'DeepLabV2Head', 'EntropyMinimization', 'FixMatch', 'Framework',
    'MeanTeacher', 'PCR', 'PPS', 'PixelConsistency', 'ProjectionHead',
    'PrototypeHead', 'PublishedDeepLabV3PlusHead', 'SemiDataPreProcessor',
    'SemiSegmentor', 'SupervisedLoss', 'Term', 'ViewAugment', 'Xception65'
]
