# Copyright (c) mmseg_semi authors.
"""The worked head of docs/add_a_head.md trains as it is printed."""
import re
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from ..test_models.toys import (NUM_CLASSES, SIZE, batch, brpg_cfg,
                                mean_teacher, segmentor, total)

PAGE = Path(__file__).parents[2] / 'docs/add_a_head.md'


@pytest.fixture(scope='module')
def cfg():
    (text, ) = re.findall(r'`[\w.]+\.py`:\n\n```python\n(.*?)```',
                          PAGE.read_text(), re.S)
    if 'UnsureHead' not in MODELS:
        exec(text, {'__name__': 'unsure_head'})
    return segmentor(
        decode_head=dict(
            type='UnsureHead', in_channels=32, num_classes=NUM_CLASSES))


@pytest.mark.parametrize('criterion, name',
                         [(None, 'decode.loss_unsure'),
                          ([dict(type='cross_entropy')], 'loss_sup')])
def test_it_trains(cfg, criterion, name):
    """With its own loss or another; every parameter gets a gradient."""
    brpg = brpg_cfg(window=(0, 1), head=dict(in_channels=None))
    model = mean_teacher(
        segmentor=cfg,
        terms=dict(
            brpg=brpg,
            supervised=dict(type='SupervisedLoss', criterion=criterion)))
    assert model.student.semi_heads['brpg'].in_channels == 16
    model.loss(*batch())
    losses = model.loss(*batch())
    assert losses[name] > 0 and losses['loss_proto'].requires_grad
    total(losses).backward()
    for key, p in model.student.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), key


def test_it_predicts(cfg):
    model = mean_teacher(segmentor=cfg).eval()
    inputs, samples = batch()
    result = model.predict(inputs['sup'], samples['sup'])[0]
    assert result.seg_logits.data.shape == (NUM_CLASSES, SIZE, SIZE)
    net = model.teacher
    scores = net.decode_head(net.extract_feat(inputs['sup']))[0]
    wanted = torch.nn.functional.interpolate(
        scores, (SIZE, SIZE), mode='bilinear')[0].argmax(0)
    assert torch.equal(result.pred_sem_seg.data[0], wanted)


def test_a_head_that_offers_nothing_is_refused(cfg):
    head = type('BareHead', (torch.nn.Module, ), {})
    from mmseg_semi.models.head_adapters import adapter_of
    with pytest.raises(TypeError, match='BareHead does not score.*add_a_head'):
        adapter_of(head())
