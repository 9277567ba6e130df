# Copyright (c) mmseg_semi authors.
"""The tool, from a config and a checkpoint to a training that resumes."""
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.nn import functional as F

from ..test_models.test_brpg_model import train
from ..test_models.test_pcr_model import Z, head_of
from ..test_models.toys import NUM_CLASSES, mean_teacher_cfg, segmentor

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location(
    'init_prototypes', ROOT / 'tools/misc/init_prototypes.py')
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)

CLASSES = ('w', 'x', 'y', 'z')
SIZES = dict(a=(20, 24), b=(33, 18))
DIVISOR = 16  # both images are padded


def preprocessor():
    return dict(
        type='SegDataPreProcessor',
        mean=[120.] * 3,
        std=[60.] * 3,
        size=(33, 33),
        test_cfg=dict(size_divisor=DIVISOR))


@pytest.fixture
def root(tmp_path):
    """Two labelled images: class 2 has two pixels, class 3 none."""
    random = np.random.default_rng(0)
    for name, size in SIZES.items():
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = random.integers(0, 3, size, dtype=np.uint8)
        mask[mask == 2] = 255
        if name == 'a':
            mask[5, 7] = mask[9, 20] = 2
        for folder, suffix, array in (('images', 'jpg', image), ('masks',
                                                                 'png', mask)):
            path = tmp_path / folder / f'{name}.{suffix}'
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), array)
    return tmp_path


def model_cfg(root, **pcr):
    term = dict(
        type='PCR',
        head=dict(in_channels=Z),
        num_prototypes=3,
        prototypes=str(root / 'made/by_tool.pth'),
        cells=8)
    cfg = mean_teacher_cfg(
        segmentor=segmentor(data_preprocessor=preprocessor()),
        burn_in=2,
        terms=dict(pcr={
            **term,
            **pcr
        }))
    return cfg


def write_config(root, model):
    """A training config with a crop, which the tool must not apply."""
    labeled = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomCrop', crop_size=(8, 8)),
            dict(type='PackSegInputs')
        ])
    path = root / 'pcr.py'
    Config(
        dict(
            model=model,
            train_dataloader=dict(dataset=dict(labeled=labeled)))).dump(path)
    return str(path)


def build(cfg):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg)


@pytest.fixture
def plain(root):
    """A plain segmentor whose BatchNorm statistics are not the initial."""
    net = build(segmentor(data_preprocessor=preprocessor()))
    net.train()(torch.randn(4, 3, 33, 33))
    torch.save(dict(state_dict=net.state_dict()), root / 'plain.pth')
    return net.eval()


@pytest.fixture
def config(root):
    return write_config(root, model_cfg(root))


def stored(root):
    return torch.load(root / 'made/by_tool.pth', weights_only=True)


def rows_of(net, root):
    """Features of every labelled pixel: Z upsampled to the padded input."""
    rows = {c: [] for c in range(NUM_CLASSES)}
    maps = []
    hook = net.decode_head.fuse.register_forward_hook(
        lambda module, args, output: maps.append(output))
    for name, (height, width) in SIZES.items():
        image = cv2.imread(str(root / f'images/{name}.jpg'))
        image = (torch.from_numpy(image).permute(2, 0, 1).float() - 120) / 60
        image = F.pad(image, (0, -width % DIVISOR, 0, -height % DIVISOR))
        with torch.no_grad():
            net(image[None])
        full = F.interpolate(
            maps.pop(),
            image.shape[1:],
            mode='bilinear',
            align_corners=net.align_corners)[0]
        mask = torch.from_numpy(cv2.imread(str(root / f'masks/{name}.png'), 0))
        for c in rows:
            rows[c].append(full[:, :height, :width][:, mask == c].t())
    hook.remove()
    return [torch.cat(parts) for parts in rows.values()]


def test_file_equals_clusters_of_the_upsampled_maps(root, plain, config,
                                                    capsys):
    """K = 1: the mean of all pixels, padded images included."""
    tool.main([config, str(root / 'plain.pth'), '--num-prototypes', '1'])
    content = stored(root)
    assert content['classes'] == list(CLASSES)
    assert content['source']['tap'] == 'decoder'
    assert content['valid'].tolist() == [[True], [True], [True], [False]]
    rows = rows_of(plain, root)
    for c in range(3):
        torch.testing.assert_close(
            content['prototypes'][c, 0], rows[c].mean(0), rtol=0, atol=1e-5)
    printed = capsys.readouterr().out
    for name, pixels in zip(CLASSES, rows):
        assert f'{name:20}{len(pixels):12} pixels' in printed


