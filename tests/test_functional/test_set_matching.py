# Copyright (c) mmseg_semi authors.
from itertools import permutations
from unittest import mock

import numpy as np
import pytest
import torch

from mmseg_semi import functional as func
from mmseg_semi.functional import match, match_on_host, matching_costs
from mmseg_semi.functional.set_matching import WORST, assign

L, B, Q, K, N, H, W = 2, 3, 5, 4, 3, 4, 6


def given(seed=0, layers=(L, )):
    """Random logits; slots are classes, image b lacks class b."""
    gen = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return 2 * torch.randn(*shape, generator=gen, dtype=torch.float64)

    labels = torch.arange(N).expand(B, N).clone()
    labels[torch.arange(N), torch.arange(N)] = -1
    cls = torch.randint(0, N, (B, H, W), generator=gen)
    masks = (cls[:, None] == torch.arange(N)[:, None, None]).double()
    valid = torch.rand(B, H, W, generator=gen) < .7
    return randn(*layers, B, Q, K), randn(*layers, B, Q, H, W), labels, \
        masks, valid


def slow_costs(class_logits, mask_logits, labels, masks, valid, weights):
    """MaskFormer's matcher.py for one image, pair by pair."""
    costs = torch.full((Q, N), torch.inf, dtype=torch.float64)
    for q in range(Q):
        x = mask_logits[q][valid]
        p = x.sigmoid()
        for n in range(N):
            if labels[n] < 0:
                continue
            t = masks[n][valid]
            p_t = torch.where(t > 0, p, 1 - p)
            alpha = torch.where(t > 0, .25, .75)
            focal = (-alpha * (1 - p_t)**2 * p_t.log()).mean()
            dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            cost = weights['focal'] * focal + weights['dice'] * dice
            if class_logits is not None:
                cost -= weights['cls'] * class_logits[q].softmax(0)[labels[n]]
            costs[q, n] = cost
    return costs


@pytest.mark.parametrize('with_classes', [True, False])
@pytest.mark.parametrize('partly', [True, False])
@pytest.mark.parametrize(
    'weights',
    [func.COST_WEIGHTS, dict(cls=2., focal=3., dice=5.)])
def test_costs_against_a_loop(with_classes, partly, weights):
    classes, logits, labels, masks, valid = given()
    classes = classes if with_classes else None
    costs = matching_costs(
        logits,
        classes,
        labels,
        masks,
        valid=valid if partly else None,
        weights=weights)
    assert costs.shape == (L, B, Q, N)
    kept = valid if partly else torch.ones_like(valid)
    for i in range(L):
        for b in range(B):
            torch.testing.assert_close(
                costs[i, b],
                slow_costs(classes[i, b] if with_classes else None, logits[i,
                                                                           b],
                           labels[b], masks[b], kept[b], weights),
                rtol=1e-11,
                atol=1e-11)


@pytest.mark.parametrize('layers', [(), (L, )])
def test_the_assignment_is_the_cheapest(layers):
    classes, logits, labels, masks, valid = given(layers=layers)
    found = match(classes, logits, labels, masks, valid=valid)
    assert found.shape == (*layers, B, N) and found.dtype == torch.long
    costs = matching_costs(logits, classes, labels, masks, valid=valid)
    costs, found = costs.view(-1, B, Q, N), found.view(-1, B, N)
    for i in range(len(costs)):
        for b in range(B):
            present = [n for n in range(N) if labels[b, n] >= 0]
            best = min(
                permutations(range(Q), len(present)),
                key=lambda queries: sum(costs[i, b, q, n]
                                        for q, n in zip(queries, present)))
            assert found[i, b][present].tolist() == list(best)
            absent = [n for n in range(N) if n not in present]
            assert (found[i, b][absent] == -1).all()


def test_one_computation_for_all_layers_equals_one_each():
    classes, logits, labels, masks, valid = given()
    together = match(classes, logits, labels, masks, valid=valid)
    for i in range(L):
        alone = match(classes[i], logits[i], labels, masks, valid=valid)
        assert torch.equal(together[i], alone)


def test_one_transfer_whatever_the_number_of_layers():
    """As on a GPU, which nobody asks how many segments there are."""
    classes, logits, labels, masks, _ = given()
    costs = matching_costs(logits, classes, labels, masks)
    on_gpu = mock.Mock(device=torch.device('cuda'))
    with mock.patch(
            'mmseg_semi.functional.set_matching.matching_costs') as compute:
        compute.return_value = mock.Mock(cpu=mock.Mock(return_value=costs))
        found = match_on_host(classes, logits, on_gpu, masks)
    assert compute.return_value.cpu.call_count == 1
    assert torch.equal(found, match(classes, logits, labels, masks))


def test_on_a_cpu_empty_slots_cost_nothing():
    classes, logits, labels, masks, _ = given()
    labels[0], labels[1] = -1, torch.tensor([-1, 1, -1])
    masks = torch.where(labels[..., None, None] < 0, torch.nan, masks)
    with mock.patch(
            'mmseg_semi.functional.set_matching.matching_costs',
            wraps=matching_costs) as compute:
        found = match_on_host(classes, logits, labels, masks)
    assert compute.call_args.args[2].tolist() == [[-1, -1], [1, -1], [0, 1]]
    assert torch.equal((found >= 0), (labels >= 0).expand_as(found))


@pytest.mark.parametrize('bad', [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_do_not_stop_the_solver(bad):
    """An overflow under AMP is for the gradient scaler to handle."""
    classes, logits, labels, masks, _ = given()
    clean = match(classes, logits, labels, masks)
    logits[0, 1] = bad
    classes[1, 2, 3] = bad
    costs = matching_costs(logits, classes, labels, masks)
    assert costs[..., labels[0] >= 0][:, 0].isfinite().all()
    assert costs[costs.isfinite()].abs().max() <= WORST
    with pytest.warns(UserWarning, match='cost is NaN.*learning rate'):
        found = match(classes, logits, labels, masks)
    assert torch.equal(found[0, 0], clean[0, 0])
    for b in range(B):
        queries = found[:, b][:, labels[b] >= 0]
        assert ((queries >= 0) & (queries < Q)).all()
        assert all(len(set(q)) == len(q) for q in queries.tolist())


def test_segments_left_over():
    costs = np.array([[3., 1., np.inf, 2.]])
    with pytest.warns(UserWarning, match='3 segments.*only 1'):
        found = assign(costs)
    assert found.tolist() == [-1, 0, -1, -1]


def test_no_segment_at_all():
    classes, logits, labels, masks, _ = given()
    found = match(classes, logits, torch.full_like(labels, -1), masks)
    assert (found == -1).all()


def test_no_image_at_all():
    classes, logits, labels, masks, _ = given()
    found = match(classes[:, :0], logits[:, :0], labels[:0], masks[:0])
    assert found.shape == (L, 0, N)


def test_no_valid_pixel():
    classes, logits, labels, masks, valid = given()
    found = match(
        classes, logits, labels, masks, valid=torch.zeros_like(valid))
    assert ((found >= 0) == (labels >= 0)).all()


def test_half_precision_is_computed_in_full():
    classes, logits, labels, masks, _ = given()
    args = classes.float(), labels, masks.float()
    with torch.autocast('cpu', torch.bfloat16):
        costs = matching_costs(logits.float(), *args)
    assert torch.equal(costs, matching_costs(logits.float(), *args))
    assert not costs.requires_grad
    assert matching_costs(logits.half(), *args).dtype == torch.float32
