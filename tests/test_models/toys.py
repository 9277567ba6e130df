# Copyright (c) mmseg_semi authors.
"""A tiny real segmentor and batches for the model tests."""
import copy

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmseg_semi  # noqa: F401

NUM_CLASSES = 4
SIZE = 33  # stride 4 gives 9 x 9: grid points fall on feature points


def segmentor(head='published', **kwargs):
    """Config of a ResNet-18 with 4 channels."""
    norm_cfg = dict(type='BN')
    cfg = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(SIZE, SIZE)),
        backbone=dict(
            type='ResNet',
            depth=18,
            stem_channels=4,
            base_channels=4,
            out_indices=(0, 1, 2, 3),
            strides=(1, 2, 2, 1),
            dilations=(1, 1, 1, 2),
            norm_cfg=norm_cfg),
        decode_head=dict(
            type='PublishedDeepLabV3PlusHead',
            in_channels=32,
            in_index=3,
            channels=8,
            c1_in_channels=4,
            c1_channels=8,
            dilations=(1, 2),
            norm_cfg=norm_cfg,
            num_classes=NUM_CLASSES),
        test_cfg=dict(mode='whole'))
    if head == 'fcn':
        cfg['decode_head'] = dict(
            type='FCNHead',
            in_channels=32,
            in_index=3,
            channels=8,
            num_convs=1,
            norm_cfg=norm_cfg,
            num_classes=NUM_CLASSES)
    cfg.update(kwargs)
    return copy.deepcopy(cfg)


def mean_teacher_cfg(**kwargs):
    """Config of a Mean Teacher; ``terms`` are merged over the usual two."""
    terms = dict(
        supervised=dict(
            type='SupervisedLoss', criterion=[dict(type='cross_entropy')]),
        consistency=dict(type='PixelConsistency'))
    terms.update(kwargs.pop('terms', {}))
    return dict(
        type='MeanTeacher',
        segmentor=kwargs.pop('segmentor', segmentor()),
        terms=terms,
        **kwargs)


def mean_teacher(total_iters=100, **kwargs):
    """A built and initialised Mean Teacher in train mode."""
    torch.manual_seed(0)
    model = MODELS.build(mean_teacher_cfg(**kwargs))
    model.init_weights()
    model.total_iters = total_iters
    return model.train()


def brpg_cfg(**kwargs):
    """Config of a BRPG term for the toy segmentor."""
    head = dict(in_channels=16, channels=6, norm_cfg=dict(type='BN'))
    head.update(kwargs.pop('head', {}))
    cfg = dict(
        type='BRPG',
        head=head,
        window=(1, 3),
        capacity=50,
        samples_per_image=40,
        threshold=.3,
        confidence=(.25, .3),
        cells=8,
        draws_per_image=20)
    cfg.update(kwargs)
    return cfg


def sample(labels=None, valid=None):
    """A SegDataSample with optional ground truth (H, W) or valid map."""
    out = SegDataSample(
        metainfo=dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE)))
    if labels is not None:
        out.gt_sem_seg = PixelData(data=labels[None])
    if valid is not None:
        out.valid_map = PixelData(data=valid[None])
    return out


def batch(labeled=2, unlabeled=2, seed=0, padding=0):
    """inputs and data_samples of one step.

    Labels follow the brightness of the image, so that they can be learnt;
    ``padding`` columns at the right of unlabelled images are padding.
    """
    generator = torch.Generator().manual_seed(seed)

    def images(count):
        coarse = torch.randn(count, 1, 5, 5, generator=generator)
        return torch.nn.functional.interpolate(
            coarse, (SIZE, SIZE), mode='bilinear') * torch.ones(1, 3, 1, 1)

    sup = images(labeled)
    labels = ((sup[:, 0] + 1).clamp(0, 1.99) * 2).long()
    labels[:, 0, :5] = 255
    inputs = dict(sup=sup)
    samples = dict(sup=[sample(label) for label in labels])
    if unlabeled:
        weak = images(unlabeled)
        strong = weak + .1 * torch.randn(weak.shape, generator=generator)
        valid = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
        if padding:
            valid[:, -padding:] = 255
        inputs.update(unsup_teacher=weak, unsup_student=strong)
        for name in ('unsup_teacher', 'unsup_student'):
            samples[name] = [sample(valid=valid) for _ in weak]
    return inputs, samples


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def step_of(model, inputs, samples):
    """Run the passes of one step and return its record."""
    step = model.begin(inputs, samples)
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    return step
