# Copyright (c) mmseg_semi authors.
"""The networks of U2PL, UniMatch and CPS against their descriptions."""
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

import mmseg_semi  # noqa: F401

MODELS_DIR = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
SMALL = dict(
    type='PublishedDeepLabV3PlusHead',
    in_channels=6,
    in_index=1,
    channels=8,
    c1_in_channels=4,
    c1_channels=3,
    dilations=(1, 2, 3),
    num_classes=5,
    norm_cfg=dict(type='BN'))
UNIMATCH = dict(fusion_kernel=1, conv_bias=False, dropout_ratio=0.)


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg)


def shipped(name, classes=21):
    """A network of configs/_base_/models, without memory."""
    cfg = Config.fromfile(MODELS_DIR / f'{name}.py').segmentor
    cfg.decode_head.num_classes = classes
    with torch.device('meta'):
        return build(cfg)


def backbone(**kwargs):
    return build(
        dict(
            type='DeepStemResNet',
            depth=50,
            base_channels=2,
            norm_cfg=dict(type='BN'),
            **{
                'stem_channels': 4,
                **kwargs
            }))


def convolve(block, x, padding=0, dilation=1):
    conv = block.conv
    return F.conv2d(
        x, conv.weight, conv.bias, padding=padding, dilation=dilation)


def normalise(norm, x):
    """A BatchNorm, written out."""
    if norm.training:
        mean = x.mean((0, 2, 3))
        var = x.var((0, 2, 3), unbiased=False)
    else:
        mean, var = norm.running_mean, norm.running_var
    mean, var, weight, bias = (
        v[:, None, None] for v in (mean, var, norm.weight, norm.bias))
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def unit(block, x, padding=0, dilation=1):
    """Convolution, BatchNorm, ReLU."""
    x = convolve(block, x, padding, dilation)
    return normalise(block.bn, x).clamp_min(0)


def enlarge(x, like):
    return F.interpolate(
        x, like.shape[2:], mode='bilinear', align_corners=True)


def aspp(head, high):
    """As U2PL's and UniMatch's authors describe it, without dropout."""
    pooled = unit(head.image_pool[1], high.mean((2, 3), keepdim=True))
    branches = [enlarge(pooled, high)]
    for module, rate in zip(head.aspp_modules, (0, 2, 3)):
        branches.append(unit(module, high, rate, max(rate, 1)))
    fusion = head.bottleneck[0]
    side = fusion.conv.weight.shape[-1]
    return unit(fusion, torch.cat(branches, 1), (side - 1) // 2)


def aspp_of_cps(head, high):
    """All branches share BatchNorm, activation and 1x1 convolution; the mean,
    which has its own, is added before the last BatchNorm."""

    def leaky(x):
        return torch.where(x > 0, x, .01 * x)

    branches = torch.cat([
        normalise(module.bn, convolve(module, high, rate, max(rate, 1)))
        for module, rate in zip(head.aspp_modules, (0, 2, 3))
    ], 1)
    pool, fusion = head.image_pool[1], head.bottleneck[0]
    mean = high.mean((2, 3), keepdim=True)
    mean = leaky(normalise(pool.bn, convolve(pool, mean)))
    width = mean.shape[1]
    weight = fusion.conv.weight
    x = F.conv2d(leaky(branches), weight[:, width:])
    x = x + F.conv2d(mean, weight[:, :width])
    return leaky(normalise(fusion.bn, x))


def decode(head, low, high, fused):
    low = unit(head.low_conv, low)
    x = torch.cat([low, enlarge(fused(head, high), low)], 1)
    for block in (head.classifier[0], head.classifier[2]):
        x = unit(block, x, 1)
    return F.conv2d(x, head.conv_seg.weight, head.conv_seg.bias)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('options, fused', [
    (UNIMATCH, aspp),
    (dict(dropout_ratio=0.), aspp),
    (dict(fusion_kernel=5, dropout_ratio=0.), aspp),
    (UNIMATCH | dict(aspp_act_cfg=dict(type='LeakyReLU')), aspp_of_cps),
])
def test_decoder_equals_its_description(options, fused, training):
    torch.manual_seed(0)
    head = build(SMALL | options)
    head.init_weights()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, .5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.running_var, .5, 1.5)
            nn.init.normal_(module.running_mean)
    head = head.double().train(training)
    low = torch.randn(2, 4, 9, 10, dtype=torch.float64, requires_grad=True)
    high = torch.randn(2, 6, 5, 4, dtype=torch.float64, requires_grad=True)
    expected = decode(head, low, high, fused)
    result = head([low, high])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-10)
    result.square().sum().backward()
    assert low.grad.any() and high.grad.any()
    assert all(p.grad is not None for p in head.parameters())


