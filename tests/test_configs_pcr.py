# Copyright (c) mmseg_semi authors.
"""PCR's configs: arithmetic, wiring, documented options, short runs."""
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmseg_semi.datasets.miniatures import FOLDERS, write_miniature
from mmseg_semi.functional import iters_per_epoch
from .test_configs import (ALL, CONFIGS, GPUS, SMALL, WIDTHS, build,
                           dataset_of, load, published_split, structure)

NAMES = [n for n in ALL if n.startswith('pcr/')]
PUBLISHED = [n for n in NAMES if '_digits_' not in n]
# Training images, epochs, number of prototypes, tau, crop.
SETTINGS = dict(voc=(10582, 80, 4, .8, 513), city=(2975, 200, 3, .65, 769))


def test_every_protocol_of_the_paper_is_there():
    found = {
        re.match(r'pcr/pcr_r101_(\w+_\d+)\.py', n).group(1)
        for n in NAMES if re.match(r'pcr/pcr_r101_\w+_\d+\.py', n)
    }
    voc = (92, 183, 366, 732, 1464, 662, 1323, 2646, 5291)
    assert found == {f'voc_{n}'
                     for n in voc
                     } | {f'city_{n}'
                          for n in (186, 372, 744, 1488)}


@pytest.mark.parametrize('name', PUBLISHED)
def test_numbers_follow_from_the_split(name):
    cfg = load(name)
    images, epochs, number, tau, crop = SETTINGS[dataset_of(name)]
    assert tuple(cfg.train_dataloader.sampler.counts) == (4, 4)
    n = iters_per_epoch(images - published_split(cfg)['count'], GPUS, 4)
    assert cfg.epoch_iters == n and cfg.model.burn_in == n
    assert cfg.train_cfg.max_iters == epochs * n
    terms = cfg.model.terms
    if terms.consistency:
        assert terms.consistency.threshold == tau
        assert terms.consistency.filter == 'confidence'
    if terms.pcr:
        assert terms.pcr.threshold == tau
        assert terms.pcr.num_prototypes == number
        assert tuple(terms.pcr.window) == (n // 2, n)
        if terms.pcr.prototypes:  # no two trainings share a file by mistake
            stem = re.sub('_official', '', Path(name).stem)
            stem = stem if '/ablation/' not in name else 'pcr_' + stem.split(
                '_', 1)[1]
            assert terms.pcr.prototypes == f'data/prototypes/{stem}.pth'
    dataset = cfg.train_dataloader.dataset
    for source in (dataset.labeled, dataset.unlabeled):
        for step in source.pipeline:
            assert step.get('crop_size', crop) == crop


@pytest.mark.parametrize('name', PUBLISHED)
def test_weak_and_labelled_images_follow_one_law(name):
    """Spec P8: the strong view differs by its mixing alone."""
    dataset = load(name).train_dataloader.dataset
    labeled, unlabeled = ([
        s for s in source.pipeline if s.type.startswith('Random')
    ] for source in (dataset.labeled, dataset.unlabeled))
    for steps in (labeled, unlabeled):
        for step in steps:
            step.pop('seg_pad_val', None)
    assert labeled == unlabeled
    branches = [
        source.pipeline[-1] for source in (dataset.labeled, dataset.unlabeled)
    ]
    assert [b.branch_field for b in branches] == 2 * [['sup', 'unsup_teacher']]
    assert load(name).model.strong_copies == 1


def without_file(cfg):
    if cfg.model.terms.pcr:
        cfg.model.terms.pcr.prototypes = None
    return structure(cfg)


@pytest.mark.parametrize('name', NAMES)
def test_splits_differ_in_numbers_only(name):
    label = dict(digits='50', voc='366', city='372')[dataset_of(name)]
    model = re.sub(r'\d+\.py$', f'{label}.py', name)
    if '/ablation/' in name:
        model = re.sub(r'\d+\.py$', '92.py', name)
    assert without_file(load(name)) == without_file(load(model))


@pytest.mark.parametrize(
    'name',
    [n for n in NAMES if re.search(r'_(50|366|372|92)(_\w+)?\.py$', n)])
def test_the_model_builds(name):
    cfg = load(name)
    model = build(cfg)
    classes = dict(digits=11, voc=21, city=19)[dataset_of(name)]
    assert model.num_classes == classes
    terms = {n for n, term in cfg.model.terms.items() if term}
    assert set(model.terms) == terms
    assert hasattr(model.student.semi_heads, 'pcr') == ('pcr' in terms)
    assert model.student.with_auxiliary_head == (dataset_of(name) == 'city')


@pytest.mark.parametrize('name, head_factor, base', [
    ('pcr/pcr_r101_voc_366.py', 10, 1e-3),
    ('pcr/pcr_r101_city_372.py', 1, 1e-2),
])
def test_learning_rates(name, head_factor, base):
    cfg = load(name)
    model = build(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {
        id(p): group['lr']
        for group in optimizer.param_groups
        for p in group['params']
    }
    parts = dict(backbone=1, decode_head=head_factor)
    if model.student.with_auxiliary_head:
        parts['auxiliary_head'] = head_factor
    for part, factor in parts.items():
        found = {
            rates[id(p)]
            for n, p in model.student.named_parameters()
            if n.startswith(part) and p.ndim > 1
        }
        assert found == {base * factor}


def readme_options():
    text = (CONFIGS / 'pcr/README.md').read_text()
    ablations, rest = text.split('### Ablations')[1].split('## What the')
    options = re.findall(r'`(model\.[^`]*=[^`]*)`', ablations)
    quoted = re.findall(r'`("[^`]*=[^`]*")`', rest.split('## Data')[0])
    return sorted({*options, *quoted})


def test_the_readme_lists_options():
    assert len(readme_options()) > 10


@pytest.mark.parametrize('options', readme_options())
def test_options_of_the_readme_work(options):
    cfg = load('pcr/pcr_r101_voc_92.py')
    before = cfg.pretty_text
    pairs = [o.strip('"').split('=', 1) for o in options.split(' ')]
    cfg.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in pairs})
    assert cfg.pretty_text != before
    build(cfg)


