# Copyright (c) mmseg_semi authors.
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

from mmseg_semi.engine import EMATeacherHook
from .engine_toys import ToySemi, make_runner


class Updates(Hook):
    """Number of teacher updates after each iteration, as a logger sees it."""

    priority = 'NORMAL'

    def __init__(self):
        self.counts = []

    def after_train_iter(self, runner, **kwargs):
        self.counts.append(int(runner.model.teacher_updates))


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(OptimWrapper):
    """Mixed precision's scaler on CPU; gradients overflow when told to."""

    def __init__(self, overflow_at, **kwargs):
        super().__init__(**kwargs)
        self.overflow_at = overflow_at
        self.scaler = torch.amp.GradScaler('cpu')

    def backward(self, loss, **kwargs):
        self.scaler.scale(loss).backward()
        self._inner_count += 1
        if self._inner_count in self.overflow_at:
            self.optimizer.param_groups[0]['params'][0].grad[:] = torch.inf

    def step(self, **kwargs):
        self.scaler.step(self.optimizer)
        self.scaler.update()


def counts(tmp_path, optim=None, max_iters=6, **kwargs):
    seen = Updates()
    runner = make_runner(
        tmp_path,
        max_iters=max_iters,
        optim=optim,
        hooks=[dict(type='EMATeacherHook'), seen],
        **kwargs)
    runner.train()
    return seen.counts, runner


SGD = dict(type='SGD', lr=.1)


def test_once_per_iteration(tmp_path):
    assert counts(tmp_path)[0] == [1, 2, 3, 4, 5, 6]


def test_once_per_optimizer_step_under_accumulation(tmp_path):
    optim = dict(accumulative_counts=4, optimizer=SGD)
    # mmengine steps at 4 and 8, and with the remainder at the end.
    assert counts(tmp_path, optim, 10)[0] == [0] * 3 + [1] * 4 + [2] * 2 + [3]


@pytest.mark.parametrize('fused', [False, True])
def test_not_when_the_scaler_skipped_the_step(tmp_path, fused):
    # A fused optimizer is called on overflow too, and skips by itself.
    optim = dict(
        type='ScaledOptimWrapper',
        overflow_at=(2, 3),
        optimizer=dict(fused=fused, **SGD))
    assert counts(tmp_path, optim)[0] == [1, 1, 1, 2, 3, 4]


def test_saved_teacher_is_the_updated_one(tmp_path):
    counts(tmp_path)
    state = torch.load(tmp_path / 'iter_6.pth')['state_dict']
    assert state['teacher_updates'] == 6


def test_continues_after_resume(tmp_path):
    counts(tmp_path, max_iters=4)
    assert counts(tmp_path, max_iters=6, resume=True)[0] == [5, 6]


def test_two_optimizers_are_one_step():
    hook = EMATeacherHook()
    wrappers = {name: OptimWrapper(attached(nn.Linear(1, 1))) for name in 'ab'}
    runner = SimpleNamespace(
        model=ToySemi(),
        train_loop=None,
        optim_wrapper=OptimWrapperDict(**wrappers))
    hook.before_train(runner)
    for wrapper in wrappers.values():
        wrapper.step()
    hook.after_train_iter(runner, 0)
    assert runner.model.teacher_updates == 1


def test_lets_go_after_training_and_does_not_attach_twice():
    hook, optimizer = EMATeacherHook(), attached(nn.Linear(1, 1))
    runner = fake_runner(ToySemi(), optimizer)
    hook.before_train(runner)
    hook.before_train(runner)
    assert len(optimizer._optimizer_step_post_hooks) == 1
    hook.after_train(runner)
    assert not optimizer._optimizer_step_post_hooks


def test_model_without_teacher_is_refused():
    runner = fake_runner(nn.Linear(1, 1), attached(nn.Linear(1, 1)))
    with pytest.raises(TypeError, match='Linear has no `update_teacher'):
        EMATeacherHook().before_train(runner)


def test_optimizer_that_cannot_tell_is_refused():
    runner = fake_runner(ToySemi(), object())
    with pytest.raises(TypeError, match='object is no torch.optim.Optimizer'):
        EMATeacherHook().before_train(runner)


def attached(module):
    """An optimizer with gradients to apply."""
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    return torch.optim.SGD(module.parameters(), lr=.1)


def fake_runner(model, optimizer):
    return SimpleNamespace(
        model=model,
        train_loop=None,
        optim_wrapper=SimpleNamespace(optimizer=optimizer))
