# Copyright (c) mmseg_semi authors.
"""A tiny model that was trained on a tiny import."""
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from mmseg_semi.importing.settings import data_loaders
from mmseg_semi.labeling import find_pool
from mmseg_semi.predicting import Predictor
from ..test_importing.helpers import add_photos, drawn, run, save
from ..test_models.toys import segmentor

NAMES = ('background', 'leaf', 'stem', 'petal')
PREPROCESSOR = dict(
    type='SegDataPreProcessor',
    mean=[120.] * 3,
    std=[60.] * 3,
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(16, 32))
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]


def project(folder, labelled=5, free=4):
    """Photos ``folder/photos``, imported into ``folder/out``."""
    for number in range(labelled):
        add_photos(folder / 'photos', f'a/{number}.jpg')
        save(drawn(), folder / f'masks/a/{number}.png')
    add_photos(folder / 'photos',
               *(f'free {n % 2}/{n}.jpg' for n in range(free)))
    run(folder, val=.2, classes=NAMES)
    return folder


def model(folder, make=None):
    """Config and checkpoint for :func:`project`."""
    network = segmentor(data_preprocessor=PREPROCESSOR)
    cfg = Config(
        dict(
            model=make(segmentor=network) if make else network,
            test_pipeline=PIPELINE,
            **data_loaders(str(folder / 'out'))))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(cfg.model)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:  # so that nothing fades out
                torch.nn.init.xavier_normal_(parameter, gain=2)
    config, checkpoint = folder / 'config.py', folder / 'weights.pth'
    cfg.dump(config)
    torch.save(dict(state_dict=net.state_dict(), meta={}), checkpoint)
    return str(config), str(checkpoint)


def loaded(folder, images=(), keep_suffix=False, make=None, **settings):
    """The predictor and the pool of a project."""
    config, checkpoint = model(folder, make)
    pool = find_pool(
        Config.fromfile(config), config, images, str(folder / 'new'),
        keep_suffix)
    return Predictor(config, checkpoint, device='cpu', **settings), pool
