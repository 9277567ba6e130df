# Copyright (c) mmseg_semi authors.
"""PPS's configs: arithmetic, wiring, documented options, short runs."""
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmseg_semi.datasets.miniatures import FOLDERS, write_miniature
from .test_configs import (ALL, CONFIGS, RESNET, build, dataset_of, load,
                           published_split, structure)

NAMES = [n for n in ALL if n.startswith('pps/')]
PUBLISHED = [n for n in NAMES if '_digits_' not in n]
CLASSES = dict(digits=11, voc=21, city=19)
PER_CLASS = dict(digits=5, voc=5, city=7)
# Training images and crop; by labelled images the share and the epochs.
SETTINGS = dict(voc=(10582, 512), city=(2975, 800))
EPOCHS = dict(
    voc={
        662: (16, 32),
        1323: (8, 34),
        2646: (4, 40),
        5291: (2, 60)
    },
    city={
        186: (16, 128),
        372: (8, 137),
        744: (4, 160),
        1488: (2, 240)
    })


def test_every_protocol_of_the_paper_is_there():
    found = {
        re.match(r'pps/pps_r101_(\w+_\d+)\.py', n).group(1)
        for n in NAMES if n.startswith('pps/pps_r101_')
    }
    voc = (92, 183, 366, 732, 662, 1323, 2646, 5291)
    assert found == {f'voc_{n}'
                     for n in voc
                     } | {f'city_{n}'
                          for n in (186, 372, 744, 1488)}


@pytest.mark.parametrize('name', PUBLISHED)
def test_numbers_are_those_of_cps(name):
    cfg, data = load(name), dataset_of(name)
    images, crop = SETTINGS[data]
    labels = published_split(cfg)['count']
    share, epochs = EPOCHS[data].get(labels, (16, 32))
    assert cfg.train_cfg.max_iters == epochs * (
        (images - images // share) // 8)
    dataset = cfg.train_dataloader.dataset
    pool = dataset.unlabeled.get('ann_file', '')
    assert pool.endswith('1464.txt') == (labels in (92, 183, 366, 732))
    assert tuple(cfg.train_dataloader.sampler.counts) == (2, 4)
    for source in (dataset.labeled, dataset.unlabeled):
        for step in source.pipeline:
            assert step.get('crop_size', crop) == crop
    assert cfg.model.segmentor.test_cfg.crop_size == (crop, crop)
    assert cfg.optim_wrapper.optimizer.lr == 2.5e-3
    decay = dict(voc=4e-4, city=8e-4)[data]
    assert cfg.optim_wrapper.optimizer.weight_decay == decay


@pytest.mark.parametrize('name', NAMES)
def test_the_name_tells_the_prototypes(name):
    cfg, data = load(name), dataset_of(name)
    stated = re.match(r'n(\d+)_', Path(name).name)
    wanted = int(stated.group(1)) if stated else PER_CLASS[data]
    head = cfg.model.segmentor.decode_head
    assert head.num_queries == wanted * CLASSES[data]
    assert head.num_classes == CLASSES[data] and head.assign == 'lse'
    assert not head.class_head


def without_prototypes(cfg):
    model = json.loads(structure(cfg))
    model['segmentor']['decode_head'].pop('num_queries')
    return model


@pytest.mark.parametrize('name', [n for n in NAMES if '/ablation/' not in n])
def test_splits_differ_in_numbers_only(name):
    label = dict(digits='50', voc='662', city='186')[dataset_of(name)]
    model = re.sub(r'\d+\.py$', f'{label}.py', name)
    assert structure(load(name)) == structure(load(model))


@pytest.mark.parametrize('name', [n for n in NAMES if '/ablation/n' in n])
def test_ablations_of_n_change_nothing_else(name):
    model = re.sub(r'ablation/n\d+', 'pps', name)
    cfg, base = load(name), load(model)
    assert without_prototypes(cfg) == without_prototypes(base)
    assert cfg.train_cfg == base.train_cfg


WEIGHTS = dict(
    pps=(1.5, .5, .01),
    mpm=(1.5, 0., 0.),
    **{
        'mpm-pcl': (1.5, .5, 0.),
        'mpm-par': (1.5, 0., .01)
    })


@pytest.mark.parametrize(
    'name', [n for n in NAMES if re.search(r'_(50|662|186)\.py$', n)])
def test_the_model_builds(name):
    model = build(load(name))
    assert model.num_classes == CLASSES[dataset_of(name)]
    row = Path(name).stem.split('_')[0]
    row = 'pps' if row.startswith('n') else row
    cross, contrast, activation = WEIGHTS[row]
    if 'digits' in name:
        contrast /= 5
    for net in ('student1', 'student2'):
        term = model.terms[f'pps@{net}']
        assert (term.prototype_weight, term.contrast_weight,
                term.activation_weight) == (cross, contrast, activation)
        assert ('pps' in model.net(net).semi_heads) == (contrast > 0)
    one, two = model.student1, model.student2
    for name in load('pps/pps_r101_voc_662.py').model.shared:
        if name.startswith('decode_head') or contrast:
            assert one.get_submodule(name) is two.get_submodule(name)
    assert one.backbone is not two.backbone
    assert (one.decode_head.pixel_decoder is not two.decode_head.pixel_decoder)


@pytest.mark.parametrize('name, factor', [('pps/pps_r101_voc_662.py', 1.),
                                          ('pps/pps_r18_digits_50.py', .1)])
def test_optimizer(name, factor):
    cfg = load(name)
    model = build(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    base = cfg.optim_wrapper.optimizer.lr
    options, held = {}, []
    for group in optimizer.param_groups:
        held += [id(p) for p in group['params']]
        options.update({id(p): group for p in group['params']})
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters()}
    head = model.student1.decode_head
    for part, share in ((head.transformer_decoder, factor),
                        (head.mask_embed, factor), (head.query_embed, factor),
                        (model.student2.backbone,
                         1.), (head.pixel_decoder,
                               1.), (model.student1.semi_heads, 1.)):
        rates = {options[id(p)]['lr'] for p in part.parameters()}
        assert rates == {base * share}
    if factor == 1:  # as trained on VOC and Cityscapes
        assert options[id(head.query_embed.weight)]['weight_decay'] == 0
        decayed = [
            name for name, p in model.named_parameters()
            if p.ndim == 1 and options[id(p)]['weight_decay']
        ]
        assert not decayed


def readme_options():
    text = (CONFIGS / 'pps/README.md').read_text()
    return sorted(set(re.findall(r'`(model\.[\w.]+=[^`]*)`', text)))


def test_the_readme_lists_options():
    assert len(readme_options()) == 3


@pytest.mark.parametrize('options', readme_options())
def test_options_of_the_readme_work(options):
    cfg = load('pps/pps_r101_voc_662.py')
    before = cfg.pretty_text
    pairs = [o.split('=', 1) for o in options.split(' ')]
    cfg.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in pairs})
    assert cfg.pretty_text != before
    build(cfg)


