# Copyright (c) mmseg_semi authors.
"""prototype_activation.py and feature_tsne.py on the images of a toy."""
import importlib.util
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.nn import functional as F

from ..test_models.test_pps_model import prototypes
from ..test_models.toys import segmentor
from . import test_feature_discrimination as toy

root = toy.data_root  # the fixture, by a shorter name


def load(name):
    spec = importlib.util.spec_from_file_location(
        name, toy.ROOT / f'tools/analysis_tools/{name}.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


activation, tsne = load('prototype_activation'), load('feature_tsne')


def saved(root, name, cfg):
    """Config file, checkpoint and network."""
    torch.manual_seed(0)
    cfg['data_preprocessor'] = toy.preprocessor()
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(cfg).eval()
    checkpoint = str(root / f'{name}.pth')
    torch.save(dict(state_dict=net.state_dict()), checkpoint)
    return toy.write(root, name, cfg), checkpoint, net


@pytest.fixture
def queries(root):
    return saved(root, 'queries', prototypes())


def mask_logits(net, root, name):
    """Scores of the prototypes at the size of the file, the long way."""
    picture = cv2.imread(str(root / f'images/{name}.jpg'))
    height, width = picture.shape[:2]
    picture = cv2.resize(picture, (2 * width, 2 * height))
    image = torch.from_numpy(picture).permute(2, 0, 1).float()
    padding = (0, -2 * width % 16, 0, -2 * height % 16)
    image = F.pad((image - 120) / 60, padding)
    with torch.no_grad():
        maps = net.decode_head(net.extract_feat(image[None])).mask_logits()
    options = dict(mode='bilinear', align_corners=True)
    maps = F.interpolate(maps, image.shape[1:], **options)
    maps = maps[..., :2 * height, :2 * width]
    return F.interpolate(maps, (height, width), **options)[0]


def test_maps_of_images_by_index_and_by_file(queries, root, capsys):
    config, checkpoint, net = queries
    out = root / 'new/maps.png'
    activation.main([
        config, checkpoint, '--images', '0',
        str(root / 'images/b.jpg'), '--prototypes', '7', '4', '--out',
        str(out)
    ])
    arrays = np.load(out.with_suffix('.npz'))
    words = json.loads(out.with_suffix('.json').read_text())
    for i, name in enumerate(toy.SIZES):
        expected = mask_logits(net, root, name)[[7, 4]].numpy()
        found = arrays[f'maps_{i}']
        assert found.shape == (2, *toy.SIZES[name])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
        assert arrays[f'index_{i}'].tolist() == [7, 4]
        assert arrays[f'class_{i}'].tolist() == [2, 1]
        assert arrays[f'prediction_{i}'].shape == toy.SIZES[name]
        entry = words['images'][i]
        assert entry['image'].endswith(f'{name}.jpg')
        assert [p['class_name'] for p in entry['prototypes']] == ['y', 'x']
        assert entry['prototypes'][1]['max'] == found[1].max()
    assert cv2.imread(str(out)).shape[2] == 3
    assert str(out) in capsys.readouterr().out.replace('\n', '')


def test_points_of_pixels_and_prototypes(queries, root):
    config, checkpoint, _ = queries
    out = root / 'points.png'
    arguments = [
        config, checkpoint, '--pixels', '6', '--perplexity', '4', '--out',
        str(out)
    ]
    tsne.main(arguments)
    first = dict(np.load(out.with_suffix('.npz')))
    pixels = ~first['prototype']
    assert np.bincount(first['class'][pixels]).tolist() == [6, 6, 6]
    assert first['index'][~pixels].tolist() == list(range(12))
    assert first['xy'].shape == (30, 2)
    assert first['prototype'][first['nearest']].all()
    rows = json.loads(out.with_suffix('.json').read_text())['classes']
    right = first['class'][first['nearest']] == first['class']
    assert rows[1]['agree'] == right[pixels & (first['class'] == 1)].mean()
    assert rows[3] == dict(name='z', id=3, pixels=0, prototypes=3, agree=None)
    with pytest.raises(SystemExit, match='exists already'):
        tsne.main(arguments)
    tsne.main([*arguments, '--force'])
    again = np.load(out.with_suffix('.npz'))
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_model_without_prototypes(root):
    config, checkpoint, _ = saved(root, 'plain', segmentor())
    out = root / 'plain.png'
    with pytest.raises(SystemExit, match='has no prototypes to show'):
        activation.main([config, checkpoint, '--out', str(out)])
    assert not out.exists()
    result = tsne.main([
        config, checkpoint, '--classes', 'y', 'w', '--pixels', '8',
        '--perplexity', '5', '--out',
        str(out)
    ])
    assert [(row['name'], row['pixels'], row['prototypes'])
            for row in result['classes']] == [('w', 8, 0), ('y', 8, 0)]
    assert result['feature'] == 'decoder'


@pytest.mark.parametrize('arguments,message', [
    (['--classes', 'cat'], "no class 'cat'"),
    (['--prototypes', '12'], 'no prototype 12'),
    (['--images', '2'], 'no image 2'),
    (['--out', 'maps.jpg'], 'must end in .png'),
    (['--loader', 'test_dataloader'], r"use one of \['val_dataloader'\]"),
])
def test_mistakes_are_told(queries, root, arguments, message):
    config, checkpoint, _ = queries
    out = str(root / 'maps.png')
    with pytest.raises(SystemExit, match=message):
        activation.main([config, checkpoint, '--out', out, *arguments])
