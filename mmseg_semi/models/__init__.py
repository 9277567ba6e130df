# Copyright (c) mmseg_semi authors.
from .augment import ViewAugment
from .backbones import (CeilPoolResNet, DeepStemResNet, EfficientNetLite,
                        Xception65)
from .banks import ClassBank
from .data_preprocessor import SemiDataPreProcessor
from .decode_heads import (CMBDeepLabV3PlusHead, ContrastHead, DeepLabV2Head,
                           MaskQueryHead, ProjectionHead, PrototypeHead,
                           PublishedDeepLabV3PlusHead, PublishedFCNHead)
from .mixing import BatchMixer
from .regularizers import (BRPG, CMB, PCR, PPS, RC2L, ClassBalance,
                           EntropyMinimization, PixelConsistency,
                           SupervisedLoss, Term)
from .segmentors import (CrossPseudo, FixMatch, Framework, MeanTeacher,
                         SemiSegmentor)

__all__ = [
    'BRPG', 'BatchMixer', 'CMB', 'CMBDeepLabV3PlusHead', 'CeilPoolResNet',
    'ClassBalance', 'ClassBank', 'ContrastHead', 'CrossPseudo',
    'DeepLabV2Head', 'DeepStemResNet', 'EfficientNetLite',
    'EntropyMinimization', 'FixMatch', 'Framework', 'MaskQueryHead',
    'MeanTeacher', 'PCR', 'PPS', 'PixelConsistency', 'ProjectionHead',
    'PrototypeHead', 'PublishedDeepLabV3PlusHead', 'PublishedFCNHead', 'RC2L',
    'SemiDataPreProcessor', 'SemiSegmentor', 'SupervisedLoss', 'Term',
    'ViewAugment', 'Xception65'
]