@pytest.mark.parametrize('assign', ['sum_logits', 'literal', 'softmax_sum'])
def test_documented_choices_exist(assign):
    """The keys and values of the README's table of open questions."""
    cfg = load('pps/pps_r101_voc_662.py')
    cfg.merge_from_dict({
        'model.segmentor.decode_head.assign': assign,
        'model.segmentor.decode_head.initial_target': 'zeros',
        'model.terms.pps.sp_resolution': 'image',
        'model.terms.pps.sp_labeled': True,
        'model.terms.pps.temperature': .5,
        'model.terms.pps.samples': 8,
        'model.terms.pps.negatives': 512,
        'model.terms.pps.contrast_labeled': True,
        'model.terms.pps.head.channels': 64,
        'model.terms.pps.both_sides': False,
        'model.terms.pps.activation_labels': 'own',
        'model.terms.pps.begin': 100,
        'model.halves': False,
        'model.predict_with': 'student2'
    })
    build(cfg)


def reduce(cfg, root):
    """Three iterations of a small network of the same wiring."""
    attention = dict(embed_dims=8, num_heads=2)
    cfg.merge_from_dict(
        dict(
            model=dict(
                segmentor=dict(
                    backbone=RESNET,
                    decode_head=dict(
                        in_channels=[8, 16, 32, 64],
                        feat_channels=8,
                        out_channels=8,
                        transformer_decoder=dict(
                            num_layers=1,
                            layer_cfg=dict(
                                self_attn_cfg=attention,
                                cross_attn_cfg=attention,
                                ffn_cfg=dict(
                                    embed_dims=8, feedforward_channels=8))),
                        pixel_decoder=dict(
                            in_channels=64,
                            channels=8,
                            c1_in_channels=8,
                            c1_channels=8)),
                    test_cfg=dict(_delete_=True, mode='whole')))))
    if 'head' in cfg.model.terms.pps:
        cfg.model.terms.pps.head = dict(in_channels=8, channels=4)
    cfg.train_cfg.update(max_iters=3, val_interval=3)
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.verify_split = False
    for source in (loader.dataset.labeled, loader.dataset.unlabeled):
        source.data_root = root
        for step in source.pipeline:
            if 'crop_size' in step:
                step.crop_size = 65
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
@pytest.mark.parametrize('name', [
    'pps/pps_r101_voc_662.py',
    'pps/pps_r101_voc_366.py',
    'pps/pps_r101_city_372.py',
    'pps/ablation/mpm_r101_voc_662.py',
    'pps/ablation/n1_r101_voc_662.py',
])
def test_it_trains_on_a_miniature(name, trees, tmp_path):
    cfg = load(name)
    reduce(cfg, trees[dataset_of(name)])
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == 3
    scalars = runner.message_hub.log_scalars
    assert 'mIoU' in ' '.join(scalars)
    losses = {n: v for n, v in scalars.items() if 'loss' in n}
    for net in ('student1', 'student2'):
        for part in ('sup', 'sp'):
            assert losses[f'train/{net}.loss_{part}'].data[0][-1] > 0
    for values in losses.values():
        assert torch.isfinite(torch.as_tensor(values.data[0])).all()
