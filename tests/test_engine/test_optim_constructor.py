# Copyright (c) mmseg_semi authors.
import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from .engine_toys import make_runner  # noqa: F401

STEP = dict(type='AdamW', lr=1., weight_decay=.05)


class ToyConvNeXt(nn.Module):
    """Parameter names of mmpretrain's ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.downsample_layers = nn.ModuleList(
            nn.Conv2d(1, 1, 1) for _ in range(4))
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(1, 1, 1) for _ in range(depth))
            for depth in (1, 1, 4, 1))


class Plain(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone = ToyConvNeXt()
        self.decode_head = nn.Conv2d(1, 2, 1)


class Wrapped(nn.Module):
    """Student, frozen teacher and a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.student = Plain()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.temperature = nn.Parameter(torch.ones(1))

    @property
    def backbone(self):
        return self.student.backbone


def build(model, constructor, paramwise_cfg):
    optimizer = build_optim_wrapper(
        model,
        dict(
            constructor=constructor,
            optimizer=STEP,
            paramwise_cfg=paramwise_cfg)).optimizer
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        names[id(p)]: group
        for group in optimizer.param_groups
        for p in group['params']
    }


def layer_decay(model, decay_type='layer_wise', ours=True):
    name = 'SemiLayerDecayOptimizerConstructor' if ours else \
        'LearningRateDecayOptimizerConstructor'
    return build(model, name,
                 dict(num_layers=6, decay_rate=.5, decay_type=decay_type))


def options(group):
    return {k: group[k] for k in ('lr', 'lr_scale', 'weight_decay')}


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
def test_student_gets_the_rates_of_a_plain_model(decay_type):
    stock = layer_decay(Plain(), decay_type, ours=False)
    ours = layer_decay(Wrapped(), decay_type)
    for name, group in stock.items():
        assert options(ours[f'student.{name}']) == options(group), name
    assert len({group['lr'] for group in stock.values()}) > 3
    outside = set(ours) - {f'student.{name}' for name in stock}
    assert outside == {'temperature'}
    assert options(ours['temperature']) == dict(
        lr=1., lr_scale=1., weight_decay=0.)


def test_stock_rates_of_a_wrapped_model_are_wrong():
    """The reason for our constructor; if mmseg mends it, ours can go."""
    stock = layer_decay(Wrapped(), ours=False)
    assert stock['student.backbone.stages.0.0.weight']['lr'] == 1.


def test_plain_models_are_handled_as_by_the_stock_constructor():
    stock = layer_decay(Plain(), ours=False)
    ours = layer_decay(Plain())
    assert ours.keys() == stock.keys()
    assert all(options(ours[n]) == options(g) for n, g in stock.items())


class Two(nn.Module):
    """Two students that share a module."""

    def __init__(self):
        super().__init__()
        self.a, self.b = Plain(), Plain()
        self.b.decode_head = self.a.decode_head


def test_two_students_have_groups_of_their_own_and_share_once():
    groups = layer_decay(Two())
    name = 'backbone.stages.0.0.weight'
    assert options(groups[f'a.{name}']) == options(groups[f'b.{name}'])
    assert groups[f'a.{name}'] is not groups[f'b.{name}']
    assert groups[f'b.{name}']['param_names'] == [
        'b.backbone.downsample_layers.0.weight', f'b.{name}'
    ][-len(groups[f'b.{name}']['params']):]
    assert groups.keys() == dict(Two().named_parameters()).keys()


@pytest.mark.parametrize('paramwise_cfg', [None, dict(norm_decay_mult=0.)])
def test_frozen_teacher_stays_out(paramwise_cfg):
    groups = build(Wrapped(), 'SemiOptimWrapperConstructor', paramwise_cfg)
    trainable = {n for n, p in Wrapped().named_parameters() if p.requires_grad}
    assert set(groups) == trainable
    assert len({id(g) for g in groups.values()}) == 1


def test_shared_parameters_enter_once():
    optimizer = build_optim_wrapper(
        Two(), dict(constructor='SemiOptimWrapperConstructor',
                    optimizer=STEP)).optimizer
    number = sum(len(g['params']) for g in optimizer.param_groups)
    assert number == len(list(Two().parameters()))


def test_options_reach_the_parameters_of_the_student():
    rates = dict(
        custom_keys=dict(backbone=dict(lr_mult=.1)),
        bias_lr_mult=2.,
        bypass_duplicate=True)
    groups = build(Wrapped(), 'SemiOptimWrapperConstructor', rates)
    for name, group in groups.items():
        expected = .1 if 'backbone' in name else (
            2. if name.endswith('bias') else 1.)
        assert group['lr'] == pytest.approx(expected), name
    # One group per set of options, not one per parameter.
    assert len({id(g) for g in groups.values()}) == 3
