# Copyright (c) mmseg_semi authors.
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.nn import functional as F

from ..test_analysis.test_class_scatter import slow_traces
from ..test_models.toys import mean_teacher_cfg, segmentor

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location(
    'feature_discrimination',
    ROOT / 'tools/analysis_tools/feature_discrimination.py')
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)

SIZES = dict(a=(20, 24), b=(17, 26))  # the input: 2 times, and padded to 16


@pytest.fixture
def data_root(tmp_path):
    random = np.random.default_rng(0)
    for name, size in SIZES.items():
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = random.integers(0, 4, size, dtype=np.uint8)
        mask[mask == 3] = 255  # class 3 does not occur
        for folder, suffix, array in (('images', 'jpg', image), ('masks',
                                                                 'png', mask)):
            path = tmp_path / folder / f'{name}.{suffix}'
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), array)
    return tmp_path


def preprocessor():
    return dict(
        type='SegDataPreProcessor',
        mean=[120.] * 3,
        std=[60.] * 3,
        test_cfg=dict(size_divisor=16))


@pytest.fixture
def model(data_root):
    """Config file, checkpoint and network of a plain segmentor."""
    cfg = segmentor(data_preprocessor=preprocessor())
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(cfg).eval()
    torch.save(dict(state_dict=net.state_dict()), data_root / 'net.pth')
    return write(data_root, 'net', cfg), str(data_root / 'net.pth'), net


def write(root, name, model):
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('w', 'x', 'y', 'z')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale_factor=2.0, keep_ratio=True),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs')
        ])
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset)
    path = root / f'{name}.py'
    Config(dict(model=model, val_dataloader=loader)).dump(path)
    return str(path)


def upsampled(net, root, stride=1, normalize=False):
    """Every labelled pixel the long way: Z upsampled to the input."""
    features, labels = [], []
    maps = []
    hook = net.decode_head.fuse.register_forward_hook(
        lambda module, args, output: maps.append(output))
    for name in SIZES:
        image = cv2.imread(str(root / f'images/{name}.jpg'))
        height, width = 2 * image.shape[0], 2 * image.shape[1]
        image = cv2.resize(image, (width, height))
        image = (torch.from_numpy(image).permute(2, 0, 1).float() - 120) / 60
        image = F.pad(image, (0, -width % 16, 0, -height % 16))
        with torch.no_grad():
            net(image[None], mode='tensor')
        rows = F.interpolate(
            maps.pop(),
            image.shape[1:],
            mode='bilinear',
            align_corners=net.align_corners)[0].permute(1, 2, 0)
        if normalize:
            rows = F.normalize(rows, dim=2)
        mask = cv2.imread(str(root / f'masks/{name}.png'), 0)
        mask = torch.from_numpy(mask.repeat(2, 0).repeat(2, 1)).long()
        mask = mask[::stride, ::stride]
        rows = rows[:height:stride, :width:stride]
        features.append(rows[mask != 255])
        labels.append(mask[mask != 255])
    hook.remove()
    return torch.cat(features), torch.cat(labels)


@pytest.mark.parametrize('stride,normalize', [(1, False), (3, True)])
def test_report_equals_the_upsampled_map(model, data_root, capsys, stride,
                                         normalize):
    config, checkpoint, net = model
    path = data_root / 'out.json'
    tool.main([
        config, checkpoint, '--json',
        str(path), '--stride',
        str(stride), *(['--normalize'] if normalize else [])
    ])
    (found, ) = json.loads(path.read_text())['models']
    features, labels = upsampled(net, data_root, stride, normalize)
    assert found['images'] == 2 and found['channels'] == 16
    assert found['pixels'] == len(labels)
    assert [c['pixels'] for c in found['classes']
            ] == labels.bincount(minlength=4).tolist()
    assert found['classes'][3]['intra'] is None
    for weighting in ('pixel', 'class'):
        inter, intra = slow_traces(features, labels, weighting)
        assert found[weighting]['inter'] == pytest.approx(inter, rel=1e-4)
        assert found[weighting]['intra'] == pytest.approx(intra, rel=1e-4)
        assert found[weighting]['ratio'] == pytest.approx(
            inter / intra, rel=1e-4)
    printed = capsys.readouterr().out
    assert f'{found["pixel"]["ratio"]:.4g}' in printed
    assert 'decoder' in printed


def test_several_models_and_the_weighting_of_the_table(model, data_root,
                                                       capsys):
    """A plain model, and the same weights in a wrapper, as a teacher."""
    config, checkpoint, _ = model
    wrapped = write(
        data_root, 'wrapped',
        mean_teacher_cfg(
            segmentor=segmentor(data_preprocessor=preprocessor())))
    result = tool.main(
        [config, checkpoint, wrapped, checkpoint, '--weighting', 'class'])
    one, other = result['models']
    assert (one['network'], other['network']) == (None, 'teacher')
    assert one['class'] == other['class']
    printed = capsys.readouterr().out
    assert printed.count(f'{one["class"]["inter"]:.4g}') == 2
    assert 'every class counts the same' in printed


def test_pixels_are_read_in_portions(model, monkeypatch):
    config, checkpoint, _ = model
    whole = tool.main([config, checkpoint])['models'][0]['pixel']
    monkeypatch.setattr(tool, 'PIXELS', 100)
    parts = tool.main([config, checkpoint])['models'][0]['pixel']
    assert parts == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize('arguments,message', [
    (['--loader', 'test_dataloader'], 'has no test_dataloader'),
    (['--network', 'teacher'], 'has no network'),
    (['--cfg-options', 'val_dataloader.dataset.metainfo.classes=[a,b]'
      ], 'the model has 4 classes, the data set 2'),
])
def test_mistakes_are_told(model, arguments, message):
    config, checkpoint, _ = model
    with pytest.raises(SystemExit, match=message):
        tool.main([config, checkpoint, *arguments])


def test_config_without_checkpoint(model, capsys):
    with pytest.raises(SystemExit):
        tool.main(model[:1])
    assert 'a checkpoint for every config' in capsys.readouterr().err
