# Copyright (c) mmseg_semi authors.
"""RC²L's configs: arithmetic, wiring, documented options, short runs."""
import re

import pytest
import torch
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_semi.datasets.miniatures import FOLDERS, write_miniature
from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from .test_configs import (ALL, CONFIGS, GPUS, build, dataset_of, load,
                           published_split, structure)

NAMES = [n for n in ALL if n.startswith('rc2l/')]
PUBLISHED = [n for n in NAMES if '_digits_' not in n]
TRAIN, AUG, CITY = (92, 183, 366, 732, 1464), (662, 1323, 2646, 5291), (372,
                                                                        744)
# Tables 1 and 2: these start from COCO.
FROM_COCO = {'voc': (366, 183, 92, 662), 'city': CITY}


def labels_of(name):
    return int(re.search(r'_(\d+)\.py$', name).group(1))


def test_every_protocol_of_the_paper_is_there():
    found = {
        re.match(r'rc2l/rc2l_r101(-coco)?_(\w+_\d+)\.py', n).group(2)
        for n in PUBLISHED if '/ablation/' not in n
    }
    assert found == {f'voc_{n}'
                     for n in TRAIN + AUG} | {f'city_{n}'
                                              for n in CITY}


@pytest.mark.parametrize('name', PUBLISHED)
def test_numbers_of_the_protocol(name):
    cfg, labels = load(name), labels_of(name)
    kind, dataset = dataset_of(name), cfg.train_dataloader.dataset
    assert sum(cfg.train_dataloader.sampler.counts) * GPUS == 16
    aug = kind == 'voc' and labels in AUG
    assert cfg.train_cfg.max_iters == (160_000 if aug else 120_000)
    if cfg.model.terms.rc2l:
        alpha = 2. if kind == 'voc' and not aug else 1.
        assert cfg.model.terms.rc2l.loss_weight == alpha
    if kind == 'voc':
        pool = 'voc12-trainaug'
        if labels in TRAIN and labels != 1464:
            pool = 'voc12-classic-1464'
        assert dataset.unlabeled.ann_file == f'ImageSets/Semi/{pool}.txt'
    crop = dict(voc=512, city=768)[kind]
    for source in (dataset.labeled, dataset.unlabeled):
        assert [s.crop_size for s in source.pipeline
                if 'crop_size' in s] == [crop]
    coco = labels in FROM_COCO[kind]
    checkpoint = cfg.model.segmentor.get('backbone',
                                         {}).get('init_cfg',
                                                 {}).get('checkpoint', '')
    assert ('coco' in checkpoint) == ('-coco_' in name) == coco
    assert cfg.model.segmentor.decode_head.num_queries == 50


@pytest.mark.parametrize('name', [n for n in NAMES if '/ablation/' in n])
def test_rows_of_table_3(name):
    """The name says which losses have a weight; the others keep theirs."""
    row = re.match(r'rc2l/ablation/([a-z-]+)', name).group(1)
    whole = load(re.sub(r'ablation/[a-z0-9-]+?_', 'rc2l_', name))
    cfg = load(name).model.terms.rc2l
    if row == 'pixel':
        assert cfg is None
        consistency = load(name).model.terms.consistency
        sure = whole.model.terms.rc2l.get('threshold', 0.)
        assert consistency.filter == ('confidence' if sure else 'none')
        assert consistency.get('threshold', 0.) == sure
        return
    losses = ('rcc', 'smc', 'rmc', 'rfc')
    kept = dict(baseline=['smc'], q=losses).get(row, row.split('-'))
    betas = whole.model.terms.rc2l.get('betas', (1., 20., 4., 4.))
    assert tuple(cfg.get('betas', (1., 20., 4., 4.))) == tuple(
        beta if loss in kept else 0. for loss, beta in zip(losses, betas))
    assert cfg.get('union',
                   'max') == ('matched' if row == 'baseline' else 'max')


