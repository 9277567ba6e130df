# Copyright (c) mmseg_semi authors.
from .augment import ViewAugment
from .backbones import CeilPoolResNet
from .banks import ClassBank
from .data_preprocessor import SemiDataPreProcessor
from .decode_heads import (CMBDeepLabV3PlusHead, DeepLabV2Head, PrototypeHead,
                           PublishedDeepLabV3PlusHead)
from .mixing import BatchMixer
from .regularizers import (BRPG, ClassBalance, EntropyMinimization,
                           PixelConsistency, SupervisedLoss, Term)
from .segmentors import Framework, MeanTeacher, SemiSegmentor

__all__ = [
    'BRPG', 'BatchMixer', 'CMBDeepLabV3PlusHead', 'CeilPoolResNet',
    'ClassBalance', 'ClassBank', 'DeepLabV2Head', 'EntropyMinimization',
    'Framework', 'MeanTeacher', 'PixelConsistency', 'PrototypeHead',
    'PublishedDeepLabV3PlusHead', 'SemiDataPreProcessor', 'SemiSegmentor',
    'SupervisedLoss', 'Term', 'ViewAugment'
]
