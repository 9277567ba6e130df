# Copyright (c) mmseg_semi authors.
from .ceil_pool_resnet import CeilPoolResNet

__all__ = ['CeilPoolResNet']
