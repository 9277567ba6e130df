# Copyright (c) mmseg_semi authors.
import pytest
import torch
from torch import nn

from mmseg_semi.functional import class_mlp, host, per_class

C, D, H = 5, 6, 4
NAMES = ('weight', 'scale', 'shift', 'out', 'out_bias')


@pytest.fixture(autouse=True, params=[('cpu', ), ()], ids=['host', 'device'])
def hosts(request, monkeypatch):
    """Class by class as on the CPU, and in blocks as on a GPU."""
    monkeypatch.setattr(host, 'HOST', request.param)


def _parameters(seed=0, dtype=torch.float64):
    gen = torch.Generator().manual_seed(seed)
    sizes = dict(
        weight=(C, D, H),
        scale=(C, H),
        shift=(C, H),
        out=(C, H),
        out_bias=(C, ))
    return {
        name:
        torch.randn(*sizes[name], generator=gen, dtype=dtype).requires_grad_()
        for name in NAMES
    }


def _rows(number=90, seed=1):
    """Class 0 is frequent, class 2 absent, class 3 has a single row."""
    gen = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 0, 0, 1, 4, -1, 255
                           ])[torch.randint(0, 7, (number, ), generator=gen)]
    labels[number // 2] = 3
    rows = 3 + torch.randn(number, D, generator=gen, dtype=torch.float64)
    return rows, labels


def _reference(rows, labels, parameters):
    """One network per class, run on its rows alone."""
    scores = torch.zeros(len(rows), dtype=rows.dtype)
    for label in range(C):
        mine = torch.nonzero(labels == label)[:, 0]
        if len(mine) == 0:
            continue
        weight, scale, shift, out, out_bias = (
            parameters[name][label] for name in NAMES)
        hidden = nn.functional.linear(rows[mine].detach(), weight.t())
        mean = hidden.mean(0)
        variance = hidden.var(0, unbiased=False)
        hidden = (hidden - mean) / (variance + 1e-5).sqrt() * scale + shift
        hidden = nn.functional.leaky_relu(hidden, .2)
        scores = scores.index_put((mine, ), hidden @ out + out_bias)
    return scores


def _gradients(scores, parameters):
    gen = torch.Generator().manual_seed(2)
    pull = torch.randn(len(scores), generator=gen, dtype=scores.dtype)
    return torch.autograd.grad(
        (scores * pull).sum(), [*parameters.values()], allow_unused=True)


@pytest.mark.parametrize('block,chunk', [(256, 4096), (4, 8), (1, 1), (7, 70)])
def test_equals_one_network_per_class(monkeypatch, block, chunk):
    monkeypatch.setattr(per_class, 'BLOCK', block)
    monkeypatch.setitem(per_class.CHUNK, 'cpu', chunk)
    (rows, labels), parameters = _rows(), _parameters()
    scores = class_mlp(rows, labels, **parameters)
    expected = _reference(rows, labels, parameters)
    assert torch.allclose(scores, expected, rtol=0, atol=1e-12)
    ours = _gradients(scores, parameters)
    theirs = _gradients(expected, parameters)
    for mine, other in zip(ours, theirs):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-11)
    assert (ours[0][2] == 0).all()  # the absent class


@pytest.mark.parametrize('chunk', [4096, 14])
def test_rows_that_are_sorted_already(monkeypatch, chunk):
    monkeypatch.setitem(per_class.CHUNK, 'cpu', chunk)
    rows, parameters = _rows(C * 7)[0], _parameters()
    stored = torch.arange(7) < torch.tensor([7, 0, 1, 4, 2])[:, None]
    labels = torch.arange(C)[:, None].masked_fill(~stored, -1)
    scores = class_mlp(rows.view(C, 7, D), stored, **parameters)
    expected = _reference(rows, labels.flatten(), parameters)
    assert torch.allclose(scores.flatten(), expected, rtol=0, atol=1e-12)
    for mine, other in zip(
            _gradients(scores.flatten(), parameters),
            _gradients(expected, parameters)):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('labels', [[0] * 9, [C - 1] * 9, [255] * 9, [-1]])
def test_all_rows_of_one_class_or_none(labels):
    labels = torch.tensor(labels)
    rows, parameters = _rows(len(labels))[0], _parameters()
    scores = class_mlp(rows, labels, **parameters)
    expected = _reference(rows, labels, parameters)
    assert torch.allclose(scores, expected, rtol=0, atol=1e-12)
    for gradient in _gradients(scores, parameters):
        assert gradient.isfinite().all()
        assert labels[0] in (0, C - 1) or (gradient == 0).all()


def test_official_layers():
    """The layers the paper lists, as modules with a bias everywhere."""
    rows, labels = _rows()
    linear, norm = nn.Linear(D, H), nn.BatchNorm1d(H)
    net = nn.Sequential(linear, norm, nn.LeakyReLU(.2), nn.Linear(H, 1))
    net.double()
    parameters = _parameters()
    with torch.no_grad():
        for name, value in zip(NAMES,
                               (linear.weight.t(), norm.weight, norm.bias,
                                net[3].weight[0], net[3].bias[0])):
            parameters[name][1] = value
    scores = class_mlp(rows, labels, **parameters)
    mine = labels == 1
    assert torch.allclose(scores[mine], net(rows[mine])[:, 0], atol=1e-12)


def test_rows_get_no_gradient():
    (rows, labels), parameters = _rows(), _parameters()
    rows.requires_grad_()
    class_mlp(rows, labels, **parameters).sum().backward()
    assert rows.grad is None
    assert all(value.grad is not None for value in parameters.values())


def test_no_rows():
    scores = class_mlp(
        torch.zeros(0, D), torch.zeros(0, dtype=torch.long), **_parameters())
    assert scores.shape == (0, )
    scores.sum().backward()


def test_half_precision_rows_and_autocast():
    (rows, labels), parameters = _rows(), _parameters(dtype=torch.float32)
    half = rows.to(torch.bfloat16)
    expected = class_mlp(half.float(), labels, **parameters)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores = class_mlp(half, labels, **parameters)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, expected)