@pytest.mark.parametrize('name', PUBLISHED)
def test_sizes_of_the_augmentation(name):
    """The short side is 0.5 to 2 times that of MaskFormer's configs."""
    short = dict(voc=512, city=1024)[dataset_of(name)]
    for part in ('labeled', 'unlabeled'):
        source = load(name).train_dataloader.dataset[part]
        scales, = [s.scales for s in source.pipeline if 'scales' in s]
        assert (min(scales), max(scales)) == (short // 2, short * 2)


@pytest.mark.parametrize('name', PUBLISHED)
def test_weak_and_labelled_images_follow_one_law(name):
    dataset = load(name).train_dataloader.dataset
    labeled, unlabeled = (
        source.pipeline for source in (dataset.labeled, dataset.unlabeled))
    assert labeled[2:-1] == unlabeled[2:-1]
    assert labeled[-1].branch_field == unlabeled[-1].branch_field
    assert load(name).model.strong_copies == 1


@pytest.mark.parametrize('name', NAMES)
def test_splits_differ_in_numbers_only(name):
    cfg = load(name)
    if '/ablation/' in name:
        method = dict(digits='rc2l_r18_digits_50', voc='rc2l_r101_voc_732')
        other = load(f'rc2l/{method[dataset_of(name)]}.py')
        for part in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
            if labels_of(name) != 2646 or part != 'train_cfg':
                assert cfg[part] == other[part]
        return
    model = {
        'digits': 'rc2l/rc2l_r18_digits_50.py',
        'voc': 'rc2l/rc2l_r101_voc_732.py',
        'city': 'rc2l/rc2l_r101-coco_city_372.py'
    }[dataset_of(name)]
    if '-coco_voc' in name:
        model = 'rc2l/rc2l_r101-coco_voc_366.py'
    other = load(model)
    for each in (cfg, other):
        each.model.terms.rc2l.pop('loss_weight')
    assert structure(cfg) == structure(other)


@pytest.mark.parametrize('name', [
    n
    for n in NAMES if '/ablation/' in n or labels_of(n) in (50, 732, 366, 372)
])
def test_the_model_builds(name):
    cfg = load(name)
    model = build(cfg)
    classes = dict(digits=11, voc=21, city=19)[dataset_of(name)]
    assert model.num_classes == classes
    assert set(model.terms) == {n for n, t in cfg.model.terms.items() if t}
    assert model.predict_with == 'student'
    assert 'rc2l' in model.terms or '/pixel_' in name


def test_learning_rates():
    cfg = load('rc2l/rc2l_r101_voc_732.py')
    assert cfg.optim_wrapper.clip_grad.max_norm == .01
    model = build(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {
        id(p): (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for p in group['params']
    }
    for part, rate in dict(backbone=1e-5, decode_head=1e-4).items():
        found = {
            rates[id(p)]
            for n, p in model.student.named_parameters()
            if n.startswith(part) and p.requires_grad
        }
        assert found == {(rate, 1e-4)}


def test_coco_weights_fill_all_but_the_classes(tmp_path):
    cfg = load('rc2l/rc2l_r101-coco_voc_366.py')
    small(cfg)
    path = str(tmp_path / 'coco.pth')
    segmentor = cfg.model.segmentor
    for part, prefix in (('backbone', 'backbone.'), ('decode_head',
                                                     'panoptic_head.')):
        assert segmentor[part].init_cfg.prefix == prefix
        segmentor[part].init_cfg.checkpoint = path
    torch.manual_seed(0)
    given = {
        name.replace('decode_head', 'panoptic_head'): torch.rand_like(value)
        for name, value in MODELS.build(
            cfg.model).student.state_dict().items()
        if value.is_floating_point()
    }
    given['panoptic_head.cls_embed.weight'] = torch.rand(134, 256)
    given['panoptic_head.cls_embed.bias'] = torch.rand(134)
    given['panoptic_head.query_embed.weight'] = torch.rand(100, 256)
    torch.save(dict(state_dict=given), path)
    model = MODELS.build(cfg.model)
    model.init_weights()
    new = {
        name
        for net in (model.student, model.teacher)
        for name, value in net.state_dict().items()
        if value.is_floating_point() and not torch.equal(
            value, given[name.replace('decode_head', 'panoptic_head')])
    }
    assert new == {
        f'decode_head.{name}'
        for name in ('cls_embed.weight', 'cls_embed.bias',
                     'query_embed.weight')
    }


def readme_options():
    text = (CONFIGS / 'rc2l/README.md').read_text()
    table = text.split('### Ablations')[1].split('## Differences')[0]
    return sorted(set(re.findall(r'`("?model\.[^`]*=[^`]*)`', table)))


def test_the_readme_lists_options():
    assert len(readme_options()) > 20


@pytest.mark.parametrize('options', readme_options())
def test_options_of_the_readme_work(options):
    changed = False
    for name in ('rc2l/rc2l_r101_voc_732.py', 'rc2l/rc2l_r101_voc_2646.py'):
        cfg = load(name)
        before = cfg.pretty_text
        key, value = options.strip('"').split('=', 1)
        cfg.merge_from_dict({key: DictAction._parse_iterable(value)})
        changed |= cfg.pretty_text != before
    assert changed
    build(cfg)


def small(cfg):
    """A ResNet-18 of the same wiring under two decoder layers."""
    segmentor = cfg.model.segmentor
    backbone = dict(depth=18, base_channels=8, stem_channels=8)
    cfg.merge_from_dict(
        dict(
            model=dict(
                segmentor=dict(
                    backbone=backbone,
                    decode_head=dict(
                        in_channels=[8, 16, 32, 64],
                        transformer_decoder=dict(
                            num_layers=2, layer_cfg=decoder_layer()))))))
    return segmentor


def reduce(cfg, root):
    """Four iterations, two of them with unlabelled images."""
    small(cfg)
    for part in ('backbone', 'decode_head'):
        cfg.model.segmentor[part].init_cfg = None
    cfg.model.burn_in = 2
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.verify_split = False
    for source in (loader.dataset.labeled, loader.dataset.unlabeled):
        source.data_root = root
        for step in source.pipeline:
            if 'crop_size' in step:
                step.crop_size = 64
            if 'scales' in step:
                step.scales = [48, 80]
    for which in ('val_dataloader', 'test_dataloader'):
        cfg[which].update(num_workers=0, persistent_workers=False)
        cfg[which].dataset.data_root = root
    cfg.default_hooks.logger.interval = 1


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mini')
    for kind in ('voc', 'city'):
        write_miniature(kind, folder / FOLDERS[kind])
    return {kind: str(folder / FOLDERS[kind]) for kind in ('voc', 'city')}


@pytest.mark.slow
@pytest.mark.parametrize('name, losses', [
    ('rc2l/rc2l_r101_voc_732.py', {'rcc', 'smc', 'rmc', 'rfc'}),
    ('rc2l/rc2l_r101-coco_city_372.py', {'rcc', 'smc', 'rmc', 'rfc'}),
    ('rc2l/ablation/baseline_r101_voc_732.py', {'smc'}),
    ('rc2l/ablation/pixel_r101_voc_732.py', {'unsup'}),
])
def test_it_trains_on_a_miniature(name, losses, trees, tmp_path):
    cfg = load(name)
    reduce(cfg, trees[dataset_of(name)])
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == 4
    scalars = runner.message_hub.log_scalars
    assert 'mIoU' in ' '.join(scalars)
    found = {n.rsplit('_', 1)[1] for n in scalars if '/loss_' in n}
    assert losses == found & {'rcc', 'smc', 'rmc', 'rfc', 'unsup'}
    for entry, values in scalars.items():
        if 'loss' in entry:
            assert torch.isfinite(torch.as_tensor(values.data[0])).all()


def test_the_split_has_a_known_hash():
    for name in PUBLISHED:
        assert published_split(load(name))['sha256']
