# Copyright (c) mmseg_semi authors.
import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmseg_semi.models.loss_watch import (LossWatch, NotFiniteError,
                                          check_weights_finite,
                                          expects_loss_scaler, has_loss_scaler)
from .toys import batch, mean_teacher


def losses(value, **more):
    total = torch.tensor(value, requires_grad=True)
    return dict(loss=total * 1, loss_sup=torch.tensor(1.), **more)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_the_next_batch_notices(value):
    watch = LossWatch()
    watch.look(losses(1.), 1, scaled=False)
    watch.look(losses(value), 2, scaled=False)
    with pytest.raises(
            NotFiniteError, match=f'iteration 2 .*: loss={value} .learning'):
        watch.look(losses(1.), 3, scaled=False)


def test_what_was_not_read_is_read_before_saving():
    watch = LossWatch()
    watch.look(losses(math.nan), 1, scaled=False)
    assert copy.deepcopy(watch)._pending is None
    with pytest.raises(NotFiniteError, match='iteration 1 '):
        watch.finish()


def test_a_loss_scaler_may_skip_some_in_a_row():
    watch = LossWatch(patience=2)
    for value in (math.nan, math.nan, 1., math.nan, math.nan, math.nan):
        watch.look(losses(value), 1, scaled=True)
    with pytest.raises(NotFiniteError, match='in 3 batches in a row'):
        watch.finish()


def test_values_that_are_no_losses_may_be_anything():
    watch = LossWatch()
    watch.look(
        losses(1., **{'pseudo/confidence': torch.tensor(math.nan)}),
        1,
        scaled=False)
    watch.finish()


@pytest.mark.parametrize('patience', [-1, 1.5, True])
def test_patience_is_a_number_of_batches(patience):
    with pytest.raises(ValueError, match='skip_bad_losses'):
        LossWatch(patience)


@pytest.mark.parametrize('name,value,sound', [
    ('weight', math.nan, False),
    ('weight', -math.inf, False),
    ('running_var', math.inf, False),
    ('running_var', math.nan, False),
    ('running_var', -math.inf, True),
    ('num_batches_tracked', 3, True),
])
def test_weights_that_are_not_finite_are_named(name, value, sound):
    model = nn.BatchNorm1d(2)
    state = model.state_dict()
    check_weights_finite(model, state)
    state[name].fill_(value)
    if sound:
        check_weights_finite(model, state)
        return
    with pytest.raises(NotFiniteError, match=f'^{name} of the model'):
        check_weights_finite(model, state)


def test_frameworks_watch_their_losses():
    model = mean_teacher()
    model.parse_losses(model.loss(*batch(seed=0)))
    with torch.no_grad():
        next(model.student.parameters()).fill_(math.nan)
    model.parse_losses(model.loss(*batch(seed=1)))
    with pytest.raises(NotFiniteError, match='iteration 2 .*: loss=nan'):
        model.parse_losses(model.loss(*batch(seed=2)))


def optim_wrapper(**scaler):
    """Of CPU; with a loss scaler as mixed precision has one, if given."""
    wrapper = OptimWrapper(
        torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=.1))
    if scaler:
        wrapper.loss_scaler = torch.amp.GradScaler('cpu', **scaler)
    return wrapper


def test_a_loss_scaler_is_told_by_the_optimizer():
    scaled = optim_wrapper(enabled=True)
    off, plain = optim_wrapper(enabled=False), optim_wrapper()
    assert has_loss_scaler(scaled)
    assert not has_loss_scaler(off)
    assert not has_loss_scaler(plain)
    assert has_loss_scaler(OptimWrapperDict(a=scaled, b=scaled))
    # The weights of one of the two would be lost.
    assert not has_loss_scaler(OptimWrapperDict(a=scaled, b=plain))


@pytest.mark.parametrize('device,autocast,dtype,expected', [
    ('cuda', True, torch.float16, True),
    ('cuda', True, torch.bfloat16, False),
    ('cuda', False, torch.float16, False),
    ('cpu', True, torch.float16, False),
])
def test_half_precision_expects_a_loss_scaler(monkeypatch, device, autocast,
                                              dtype, expected):
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda: autocast)
    monkeypatch.setattr(
        torch, 'get_autocast_dtype', lambda kind: dtype, raising=False)
    assert expects_loss_scaler(torch.device(device)) is expected


@pytest.mark.parametrize('scaler,raises', [(True, False), (False, True)])
def test_frameworks_count_on_the_loss_scaler_they_are_told_of(scaler, raises):
    model = mean_teacher()
    model.loss_scaler = scaler
    with torch.no_grad():
        next(model.student.parameters()).fill_(math.nan)
    model.parse_losses(model.loss(*batch(seed=1)))
    if raises:
        with pytest.raises(NotFiniteError, match='iteration 1 '):
            model.loss_watch.finish()
    else:
        model.loss_watch.finish()
