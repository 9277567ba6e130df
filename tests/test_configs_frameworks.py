# Copyright (c) mmseg_semi authors.
"""Configs of CPS, FixMatch and UniMatch, and of BRPG on them."""
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
from .test_configs import (ALL, CONFIGS, GPUS, build, dataset_of, load,
                           published_split, structure)

NAMES = [
    n for n in ALL
    if re.match(r'(cps|fixmatch|unimatch)/|brpg/brpg-(cps|fixmatch)_', n)
]
PUBLISHED = [n for n in NAMES if '_digits_' not in n]
CPS = [n for n in PUBLISHED if n.startswith('cps/')]
UNIMATCH = [n for n in PUBLISHED if 'match' in n]
# Spec 4.3: iterations by number of labels.
ITERATIONS = {
    'voc': {662: 39680, 1323: 39338, 2646: 39680, 5291: 39660},
    'city': {186: 44544, 372: 44525, 744: 44640, 1488: 44640}
}  # yapf: disable


def labels_of(name):
    return int(re.search(r'_(\d+)(_official)?\.py$', name).group(1))


def method_of(name):
    return Path(name).stem.split('_')[0]


def test_every_protocol_is_there():
    found = {(method_of(n), *re.findall(r'_(voc|city)_(\d+)\.py', n)[0])
             for n in PUBLISHED if '_official' not in n}
    few, blended = (92, 183, 366, 732), (662, 1323, 2646, 5291)
    wanted = {
        'cps': (few + blended, True),
        'cps-nocutmix': (few + blended, True),
        'fixmatch': ((*few, 1464, *blended), True),
        'unimatch': ((*few, 1464, *blended), True),
        'brpg-cps': ((*few, 1464), False),
        'brpg-fixmatch': ((*few, 1464), False),
    }
    assert found == {(method, 'voc', str(n))
                     for method, (numbers, _) in wanted.items()
                     for n in numbers
                     } | {(method, 'city', str(n))
                          for method, (_, city) in wanted.items() if city
                          for n in (186, 372, 744, 1488)}


@pytest.mark.parametrize('name', CPS)
def test_iterations_of_cps(name):
    cfg, number = load(name), labels_of(name)
    dataset = dataset_of(name)
    few = dataset == 'voc' and number not in ITERATIONS['voc']
    assert cfg.train_cfg.max_iters == ITERATIONS[dataset][
        662 if few else number]
    pool = cfg.train_dataloader.dataset.unlabeled.get('ann_file', '')
    assert ('1464' in pool) == few


@pytest.mark.parametrize('name', UNIMATCH)
def test_iterations_of_unimatch(name):
    cfg = load(name)
    images, epochs = dict(voc=(10582, 80), city=(2975, 240))[dataset_of(name)]
    n = iters_per_epoch(images - labels_of(name), GPUS, 2)
    assert cfg.epoch_iters == n
    assert cfg.train_cfg.max_iters == epochs * n


@pytest.mark.parametrize('name',
                         [n for n in PUBLISHED if n.startswith('brpg/')])
def test_windows_of_brpg(name):
    cfg = load(name)
    n = iters_per_epoch(10582 - labels_of(name), GPUS, 2)
    assert tuple(cfg.model.terms.brpg.window) == (n, 2 * n)


@pytest.mark.parametrize('name', PUBLISHED)
def test_images_of_an_iteration(name):
    """8 labelled, and 8 unlabelled or, for CPS with CutMix, 8 + 8."""
    cfg = load(name)
    labeled, unlabeled = cfg.train_dataloader.sampler.counts
    two = 'cps_' in name and not name.endswith('_official.py')
    assert (labeled * GPUS, unlabeled * GPUS) == (8, 16 if two else 8)
    assert (cfg.model.mixing is None) == ('nocutmix' in name)


@pytest.mark.parametrize('name', NAMES)
def test_weights_of_the_losses(name):
    cfg = load(name)
    terms = {k: v for k, v in cfg.model.terms.items() if v}
    sup = terms['supervised'].criterion
    weights = {
        k: v.get('loss_weight')
        for k, v in terms.items() if v['type'] == 'PixelConsistency'
    }
    halves = 'match' in name
    assert [c.weight for c in sup] == [.5 if halves else 1.]
    city = dataset_of(name) == 'city'
    assert sup[0].type == ('ohem' if city else 'cross_entropy')
    if city:
        least = 200_000 if halves else 100_000
        assert (sup[0].thresh, sup[0].min_kept) == (.7, least)
    if name.startswith('unimatch/'):
        assert weights == dict(strong1=.125, strong2=.125, features=.25)
        assert cfg.model.feature_dropout == .5
    elif halves:
        assert weights == dict(consistency=.5)
    else:
        alone = 'nocutmix' in name or '_digits_' in name
        weight = 1.5 if alone else 1.
        if city:
            weight = 6. if alone else 5.
        assert weights == dict(consistency=weight)
    for term in terms.values():
        if halves and term['type'] == 'PixelConsistency':
            assert term.threshold == (0. if city else .95)
            assert term.normalizer == 'non_padding'