def test_few_pixels_or_none_of_a_class(root, plain, config, capsys):
    tool.main([config, str(root / 'plain.pth')])
    content = stored(root)
    assert content['prototypes'].shape == (4, 3, Z)
    assert content['valid'].sum(1).tolist() == [3, 3, 2, 0]
    torch.testing.assert_close(
        content['prototypes'][2, :2].sort(0).values,
        rows_of(plain, root)[2].sort(0).values,
        rtol=0,
        atol=1e-5)
    assert 'of 3 wanted' in capsys.readouterr().out


def test_the_same_seed_gives_the_same_file(root, plain, config):
    found = []
    for seed in (0, 0, 1):
        tool.main([
            config,
            str(root / 'plain.pth'), '--pixels', '40', '--seed',
            str(seed)
        ])
        found.append(stored(root)['prototypes'])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_clustering_by_direction(root, plain, config):
    """By the option or by the config, which a training would follow."""
    checkpoint, found = str(root / 'plain.pth'), []
    for arguments in ([], ['--normalize'],
                      ['--cfg-options', 'model.terms.pcr.normalize=True']):
        tool.main([config, checkpoint, *arguments])
        found.append(stored(root)['prototypes'])
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[0], found[1])


def test_networks_of_a_wrapper(root, plain, config):
    """The predicting one, unless another is named."""
    model = build(model_cfg(root))
    model.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.mul_(1.5)
    torch.save(dict(state_dict=model.state_dict()), root / 'wrapped.pth')
    arguments = ['--num-prototypes', '1']
    tool.main([config, str(root / 'plain.pth'), *arguments])
    expected = stored(root)['prototypes']
    checkpoint = str(root / 'wrapped.pth')
    tool.main([config, checkpoint, *arguments, '--network', 'teacher'])
    assert torch.equal(stored(root)['prototypes'], expected)
    tool.main([config, checkpoint, *arguments])
    assert torch.equal(stored(root)['prototypes'], expected)
    tool.main([config, checkpoint, *arguments, '--network', 'student'])
    assert not torch.equal(stored(root)['prototypes'], expected)


def started(root, **pcr):
    # Another test's training may have said which classes its data have.
    MessageHub.get_current_instance().runtime_info.pop('dataset_meta', None)
    model = build(model_cfg(root, **pcr))
    model.init_weights()
    model.total_iters = 100
    return model.train()


def test_the_training_reads_the_file_and_resumes(root, plain, config):
    tool.main([config, str(root / 'plain.pth')])
    model = started(root)
    losses = train(model, 1)
    assert losses['loss_proto'] > 0
    content, head = stored(root), head_of(model)
    assert torch.equal(head.prototype_valid, content['valid'])
    assert not torch.equal(head.prototypes, content['prototypes'])  # moved
    frozen = started(root, momentum=1.)
    train(frozen, 1)
    assert torch.equal(head_of(frozen).prototypes, content['prototypes'])
    train(model, 2, first=1)
    (root / 'made/by_tool.pth').unlink()  # not needed any more
    other = started(root)
    other.load_state_dict(model.state_dict())
    for it in (3, 4):
        ours, theirs = (train(m, 1, first=it) for m in (model, other))
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), (it, name)
    for (name, a), b in zip(model.state_dict().items(),
                            other.state_dict().values()):
        assert torch.equal(a, b), name


def test_a_checkpoint_without_the_decoder(root, plain, config):
    """What it lacks would be random."""
    state = {
        name: value
        for name, value in plain.state_dict().items()
        if name.startswith('backbone.')
    }
    torch.save(dict(state_dict=state), root / 'backbone.pth')
    with pytest.raises(SystemExit, match='lacks .* weights'):
        tool.main([config, str(root / 'backbone.pth')])
    assert not (root / 'made').exists()


@pytest.mark.parametrize('arguments, message', [
    (['--pixels', '0'], '--pixels 0'),
    (['--num-prototypes', '0'], '--num-prototypes 0'),
])
def test_numbers_that_make_no_sense(config, capsys, arguments, message):
    with pytest.raises(SystemExit):
        tool.main([config, 'plain.pth', *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('arguments, message', [
    (['--network', 'tutor'], "no network 'tutor'.*student"),
    (['--tap', 'aspp'], 'decoder|module.path'),
    (['--cfg-options', 'model.terms.pcr=None'], 'give --out'),
    ([
        '--cfg-options', 'train_dataloader.dataset.labeled.metainfo.classes='
        '[w,x]'
    ], 'has 2 classes'),
])
def test_mistakes_are_told(root, plain, config, arguments, message):
    with pytest.raises((SystemExit, KeyError), match=message):
        tool.main([config, str(root / 'plain.pth'), *arguments])