def test_documented_choices_exist():
    """The keys and values of the README's table of open questions."""
    cfg = load('pcr/pcr_r101_voc_92.py')
    cfg.merge_from_dict({
        'model.mixing.prob': 1.,
        'model.terms.consistency.normalizer': 'kept_boost',
        'model.terms.pcr.normalizer': 'all',
        'model.terms.consistency.filter': 'both',
        'model.terms.pcr.entropy_start': 80.,
        'model.terms.pcr.entropy_view': 'mixed',
        'model.terms.pcr.epoch_iters': 655,
        'model.terms.pcr.normalize': True,
        'model.terms.pcr.head.full_resolution': False,
        'model.label_head': 'pcr',
        'model.terms.pcr.update_labeled': 'correct',
        'model.terms.pcr.cells': None,
        'model.terms.pcr.kmeans': 'minibatch',
        'model.terms.pcr.seed': 1,
        'model.terms.pcr.capacity': 5000,
        'model.terms.pcr.sync_prototypes': False,
        'model.terms.pcr.average_prototypes': True,
        'model.terms.pcr.begin': 655,
        'model.terms.pcr.prototypes': None,
        'model.buffers': 'ema'
    })
    build(cfg)


def test_full_resolution_is_the_papers():
    """The small embedded data set keeps the faster comparison."""
    for name in NAMES:
        term = load(name).model.terms.pcr
        if term:
            full = term.head.get('full_resolution', False)
            assert full == ('_digits_' not in name), name


def test_the_official_config_does_not_mask_padding():
    """Neither of labelled images nor of unlabelled ones (spec S2)."""
    cfg = load('pcr/pcr_r101_voc_366_official.py')
    assert cfg.model.label_padding
    paper = load('pcr/pcr_r101_voc_366.py').model
    assert not paper.get('label_padding', False)


def reduce(cfg, name, root):
    """Four iterations: labels only, and with prototypes of the second."""
    network = Path(name).stem.split('_')[1]
    small = dict(SMALL[network])
    if cfg.model.segmentor.get('auxiliary_head') is not None:
        small['auxiliary_head'] = dict(in_channels=32, channels=8)
    model = dict(segmentor=small, burn_in=2)
    cfg.merge_from_dict(dict(model=model))
    width = WIDTHS[network, 'decoder' if network == 'r101' else 'conv'][0]
    if cfg.model.terms.pcr:
        cfg.model.terms.pcr.update(
            prototypes=None, window=(0, 1), threshold=.01, capacity=100)
        cfg.model.terms.pcr.head = dict(in_channels=width)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    loader = cfg.train_dataloader
    loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    loader.sampler.counts = (2, 2)
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
    'pcr/pcr_r101_voc_366.py',
    'pcr/pcr_r101_voc_366_official.py',
    'pcr/pcr_r101_city_372.py',
    'pcr/pcr_r101-stock_voc_366.py',
    'pcr/ablation/linear_r101_voc_92.py',
    'pcr/ablation/prototype_r101_voc_92.py',
    'pcr/ablation/cutout_r101_voc_92.py',
    'pcr/ablation/classmix_r101_voc_92.py',
])
def test_it_trains_on_a_miniature(name, trees, tmp_path):
    cfg = load(name)
    reduce(cfg, name, trees[dataset_of(name)])
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == 4
    scalars = runner.message_hub.log_scalars
    assert 'mIoU' in ' '.join(scalars)
    losses = {n: v for n, v in scalars.items() if 'loss' in n}
    assert losses
    for values in losses.values():
        assert torch.isfinite(torch.as_tensor(values.data[0])).all()
    if 'pcr' in model.terms:
        assert model.student.semi_heads.pcr.prototype_valid.any()
        assert losses['train/loss_proto_unsup'].data[0][-1] > 0
