# Copyright (c) mmseg_semi authors.
"""Tiny models of families whose heads differ from the common form."""
import torch

from .toys import NUM_CLASSES as C
from .toys import segmentor

D, SIDE = 8, 32
BN = dict(type='BN')
OHEM = dict(type='OhemCrossEntropy', thres=.9, min_kept=100)
FCN = dict(
    type='FCNHead',
    in_channels=32,
    in_index=3,
    channels=D,
    num_convs=1,
    norm_cfg=BN,
    num_classes=C)


def fcn(**kwargs):
    return dict(FCN, **kwargs)


def knet(type='IterativeDecodeHead'):
    update = dict(
        type='KernelUpdateHead',
        num_classes=C,
        num_heads=2,
        feedforward_channels=8,
        in_channels=D,
        out_channels=D,
        kernel_updator_cfg=dict(
            type='KernelUpdator',
            in_channels=D,
            feat_channels=D,
            out_channels=D))
    return dict(
        type=type,
        num_stages=1,
        kernel_update_head=[update],
        kernel_generate_head=fcn())


def vit(head, **kwargs):
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(
            type='VisionTransformer',
            img_size=(SIDE, SIDE),
            patch_size=8,
            embed_dims=D,
            num_layers=4,
            num_heads=2,
            mlp_ratio=2,
            **kwargs),
        decode_head=dict(head, num_classes=C))


POINTS = dict(
    train_cfg=dict(
        num_points=64, oversample_ratio=3, importance_sample_ratio=.75),
    test_cfg=dict(
        mode='whole',
        subdivision_steps=2,
        subdivision_num_points=50,
        scale_factor=2))


def cascade(*heads):
    return dict(
        segmentor(),
        type='CascadeEncoderDecoder',
        num_stages=2,
        decode_head=list(heads))


FAMILIES = dict(
    danet=lambda: segmentor(
        decode_head=fcn(type='DAHead', pam_channels=4, num_convs=None)),
    ann=lambda: segmentor(
        decode_head=fcn(
            type='ANNHead',
            in_channels=[16, 32],
            in_index=[2, 3],
            project_channels=4,
            query_scales=(1, ),
            key_pool_scales=(1, 2),
            num_convs=None)),
    encnet=lambda: segmentor(
        decode_head=fcn(
            type='EncHead',
            in_channels=[16, 32],
            in_index=[2, 3],
            num_codes=4,
            num_convs=None)),
    ocrnet=lambda: cascade(fcn(
    ), fcn(type='OCRHead', ocr_channels=4, num_convs=None)),
    pointrend=lambda: dict(
        cascade(
            fcn(),
            fcn(type='PointHead',
                in_channels=[4],
                in_index=[0],
                num_fcs=1,
                norm_cfg=None,
                num_convs=None)), **POINTS),
    knet=lambda: segmentor(decode_head=knet()),
    segmenter=lambda: vit(
        dict(
            type='SegmenterMaskTransformerHead',
            in_channels=D,
            channels=D,
            embed_dims=D,
            num_layers=1,
            num_heads=2)),
    setr=lambda: vit(
        dict(
            type='SETRUPHead',
            in_channels=D,
            channels=D,
            num_convs=1,
            norm_cfg=BN)),
    dpt=lambda: vit(
        dict(
            type='DPTHead',
            in_channels=(D, D, D, D),
            in_index=(0, 1, 2, 3),
            input_transform='multiple_select',
            channels=D,
            embed_dims=D,
            post_process_channels=[D, D, D, D],
            norm_cfg=BN),
        out_indices=(0, 1, 2, 3),
        output_cls_token=True),
    pidnet=lambda: dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(
            type='PIDNet',
            channels=4,
            ppm_channels=4,
            num_stem_blocks=1,
            num_branch_blocks=1,
            align_corners=False,
            norm_cfg=BN),
        decode_head=dict(
            type='PIDHead',
            in_channels=16,
            channels=D,
            norm_cfg=BN,
            num_classes=C,
            loss_decode=[
                dict(type='CrossEntropyLoss'), OHEM,
                dict(type='BoundaryLoss'), OHEM
            ])),
    stdc=lambda: segmentor(
        decode_head=fcn(),
        auxiliary_head=[
            fcn(in_channels=16, in_index=2),
            fcn(type='STDCHead',
                in_channels=4,
                in_index=0,
                num_classes=2,
                boundary_threshold=.1)
        ]),
    ddrnet=lambda: dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(type='DDRNet', channels=4, ppm_channels=4, norm_cfg=BN),
        decode_head=dict(
            type='DDRHead',
            in_channels=16,
            channels=D,
            norm_cfg=BN,
            num_classes=C,
            loss_decode=[OHEM] * 2)))


def config(family):
    """The config of a dense model, without the options that are None."""

    def clean(cfg):
        if isinstance(cfg, dict):
            return {k: clean(v) for k, v in cfg.items() if v is not None}
        if isinstance(cfg, list):
            return [clean(v) for v in cfg]
        return cfg

    return clean(FAMILIES[family]())


def images(seed=0):
    gen = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, SIDE, SIDE, generator=gen)
