# Copyright (c) mmseg_semi authors.
"""Training, testing and MMSegmentation's inference API.

The objects of ``mmseg.apis`` are the same as there; importing them from here
guarantees that the methods of this package are registered first, and works
without compiled mmcv.
"""
from mmseg.apis import (MMSegInferencer, inference_model, init_model,
                        show_result_pyplot)

from .configs import test_config, train_config
from .running import test, train

__all__ = [
    'MMSegInferencer', 'inference_model', 'init_model', 'show_result_pyplot',
    'test', 'test_config', 'train', 'train_config'
]
