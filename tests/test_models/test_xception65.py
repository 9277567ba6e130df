# Copyright (c) mmseg_semi authors.
"""Xception-65 against a table of its layers and the port's forward."""
import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.engine.xception_weights import convert_xception65
from .xception_port import LAST, SIZES, SKIPS, Port, port_shapes, port_weights


def xception(**kwargs):
    with torch.device('meta'):
        return MODELS.build(dict(type='Xception65', **kwargs))


def table(output_stride, official):
    """(in, out, kernel, stride, dilation, groups) of every convolution."""
    inner = 16 // output_stride
    rows = [(3, 32, 3, 2, 1, 1), (32, 64, 3, 1, 1, 1)]
    for name, sizes in SIZES.items():
        number = int(name.removeprefix('block'))
        stride = {1: 2, 2: 2, 3: 2 if output_stride == 16 else 1}
        stride = stride.get(number, 1)
        dilation = inner if number >= 4 else 1
        for before, after, s in zip(sizes, sizes[1:], (1, 1, stride)):
            rows.append((before, before, 3, s, dilation, before))
            rows.append((before, after, 1, 1, 1, 1))
        if name in SKIPS:
            rows.append((sizes[0], sizes[3], 1, stride, 1, 1))
    for before, after in LAST.values():
        dilation = inner if official else 2 * inner
        rows.append((before, before, 3, 1, dilation, before))
        rows.append((before, after, 1, 1, 1, 1))
    return rows


@pytest.mark.parametrize('output_stride', [8, 16])
@pytest.mark.parametrize('fidelity', ['paper', 'official'])
def test_every_convolution(output_stride, fidelity):
    net = xception(output_stride=output_stride, fidelity=fidelity)
    rows = []
    for conv in (m for m in net.modules() if isinstance(m, nn.Conv2d)):
        kernel, stride, dilation, padding = (conv.kernel_size[0],
                                             conv.stride[0], conv.dilation[0],
                                             conv.padding[0])
        assert conv.bias is None
        assert padding == (dilation if kernel == 3 else 0)
        rows.append((conv.in_channels, conv.out_channels, kernel, stride,
                     dilation, conv.groups))
    assert rows == table(output_stride, fidelity == 'official')


def test_sixty_five_layers_and_the_parameters_of_the_port():
    """UniMatch's logs print 54.7 M parameters for encoder and head."""
    net = xception()
    total = sum(p.numel() for p in net.parameters())
    assert total == 37_867_312 == sum(
        torch.Size(shape).numel() for name, shape in port_shapes().items()
        if not name.endswith(('running_mean', 'running_var')))
    aspp = 2 * 2048 * 256 + 3 * 9 * 2048 * 256 + 5 * 256 * 256
    decoder = 256 * 48 + 9 * (256 + 48) * 256 + 9 * 256 * 256
    norms = 2 * (6 * 256 + 48 + 2 * 256)
    head = aspp + decoder + norms + 256 * 81 + 81
    assert round((total + head) / 1e6, 1) == 54.7
    # Layers as DeepLab counts them: a separable convolution is one, no
    # shortcut is, and the classifier of ImageNet is.
    assert 2 + 3 * len(SIZES) + 3 == 64 + 1


