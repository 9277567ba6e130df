# Copyright (c) mmseg_semi authors.
import math
import statistics

import pytest
import torch

from mmseg_semi.functional import (balancing_weights, class_counts,
                                   pixel_entropies, weights_at)


def _slow_weights(counts):
    """sqrt(median / f); absent classes the largest of the others."""
    median = statistics.median(counts) or statistics.median(
        [f for f in counts if f])
    finite = {c: median / f for c, f in enumerate(counts) if f}
    return [
        math.sqrt(finite.get(c, max(finite.values())))
        for c in range(len(counts))
    ]


@pytest.mark.parametrize(
    'counts', [[5, 10, 20], [7, 7, 7, 7], [100, 50, 0, 10], [0, 0, 9, 0, 4],
               [0, 0, 0, 3], [1, 2**40, 2**20], [4, 8]])
def test_weights(counts):
    weights = balancing_weights(torch.tensor(counts))
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(_slow_weights(counts), rel=1e-6)


def test_absent_classes_get_the_largest_weight():
    weights = balancing_weights(torch.tensor([100, 0, 10, 1000, 0]))
    assert weights[1] == weights[4] == weights.max() == weights[2]


def test_nothing_counted():
    assert balancing_weights(torch.zeros(3, dtype=torch.long)).tolist() == \
        [1, 1, 1]


def test_counts():
    gen = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 7, (2, 30, 20), generator=gen)
    labels[0, :3] = 255
    mask = torch.rand(labels.shape, generator=gen) < .5
    counts = class_counts(labels, 7)
    assert counts.dtype == torch.long
    assert counts.tolist() == [(labels == c).sum().item() for c in range(7)]
    assert class_counts(labels, 7,
                        mask).tolist() == [((labels == c) & mask).sum().item()
                                           for c in range(7)]
    assert class_counts(torch.full((2, 3), 255), 2).tolist() == [0, 0]


def test_weight_of_each_pixel():
    labels = torch.tensor([[0, 2, 255], [1, 1, 255]])
    weights = torch.tensor([.5, 2., 3.])
    assert weights_at(weights, labels).tolist() == [[.5, 3., 0.], [2., 2., 0.]]


def test_entropies_and_their_gradient():
    gen = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 4, 3, generator=gen, dtype=torch.float64)
    logits.requires_grad_()
    found = pixel_entropies(logits)
    for b in range(2):
        for i in range(3):
            scores = [math.exp(x) for x in logits[b, :, i].tolist()]
            probs = [x / sum(scores) for x in scores]
            assert found[b, i].item() == pytest.approx(
                -sum(p * math.log(p) for p in probs), abs=1e-12)
    assert torch.autograd.gradcheck(pixel_entropies, logits)
    certain = torch.tensor([[[1e4], [-1e4]]], requires_grad=True)
    pixel_entropies(certain).sum().backward()
    assert certain.grad.isfinite().all()
