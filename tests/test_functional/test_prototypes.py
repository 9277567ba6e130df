# Copyright (c) mmseg_semi authors.
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_semi import dist
from mmseg_semi.functional import (assigned_sums, moved_prototypes,
                                   prototype_logits, prototype_loss,
                                   prototype_similarity)

IGNORE = 255
C, K, D = 5, 3, 7
NUMBERS = (3, 1, 2, 0, 3)  # prototypes per class; class 3 has none yet


def _problem(number=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(number, D, generator=generator, dtype=torch.float64)
    prototypes = torch.randn(C, K, D, generator=generator, dtype=torch.float64)
    valid = torch.arange(K) < torch.tensor(NUMBERS)[:, None]
    target = torch.randint(0, C, (number, ), generator=generator)
    target[::7] = IGNORE
    return features, prototypes, valid, target


def _loss(features, prototypes, valid, target):
    similarity = prototype_similarity(features, prototypes, valid)
    return prototype_loss(prototype_logits(similarity, 0.1), target)


def _cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b))


def test_similarity_and_logits_equal_loops():
    features, prototypes, valid, _ = _problem()
    similarity = prototype_similarity(features, prototypes, valid)
    logits = prototype_logits(similarity, 0.1)
    for n, c in np.ndindex(len(features), C):
        row = [
            _cosine(features[n], prototypes[c, k]) if valid[c,
                                                            k] else -math.inf
            for k in range(K)
        ]
        assert similarity[n, c].tolist() == pytest.approx(row, abs=1e-12)
        assert logits[n, c].item() == pytest.approx(max(row) / 0.1, abs=1e-10)


def test_loss_equals_duplicate_padded_cosine_similarity():
    # Acceptance check 3: as the official code computes it, with gradient.
    features, prototypes, valid, target = _problem()
    features.requires_grad_()
    loss = _loss(features, prototypes, valid, target)
    gradient, = torch.autograd.grad(loss, features)
    padded = prototypes.clone()
    for c, number in enumerate(NUMBERS):
        padded[c, number:] = prototypes[c, max(number - 1, 0)]
    scores = F.cosine_similarity(
        features[:, None, None], padded[None], dim=-1).max(-1).values / 0.1
    scores = scores[:, [c for c in range(C) if NUMBERS[c]]]
    relabel = torch.tensor([0, 1, 2, IGNORE, 3])
    new = torch.where(target == IGNORE, IGNORE, relabel[target % C])
    expected = F.cross_entropy(scores, new, ignore_index=IGNORE)
    official, = torch.autograd.grad(expected, features)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(gradient, official, rtol=1e-10, atol=1e-14)


def test_gradient_reaches_counted_samples_only():
    features, prototypes, valid, target = _problem()
    features.requires_grad_()
    prototypes.requires_grad_()
    _loss(features, prototypes, valid, target).backward()
    counted = (target != IGNORE) & (target != 3)
    assert torch.equal(features.grad.abs().sum(1) > 0, counted)
    assert prototypes.grad is None


@pytest.mark.parametrize(
    'case', ['ignored', 'no prototypes', 'no samples', 'class absent'])
def test_empty_sets_give_zero(case):
    features, prototypes, valid, target = _problem()
    if case == 'ignored':
        target = torch.full_like(target, IGNORE)
    elif case == 'no prototypes':
        valid = torch.zeros_like(valid)
    elif case == 'no samples':
        features, target = features[:0], target[:0]
    else:
        target = torch.full_like(target, 3)
    features = features.detach().requires_grad_()
    loss = _loss(features, prototypes, valid, target)
    loss.backward()
    assert loss.item() == 0 and (features.grad == 0).all()
    similarity = prototype_similarity(features, prototypes, valid)
    sums, counts = assigned_sums(features, similarity, target)
    assert (counts == 0).all() and (sums == 0).all()
    moved = moved_prototypes(prototypes, sums, counts, 0.99)
    assert torch.equal(moved, prototypes)


