# Copyright (c) mmseg_semi authors.
"""State of terms: how processes share it, and its names in checkpoints."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.state import (reduced, register_state, registered_state,
                                     share_state)
from .state_keys import STATE_KEYS
from .toys import brpg_cfg, mean_teacher

CONFIGS = Path(__file__).parents[2] / 'configs'


def owner(over_ranks):
    module = nn.Module()
    register_state(module, 'counts', torch.zeros(2), over_ranks)
    return module


def test_an_update_on_one_process_is_its_own():
    update = torch.tensor([1., 2.], requires_grad=True)
    for how in ('sum', 'gather', 'same', 'per_rank'):
        found = reduced(owner(how), 'counts', update)
        assert torch.equal(found, update) and not found.requires_grad


def _updates(rank):
    rows = torch.full((rank + 1, 2), float(rank))
    return {
        how:
        reduced(owner(how), 'counts',
                rows if how == 'gather' else rows[0]).tolist()
        for how in ('sum', 'gather', 'same', 'per_rank')
    }


@pytest.mark.dist
def test_an_update_of_two_processes(gloo_pool):
    for rank, found in enumerate(gloo_pool(_updates)):
        assert found == dict(
            sum=[1., 1.],
            gather=[[0., 0.], [1., 1.], [1., 1.]],
            same=[rank, rank],
            per_rank=[rank, rank])


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="'mean' must be one of"):
        owner('mean')
    module = owner('sum')
    with pytest.raises(ValueError, match='counts'):
        share_state(module, 'counts', 'none')


def test_registered_state_has_its_name_and_value():
    model = nn.Module()
    model.one, model.two = owner('sum'), owner('per_rank')
    register_state(model, 'total', nn.Parameter(torch.ones(3)), 'same', True)
    found = {
        name: (*registration, value)
        for name, registration, value in registered_state(model)
    }
    assert found == {
        'total': ('same', True, model.total),
        'one.counts': ('sum', False, model.one.counts),
        'two.counts': ('per_rank', False, model.two.counts)
    }
    assert isinstance(model.total, nn.Parameter)
    assert set(model.state_dict()) == set(found)
    model.three = model.one  # of two networks, say
    assert 'three.counts' in dict(
        (name, value) for name, _, value in registered_state(model))


def test_state_that_moved_is_what_is_registered():
    """As by ``double`` or a bank that is allocated."""
    model = mean_teacher(terms=dict(brpg=brpg_cfg())).double()
    bank = model.terms.brpg.banks.banks['high']
    bank.allocate()
    state = {name: value for name, _, value in registered_state(model)}
    name = 'terms.brpg.banks.banks.high.features'
    assert state[name].shape == bank.features.shape != (4, 0, 6)
    assert state[name].dtype == torch.float64


def test_what_brpg_shares():
    model = mean_teacher(terms=dict(brpg=brpg_cfg()))
    found = {
        name: registration.over_ranks
        for name, registration, _ in registered_state(model)
    }
    for net in ('student', 'teacher'):
        assert found[f'{net}.semi_heads.brpg.prototypes'] == 'sum'
    assert found['terms.brpg.class_confidence'] == 'sum'
    assert found['terms.brpg.banks.banks.low.count'] == 'gather'


def test_prototypes_of_another_shape_are_refused():
    """A shape that no training changes is compared before loading."""
    model = mean_teacher(terms=dict(brpg=brpg_cfg()))
    other = mean_teacher(terms=dict(brpg=brpg_cfg(num_prototypes=(2, 3))))
    with pytest.raises(RuntimeError, match='brpg.prototypes: checkpoint'):
        other.load_state_dict(model.state_dict(), strict=False)


@pytest.mark.parametrize('path', list(STATE_KEYS))
def test_checkpoints_of_version_0_1_fit(path):
    cfg = Config.fromfile(CONFIGS / f'{path}.py')
    model = MODELS.build(cfg.model)
    expected = {
        f'{prefix}.{name}'.lstrip('.')
        for prefix, names in STATE_KEYS[path].items()
        for name in names.split()
    }
    found = {
        key
        for key in model.state_dict()
        if key.startswith(('_', 'terms.')) or '.semi_heads.' in key
    }
    skipped = ('teacher.', 'student2.')
    assert {k for k in found if not k.startswith(skipped)} == expected
