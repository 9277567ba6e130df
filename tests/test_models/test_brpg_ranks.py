# Copyright (c) mmseg_semi authors.
"""BRPG on two ranks: the term, and a training under DDP."""
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from .given import (PLENTY, bare_term, features_of, given_maps, given_step,
                    set_prototypes, sorted_rows, stored, take, unequal_counts)
from .test_brpg_model import brpg_model
from .toys import SIZE, batch, total


def _sample(rank, maps):
    """Rows of the banks after two steps, and the prototypes made of them."""
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    term = bare_term(
        apo=None, draws_per_image=SIZE**2, confidence=(.5, .6), **PLENTY)
    for iteration in (1, 2):
        take(term, given_step(maps, iteration, part=part, seed=rank or 0))
    rows = stored(term)
    raw = {g: b.features.clone() for g, b in term.banks.banks.items()}
    take(term, given_step(maps, 3, part=part))
    prototypes = [
        sorted_rows(p[v])
        for p, v in zip(term.head.prototypes, term.head.prototype_valid)
    ]
    return rows, raw, prototypes, term.head.prototypes


def _contrast(rank, maps, options):
    """L_pro, its gradient per image and the moved prototypes."""
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    term = bare_term(draws_per_image=SIZE**2, confidence=(.5, .6), **options)
    set_prototypes(term)
    step = given_step(maps, 3, part=part, seed=rank or 0)
    loss = take(term, step)['loss_proto']
    loss.backward()
    return (loss.detach(), features_of(step, 'sup').grad,
            features_of(step, 'unsup_student').grad, term.head.prototypes)


def _counts(case):
    """Maps of four images; ranks see images 0-1 and 2-3."""
    maps = given_maps(blocks=True)
    if case == 'unequal':
        return unequal_counts(maps)
    images = {'zero on one': [2, 3], 'zero on all': range(4)}.get(case, [])
    for image in images:
        maps['sup']['cls'][image] = 255
        maps['conf'][image] = 0
        maps['weak']['logits'][image] = 0
    return maps


CASES = ['equal', 'unequal', 'zero on one', 'zero on all']


@pytest.mark.dist
class TestWorldSize:
    """Show 6 and T11: W=1, B=4 against W=2, B=2."""

    @pytest.mark.parametrize('case', CASES[:3])
    def test_banks_and_prototypes(self, gloo_pool, case):
        maps = _counts(case)
        rows, _, prototypes, _ = _sample(None, maps)
        (rows0, raw0, protos0, all0), (rows1, raw1, _,
                                       all1) = gloo_pool(_sample, maps)
        assert rows0 == rows1 == rows
        assert all(torch.equal(raw0[g], raw1[g]) for g in raw0)
        assert torch.equal(all0, all1)
        for ours, theirs in zip(protos0, prototypes):
            torch.testing.assert_close(
                torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=1e-6)

    @pytest.mark.parametrize('case', CASES)
    def test_loss_gradient_and_update(self, gloo_pool, case):
        maps = _counts(case)
        loss, sup, unsup, moved = _contrast(None, maps, {})
        results = gloo_pool(_contrast, maps, {})
        assert torch.equal(results[0][3], results[1][3])
        mean = sum(r[0] for r in results) / 2
        torch.testing.assert_close(mean, loss, rtol=0, atol=1e-9)
        for i, expected in ((1, sup), (2, unsup)):
            # DDP averages gradients over ranks.
            grad = torch.cat([r[i] for r in results]) / 2
            torch.testing.assert_close(grad, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(results[0][3], moved, rtol=0, atol=1e-9)
        assert (loss == 0) == (case == 'zero on all')

    def test_official_rules(self, gloo_pool):
        """B10-5 and B10-9: loss / W, prototypes drift apart."""
        maps = _counts('unequal')
        loss, *_ = _contrast(None, maps, {})
        options = dict(per_gpu_scale=True, sync_prototypes=False)
        results = gloo_pool(_contrast, maps, options)
        mean = sum(r[0] for r in results) / 2
        torch.testing.assert_close(mean, loss / 2, rtol=0, atol=1e-9)
        assert not torch.equal(results[0][3], results[1][3])


def _ddp(rank, brpg):
    """Train over ranks that see different images; what each ends with."""
    model = brpg_model(brpg)
    ddp = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=.05)
    banks = None
    for it in range(6):
        inputs, samples = batch(labeled=2, unlabeled=2, seed=10 * it + rank)
        if rank == 1 and it == 2:  # nothing to sample here
            for item in samples['sup']:
                item.gt_sem_seg.data.fill_(255)
        losses = ddp(inputs, samples, mode='loss')
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        model.update_teacher()
        if it == 2:
            banks = {
                k: v.clone()
                for k, v in model.state_dict().items() if '.banks.' in k
            }
    return (banks, dict(model.student.named_parameters()),
            model.student.semi_heads['brpg'].prototypes,
            losses['loss_proto'].item())


@pytest.mark.dist
@pytest.mark.parametrize('brpg', [
    dict(),
    dict(pretrain_head=True, split=False, num_prototypes=(2, ), apo=None),
    dict(head=dict(projector=None, channels=16)),
])
def test_two_processes_stay_alike(gloo_pool, brpg):
    """Show 6: a real training; DDP finds every parameter used."""
    first, second = gloo_pool(_ddp, brpg)
    assert any(v.any() for v in first[0].values())
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name]), name
    for name, value in first[1].items():
        assert torch.equal(value, second[1][name]), name
    assert first[2].any() and torch.equal(first[2], second[2])
    assert first[3] > 0
