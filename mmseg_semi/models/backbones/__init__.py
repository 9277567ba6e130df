# Copyright (c) mmseg_semi authors.
from .ceil_pool_resnet import CeilPoolResNet
from .deep_stem_resnet import DeepStemResNet
from .efficientnet_lite import EfficientNetLite
from .xception65 import Xception65

__all__ = [
    'CeilPoolResNet', 'DeepStemResNet', 'EfficientNetLite', 'Xception65'
]
