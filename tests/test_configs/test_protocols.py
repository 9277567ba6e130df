# Copyright (c) mmseg_semi authors.
"""Every config: what its name says is what it trains."""
import json
import re

import pytest
from mmengine.config import Config

from mmseg_semi.datasets.splits import known_splits, split_name
from mmseg_semi.functional import iters_per_epoch
from .cases import ALL, CLASSES, CONFIGS, loaded, parse, where

FAMILIES = {
    path.stem: Config.fromfile(path).protocol
    for path in (CONFIGS / '_base_/protocols').glob('*.py')
    if not path.stem.startswith('eval_')
}
# Crop, images of an iteration, epochs: the common protocol.
COMMON = dict(voc=(513, 16, 80), city=(769, 8, 200), coco=(513, 16, 30))
# The number of GPUs that the papers' epochs are counted with.
GPUS = 4


def plain(path):
    name = parse(path)
    return not name.own and name.data != 'digits' and '/ablation/' not in path


PLAIN = [path for path in ALL if plain(path)]
OWN_CROPS = {
    # method without -own: VOC, Cityscapes
    'cps': (512, 800),
    'cps-nocutmix': (512, 800),
    'supervised-cps': (512, 800),
    'pps': (512, 800),
    'brpg-cps': (512, None),
    'fixmatch': (321, 801),
    'unimatch': (321, 801),
    'brpg-fixmatch': (321, None),
    'cmb': (321, 512),
    'cmb-ssda': (None, 512),
    'rc2l': (512, 768),
    'pcr': (None, 769),
    'u2pl': (None, 769),
    'supervised-u2pl': (None, 769)
}  # yapf: disable


def test_there_are_hundreds():
    assert len(ALL) > 400


@pytest.mark.parametrize('path', ALL)
def test_batches_are_stated_in_all(path):
    loader = loaded(path).train_dataloader
    counts = loader.sampler.counts
    assert loader.batch_size == sum(counts)
    assert loader.sampler.type == 'SemiSampler'
    assert loader.batch_sampler.type == 'SemiBatchSampler'
    assert (counts[1] == 0) == (loader.dataset.unlabeled is None)
    assert (counts[1] == 0) == (parse(path).folder == 'supervised')


@pytest.mark.parametrize('path', ALL)
def test_the_list_is_the_one_of_the_name(path):
    name, dataset = parse(path), loaded(path).train_dataloader.dataset
    split = split_name(dataset.labeled.ann_file)
    assert known_splits()[split]['count'] == name.labels
    if name.data == 'digits':
        return
    family = FAMILIES[name.lists]
    assert loaded(path).protocol == family
    assert dataset.labeled.ann_file == family.lists[str(name.labels)]
    if dataset.unlabeled is not None:
        assert dataset.unlabeled.get('ann_file', '') == family.get('pool', '')


@pytest.mark.parametrize('name', FAMILIES)
def test_lists_of_a_protocol_are_published(name):
    family = FAMILIES[name]
    assert family.name == name
    for labels, ann_file in family.lists.items():
        known = known_splits()[split_name(ann_file)]
        assert known['count'] == int(labels)
        assert family.sha256.get(labels) == known['sha256']
    if 'pool' in family:
        assert known_splits()[split_name(
            family.pool)]['count'] == family.images


def test_no_list_has_two_names():
    """But where the unlabelled images differ."""
    seen = {}
    for name, family in FAMILIES.items():
        for labels, digest in family.sha256.items():
            key = digest, family.images
            assert seen.setdefault(key, name) == name


def crops(cfg):
    text = json.dumps(cfg.train_dataloader.to_dict(), default=str)
    return {int(n) for n in re.findall(r'"crop_size": (\d+)', text)}


