# Copyright (c) mmseg_semi authors.
import pytest
import torch

from mmseg_semi.functional import max_along


@pytest.mark.parametrize('dim', [0, 1, 2, -1])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_equals_max(dim, dtype):
    scores = torch.randn(3, 5, 4, dtype=dtype).transpose(0, 1)
    values, index = max_along(scores, dim)
    expected = scores.max(dim)
    assert torch.equal(values, expected.values)
    assert torch.equal(index, expected.indices)
    assert index.dtype == torch.long


def test_ties_and_infinities_give_the_first():
    low = -torch.inf
    scores = torch.tensor([[2., 2., 1.], [low, low, low], [low, 7., 7.]])
    values, index = max_along(scores, 1)
    assert values.tolist() == [2., low, 7.]
    assert index.tolist() == [0, 0, 1]


def test_only_the_first_maximum_gets_the_gradient():
    scores = torch.tensor([[1., 3.], [3., 3.]], requires_grad=True)
    values, _ = max_along(scores, 1)
    values.backward(torch.tensor([5., 7.]))
    assert scores.grad.tolist() == [[0., 5.], [7., 0.]]


def test_no_graph_without_gradient():
    scores = torch.randn(2, 3, requires_grad=True)
    with torch.no_grad():
        assert not max_along(scores, 1)[0].requires_grad
    assert not max_along(scores.detach(), 1)[0].requires_grad
