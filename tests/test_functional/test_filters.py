# Copyright (c) mmseg_semi authors.
import math

import numpy as np
import pytest
import torch

from mmseg_semi.functional import (confidence_filter, entropy_filter,
                                   masked_percentile, predictions,
                                   softmax_entropy)


def test_softmax_entropy_equals_loops():
    logits = 3 * torch.randn(2, 4, 3, 3, dtype=torch.float64)
    entropy = softmax_entropy(logits)
    for i, y, x in np.ndindex(2, 3, 3):
        exps = [math.exp(float(s)) for s in logits[i, :, y, x]]
        p = [e / sum(exps) for e in exps]
        expected = -sum(q * math.log(q) for q in p)
        assert entropy[i, y, x].item() == pytest.approx(expected, rel=1e-10)


def test_softmax_entropy_limits():
    uniform = torch.zeros(1, 7, 1, 1)
    certain = torch.full((1, 7, 1, 1), -torch.inf)
    certain[0, 2] = 0
    assert softmax_entropy(uniform).item() == pytest.approx(math.log(7))
    assert softmax_entropy(certain).item() == 0


def test_softmax_entropy_keeps_small_values_under_autocast():
    # An almost certain pixel: in bf16, 1 + exp(-20) is 1 and ln p is lost.
    logits = torch.tensor([0., -20.]).view(1, 2, 1, 1).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        entropy = softmax_entropy(logits.bfloat16())
    assert entropy.dtype == torch.float32 and not entropy.requires_grad
    assert entropy.item() == pytest.approx(21 * math.exp(-20), rel=0.1)


def test_predictions_equal_softmax():
    logits = 3 * torch.randn(2, 4, 3, 5, dtype=torch.float64)
    logits[0, 1] = -torch.inf
    label, confidence, entropy = predictions(logits, entropy=True)
    expected = logits.softmax(1).max(1)
    assert torch.equal(label, expected.indices)
    torch.testing.assert_close(confidence, expected.values)
    torch.testing.assert_close(entropy, softmax_entropy(logits))
    assert predictions(logits)[2] is None
    assert predictions(logits.bfloat16())[1].dtype == torch.float32


@pytest.mark.parametrize('q', [0, 12.5, 50, 80, 99.9, 100])
@pytest.mark.parametrize('number', [1, 2, 5, 101, 257])
def test_masked_percentile_equals_numpy(number, q):
    generator = torch.Generator().manual_seed(number)
    values = torch.randn(300, generator=generator, dtype=torch.float64)
    mask = torch.zeros(300, dtype=torch.bool)
    mask[torch.randperm(300, generator=generator)[:number]] = True
    expected = np.percentile(values[mask].numpy(), q)
    for percent in (q, torch.tensor(q)):
        result = masked_percentile(
            values.view(3, 100), mask.view(3, 100), percent)
        assert result.dim() == 0
        # A fp32 tensor q is itself only that precise (99.9).
        assert result.item() == pytest.approx(
            expected, rel=1e-12 if percent is q else 1e-6)


def test_masked_percentile_of_nothing_is_nan():
    result = masked_percentile(torch.ones(4), torch.zeros(4).bool(), 80)
    assert result.isnan()


def test_masked_percentile_beyond_float32_indices():
    # fp32 cannot tell the last indices of 2 ** 24 + 4 values apart.
    number = 2**24 + 4
    values = torch.zeros(number)
    values[-3:] = torch.tensor([1., 2., 3.])
    mask = torch.ones(number, dtype=torch.bool)
    q = 100 * (number - 2) / (number - 1)
    assert masked_percentile(values, mask, q).item() == pytest.approx(2)


@pytest.mark.parametrize('q', [60., 80., 100.])
def test_entropy_filter_equals_official_rule(q):
    entropy = torch.rand(2, 8, 8, dtype=torch.float64)
    valid = torch.rand(2, 8, 8) < 0.7
    threshold = np.percentile(entropy[valid].numpy(), q)
    expected = np.logical_and(valid.numpy(), ~(entropy.numpy() >= threshold))
    kept = entropy_filter(entropy, valid, q)
    assert (kept.numpy() == expected).all()
    assert 0 < kept.sum() < valid.sum()  # the maximum is dropped at 100


def test_entropy_filter_of_nothing_keeps_nothing():
    kept = entropy_filter(torch.rand(2, 3), torch.zeros(2, 3).bool(), 80.)
    assert not kept.any()


def test_confidence_filter():
    confidence = torch.tensor([0.7, 0.8, 0.9, 0.95])
    valid = torch.tensor([True, True, True, False])
    assert confidence_filter(confidence, valid,
                             0.8).tolist() == [False, True, True, False]
    per_pixel = torch.tensor([0.7, 0.9, 0.9, 0.1])
    assert confidence_filter(confidence, valid,
                             per_pixel).tolist() == [True, False, True, False]