@pytest.mark.parametrize('kernel', [0, 2, -1])
def test_fusion_kernel_is_odd(kernel):
    with pytest.raises(ValueError, match=f'fusion_kernel={kernel} must be'):
        build(dict(SMALL, fusion_kernel=kernel))


def head_parameters(classes, low, side, bias):
    """Convolutions, their biases, and two numbers per normalised channel."""
    aspp = 2048 * 256 * (1 + 1 + 3 * 9)
    fusion = 5 * 256 * 256 * side**2
    reduction = 256 * low
    blocks = (256 + low) * 256 * 9 + 256 * 256 * 9
    biases = (low + 2 * 256) * bias
    norms = 2 * (5 * 256 + 256 + low + 2 * 256)
    classifier = 256 * classes + classes
    return aspp + fusion + reduction + blocks + biases + norms + classifier


@pytest.mark.parametrize('name, classes, low, side, bias, millions', [
    ('deeplabv3plus_r101-unimatch', 21, 48, 1, False, 16.84),
    ('deeplabv3plus_r101-unimatch', 19, 48, 1, False, 16.84),
    ('deeplabv3plus_r101-cps', 21, 48, 1, False, 16.84),
    ('deeplabv3plus_r101-cps', 19, 48, 1, False, 16.84),
    ('deeplabv3plus_r101', 21, 256, 3, True, 20.00),
    ('deeplabv3plus_r101-stem128', 21, 256, 3, True, 20.00),
    ('deeplabv3plus_r101-stem128', 19, 256, 3, True, 20.00),
])
def test_size_of_the_decoders(name, classes, low, side, bias, millions):
    head = shipped(name, classes).decode_head
    number = sum(p.numel() for p in head.parameters())
    assert number == head_parameters(classes, low, side, bias)
    assert number / 1e6 == pytest.approx(millions, abs=.005)
    assert head.align_corners


def strides_and_dilations(stage):
    return [(block.conv1.stride, block.conv2.stride, block.conv2.dilation,
             block.conv3.stride) for block in stage]


def plain(stride, dilations):
    return [((1, 1), (stride if i == 0 else 1, ) * 2, (d, d), (1, 1))
            for i, d in enumerate(dilations)]


@pytest.mark.parametrize('name, dilations, init, act', [
    ('unimatch', [1, 2, 2], 'torch', nn.ReLU),
    ('cps', [2, 4, 8], 'kaiming_fan_in', nn.LeakyReLU),
])
def test_networks_of_unimatch_and_cps(name, dilations, init, act):
    """Output stride 16, a narrow decoder without dropout."""
    net = shipped(f'deeplabv3plus_r101-{name}')
    body = net.backbone
    assert strides_and_dilations(body.layer1) == plain(1, [1] * 3)
    assert strides_and_dilations(body.layer2) == plain(2, [1] * 4)
    assert strides_and_dilations(body.layer3) == plain(2, [1] * 23)
    assert strides_and_dilations(body.layer4) == plain(1, dilations)
    assert not body.maxpool.ceil_mode
    head = net.decode_head
    assert [m.conv.dilation[0] for m in head.aspp_modules] == [1, 6, 12, 18]
    assert head.bottleneck[0].conv.kernel_size == (1, 1)
    assert head.low_conv.conv.out_channels == 48
    assert head.init == init and head.dropout is None
    drops = [m for m in head.modules() if isinstance(m, nn.Dropout2d)]
    assert all(drop.p == 0 for drop in drops)
    biased = [
        m for m in head.modules()
        if isinstance(m, nn.Conv2d) and m.bias is not None
    ]
    assert biased == [head.conv_seg]
    for block in (head.image_pool[1], *head.aspp_modules, head.bottleneck[0]):
        assert type(block.activate) is act
    for block in (head.low_conv, head.classifier[0], head.classifier[2]):
        assert type(block.activate) is nn.ReLU


