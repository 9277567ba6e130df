# Copyright (c) mmseg_semi authors.
"""What the loop gives a model and refuses for it before training."""
import pytest
import torch
from mmengine.hooks import Hook
from mmseg.registry import MODELS

from mmseg_semi.engine import EMATeacherHook, MemoryBankHook
from .engine_toys import ToySemi, make_runner


class Needy(ToySemi):
    """Wants a teacher's hook, and remembers the plan."""

    def __init__(self):
        super().__init__()
        self.plan = None

    def hooks(self):
        return [dict(type='EMATeacherHook')]

    def plan_training(self, plan):
        assert self.plan is None  # once
        self.plan = plan
        self.register_buffer('by_plan', torch.zeros(plan.total_iters))


class Other(Hook):
    """One of a user."""


@pytest.mark.parametrize('hooks', [(), (Other(), )])
def test_a_teacher_moves_whatever_custom_hooks_say(tmp_path, hooks):
    runner = make_runner(tmp_path, model=Needy(), hooks=hooks)
    runner.train()
    assert runner.model.teacher_updates == 4
    kinds = [type(hook) for hook in runner.hooks]
    assert kinds.count(EMATeacherHook) == 1
    assert (Other in kinds) == bool(hooks)


def test_a_hook_that_is_there_is_left_alone(tmp_path):
    runner = make_runner(
        tmp_path, model=Needy(), hooks=[dict(type='EMATeacherHook')])
    runner.train()
    assert runner.model.teacher_updates == 4
    kinds = [type(hook) for hook in runner.hooks]
    assert kinds.count(EMATeacherHook) == 1 and MemoryBankHook not in kinds


def test_the_plan_comes_before_a_checkpoint(tmp_path):
    """State that has its shape from it is resumed."""
    runner = make_runner(tmp_path, model=Needy(), interval=4)
    runner.train()
    plan = runner.model.plan
    assert (plan.total_iters, plan.labeled_images, plan.unlabeled_images) == \
        (4, 4, 8)
    assert (plan.labeled_batch, plan.unlabeled_batch) == (1, 2)
    again = make_runner(
        tmp_path / 'again',
        model=Needy(),
        load_from=str(tmp_path / 'iter_4.pth'))
    again.train()
    assert again.model.by_plan.shape == (4, )


def test_another_sampler_tells_the_length_alone(tmp_path):
    runner = make_runner(
        tmp_path,
        model=Needy(),
        sampler=dict(type='InfiniteSampler', shuffle=False))
    runner.train()
    plan = runner.model.plan
    assert (plan.total_iters, plan.labeled_images) == (4, None)


@pytest.mark.parametrize('name', [
    'LearningRateDecayOptimizerConstructor', 'LayerDecayOptimizerConstructor'
])
def test_layer_decay_of_one_network_is_refused(tmp_path, name):
    optim = dict(
        optimizer=dict(type='SGD', lr=.1),
        constructor=name,
        paramwise_cfg=dict(num_layers=12, decay_rate=.9))
    model = ToySemi()
    model.learners = ('student', )
    runner = make_runner(tmp_path, optim=optim, model=model)
    with pytest.raises(
            ValueError, match=f'{name}.*SemiLayerDecayOptimizerConstructor'):
        runner.train()


def test_frameworks_say_what_they_need():
    from ..test_models.toys import brpg_cfg, mean_teacher_cfg

    def needs(cfg):
        return [hook['type'] for hook in MODELS.build(cfg).hooks()]

    assert needs(mean_teacher_cfg()) == ['EMATeacherHook']
    assert needs(mean_teacher_cfg(terms=dict(brpg=brpg_cfg()))) == \
        ['EMATeacherHook', 'MemoryBankHook']
    cfg = mean_teacher_cfg(terms=dict(consistency=None))
    assert needs(dict(cfg, type='FixMatch')) == []
