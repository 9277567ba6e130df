# Copyright (c) mmseg_semi authors.
"""CMB inside a real framework."""
import copy

import pytest
import torch

from mmseg_semi.models.segmentors import Framework
from .given_cmb import make_term
from .toys import batch, mean_teacher, segmentor, total


def model_cfg(**kwargs):
    cfg = dict(
        type='CMB',
        head=dict(in_channels=8, channels=6),
        rows_per_image=3,
        capacity=10,
        memory_start=1,
        contrast_start=2,
        threshold=.2)
    cfg.update(kwargs)
    return dict(
        terms=dict(cmb=cfg), joint=False, buffers='copy', labeler_mode='train')


def train(model, steps, seeds=None):
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], .05)
    history = []
    for seed in seeds or range(steps):
        losses = model.loss(*batch(seed=seed))
        optimizer.zero_grad()
        total(losses).backward()
        missing = [
            name for name, p in model.named_parameters()
            if p.requires_grad and p.grad is None
        ]
        assert not missing  # DDP would wait for them
        optimizer.step()
        model.update_teacher()
        history.append({name: value.item() for name, value in losses.items()})
    return history


def test_phases():
    model = mean_teacher(**model_cfg())
    term = model.terms.cmb
    seen = []
    original = model.run

    def run(step, item):
        seen[-1].append((item.net, item.views, 'cmb'
                         in item.features, item.train, item.dropout))
        return original(step, item)

    model.run = run
    filled, history = [], []
    for i in range(4):
        seen.append([])
        history += train(model, 1, [i])
        filled.append(int(term.bank.count.sum()))
    bank = ('teacher', ('sup', ), True, True, True)
    learners = [[x for x in passes if x[0] == 'student'] for passes in seen]
    assert [bank in passes for passes in seen] == [False, True, True, True]
    assert [all(x[2] for x in passes)
            for passes in learners] == [False, False, True, True]
    assert not any(x[2] for x in learners[1])
    assert filled[0] == 0 < filled[1]
    assert ['loss_contrast_unsup' in losses
            for losses in history] == [False, False, True, True]
    assert [losses['loss_contrast'] > 0
            for losses in history] == [False, False, True, True]
    assert term.stages() == dict(before=0, memory=1, contrast=2)


@pytest.mark.parametrize('options', [
    dict(
        memory_network='student', class_attention=False, quality_filter=False),
    dict(class_attention=False),
    dict(memory_attention=False),
    dict(memory_dropout=True),
    dict(loss_weight=(0., .1)),
    dict(loss_weight=(.1, 0.)),
    dict(loss_weight=(0., 0.)),
    dict(fidelity='official'),
    dict(memory_start=0, contrast_start=0, feat_stride=8),
    dict(
        head=dict(
            in_channels=32, channels=6, tap='decode_head.aspp_modules:input')),
])
def test_every_ablation_trains(options):
    """Tables 6 and 8, the official mechanics and other taps."""
    if options.get('head', {}).get('tap'):
        options = dict(
            options,
            head=dict(
                in_channels=32, channels=6, tap='backbone.layer4:output'))
    history = train(mean_teacher(**model_cfg(**options)), 4)
    weights = options.get('loss_weight', (.1, .1))
    assert (history[-1]['loss_contrast'] > 0) == bool(weights[0]) \
        if 'loss_contrast' in history[-1] else not weights[0]
    assert ('loss_contrast_unsup' in history[-1]) == bool(weights[1])


@pytest.mark.parametrize('buffers', ['own', 'copy'])
def test_burn_in_contrasts_labelled_features_only(buffers):
    """With ``own``, the framework's pass for statistics is CMB's."""
    cfg = dict(model_cfg(), buffers=buffers)
    model = mean_teacher(burn_in=10, **cfg)
    history = train(model, 3)
    assert history[-1]['loss_contrast'] > 0
    assert 'loss_contrast_unsup' not in history[-1]


def test_resumed_training_is_the_same():
    model = mean_teacher(**model_cfg())
    train(model, 3)
    other = mean_teacher(**model_cfg())
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(model.terms.cmb.bank.features,
                       other.terms.cmb.bank.features)
    ours, theirs = (train(m, 3, [7, 8, 9]) for m in (model, other))
    assert ours == theirs
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_memory_of_another_size_is_refused():
    model = mean_teacher(**model_cfg())
    train(model, 2)
    other = mean_teacher(**model_cfg(capacity=11))
    with pytest.raises(RuntimeError, match='cmb.bank.features.*capacity'):
        other.load_state_dict(model.state_dict(), strict=False)


@pytest.mark.parametrize('options,message', [
    (dict(head=dict(in_channels=3, selectors=True)), 'class_attention'),
    (dict(rows_per_image='coco', num_labeled=5), 'rows_per_image'),
    (dict(rows_per_image='city', num_labeled=0), 'num_labeled'),
    (dict(rows_per_image=0), 'rows_per_image=0'),
    (dict(rows_per_image=-2.5), 'rows_per_image=-2.5'),
    (dict(rows_per_image=True), 'rows_per_image=True'),
    (dict(capacity=1), 'capacity=1'),
    (dict(capacity=2.5), 'capacity=2.5'),
    (dict(feat_stride=0), 'feat_stride=0'),
    (dict(threshold=1.), 'threshold=1.0'),
    (dict(threshold=-.1), 'threshold=-0.1'),
    (dict(loss_weight=.1), 'unlabelled'),
    (dict(loss_weight=(.1, )), 'unlabelled'),
    (dict(loss_weight=(.1, -.1)), 'unlabelled'),
    (dict(loss_weight='ab'), 'unlabelled'),
    (dict(memory_start=3), 'contrast_start'),
    (dict(memory_start=-1), 'negative'),
    (dict(memory_select='best'), 'memory_select'),
    (dict(memory_network='ema'), 'memory_network'),
    (dict(rank_with='memory', memory_attention=False), 'rank_with'),
])
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        make_term(**options)


def test_framework_without_a_teacher():
    """Refused when it is built, not when memory begins to fill."""

    class Alone(Framework):
        networks = learners = ('student', )

    def build(network):
        cfg = model_cfg(memory_network=network)
        return Alone(
            segmentor(), dict(cmb=cfg['terms']['cmb']), predict_with='student')

    with pytest.raises(TypeError, match='memory_network="student"'):
        build('teacher')
    assert build('student').terms.cmb.memory_network == 'student'