def test_network_of_u2pl_with_its_stem():
    """Output stride 8, the last stage dilated 4, 8, 16, pooling rounds up."""
    body = shipped('deeplabv3plus_r101-stem128').backbone
    assert strides_and_dilations(body.layer2) == plain(2, [1] * 4)
    assert strides_and_dilations(body.layer3) == plain(1, [1] + [2] * 22)
    assert strides_and_dilations(body.layer4) == plain(1, [4, 8, 16])
    assert body.maxpool.ceil_mode


@pytest.mark.parametrize('name', [
    'deeplabv3plus_r101-unimatch', 'deeplabv3plus_r101-stem128',
    'deeplabv3plus_r101-cps'
])
def test_stem(name):
    """Three 3x3 convolutions, the first with stride 2, and their norms."""
    body = shipped(name).backbone
    kinds = [nn.Conv2d, nn.SyncBatchNorm, nn.ReLU] * 3
    assert len(body.stem) == len(kinds)
    assert all(isinstance(m, kind) for m, kind in zip(body.stem, kinds))
    convs = [body.stem[i] for i in (0, 3, 6)]
    assert [c.out_channels for c in convs] == [64, 64, 128]
    assert [c.stride[0] for c in convs] == [2, 1, 1]
    assert all(c.kernel_size == (3, 3) and c.bias is None for c in convs)
    assert body.layer1[0].conv1.in_channels == 128


@pytest.mark.parametrize('ceil_pool, options, crop, sizes', [
    (False, 'unimatch', 321, (81, 41, 21, 21)),
    (False, 'unimatch', 801, (201, 101, 51, 51)),
    (False, 'cps', 512, (128, 64, 32, 32)),
    (False, 'cps', 800, (200, 100, 50, 50)),
    (True, 'stem128', 513, (129, 65, 65, 65)),
    (True, 'stem128', 512, (129, 65, 65, 65)),
    (False, 'stem128', 512, (128, 64, 64, 64)),
])
def test_output_strides(ceil_pool, options, crop, sizes):
    cfg = Config.fromfile(
        MODELS_DIR / f'deeplabv3plus_r101-{options}.py').segmentor.backbone
    keys = 'strides', 'dilations', 'multi_grid', 'contract_dilation'
    net = backbone(ceil_pool=ceil_pool, **{k: cfg.get(k) for k in keys})
    net.eval()
    with torch.no_grad():
        maps = net(torch.randn(1, 3, crop, crop))
    assert tuple(m.shape[-1] for m in maps) == sizes


class TestWeightsForAnotherStem:

    def load(self, weights, tmp_path):
        path = str(tmp_path / 'weights.pth')
        torch.save(weights, path)
        net = backbone(init_cfg=dict(type='Pretrained', checkpoint=path))
        net.init_weights()
        return net

    def test_own(self, tmp_path):
        given = backbone().state_dict()
        net = self.load(given, tmp_path)
        for name, value in net.state_dict().items():
            assert torch.equal(value, given[name]), name

    @pytest.mark.parametrize('name', ['conv1.0.weight', 'conv1.weight'])
    def test_not_converted(self, name, tmp_path):
        with pytest.raises(ValueError, match='deep_stem_resnet_to_mmseg.py'):
            self.load({name: torch.zeros(2, 3, 3, 3)}, tmp_path)

    def test_narrow_stem(self, tmp_path):
        given = backbone(stem_channels=2).state_dict()
        with pytest.raises(ValueError, match='set backbone.stem_channels=2'):
            self.load(given, tmp_path)

    def test_no_file(self):
        cfg = dict(type='Pretrained', checkpoint='data/no.pth')
        net = build(dict(type='DeepStemResNet', depth=50, init_cfg=cfg))
        with pytest.raises(FileNotFoundError) as error:
            net.init_weights()
        for words in ('backbone.init_cfg.checkpoint: data/no.pth does not',
                      'deep_stem_resnet_to_mmseg.py resnet50.pth data/no.pth',
                      'open-mmlab://resnet101_v1c', 'init_cfg=None'):
            assert words in str(error.value)
