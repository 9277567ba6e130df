# Copyright (c) mmseg_semi authors.
"""Squared difference of probabilities against a loop over classes."""
import numpy as np
import torch

from mmseg_semi.functional import squared_errors

B, C = 2, 5


def randn(*shape, seed=0):
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=gen, dtype=torch.float64)


def test_loop_and_gradient():
    logits = randn(B, C, 2, 3).requires_grad_()
    target = randn(B, C, 2, 3, seed=1).softmax(1)
    ours = squared_errors(logits, target)
    expected = torch.zeros(B, 2, 3, dtype=torch.float64)
    for b, i, j in np.ndindex(B, 2, 3):
        odds = logits[b, :, i, j].exp()
        for c in range(C):
            expected[b, i, j] = expected[b, i, j] + (odds[c] / odds.sum() -
                                                     target[b, c, i, j])**2
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    weight = randn(B, 2, 3, seed=2)
    grads = [
        torch.autograd.grad((part * weight).sum(), logits)[0]
        for part in (ours, expected)
    ]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)


def test_target_gets_no_gradient():
    target = randn(B, C, 2).softmax(1).requires_grad_()
    squared_errors(randn(B, C, 2, seed=1).requires_grad_(),
                   target).sum().backward()
    assert target.grad is None