@pytest.mark.parametrize('name', PUBLISHED)
def test_crops(name):
    cfg = load(name)
    cps = 'cps' in method_of(name)
    crop = dict(
        voc=512 if cps else 321, city=800 if cps else 801)[dataset_of(name)]
    text = cfg.pretty_text
    assert set(re.findall(r'crop_size=(\d+)', text)) == {str(crop)}
    test_cfg = cfg.model.get('test_cfg')
    if cps or dataset_of(name) == 'city':
        assert test_cfg.mode == 'slide'
        assert test_cfg.crop_size == (crop, crop)
        assert test_cfg.stride[0] in (crop * 2 // 3, crop * 2 // 3 + 1)
    else:
        assert test_cfg is None


@pytest.mark.parametrize('name', NAMES)
def test_splits_differ_in_numbers_only(name):
    root = dict(voc='92', city='186', digits='50')[dataset_of(name)]
    if name.endswith('_official.py'):
        return
    model = re.sub(r'\d+\.py$', f'{root}.py', name)
    assert structure(load(name)) == structure(load(model))


@pytest.mark.parametrize('name', [
    n for n in NAMES
    if re.search(r'_(92|186|50)\.py$', n) or n.endswith('_official.py')
])
def test_the_model_builds(name):
    cfg = load(name)
    model = build(cfg)
    classes = dict(digits=11, voc=21, city=19)[dataset_of(name)]
    assert model.num_classes == classes
    for net in map(model.net, model.learners):
        assert hasattr(net.semi_heads, 'brpg') == name.startswith('brpg/')
    assert model.predict_with == model.learners[0]
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert 'EMATeacherHook' not in hooks


@pytest.mark.parametrize('name, rate, decay', [
    ('cps/cps_r101_voc_662.py', .01 / 4, 4 * 1e-4),
    ('cps/cps_r101_city_186.py', .02 / 8, 8 * 1e-4),
])
def test_cps_learns_at_the_rates_that_act(name, rate, decay):
    """Gradients of the code are divided by the number of GPUs once more."""
    cfg = load(name)
    model = build(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    parameters = {id(p): n for n, p in model.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        assert group['lr'] == pytest.approx(rate)
        for p in group['params']:
            found[parameters[id(p)]] = group['weight_decay']
    assert set(found) == {n for n, _ in model.named_parameters()}
    for net in model.learners:
        assert found[f'{net}.backbone.stem.0.weight'] == pytest.approx(decay)
        assert found[f'{net}.decode_head.conv_seg.bias'] == 0
        assert found[f'{net}.backbone.stem.1.weight'] == 0


def readme_options(method):
    text = (CONFIGS / f'{method}/README.md').read_text()
    text = text.split('## Options')[1].split('## ')[0]
    return sorted(
        set(re.findall(r'`("?(?:model|optim_wrapper)\.[^`]*=[^`]*)`', text)))


OPTIONS = [(method, options) for method in ('cps', 'fixmatch', 'unimatch')
           for options in readme_options(method)]


def test_the_readmes_list_options():
    assert {method for method, _ in OPTIONS} == {'cps', 'fixmatch', 'unimatch'}
    assert len(OPTIONS) > 10


@pytest.mark.parametrize('method, options', OPTIONS)
def test_options_of_the_readmes_work(method, options):
    cfg = load(f'{method}/{method}_r101_voc_92.py')
    before = cfg.pretty_text
    pairs = [o.strip('"').split('=', 1) for o in options.split(' ')]
    cfg.merge_from_dict({
        k.strip('"'): DictAction._parse_iterable(v.strip('"'))
        for k, v in pairs
    })
    assert cfg.pretty_text != before
    build(cfg)


SMALL = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None),
    decode_head=dict(
        in_channels=64, c1_in_channels=8, channels=16, c1_channels=16))


def shrink(steps):
    """Crops of 65, inside the branches too."""
    for step in steps:
        if 'crop_size' in step:
            step['crop_size'] = 65
        for value in step.values():
            if isinstance(value, list) and value and isinstance(
                    value[0], dict):
                shrink(value)


def reduce(cfg, root):
    """Four iterations on the miniature; BRPG samples in the second."""
    cfg.merge_from_dict(dict(model=dict(segmentor=SMALL)))
    if cfg.model.get('test_cfg'):
        cfg.model.test_cfg.update(crop_size=(65, 65), stride=(43, 43))
    brpg = cfg.model.terms.get('brpg')
    if brpg:
        brpg.update(
            window=(1, 2),
            threshold=.01,
            confidence=(.01, .02),
            capacity=50,
            samples_per_image=40,
            draws_per_image=40)
        brpg['head'].update(in_channels=32, channels=16)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.verify_split = False
    for source in (loader.dataset.labeled, loader.dataset.unlabeled):
        source.data_root = root
        shrink(source.pipeline)
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
    'cps/cps_r101_voc_662.py',
    'cps/cps_r101_voc_662_official.py',
    'cps/cps-nocutmix_r101_voc_732.py',
    'cps/cps_r101_city_186.py',
    'fixmatch/fixmatch_r101_voc_92.py',
    'unimatch/unimatch_r101_city_372.py',
    'brpg/brpg-cps_r101_voc_183.py',
    'brpg/brpg-fixmatch_r101_voc_92.py',
])
def test_it_trains_on_a_miniature(name, trees, tmp_path):
    cfg = load(name)
    reduce(cfg, trees[dataset_of(name)])
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == 4
    scalars = runner.message_hub.log_scalars
    assert 'mIoU' in ' '.join(scalars)
    losses = {n: v for n, v in scalars.items() if 'loss' in n}
    assert any('loss_unsup' in n for n in losses)
    for values in losses.values():
        assert torch.isfinite(torch.as_tensor(values.data[0])).all()
    if name.startswith('brpg/'):
        for net in map(model.net, model.learners):
            assert net.semi_heads.brpg.prototype_valid.any()


def test_splits_are_the_methods_own():
    """CPS' lists and UniMatch's are different images (spec 9.2)."""
    for name in PUBLISHED:
        source = published_split(load(name))['source']
        owner = 'CPS' if name.startswith('cps/') else 'U2PL'
        assert owner in source
