# Copyright (c) mmseg_semi authors.
"""Modules that two students have in common."""
import io
import warnings

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from .given_students import NETS, cps
from .toys import batch, brpg_cfg, total

SHARED = 'decode_head.classifier'


class TestShared:

    def test_one_object_initialised_once(self):
        with warnings.catch_warnings():
            warnings.filterwarnings('error', 'init_weights of')
            model = cps(shared=(SHARED, ), init_seeds=(1, 2))
        alone = cps(init_seeds=(1, 2))
        one, two = (
            net.decode_head.classifier
            for net in (model.student1, model.student2))
        assert one is two
        for ours, theirs in zip(
                one.parameters(),
                alone.student1.decode_head.classifier.parameters()):
            assert torch.equal(ours, theirs)
        for name, value in alone.student2.named_parameters():
            if not name.startswith(SHARED):
                assert torch.equal(
                    value,
                    dict(
                        model.student2.named_parameters(
                            remove_duplicate=False))[name])

    @pytest.mark.parametrize('options', [{}, dict(norm_decay_mult=0.)])
    def test_one_parameter_group_and_one_step(self, options):
        model = cps(shared=(SHARED, ))
        with DefaultScope.overwrite_default_scope('mmseg'):
            optimizer = build_optim_wrapper(
                model,
                dict(
                    type='OptimWrapper',
                    constructor='SemiOptimWrapperConstructor',
                    optimizer=dict(type='SGD', lr=.1, weight_decay=0.),
                    paramwise_cfg=options)).optimizer
        weight = next(model.student1.decode_head.classifier.parameters())
        found = [
            p for group in optimizer.param_groups for p in group['params']
        ]
        assert sum(p is weight for p in found) == 1
        assert len(found) == len({id(p) for p in model.parameters()})
        losses = model.loss(*batch(unlabeled=4))
        parts = [
            torch.autograd.grad(
                sum(v for k, v in losses.items()
                    if k.startswith(net) and 'loss' in k),
                weight,
                retain_graph=True)[0] for net in NETS
        ]
        assert all(part.abs().sum() > 0 for part in parts)
        before = weight.detach().clone()
        total(losses).backward()
        optimizer.step()
        assert torch.allclose(weight, before - .1 * (parts[0] + parts[1]))

    def test_stored_under_both_names(self):
        model = cps(shared=(SHARED, ))
        state = model.state_dict()
        keys = [k for k in state if k.startswith(f'student1.{SHARED}')]
        assert keys
        for key in keys:
            assert torch.equal(state[key],
                               state[key.replace('student1', 'student2')])
        other = cps(shared=(SHARED, ), init_seeds=(7, 8))
        other.load_state_dict(state)
        assert other.student1.decode_head.classifier is \
            other.student2.decode_head.classifier

    @pytest.mark.parametrize('name', [
        'decode_head.nothing', 'terms.nobody.banks', 'terms.consistency',
        'decode_head.classifier.weight'
    ])
    def test_unknown_names(self, name):
        with pytest.raises(ValueError, match='shared'):
            cps(shared=(name, ))

    def test_banks_and_prototypes_in_common(self):
        """BRPG on CPS with one feature space, by config."""
        model = cps(
            terms=dict(brpg=brpg_cfg()),
            shared=('semi_heads.brpg', 'terms.brpg.banks'))
        one, two = (model.terms[f'brpg@{net}'] for net in NETS)
        assert one.banks is two.banks and one.head is two.head
        for it in range(4):
            losses = model.loss(*batch(unlabeled=4, seed=it))
            model.zero_grad()
            total(losses).backward()
            if it == 1:
                counts = [
                    bank.count.sum() for bank in one.banks.banks.values()
                ]
                assert sum(counts) > 0
        assert one.head.prototype_valid.any()
        assert losses['student2.loss_proto'] > 0


def trained(model, optimizer, steps):
    for it in steps:
        optimizer.zero_grad()
        total(model.loss(*batch(unlabeled=4, seed=it))).backward()
        optimizer.step()
    return model


def test_resume_is_exact():

    def fresh(seed):
        model = cps(
            terms=dict(brpg=brpg_cfg()),
            shared=(SHARED, ),
            init_seeds=(seed, seed + 1))
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    model, optimizer = fresh(0)
    trained(model, optimizer, range(2))
    file = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), file)
    trained(model, optimizer, range(2, 5))
    file.seek(0)
    resumed, other = fresh(5)
    for target, state in zip((resumed, other),
                             torch.load(file, weights_only=True)):
        target.load_state_dict(state)
    trained(resumed, other, range(2, 5))
    state = resumed.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
