# Copyright (c) mmseg_semi authors.
"""MMSegmentation's inference API, importable without compiled mmcv.

The same objects as in ``mmseg.apis``; importing them from here guarantees
that the methods of this package are registered first.
"""
from mmseg.apis import (MMSegInferencer, inference_model, init_model,
                        show_result_pyplot)

__all__ = [
    'MMSegInferencer', 'inference_model', 'init_model', 'show_result_pyplot'
]
