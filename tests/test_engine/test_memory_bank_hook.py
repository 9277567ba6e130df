# Copyright (c) mmseg_semi authors.
import pytest
import torch
from mmengine.logging import MessageHub

from mmseg_semi.engine.hooks.memory_bank_hook import (check_ranks_agree,
                                                      checksum)
from mmseg_semi.models.banks import ClassBank
from mmseg_semi.models.state import register_state, share_state
from .engine_toys import ToySemi, make_runner


class WithBank(ToySemi):
    """Fills one row of class 0 per iteration."""

    def __init__(self):
        super().__init__()
        self.bank = ClassBank(num_classes=2, capacity=4, dim=3)
        self.spare = ClassBank(num_classes=2, capacity=4, dim=3)
        self.bank.allocate()
        register_state(self, 'prototypes', torch.zeros(2, 3), 'sum')
        self.register_buffer('prototype_of_nobody', torch.zeros(2))

    def forward(self, inputs, mode='loss', **kwargs):
        if mode == 'loss':
            self.bank.push(
                torch.ones(1, 3), torch.zeros(1, dtype=torch.long),
                torch.ones(1))
        return super().forward(inputs, mode)


def test_fill_and_age_are_logged_at_the_interval(tmp_path):
    runner = make_runner(
        tmp_path,
        max_iters=7,
        model=WithBank(),
        hooks=[dict(type='MemoryBankHook', interval=3)])
    runner.train()
    scalars = MessageHub.get_instance(runner.experiment_name).log_scalars
    assert scalars['train/bank.fill_mean'].data[0].tolist() == [3 / 8, 4 / 8]
    assert scalars['train/bank.fill_min'].data[0].tolist() == [0, 0]
    # Rows of 3 pushes; then the latest 4 of 6.
    assert scalars['train/bank.age_mean'].data[0].tolist() == [1, 1.5]
    assert scalars['train/bank.age_max'].data[0].tolist() == [2, 3]
    assert not any('spare' in name for name in scalars)  # released


def test_model_without_banks_is_fine(tmp_path):
    hooks = [dict(type='MemoryBankHook', interval=1, check_interval=1)]
    make_runner(tmp_path, max_iters=2, hooks=hooks).train()


def _drift(rank):
    """Prototypes that differ by rank; returns the message of the check."""
    model = WithBank()
    model.official = torch.nn.Module()
    register_state(model.official, 'prototypes', torch.full((2, ), rank),
                   'per_rank')
    check_ranks_agree(model)
    share_state(model.official, 'prototypes', 'same')
    try:
        check_ranks_agree(model)
    except RuntimeError as error:
        return str(error)


@pytest.mark.dist
def test_prototypes_that_may_differ(gloo_pool):
    """The official code of BRPG moves prototypes on every rank alone."""
    for message in gloo_pool(_drift):
        assert 'official.prototypes' in message


@pytest.mark.parametrize('dtype', [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.long,
    torch.int32, torch.uint8, torch.bool
])
def test_checksum_sees_values_and_places(dtype):
    tensor = torch.tensor([[[1, 0], [0, 1]], [[0, 0], [1, 1]]]).to(dtype)
    assert checksum(tensor) == checksum(tensor.clone())
    changed = tensor.clone()
    changed[1, 0, 0] = 1
    assert checksum(changed) != checksum(tensor)
    assert checksum(tensor[[1, 0]]) != checksum(tensor)
    assert checksum(tensor[:, [1, 0]]) != checksum(tensor)


def test_checksum_sees_the_sign_of_zero_and_the_size():
    zeros = torch.zeros(2, 3)
    assert checksum(zeros) != checksum(-zeros)
    assert checksum(zeros) != checksum(zeros[:, :0])
    assert checksum(torch.tensor(0)).shape == ()


def disagreement(rank, change):
    model = WithBank()
    if change == 'prototype' and rank:
        model.prototypes[1, 2] = 1e-30
    if change == 'bank' and rank:
        model.bank.count += 1
    if change == 'released' and rank:
        model.bank.release()
    if change == 'own' and rank:  # or not registered
        model.prototype_of_nobody += 1
        model.student[1].running_mean += 1
    try:
        check_ranks_agree(model)
    except RuntimeError as error:
        return str(error)


@pytest.mark.dist
@pytest.mark.parametrize('change,names', [
    ('nothing', None),
    ('own', None),
    ('prototype', 'on prototypes.'),
    ('bank', 'on bank.count.'),
    ('released', 'on bank.features, bank.confidence, bank.arrival.'),
])
def test_disagreement_names_the_buffers(gloo_pool, change, names):
    for message in gloo_pool(disagreement, change):
        assert (message is None) if names is None else names in message