def test_zero_feature_gets_a_finite_gradient():
    features, prototypes, valid, target = _problem()
    features[1], target[1] = 0, 0
    features.requires_grad_()
    _loss(features, prototypes, valid, target).backward()
    assert features.grad.abs().max() < 100
    assert (features.grad[1] == 0).all()


def test_autocast_does_not_reach_the_similarity():
    features, prototypes, valid, target = _problem()
    half = features.bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        loss = _loss(half, prototypes, valid, target)
    expected = _loss(half.double(), prototypes, valid, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def _update_reference(features, prototypes, target, momentum):
    """BRPG Eq. 22 by the double loop."""
    moved = prototypes.clone()
    for c in range(C):
        for k in range(NUMBERS[c]):
            members = []
            for feature, label in zip(features, target):
                if label != c:
                    continue
                own = [
                    _cosine(feature, prototypes[c, j])
                    for j in range(NUMBERS[c])
                ]
                if own.index(max(own)) == k:
                    members.append(feature)
            if members:
                mean = sum(members) / len(members)
                moved[c, k] = momentum * moved[c, k] + (1 - momentum) * mean
    return moved


@pytest.mark.parametrize('number', [1, 6, 40])
def test_update_equals_double_loop(number):
    # Acceptance check 4: ignored samples, classes without samples.
    features, prototypes, valid, target = _problem(number)
    features.requires_grad_()
    similarity = prototype_similarity(features, prototypes, valid)
    sums, counts = assigned_sums(features, similarity, target)
    moved = moved_prototypes(prototypes, sums, counts, 0.9)
    expected = _update_reference(features.detach(), prototypes, target, 0.9)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-10)
    assert not sums.requires_grad
    counted = (target != IGNORE) & (target != 3)
    assert counts.sum() == counted.sum()
    assert counts.shape == (C, K) and sums.shape == (C, K, D)


def test_overflowed_rows_do_not_poison_prototypes():
    features, prototypes, valid, target = _problem()
    clean = prototype_similarity(features, prototypes, valid)
    skipped = target.clone()
    skipped[1:3] = IGNORE
    expected = assigned_sums(features, clean, skipped)
    features[1, 0], features[2, 3] = torch.inf, torch.nan
    similarity = prototype_similarity(features, prototypes, valid)
    result = assigned_sums(features, similarity, target)
    for ours, theirs in zip(result, expected):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def _sharded(rank, features, prototypes, valid, target):
    """Loss, gradient and moved prototypes on a share of the samples."""
    if rank is not None:
        part = slice(rank * 20, (rank + 1) * 20)
        features, target = features[part], target[part]
    features = features.detach().requires_grad_()
    similarity = prototype_similarity(features, prototypes, valid)
    loss = prototype_loss(prototype_logits(similarity, 0.1), target)
    loss.backward()
    sums, counts = map(dist.all_sum, assigned_sums(features, similarity,
                                                   target))
    moved = moved_prototypes(prototypes, sums, counts, 0.99)
    return loss.detach(), features.grad, moved


@pytest.mark.dist
@pytest.mark.parametrize('counted', [(20, 20), (20, 4), (0, 20), (0, 0)])
def test_world_size_invariance(gloo_pool, counted):
    # Acceptance check 11, and prototypes that stay equal on all ranks.
    features, prototypes, valid, target = _problem()
    for rank, number in enumerate(counted):
        target[rank * 20 + number:(rank + 1) * 20] = IGNORE
    problem = (features, prototypes, valid, target)
    loss, gradient, moved = _sharded(None, *problem)
    results = gloo_pool(_sharded, *problem)
    mean = torch.stack([r[0] for r in results]).mean()
    averaged = torch.cat([r[1] for r in results]) / 2
    torch.testing.assert_close(mean, loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(averaged, gradient, rtol=1e-12, atol=1e-15)
    assert torch.equal(results[0][2], results[1][2])
    torch.testing.assert_close(results[0][2], moved, rtol=1e-12, atol=0)
    assert (loss > 0) == (sum(counted) > 0)
