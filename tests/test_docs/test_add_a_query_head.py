# Copyright (c) mmseg_semi authors.
"""The worked head of docs/add_a_query_head.md trains as it is printed."""
import re
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from ..test_models.toys import (NUM_CLASSES, batch, mean_teacher, segmentor,
                                total)

PAGE = Path(__file__).parents[2] / 'docs/add_a_query_head.md'


@pytest.fixture(scope='module')
def head():
    """The name under which the printed class is registered."""
    (text, ) = re.findall(r'`[\w.]+\.py`:\n\n```python\n(.*?)```',
                          PAGE.read_text(), re.S)
    if 'FixedQueryHead' not in MODELS:
        exec(text, {})
    return 'FixedQueryHead'


def config(head, **kwargs):
    return segmentor(
        decode_head=dict(
            type=head,
            in_channels=32,
            num_classes=NUM_CLASSES,
            width=8,
            num_queries=2 * NUM_CLASSES,
            **kwargs))


def trained(model):
    losses = model.loss(*batch())
    total(losses).backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.isfinite().all(), name
    return losses


def test_it_trains_with_rc2l(head):
    terms = dict(
        supervised=dict(type='SupervisedLoss', criterion=None),
        consistency=None,
        rc2l=dict(type='RC2L', min_area=1))
    model = mean_teacher(segmentor=config(head), terms=terms)
    losses = trained(model)
    assert losses['loss_smc'] > 0 and losses['decode.loss_mask'] > 0


def test_it_trains_with_pps(head):
    model = MODELS.build(
        dict(
            type='CrossPseudo',
            segmentor=config(head, class_head=False),
            terms=dict(
                supervised=dict(type='SupervisedLoss'),
                pps=dict(type='PPS', head=dict(channels=4), samples=8)),
            halves=False))
    model.init_weights()
    model.total_iters = 100
    losses = trained(model.train())
    assert losses['student1.loss_sp'] > 0
    heads = [model.student1.decode_head, model.student2.decode_head]
    assert heads[0].query_embed is heads[1].query_embed
    assert heads[0].mask_embed is heads[1].mask_embed
    assert heads[0].project is not heads[1].project


def test_it_predicts(head):
    module = MODELS.build(config(head)['decode_head'])
    maps = [torch.rand(2, 32, 4, 4)]
    scores = module.predict(maps, [dict(img_shape=(16, 12))] * 2)
    assert scores.shape == (2, NUM_CLASSES, 16, 12)
