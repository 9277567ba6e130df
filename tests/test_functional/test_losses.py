# Copyright (c) mmseg_semi authors.
import math

import pytest
import torch

from mmseg_semi.functional import (cross_entropy, global_mean,
                                   ohem_cross_entropy)

IGNORE = 255


def _batch(n=4, c=5, side=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(
        n, c, side, side, generator=generator, dtype=dtype)
    target = torch.randint(0, c, (n, side, side), generator=generator)
    dropped = torch.rand(n, side, side, generator=generator) < 0.3
    valid = torch.rand(n, side, side, generator=generator) < 0.8
    weight = torch.rand(n, side, side, generator=generator, dtype=dtype)
    return logits, target.masked_fill(dropped, IGNORE), weight, valid


def _terms(logits, target, weight=None, valid=None):
    """(weight, loss, probability) of every pixel that counts, by loops."""
    terms = []
    n, _, height, width = logits.shape
    for i in range(n):
        for y in range(height):
            for x in range(width):
                label = int(target[i, y, x])
                if label == IGNORE or (valid is not None
                                       and not valid[i, y, x]):
                    continue
                scores = [float(s) for s in logits[i, :, y, x]]
                probability = math.exp(scores[label]) / sum(
                    map(math.exp, scores))
                w = 1. if weight is None else float(weight[i, y, x])
                terms.append((w, -math.log(probability), probability))
    return terms


def _reference(normalizer, logits, target, weight, valid):
    terms = _terms(logits, target, weight, valid)
    total = sum(w * loss for w, loss, _ in terms)
    pixels = target.numel()
    return {
        'valid': total / len(terms),
        'all': total / pixels,
        'kept_boost': total / len(terms) * pixels / len(terms),
        'weight': total / sum(w for w, _, _ in terms),
        'non_padding': total / max(int(valid.sum()), 1),
    }[normalizer]


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('normalizer',
                         ['valid', 'all', 'kept_boost', 'non_padding'])
def test_cross_entropy_equals_loops(normalizer, weighted):
    logits, target, weight, valid = _batch()
    weight = weight if weighted else None
    loss = cross_entropy(
        logits, target, weight=weight, normalizer=normalizer, valid=valid)
    expected = _reference(normalizer, logits, target, weight, valid)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_by_weight():
    logits, target, weight, valid = _batch()
    loss = cross_entropy(
        logits, target, weight=weight, normalizer='weight', valid=valid)
    expected = _reference('weight', logits, target, weight, valid)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    # The scale of the weights cancels.
    scaled = cross_entropy(
        logits, target, weight=7 * weight, normalizer='weight', valid=valid)
    assert scaled.item() == pytest.approx(expected, rel=1e-12)


def test_kept_boost_is_mean_over_keep_fraction():
    # Acceptance check 10: L_u = mean over kept / keep fraction.
    logits, target, _, _ = _batch()
    fraction = (target != IGNORE).double().mean().item()
    mean = cross_entropy(logits, target).item()
    boosted = cross_entropy(logits, target, normalizer='kept_boost').item()
    assert 0.5 < fraction < 0.9
    assert boosted == pytest.approx(mean / fraction, rel=1e-12)


def test_cross_entropy_gradient():
    logits, target, weight, valid = _batch()
    logits.requires_grad_()
    weight.requires_grad_()
    loss = cross_entropy(
        logits, target, weight=weight.detach(), normalizer='all', valid=valid)
    loss.backward()
    kept = (target != IGNORE) & valid
    onehot = torch.nn.functional.one_hot(target.masked_fill(~kept, 0),
                                         5).movedim(-1, 1)
    expected = (logits.softmax(1) - onehot) * (weight * kept)[:, None]
    torch.testing.assert_close(
        logits.grad, expected / target.numel(), rtol=1e-10, atol=1e-12)
    assert (logits.grad[(~kept)[:, None].expand_as(logits)] == 0).all()


@pytest.mark.parametrize('normalizer',
                         ['valid', 'all', 'kept_boost', 'weight', 'ohem'])
def test_nothing_kept_is_an_exact_zero(normalizer):
    logits, target, weight, _ = _batch()
    logits.requires_grad_()
    target = torch.full_like(target, IGNORE)
    if normalizer == 'ohem':
        loss = ohem_cross_entropy(logits, target, min_kept=3)
    else:
        loss = cross_entropy(
            logits, target, weight=weight, normalizer=normalizer)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_everything_padding_is_an_exact_zero():
    logits, target, _, valid = _batch()
    logits.requires_grad_()
    loss = cross_entropy(
        logits,
        target,
        normalizer='non_padding',
        valid=torch.zeros_like(valid))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_non_finite_weight_of_a_dropped_pixel_is_harmless():
    logits, target, weight, _ = _batch()
    expected = cross_entropy(logits, target, weight=weight)
    weight[target == IGNORE] = torch.nan
    assert torch.equal(cross_entropy(logits, target, weight=weight), expected)


@pytest.mark.parametrize('kwargs', [
    dict(normalizer='mean'),
    dict(normalizer='weight'),
    dict(normalizer='non_padding')
])
def test_cross_entropy_rejects(kwargs):
    logits, target, _, _ = _batch()
    with pytest.raises(ValueError, match='normalizer='):
        cross_entropy(logits, target, **kwargs)


@pytest.mark.parametrize('function', [cross_entropy, ohem_cross_entropy])
def test_half_precision_is_computed_in_fp32(function):
    logits, target, _, _ = _batch()
    half = logits.bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        loss = function(half, target)
    assert loss.dtype == torch.float32
    expected = function(half.double(), target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def _ohem_reference(logits, target, thresh, min_kept):
    terms = _terms(logits, target)
    ignored = target.numel() - len(terms)
    probabilities = sorted([p for _, _, p in terms] + [1.] * ignored)
    if len(terms) >= min_kept > 0:
        index = min(len(probabilities), min_kept) - 1
        thresh = max(thresh, probabilities[index])
    elif min_kept > 0:
        thresh = 2.
    losses = [loss for _, loss, p in terms if p <= thresh + 1e-12]
    return sum(losses) / len(losses)


@pytest.mark.parametrize('min_kept', [0, 1, 20, 70, 95, 10_000])
@pytest.mark.parametrize('thresh', [0.05, 0.7])
def test_ohem_equals_loops(thresh, min_kept):
    logits, target, _, _ = _batch()
    loss = ohem_cross_entropy(logits, target, thresh=thresh, min_kept=min_kept)
    expected = _ohem_reference(logits, target, thresh, min_kept)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_ohem_gives_easy_pixels_no_gradient():
    logits, target, _, _ = _batch()
    logits.requires_grad_()
    ohem_cross_entropy(logits, target, thresh=0.2, min_kept=1).backward()
    safe = target.masked_fill(target == IGNORE, 0)
    probability = logits.softmax(1).gather(1, safe[:, None])[:, 0]
    hard = (probability <= 0.2) & (target != IGNORE)
    assert 0 < hard.sum() < (target != IGNORE).sum()
    assert torch.equal(logits.grad.abs().sum(1) > 0, hard)


def test_global_mean_alone():
    total = torch.tensor(6., requires_grad=True)
    mean = global_mean(total, torch.tensor(4))
    mean.backward()
    assert mean.item() == 1.5 and total.grad.item() == 0.25


CASES = {
    # How many pixels of each of the four images are kept.
    'equal': (36, 36, 36, 36),
    'unequal': (36, 20, 5, 1),
    'zero on one rank': (0, 0, 9, 30),
    'zero on all': (0, 0, 0, 0),
}


def _sharded(rank, name, logits, target, weight, valid):
    """Loss and gradient on a slice of the batch (one call: everything)."""
    if rank is not None:
        per_rank = len(logits) // 2
        part = slice(rank * per_rank, (rank + 1) * per_rank)
        logits, target, weight, valid = (
            t[part] for t in (logits, target, weight, valid))
    logits = logits.detach().requires_grad_()
    if name == 'ohem':
        # Selection per GPU: independent of W only if all is kept.
        loss = ohem_cross_entropy(logits, target, min_kept=10**6)
    else:
        loss = cross_entropy(
            logits, target, weight=weight, normalizer=name, valid=valid)
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.dist
@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize(
    'name', ['valid', 'all', 'kept_boost', 'weight', 'non_padding', 'ohem'])
def test_world_size_invariance(gloo_pool, name, case):
    # Acceptance check 11.
    logits, target, weight, valid = _batch()
    target = target.masked_fill(target == IGNORE, 0)
    if name != 'non_padding':
        valid = torch.ones_like(valid)
    for image, number in enumerate(CASES[case]):
        target[image].flatten()[number:] = IGNORE
    batch = (logits, target, weight, valid)
    expected, gradient = _sharded(None, name, *batch)
    results = gloo_pool(_sharded, name, *batch)
    mean = torch.stack([loss for loss, _ in results]).mean()
    # DDP averages, so the share of a rank counts for 1 / W.
    averaged = torch.cat([g for _, g in results]) / 2
    torch.testing.assert_close(mean, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(averaged, gradient, rtol=1e-12, atol=1e-15)
    assert averaged.isfinite().all()
    assert (expected > 0) == (case != 'zero on all')
