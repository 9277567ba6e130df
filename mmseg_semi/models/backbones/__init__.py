# Copyright (c) mmseg_semi authors.
from .ceil_pool_resnet import CeilPoolResNet
from .xception65 import Xception65

__all__ = ['CeilPoolResNet', 'Xception65']
