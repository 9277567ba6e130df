# Copyright (c) mmseg_semi authors.
"""CMB's term on two ranks."""
import pytest
import torch

from .given_cmb import (SIZE, C, assert_same_rows, candidates, entering,
                        make_step, make_term, only_target, trained)
from .test_cmb import expected_loss


def _filled(rank, parts, rows_per_image):
    """The bank after two steps in which this rank has parts[rank] images."""
    term, student, teacher = make_term(rows_per_image=rows_per_image)
    for seed in range(2):
        step = make_step((student, teacher), seed=seed, iteration=1)
        with torch.no_grad():
            term.update_before(only_target(step, parts[rank]))
    return term.bank.state_dict()


@pytest.mark.dist
@pytest.mark.parametrize(
    'parts,rows',
    [
        (([0], [1, 2]), 1),
        (([], [0, 1]), 1),
        (([0, 1], [2]), 9),  # each rank has more than memory holds
    ])
def test_the_vectors_of_all_ranks_compete(gloo_pool, parts, rows):
    """Every rank sees three images; only some are of the target domain."""
    ours, theirs = gloo_pool(_filled, parts, rows)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])
    number = min(rows * sum(map(len, parts)), 9)
    term, student, teacher = make_term()
    entered, shares = {label: [] for label in range(C)}, set()
    for seed in range(2):
        found = []
        for part in parts:
            step = make_step((student, teacher), seed=seed, iteration=1)
            found.append(candidates(only_target(step, part), teacher['cmb']))
        pooled = {
            label: tuple(map(torch.cat, zip(*(f[label] for f in found))))
            for label in range(C)
        }
        for label, best in entering(pooled, number).items():
            entered[label].append(best)
            mine = [(best[:, None] == f[label][0]).all(2).any(1).sum().item()
                    for f in found]
            assert sum(mine) == len(best)
            shares.add(tuple(mine))
    term.bank.allocate()
    term.bank.load_state_dict(ours)
    assert_same_rows(term.bank, {
        label: torch.cat(best)[-9:]
        for label, best in entered.items()
    })
    assert term.bank.count.min() > 2
    if all(parts):  # neither rank's rows always win
        assert any(a > b for a, b in shares) and any(a < b for a, b in shares)


def _share(rank, ignored, heads):
    """One image of two; the labels of rank 1 are ignored in part or all."""
    step = make_step(heads, images=2, part=slice(rank, rank + 1))
    if rank == 1:
        step.views['sup'].labels[:, :ignored] = 255
        for view in ('unsup_student', 'unsup_student2'):
            step.labels['student', view]['cls'][:, :ignored] = 255
    return step


def _feature_maps(step):
    return [
        step.learner('student', view).features['cmb'] for view in step.views
    ]


def _trained_on(rank, ignored):
    term, student, teacher = make_term()
    step = _share(rank, ignored, (student, teacher))
    with torch.no_grad():
        term.update_before(step)
    losses = term.loss(step)
    gradients = torch.autograd.grad(
        sum(losses.values()),
        _feature_maps(step) + list(trained(student).values()),
        materialize_grads=True)
    losses = {name: value.detach() for name, value in losses.items()}
    return losses, gradients, term.bank.state_dict()


@pytest.mark.dist
@pytest.mark.parametrize('ignored', [0, 11, SIZE])
def test_the_term_on_two_ranks(gloo_pool, ignored):
    """W = 2, B = 1 + 1: means and weights are those of all ranks' features.

    With unequal counts, and with none on rank 1.
    """
    ranks = gloo_pool(_trained_on, ignored)
    for name, value in ranks[0][2].items():
        assert torch.equal(value, ranks[1][2][name])
    term, student, teacher = make_term()
    steps = [_share(rank, ignored, (student, teacher)) for rank in range(2)]
    term.bank.allocate()
    term.bank.load_state_dict(ranks[0][2])
    expected = [
        .1 * expected_loss(term, steps, views, student['cmb'])
        for views in (['sup'], ['unsup_student', 'unsup_student2'])
    ]
    for name, value in zip(('loss_contrast', 'loss_contrast_unsup'), expected):
        mean = (ranks[0][0][name] + ranks[1][0][name]) / 2  # as DDP does
        assert mean.item() == pytest.approx(value.item(), abs=1e-12)
        assert value > 0
    maps = [_feature_maps(step) for step in steps]
    wanted = torch.autograd.grad(
        sum(expected),
        sum(maps, []) + list(trained(student).values()),
        materialize_grads=True)
    number = len(maps[0])
    ours = [grad / 2 for _, grads, _ in ranks for grad in grads[:number]]
    ours += [(a + b) / 2
             for a, b in zip(*(grads[number:] for _, grads, _ in ranks))]
    for mine, other in zip(ours, wanted):
        assert torch.allclose(mine, other, rtol=1e-7, atol=1e-11)
    assert any((grad != 0).any() for grad in wanted[number:2 * number]) == (
        ignored < SIZE)
