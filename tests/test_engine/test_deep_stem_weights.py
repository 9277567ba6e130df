# Copyright (c) mmseg_semi authors.
"""Made-up files with the authors' names and shapes, converted and loaded."""
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from mmseg_semi.engine.checkpoint import CheckpointError
from mmseg_semi.engine.deep_stem_weights import (convert_deep_stem,
                                                 read_deep_stem)

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/model_converters/deep_stem_resnet_to_mmseg.py'
NORM = ('weight', 'bias', 'running_mean', 'running_var')


def authors_shapes(blocks=(3, 4, 6, 3), stem=(64, 64, 128)):
    """Names and shapes of U2PL's, UniMatch's and CPS' ResNets."""
    shapes, inputs = {}, 3
    for number, width in zip((0, 3, 6), stem):
        shapes[f'conv1.{number}.weight'] = (width, inputs, 3, 3)
        inputs = width
    norms = {'conv1.1': stem[0], 'conv1.4': stem[1], 'bn1': stem[2]}
    for stage, number in enumerate(blocks, start=1):
        width = 32 * 2**stage
        for i in range(number):
            name = f'layer{stage}.{i}'
            shapes[f'{name}.conv1.weight'] = (width, inputs, 1, 1)
            shapes[f'{name}.conv2.weight'] = (width, width, 3, 3)
            shapes[f'{name}.conv3.weight'] = (4 * width, width, 1, 1)
            norms.update({f'{name}.bn1': width, f'{name}.bn2': width})
            norms[f'{name}.bn3'] = 4 * width
            if i == 0:
                shapes[f'{name}.downsample.0.weight'] = (4 * width, inputs, 1,
                                                         1)
                norms[f'{name}.downsample.1'] = 4 * width
            inputs = 4 * width
    for name, width in norms.items():
        shapes.update({f'{name}.{end}': (width, ) for end in NORM})
    return shapes | {'fc.weight': (1000, inputs), 'fc.bias': (1000, )}


def filled(shapes):
    """Every tensor differs from all others; they take no memory."""
    return {
        name: torch.tensor(float(number)).expand(shape)
        for number, (name, shape) in enumerate(shapes.items())
    }


def network(**kwargs):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(
            dict(type='DeepStemResNet', norm_cfg=dict(type='BN'), **kwargs))


@pytest.mark.parametrize('depth, blocks', [(50, (3, 4, 6, 3)),
                                           (101, (3, 4, 23, 3))])
def test_every_weight_finds_its_place(depth, blocks):
    weights = filled(authors_shapes(blocks))
    net = network(depth=depth)
    missing, unexpected = net.load_state_dict(
        convert_deep_stem(weights), strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    places = {
        'conv1.0.weight': net.stem[0].weight,
        'conv1.1.running_var': net.stem[1].running_var,
        'conv1.3.weight': net.stem[3].weight,
        'conv1.4.bias': net.stem[4].bias,
        'conv1.6.weight': net.stem[6].weight,
        'bn1.running_mean': net.stem[7].running_mean,
        'layer1.0.conv1.weight': net.layer1[0].conv1.weight,
        'layer3.5.bn2.weight': net.layer3[5].bn2.weight,
        'layer4.0.downsample.1.bias': net.layer4[0].downsample[1].bias,
    }
    for name, place in places.items():
        assert torch.equal(place.detach(), weights[name]), name


def test_counters_are_kept_where_there_are_any():
    weights = filled(authors_shapes())
    weights['bn1.num_batches_tracked'] = torch.tensor(7)
    converted = convert_deep_stem(weights)
    assert converted['stem.7.num_batches_tracked'] == 7
    assert not any(name.startswith('fc') for name in converted)


def without(shapes, *names):
    return {name: s for name, s in shapes.items() if name not in names}


@pytest.mark.parametrize('shapes, words', [
    (authors_shapes(blocks=(2, 2, 2, 2)), ['third stage has 2 blocks']),
    (authors_shapes(stem=(32, 32, 64)), [
        'other shapes for', r'layer1.0.conv1.weight \(64, 64, 1, 1\) instead',
        'resnet101_v1c is it'
    ]),
    (without(authors_shapes(), 'bn1.bias'), ['lack stem.7.bias']),
    (authors_shapes() | {
        'conv2.weight': (64, 64, 3, 3)
    }, ['have unknown conv2.weight']),
])
def test_other_networks_are_refused(shapes, words):
    for word in words:
        with pytest.raises(ValueError, match=word):
            convert_deep_stem(filled(shapes))


@pytest.mark.parametrize('wrap', [
    lambda w: w, lambda w: dict(state_dict=w),
    lambda w: dict(model={
        f'module.{name}': value
        for name, value in w.items()
    })
])
@pytest.mark.parametrize('zipped', [True, False])
def test_tool(tmp_path, wrap, zipped, capsys, monkeypatch):
    """Files of old and new PyTorch, and how repositories wrap weights."""
    weights = filled(authors_shapes())
    source, target = tmp_path / 'resnet50.pth', tmp_path / 'new' / 'out.pth'
    torch.save(wrap(weights), source, _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr('sys.argv', [str(TOOL), str(source), str(target)])
    runpy.run_path(str(TOOL), run_name='__main__')
    number = len(weights) - 2  # without fc
    assert f'{number} weights -> {target}' in capsys.readouterr().out
    cfg = dict(type='Pretrained', checkpoint=str(target))
    net = network(depth=50, init_cfg=cfg)
    net.init_weights()
    assert torch.equal(net.stem[6].weight.detach(), weights['conv1.6.weight'])
    with pytest.raises(SystemExit, match='out.pth exists: remove it'):
        runpy.run_path(str(TOOL), run_name='__main__')


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match='no.pth is no file: give'):
        read_deep_stem(str(tmp_path / 'no.pth'))
    (tmp_path / 'page.pth').write_text('<html>quota exceeded</html>')
    with pytest.raises(CheckpointError, match='page.pth'):
        read_deep_stem(str(tmp_path / 'page.pth'))
    torch.save(dict(epoch=3), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not hold tensors by name'):
        read_deep_stem(str(tmp_path / 'other.pth'))