@pytest.mark.parametrize('path', [p for p in ALL if 'digits' not in p])
def test_crop_and_classes(path):
    name, cfg = parse(path), loaded(path)
    crop = COMMON[name.data][0]
    method = name.method.removesuffix('-own')
    if name.own and '/ablation/' in path:
        method = name.folder
    if name.own and name.data != 'coco':
        crop = OWN_CROPS[method][name.data == 'city']
    if name.own and name.lists == 'voc-blended' and \
            name.folder in ('fixmatch', 'unimatch'):
        crop = 513  # of the published logs of these lists
    assert crops(cfg) == {crop} and cfg.crop_size == crop
    assert cfg.num_classes == CLASSES[name.data]
    assert cfg.model.segmentor.decode_head.num_classes == CLASSES[name.data]
    test = cfg.model.test_cfg
    slides = name.data == 'city' and name.folder != 'rc2l' or 'cps' in (
        method.split('-')[-1], name.folder) or name.folder == 'pps'
    if name.own and name.folder in ('cmb', 'rc2l'):
        slides = False
    if not name.own:
        slides = name.data == 'city'
    assert test.mode == ('slide' if slides else 'whole')
    if slides:
        assert test.crop_size == (crop, crop)
    else:
        assert set(test) == {'mode'}


@pytest.mark.parametrize('path', PLAIN)
def test_the_plain_name_is_the_common_protocol(path):
    name, cfg = parse(path), loaded(path)
    crop, batch, epochs = COMMON[name.data]
    assert name.network in ('r101', 'r101-stock', 'segformer-b4', 'xception65')
    counts = cfg.train_dataloader.sampler.counts
    assert tuple(counts) in ((batch, batch), (batch, 0))
    images = FAMILIES[name.lists].images
    n = iters_per_epoch(images - name.labels, GPUS, batch // GPUS)
    assert cfg.epoch_iters == n
    assert cfg.train_cfg.max_iters == epochs * n
    optimizer = cfg.optim_wrapper.optimizer
    if name.folder == 'rc2l' or name.network.startswith(
            'segformer') and name.data == 'city':
        assert optimizer.type == 'AdamW'
    elif name.data == 'city':
        assert optimizer == dict(
            type='SGD', lr=5e-3, momentum=.9, weight_decay=5e-4)
    else:
        assert optimizer == dict(
            type='SGD', lr=1e-3, momentum=.9, weight_decay=1e-4)
    power = .8 if name.folder == 'pcr' and not name.official else .9
    scheduler, = cfg.param_scheduler
    assert (scheduler.type, scheduler.power) == ('PolyLR', power)
    terms = cfg.model.terms
    if name.folder == 'brpg':
        span = (3, 6) if name.data == 'city' else (1, 2)
        assert tuple(terms.brpg.window) == tuple(n * epoch for epoch in span)
    if name.folder == 'pcr' and terms.pcr:
        assert tuple(terms.pcr.window) == (n // 2, n)
    if 'burn_in' in cfg.model and name.folder != 'rc2l':
        assert cfg.model.burn_in == n


@pytest.mark.parametrize('lists', ['voc', 'voc-blended', 'city'])
def test_every_method_is_under_the_common_protocol(lists):
    methods = {
        'supervised', 'mean-teacher', 'brpg', 'pcr', 'cmb', 'pps', 'rc2l',
        'cps', 'fixmatch', 'unimatch', 'brpg-cps', 'brpg-fixmatch', 'u2pl',
        'mean-teacher-mse', 'cutmix-seg'
    }
    for method in methods:
        found = where(
            method=method, network='r101', lists=lists, official=False)
        assert {str(parse(p).labels)
                for p in found} == set(FAMILIES[lists].lists), method


def test_iterations_of_brpg():
    """At 16 (VOC, COCO) and 8 (Cityscapes) images an iteration."""
    expected = {
        'r101_voc_92': 52400, 'r101_voc_183': 52000, 'r101_voc_366': 51040,
        'r101_voc_732': 49200, 'r101_voc_1464': 45600,
        'r101_voc-blended_662': 49600, 'r101_voc-blended_1323': 46240,
        'r101_voc-blended_2646': 39680, 'r101_voc-blended_5291': 26400,
        'r101_city_186': 69800, 'r101_city_372': 65000,
        'r101_city_744': 55800, 'r101_city_1488': 37200,
        'xception65_coco_925': 220050, 'xception65_coco_1849': 218310,
        'xception65_coco_3697': 214860, 'xception65_coco_7393': 207930
    }  # yapf: disable
    found = {
        key: loaded(f'brpg/brpg_{key}').train_cfg.max_iters
        for key in expected
    }
    assert found == expected


@pytest.mark.parametrize('lists, iterations', [
    ('voc-blended-cps', {662: 39680, 1323: 39338, 2646: 39680, 5291: 39660}),
    ('voc-pseudoseg', dict.fromkeys((92, 183, 366, 732), 39680)),
    ('city-cps', {186: 44544, 372: 44525, 744: 44640, 1488: 44640}),
])  # yapf: disable
def test_iterations_of_cps(lists, iterations):
    """Its epochs, as its code counts them."""
    found = where(lists=lists, official=False)
    for path in found:
        if re.match(r'(cps|pps)/|supervised/supervised-cps', path):
            name = parse(path)
            assert loaded(path).train_cfg.max_iters == iterations[name.labels]


@pytest.mark.parametrize('path', where(lists='voc') + where(lists='city-cps'))
def test_iterations_of_unimatch(path):
    name = parse(path)
    if name.method not in ('fixmatch-own', 'unimatch-own',
                           'brpg-fixmatch-own'):
        return
    images = FAMILIES[name.lists].images
    n = iters_per_epoch(images - name.labels, GPUS, 2)
    epochs = dict(voc=80, city=240)[name.data]
    assert loaded(path).train_cfg.max_iters == epochs * n


@pytest.mark.parametrize('folder', ['fixmatch', 'unimatch'])
def test_crops_of_unimatch(folder):
    """Its logs: 321, but 513 on U2PL's blended lists."""
    crops = {'voc': 321, 'voc-blended-cps': 321, 'voc-blended': 513}
    for lists, crop in crops.items():
        for path in where(folder=folder, lists=lists):
            if parse(path).own:
                assert loaded(path).crop_size == crop


@pytest.mark.parametrize('path', where(folder='cmb', official=False))
def test_numbers_of_cmb(path):
    name, cfg = parse(path), loaded(path)
    if name.data == 'digits' or 'mean-teacher' in path:
        return
    terms = cfg.model.terms
    labeled, unlabeled = cfg.train_dataloader.sampler.counts
    assert terms.cmb.num_labeled == name.labels
    assert terms.cmb.rows_per_image == name.data
    if name.data == 'voc':
        assert terms.class_balance is None
        assert cfg.model.mixing.background == 0
        assert cfg.model.labeled_mixing.background == 0
        return
    assert tuple(
        terms.class_balance.windows) == (name.labels // labeled,
                                         (2975 - name.labels) // unlabeled)


def test_windows_of_cmb():
    """20 and 1437 iterations at Cityscapes 1/30."""
    terms = loaded('cmb/cmb-own_v2-r101-coco_city-cmb_100').model.terms
    assert tuple(terms.class_balance.windows) == (20, 1437)


@pytest.mark.parametrize('path', where(folder='pcr'))
def test_no_two_trainings_of_pcr_share_prototypes(path):
    name, cfg = parse(path), loaded(path)
    file = cfg.model.terms.pcr and cfg.model.terms.pcr.get('prototypes')
    if file and '/ablation/' not in path:
        # Official ones share a file unless they have another number of them.
        plain = path.removesuffix('_official')
        number = loaded(plain).model.terms.pcr.get('num_prototypes')
        if cfg.model.terms.pcr.get('num_prototypes') == number:
            path = plain
        assert file == f'data/prototypes/{path.rsplit("/", 1)[1]}.pth'
    assert not file or name.data != 'digits'
