# Copyright (c) mmseg_semi authors.
"""What a training promises when numbers or configs go wrong."""
import math
import re

import pytest
import torch

from mmseg_semi.engine.record import resume_warnings
from mmseg_semi.models.loss_watch import LossWatch, NotFiniteError
from .engine_toys import ToySemi, make_runner


class Watched(ToySemi):
    """Its loss is NaN in one iteration; its weights stay as they are."""

    def __init__(self, bad):
        super().__init__()
        self.loss_watch, self.bad, self.steps = LossWatch(), bad, 0

    def parse_losses(self, losses):
        self.steps += 1
        if self.steps == self.bad:
            losses = dict(loss=losses['loss'] * math.nan)
        total, parsed = super().parse_losses(losses)
        self.loss_watch.look(parsed, self.steps, scaled=False)
        return total, parsed


class Poisoned(ToySemi):
    """Weights become NaN although no loss is."""

    def update(self):
        self.student[2].bias.data.fill_(math.nan)

    def parse_losses(self, losses):
        self.update()
        return super().parse_losses(losses)


def train(folder, model=None, **kwargs):
    runner = make_runner(folder, model=model, **kwargs)
    runner.train()
    return runner


@pytest.mark.parametrize('bad,saved', [(3, [2]), (4, [2]), (2, [])])
def test_training_ends_before_nan_is_saved(tmp_path, bad, saved):
    with pytest.raises(
            NotFiniteError,
            match=f'iteration {bad} .*loss=nan .learning rate 0.'):
        train(
            tmp_path,
            Watched(bad),
            max_iters=6,
            checkpoint=dict(max_keep_ckpts=1))
    found = sorted(tmp_path.glob('*.pth'))
    assert [path.name for path in found] == [f'iter_{n}.pth' for n in saved]
    for path in found:
        state = torch.load(path)['state_dict']
        assert all(value.isfinite().all() for value in state.values())


def test_training_ends_if_the_last_loss_is_nan(tmp_path):
    with pytest.raises(NotFiniteError, match='iteration 3 '):
        train(
            tmp_path,
            Watched(3),
            max_iters=3,
            interval=100,
            checkpoint=dict(save_last=False))


@pytest.mark.parametrize('given', [
    dict(interval=1),
    dict(interval=100, val_interval=1),
])
def test_weights_that_are_not_finite_are_not_kept(tmp_path, given):
    best = dict(checkpoint=dict(save_best='mIoU', rule='greater'))
    with pytest.raises(NotFiniteError, match='student.2.bias'):
        train(tmp_path, Poisoned(), **given, **best)
    assert not list(tmp_path.glob('*.pth'))


def config(lr=.1, end=100, **more):
    optimizer = dict(type='SGD', lr=lr, momentum=.9)
    return dict(
        optim_wrapper=dict(type='OptimWrapper', optimizer=optimizer, **more),
        param_scheduler=dict(type='PolyLR', end=end))


@pytest.fixture
def warnings_logged(monkeypatch):
    logged = []
    for module in ('loops', 'checks'):
        monkeypatch.setattr(f'mmseg_semi.engine.{module}.print_log',
                            lambda text, **kwargs: logged.append(text))
    return logged


@pytest.mark.parametrize('changed,words', [
    (dict(), None),
    (dict(lr=.5), 'are kept.*optimizer.lr: 0.1 in the checkpoint, 0.5 in the'),
    (dict(end=50), r'are kept.*param_scheduler\[0\].end: 100 in .*, 50 in'),
    (dict(paramwise_cfg=dict(norm_decay_mult=0.)),
     'are kept.*paramwise_cfg.norm_decay_mult: not set in the checkpoint, 0.0'
     ),
    (dict(clip_grad=dict(max_norm=1)),
     'clip_grad.max_norm: not set in the checkpoint, 1 in .* It goes on'),
])
def test_another_optimizer_or_schedule_is_told(tmp_path, warnings_logged,
                                               changed, words):
    train(tmp_path, cfg=config())
    del warnings_logged[:]
    train(tmp_path, cfg=config(**changed), resume=True)
    said = [text for text in warnings_logged if 'in the config' in text]
    assert len(said) == bool(words)
    assert not words or re.search(words, said[0])


def test_iterations_after_the_schedule_are_told(tmp_path, warnings_logged):
    poly = dict(type='PolyLR', power=.9, end=4, by_epoch=False)
    runner = make_runner(tmp_path)
    runner.param_schedulers = dict(poly)
    runner.train()
    runner = make_runner(tmp_path, max_iters=8, resume=True)
    runner.param_schedulers = dict(poly, end=8)
    runner.train()
    said = '\n'.join(warnings_logged)
    assert 'added iterations, 5 to 8, have the learning rate 0.' in said
    assert 'max_iters: 4 in the checkpoint, 8 in the config' in said


def test_records_without_a_schedule_are_not_compared():
    now = dict(schedule=dict(max_iters=4))
    assert resume_warnings({}, now) == []
    assert resume_warnings(dict(version='1'), now) == []
