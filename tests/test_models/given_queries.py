# Copyright (c) mmseg_semi authors.
"""A tiny MaskQueryHead, maps for it and labels."""
import copy

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.models.decode_heads.query_decoder import decoder_layer

B, C, Q, D, SIZE = 2, 3, 6, 8, 32
WIDTHS = (4, 6, 10)
GN = dict(type='GN', num_groups=2)


def head(**kwargs):
    """A tiny head with three decoder layers, in eval mode."""
    torch.manual_seed(0)
    cfg = dict(
        type='MaskQueryHead',
        in_channels=WIDTHS,
        num_classes=C,
        feat_channels=D,
        out_channels=D,
        num_queries=Q,
        pixel_decoder=dict(type='PixelDecoder', norm_cfg=GN),
        transformer_decoder=dict(
            num_layers=3, layer_cfg=decoder_layer(D, 2, 16)))
    cfg.update(kwargs)
    module = MODELS.build(copy.deepcopy(cfg))
    module.init_weights()
    return module.eval()


def maps(seed=0, batch=B):
    gen = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, w, s, s, generator=gen)
        for w, s in zip(WIDTHS, (8, 4, 2))
    ]


def truth(seed=0):
    gen = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, C, (B, 4, 4), generator=gen)
    labels[0][labels[0] == 1] = 0  # a class that is not in image 0
    labels[:, 0] = 255
    return labels.repeat_interleave(8, 1).repeat_interleave(8, 2)


def samples(labels):
    return [SegDataSample(gt_sem_seg=PixelData(data=x[None])) for x in labels]
