# Copyright (c) mmseg_semi authors.
"""Tiny trained models of each kind, as config and checkpoint."""
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads.mask2former_query_head import \
    deformable_layer
from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from ..test_models.toys import brpg_cfg, mean_teacher_cfg, segmentor

CLASSES, BN = ('sky', 'sea', 'sand', 'ship'), dict(type='BN')
PRE = dict(
    type='SegDataPreProcessor',
    mean=[120., 115., 100.],
    std=[60., 57., 55.],
    bgr_to_rgb=True)
WIDTHS = (4, 8, 16, 32)


def _segformer():
    return dict(
        type='EncoderDecoder',
        data_preprocessor=PRE,
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 2],
            sr_ratios=[8, 4, 2, 1]),
        decode_head=dict(
            type='SegformerHead',
            in_channels=[8, 16, 16, 16],
            in_index=[0, 1, 2, 3],
            channels=8,
            num_classes=4,
            norm_cfg=dict(type='SyncBN')),
        test_cfg=dict(mode='whole'))


def _with_head(head, **kwargs):
    return segmentor(decode_head=head, data_preprocessor=PRE, **kwargs)


def _dense(kind, **kwargs):
    return _with_head(
        dict(
            type=kind,
            in_channels=32,
            in_index=3,
            channels=8,
            num_classes=4,
            norm_cfg=BN,
            **kwargs))


def _queries(kind, **kwargs):
    return _with_head(
        dict(
            type=kind,
            in_channels=WIDTHS,
            num_classes=4,
            feat_channels=8,
            out_channels=8,
            num_queries=6,
            **kwargs))


def _lite():
    return dict(
        type='EncoderDecoder',
        data_preprocessor=PRE,
        backbone=dict(type='EfficientNetLite', out_indices=(1, 2)),
        decode_head=dict(
            type='PublishedFCNHead',
            in_channels=40,
            in_index=1,
            channels=8,
            num_convs=1,
            num_classes=4,
            norm_cfg=BN),
        test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(40, 40)))


def models():
    """Config of a wrapper by what it shows."""
    skip = dict(c1_in_channels=4, c1_channels=8, dilations=(1, 2))
    decoder = dict(num_layers=2, layer_cfg=decoder_layer(8, 2, 16, 0.))
    return dict(
        deeplab=mean_teacher_cfg(
            segmentor=_dense('DepthwiseSeparableASPPHead', **skip)),
        published=mean_teacher_cfg(
            segmentor=_dense('PublishedDeepLabV3PlusHead', **skip),
            predict_with='student'),
        binary=mean_teacher_cfg(
            segmentor=_with_head(
                dict(
                    type='FCNHead',
                    in_channels=32,
                    in_index=3,
                    channels=8,
                    num_convs=1,
                    num_classes=2,
                    out_channels=1,
                    threshold=.4,
                    norm_cfg=BN,
                    loss_decode=dict(
                        type='CrossEntropyLoss', use_sigmoid=True)))),
        pyramid=mean_teacher_cfg(
            segmentor=_dense('PSPHead', pool_scales=(1, 2, 3))),
        segformer=mean_teacher_cfg(segmentor=_segformer()),
        lite=mean_teacher_cfg(segmentor=_lite()),
        windows=mean_teacher_cfg(
            segmentor=_lite(),
            test_cfg=dict(average='probabilities', windows='cut')),
        queries=mean_teacher_cfg(
            segmentor=_queries(
                'MaskQueryHead',
                pixel_decoder=dict(
                    type='PixelDecoder',
                    norm_cfg=dict(type='GN', num_groups=2)),
                transformer_decoder=decoder)),
        mask2former=mean_teacher_cfg(
            segmentor=_queries(
                'Mask2FormerQueryHead',
                pixel_decoder=dict(
                    norm_cfg=dict(type='GN', num_groups=2),
                    encoder=dict(num_layers=1, layer_cfg=deformable_layer(8))),
                transformer_decoder=decoder)),
        prototypes=mean_teacher_cfg(
            terms=dict(brpg=brpg_cfg()), predict_head='brpg'))


def write(folder, name, model):
    """Files of a trained model: paths of config and checkpoint.

    Student and teacher differ, and norms have statistics, so that to take
    the wrong one shows.
    """
    folder.mkdir(exist_ok=True)
    classes = CLASSES[:2] if name == 'binary' else CLASSES
    cfg = Config(
        dict(
            default_scope='mmseg',
            custom_imports=dict(imports=['mmseg_semi']),
            model=model,
            test_pipeline=[
                dict(type='LoadStrictImage'),
                dict(type='PackSegInputs')
            ],
            val_evaluator=dict(type='PerImageIoUMetric',
                               iou_metrics=['mIoU'])))
    config, checkpoint = folder / f'{name}.py', folder / f'{name}_1.pth'
    cfg.dump(config)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = MODELS.build(Config.fromfile(config).model)
    built.init_weights()
    state = built.state_dict()
    generator = torch.Generator().manual_seed(1)
    for key, value in state.items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            if key.endswith('prototypes'):
                value.copy_(noise - .5)
            elif key.endswith('running_var'):
                value.copy_(noise + .5)
            else:
                value.add_(.2 * noise - .1)
        if key.endswith('prototype_valid'):
            value.fill_(True)
    torch.save(
        dict(
            state_dict=state,
            meta=dict(
                dataset_meta=dict(
                    classes=classes,
                    palette=[[i] * 3 for i in range(len(classes))]))),
        checkpoint)
    return str(config), str(checkpoint)


def photo(path, height=97, width=131):
    """A smooth image with something to see."""
    path.parent.mkdir(exist_ok=True)
    coarse = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (width, height)))
    return str(path)
