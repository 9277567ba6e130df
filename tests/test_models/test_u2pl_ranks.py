# Copyright (c) mmseg_semi authors.
"""U2PL on two ranks: the term, and a training under DDP."""
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from mmseg_semi.engine.hooks.memory_bank_hook import check_ranks_agree
from .given_u2pl import (VIEWS, C, bare_u2pl, features_of, given_maps,
                         given_step, one_vector_queues, stored)
from .test_u2pl_model import u2pl_model
from .toys import batch, total


def _maps(case):
    """Maps of four images; ranks see images 0-1 and 2-3.

    Percentiles are those of a rank. Each has one sure and one unsure image,
    so that half of the pixels are reliable on a rank and in all.
    """
    maps = given_maps()
    maps['valid'].fill_(True)
    mixed = maps['unsup_student']
    mixed['cls'] = given_maps()['sup']['cls'].clamp_max(C - 1)
    level = torch.tensor([9., .1, 8., .2], dtype=torch.float64)
    lead = torch.tensor([[3, 2, 1, 0], [0, 1, 2, 3], [2, 0, 1, 3],
                         [3, 0, 2, 1]])
    scores = level[:, None] * lead
    mixed['scores'] = scores[:, :, None,
                             None].expand_as(mixed['scores']).clone()
    ignored = dict(equal=(), unequal=(1, ), one=(0, 1), all=range(4))[case]
    for image in ignored:
        maps['sup']['cls'][image] = 255
        if case != 'unequal':
            mixed['cls'][image] = 255
            maps['valid'][image] = False
    return maps


def _step(rank, maps, options):
    """Loss, its gradient per image, and the queues."""
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    options = dict(start=50., **options)
    fidelity = options.pop('fidelity', 'paper')
    term = bare_u2pl(fidelity, **options)
    step = given_step(maps, 0, part=part, seed=rank or 0)
    term.update_before(step)
    rows = stored(term)
    raw = term.queues.others.features.clone()
    one_vector_queues(term)
    loss = term.loss(step)['loss_contrast']
    loss.backward()
    return (loss.detach(), [features_of(step, v).grad for v in VIEWS], rows,
            raw, int(step.log['contrast/active_classes']))


@pytest.mark.dist
class TestWorldSize:
    """W=1, B=4 against W=2, B=2."""

    @pytest.mark.parametrize('case', ['equal', 'unequal', 'one', 'all'])
    @pytest.mark.parametrize(
        'options', [{}, dict(fidelity='official', per_gpu_scale=False)])
    def test_loss_gradient_and_queues(self, gloo_pool, case, options):
        if options:
            sizes = dict(num_anchors=1000, num_negatives=6)
            options = dict(options, **sizes)
        maps = _maps(case)
        loss, grads, rows, _, active = _step(None, maps, options)
        results = gloo_pool(_step, maps, options)
        mean = sum(result[0] for result in results) / 2
        torch.testing.assert_close(mean, loss, rtol=0, atol=1e-9)
        assert (loss == 0) == (case == 'all')
        for i, expected in enumerate(grads):
            # DDP averages gradients over ranks.
            grad = torch.cat([result[1][i] for result in results]) / 2
            torch.testing.assert_close(grad, expected, rtol=0, atol=1e-9)
        assert results[0][2] == results[1][2] == rows
        assert torch.equal(results[0][3], results[1][3])
        assert results[0][4] == results[1][4] == active

    def test_per_gpu_scale(self, gloo_pool):
        maps = _maps('unequal')
        loss, *_ = _step(None, maps, {})
        results = gloo_pool(_step, maps, dict(per_gpu_scale=True))
        mean = sum(result[0] for result in results) / 2
        torch.testing.assert_close(mean, loss / 2, rtol=0, atol=1e-9)


def _ddp(rank, fidelity):
    """Train over ranks that see different images; what each ends with."""
    model = u2pl_model(dict(fidelity=fidelity))
    ddp = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=.05)
    for it in range(5):
        inputs, samples = batch(labeled=2, unlabeled=2, seed=10 * it + rank)
        if rank == 1 and it == 2:  # no labelled anchor here
            for item in samples['sup']:
                item.gt_sem_seg.data.fill_(255)
        losses = ddp(inputs, samples, mode='loss')
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        model.update_teacher()
    check_ranks_agree(model)
    return (dict(model.student.named_parameters()),
            model.terms['u2pl'].queues.state_dict(),
            losses['loss_contrast'].item())


@pytest.mark.dist
@pytest.mark.parametrize('fidelity', ['paper', 'official'])
def test_two_processes_stay_alike(gloo_pool, fidelity):
    """DDP finds every parameter used; queues are the same on both."""
    first, second = gloo_pool(_ddp, fidelity)
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name]), name
    assert first[1]['others.count'].sum() > 0
    for name, value in first[1].items():
        assert torch.equal(value, second[1][name]), name
    assert first[2] > 0
