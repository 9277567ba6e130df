# Copyright (c) mmseg_semi authors.
import runpy
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.engine.checkpoint import CheckpointError
from mmseg_semi.engine.xception_weights import (convert_xception65,
                                                read_xception65)
from ..test_models.xception_port import port_shapes, port_weights

TOOL = Path(__file__).parents[2] / 'tools/model_converters'


@pytest.fixture(scope='module')
def weights():
    """With the buffers that synchronised norms of that time carry."""
    weights = {name: w.float() for name, w in port_weights().items()}
    for name in [n for n in weights if n.endswith('running_mean')]:
        norm = name.removesuffix('running_mean')
        weights[f'{norm}_tmp_running_mean'] = torch.zeros(3)
        weights[f'{norm}_tmp_running_var'] = torch.zeros(3)
        weights[f'{norm}_running_iter'] = torch.ones(1)
        weights[f'{norm}num_batches_tracked'] = torch.tensor(7)
    return weights


def without(weights, *names):
    return {n: w for n, w in weights.items() if n not in names}


def test_every_weight_finds_its_place(weights):
    converted = convert_xception65(weights)
    assert len(converted) == len(port_shapes())
    for theirs, ours in {
            'conv2.weight': 'stem.1.conv.weight',
            'bn1.running_var': 'stem.0.bn.running_var',
            'block2.sepconv2.pointwise.weight':
            'entry2.conv2.pointwise_conv.conv.weight',
            'block3.skipbn.bias': 'entry3.shortcut.bn.bias',
            'block4.sepconv1.bn1.weight':
            'middle.0.conv1.depthwise_conv.bn.weight',
            'block19.sepconv3.depthwise.weight':
            'middle.15.conv3.depthwise_conv.conv.weight',
            'block20.skip.weight': 'exit_block.shortcut.conv.weight',
            'conv5.bn2.running_mean':
            'exit_convs.2.pointwise_conv.bn.running_mean'
    }.items():
        assert converted[ours] is weights[theirs]


@pytest.mark.slow
def test_the_tool_writes_what_a_config_loads(weights, tmp_path, capsys):
    source, target = tmp_path / 'xception.pth', tmp_path / 'out/x.pth'
    # As PyTorch 0.4 wrote it.
    torch.save(weights, source, _use_new_zipfile_serialization=False)
    main = runpy.run_path(str(TOOL / 'xception65_to_mmseg.py'))['main']
    main([str(source), str(target)])
    assert f'{len(port_shapes())} weights' in capsys.readouterr().out
    net = MODELS.build(
        dict(
            type='mmseg.Xception65',
            init_cfg=dict(type='Pretrained', checkpoint=str(target))))
    net.init_weights()
    for name, value in convert_xception65(weights).items():
        assert torch.equal(net.state_dict()[name], value), name
    with pytest.raises(SystemExit, match='x.pth exists: remove it'):
        main([str(source), str(target)])


@pytest.mark.parametrize('change, words', [
    (lambda w: without(w, 'conv4.bn2.bias'),
     r'1 weights are missing: exit_convs\.1\.pointwise_conv\.bn\.bias'),
    (lambda w: dict(w, **{'fc.weight': torch.ones(2)}),
     r'1 weights are none of the network: fc\.weight'),
    (lambda w: dict(w, **{'block21.skip.weight': torch.ones(2)}),
     'none of the network: block21'),
    (lambda w: dict(w, **{'block4.skip.weight': torch.ones(2)}),
     'none of the network: block4'),
    (lambda w: dict(w, **{'conv1.weight': torch.ones(32, 3, 5, 5)}),
     r'another shape: stem\.0\.conv\.weight \(32, 3, 5, 5\) instead of'),
])
def test_other_networks_are_named(weights, change, words):
    with pytest.raises(ValueError, match=words):
        convert_xception65(change(weights))


@pytest.mark.parametrize('content', [[1], dict(epoch=3), 'text', None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / 'xception.pth'
    if content == 'text':
        path.write_text('not a checkpoint')
    elif content is not None:
        torch.save(content, path)
    error = FileNotFoundError if content is None else (CheckpointError,
                                                       ValueError)
    with pytest.raises(error, match='xception.pth'):
        read_xception65(str(path))