@pytest.mark.parametrize('output_stride', [8, 16])
def test_sizes(output_stride):
    net = xception(output_stride=output_stride)
    strides = (4, 8, output_stride, output_stride)
    for height, width in ((641, 641), (513, 769), (512, 500), (33, 47)):
        images = torch.empty(2, 3, height, width, device='meta')
        for out, channels, stride in zip(
                net(images), (256, 256, 728, 2048), strides):
            size = (-(-height // stride), -(-width // stride))
            assert out.shape == (2, channels, *size)


def test_a_narrow_one():
    net = xception(base_channels=8)
    wide = dict(xception().named_parameters())
    for name, value in net.named_parameters():
        for ours, theirs in zip(value.shape, wide[name].shape):
            assert 4 * ours == theirs or ours == theirs in (1, 3)
    images = torch.empty(1, 3, 65, 65, device='meta')
    assert [out.shape[1] for out in net(images)] == [64, 64, 182, 512]


@pytest.fixture(scope='module')
def weights():
    return port_weights()


def loaded(weights, **kwargs):
    net = MODELS.build(dict(type='Xception65', **kwargs)).double()
    missing, unexpected = net.load_state_dict(
        convert_xception65(weights), strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    return net.eval()


@pytest.mark.parametrize('output_stride', [8, 16])
@pytest.mark.parametrize('fidelity, eps', [('paper', 1e-3),
                                           ('official', 1e-5)])
def test_the_forward_of_both_forms(weights, output_stride, fidelity, eps):
    norm_cfg = dict(type='BN', momentum=3e-4, eps=eps)
    net = loaded(
        weights,
        output_stride=output_stride,
        fidelity=fidelity,
        norm_cfg=norm_cfg)
    port = Port(weights, output_stride, fidelity == 'official', eps)
    images = torch.randn(2, 3, 45, 38, dtype=torch.float64)
    with torch.no_grad():
        expected = port(images)
        for ours, theirs in zip(net(images), expected):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    assert (expected[0] < 0).any()  # the low-level map is not rectified
    assert (expected[3] >= 0).all()


def test_the_two_forms_differ(weights):
    images = torch.randn(1, 3, 33, 33, dtype=torch.float64)
    with torch.no_grad():
        paper, official = (
            loaded(weights, fidelity=f)(images) for f in ('paper', 'official'))
    assert torch.equal(paper[0], official[0])
    assert torch.equal(paper[1], official[1])
    assert not torch.allclose(paper[2], official[2])


@pytest.mark.parametrize('fidelity', ['paper', 'official'])
def test_gradients_are_those_of_the_slow_forward(weights, fidelity):
    net = loaded(
        weights, fidelity=fidelity, norm_cfg=dict(type='BN', eps=1e-3))
    port = Port(weights, 16, fidelity == 'official', 1e-3)
    images = torch.randn(1, 3, 17, 17, dtype=torch.float64)
    grads = []
    for forward in (net, port):
        x = images.clone().requires_grad_()
        sum(out.square().mean() for out in forward(x)).backward()
        grads.append(x.grad)
    assert grads[0].abs().max() > 0
    torch.testing.assert_close(*grads, rtol=1e-7, atol=1e-12)
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_norms():
    norms = [m for m in xception().modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 3e-4)}
    net = xception(norm_cfg=dict(type='SyncBN', momentum=3e-4, eps=1e-5))
    assert {(m.eps, m.momentum)
            for m in net.modules()
            if isinstance(m, nn.SyncBatchNorm)} == {(1e-5, 3e-4)}


def test_under_the_published_head():
    net = revert_sync_batchnorm(
        MODELS.build(
            dict(
                type='EncoderDecoder',
                backbone=dict(type='Xception65', output_stride=8),
                decode_head=dict(
                    type='PublishedDeepLabV3PlusHead',
                    in_channels=2048,
                    in_index=3,
                    channels=16,
                    c1_in_channels=256,
                    c1_channels=16,
                    num_classes=81),
                train_cfg=dict(),
                test_cfg=dict(mode='whole')))).eval()
    with torch.no_grad():
        feats = net.extract_feat(torch.randn(1, 3, 65, 49))
        assert net.decode_head(feats).shape == (1, 81, 17, 13)


@pytest.mark.parametrize('option, words', [
    (dict(output_stride=32), 'output_stride=32 must be 8 or 16'),
    (dict(base_channels=30), 'base_channels=30 must be a multiple of 4'),
    (dict(fidelity='port'), "fidelity='port' must be one of"),
])
def test_other_networks_are_refused(option, words):
    with pytest.raises(ValueError, match=words):
        xception(**option)
