# Copyright (c) mmseg_semi authors.
"""Training, testing and MMSegmentation's inference API.

The functions of ``mmseg.apis`` are the same as there; importing them from here
guarantees that the methods of this package are registered first, and works
without compiled mmcv. ``MMSegInferencer`` also knows the models of this
package.
"""
from mmseg.apis import inference_model, init_model, show_result_pyplot

from .configs import test_config, train_config
from .inferencer import MMSegInferencer
from .model_index import list_models
from .running import test, train

__all__ = [
    'MMSegInferencer', 'inference_model', 'init_model', 'show_result_pyplot',
    'list_models', 'test', 'test_config', 'train', 'train_config'
]
