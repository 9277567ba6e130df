# Copyright (c) mmseg_semi authors.
"""Every shipped config: it loads, adds up, builds, and some of them train."""
import copy
import functools
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config, DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_semi.datasets.miniatures import FOLDERS, write_miniature
from mmseg_semi.datasets.splits import known_splits, split_name
from mmseg_semi.functional import iters_per_epoch

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
PATHS = sorted(p for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts)
ALL = [str(p.relative_to(CONFIGS)) for p in PATHS]
# BRPG's rules; the other methods' are in test_configs_cmb.py and so on.
NAMES = [
    n for n in ALL if n.startswith(('brpg/', 'mean_teacher/', 'supervised/'))
    and not re.match('brpg/brpg-(cps|fixmatch)_', n)
]
PUBLISHED = [n for n in NAMES if '_digits_' not in n]
FOLDERS_OF_METHODS = sorted(p.name for p in CONFIGS.iterdir()
                            if p.name != '_base_')

GPUS = 4
# Training images, labelled = unlabelled images an iteration, epochs, sampling
# window in epochs: spec tables 0 and S2, BRPG 4.1.3.
SETTINGS = dict(voc=(10582, 16, 80, (1, 2)), city=(2975, 8, 200, (3, 6)))


@functools.lru_cache(maxsize=None)
def _loaded(name):
    return Config.fromfile(CONFIGS / name)


def load(name):
    return _loaded(name).copy()


def dataset_of(name):
    return name.split('_')[-2 if not name.endswith('_official.py') else -3]


def published_split(cfg):
    ann_file = cfg.train_dataloader.dataset.labeled.ann_file
    return known_splits()[split_name(ann_file)]


def build(cfg, shallow=True):
    """Build without memory; SegFormer reads numbers, so it is made small."""
    model = copy.deepcopy(cfg.model)
    segformer = 'segformer' in model.segmentor.get('config', '')
    if segformer and shallow:
        model.segmentor.backbone = dict(num_layers=[1, 1, 1, 1])
    with torch.device('cpu' if segformer else 'meta'):
        return MODELS.build(model)


@pytest.mark.parametrize('name', ALL)
def test_batches_fit_the_sampler(name):
    loader = load(name).train_dataloader
    counts = loader.sampler.counts
    assert loader.batch_size == sum(counts)
    assert (counts[1] == 0) == (loader.dataset.unlabeled is None)
    assert (counts[1] == 0) == name.startswith('supervised/')


@pytest.mark.parametrize('name', ALL)
def test_the_split_is_published_and_the_one_of_the_name(name):
    labels = re.search(r'_(\d+)(_official)?\.py$', name).group(1)
    assert published_split(load(name))['count'] == int(labels)


@pytest.mark.parametrize('name', PUBLISHED)
def test_iterations_are_the_papers_epochs(name):
    cfg = load(name)
    images, total, epochs, window = SETTINGS[dataset_of(name)]
    counts = cfg.train_dataloader.sampler.counts
    assert counts[0] * GPUS == total
    n = iters_per_epoch(images - published_split(cfg)['count'], GPUS,
                        total // GPUS)
    assert cfg.epoch_iters == n
    assert cfg.train_cfg.max_iters == epochs * n
    if name.startswith('supervised/'):
        assert 'burn_in' not in cfg.model
        return
    assert counts[1] * GPUS == total
    assert cfg.model.burn_in == n
    brpg = cfg.model.terms.brpg
    if name.startswith('mean_teacher/'):
        assert brpg is None
    else:
        assert tuple(brpg.window) == tuple(epoch * n for epoch in window)


def test_iterations_of_the_papers_table():
    """Spec S2, at 16 (VOC) and 8 (Cityscapes) images an iteration."""
    expected = {
        'voc_92': 52400, 'voc_183': 52000, 'voc_366': 51040,
        'voc_732': 49200, 'voc_1464': 45600, 'voc_662': 49600,
        'voc_1323': 46240, 'voc_2646': 39680, 'voc_5291': 26400,
        'city_186': 69800, 'city_372': 65000, 'city_744': 55800,
        'city_1488': 37200
    }  # yapf: disable
    found = {
        key: load(f'brpg/brpg_r101_{key}.py').train_cfg.max_iters
        for key in expected
    }
    assert found == expected


@pytest.mark.parametrize('name', PUBLISHED)
def test_the_crop_is_the_test_window_and_both_branches_agree(name):
    cfg = load(name)
    crop = dict(voc=513, city=769)[dataset_of(name)]
    dataset = cfg.train_dataloader.dataset
    for source in (dataset.labeled, dataset.unlabeled):
        for step in source.pipeline if source else ():
            assert step.get('crop_size', crop) == crop
    test_cfg = cfg.model.segmentor.get('test_cfg')
    if dataset_of(name) == 'city':
        assert test_cfg == dict(
            mode='slide', crop_size=(crop, crop), stride=(513, 513))


def structure(cfg):
    """What decides how a model is built, as text."""
    model = copy.deepcopy(cfg.model.to_dict())
    model.pop('burn_in', None)
    for term in model['terms'].values():
        for key in ('window', 'schedule_begin', 'epoch_iters'):
            (term or {}).pop(key, None)
    return json.dumps(model, sort_keys=True, default=str)


# The other splits change numbers of iterations only.
DISTINCT = [n for n in NAMES if re.search(r'_(50|366|372)(_\w+)?\.py$', n)]


@pytest.mark.parametrize('name', sorted(set(NAMES) - set(DISTINCT)))
def test_splits_differ_in_numbers_only(name):
    label = dict(digits='50', voc='366', city='372')[dataset_of(name)]
    model = re.sub(r'\d+\.py$', f'{label}.py', name)
    assert structure(load(name)) == structure(load(model))


@pytest.mark.parametrize('name', DISTINCT)
def test_the_model_builds(name):
    cfg = load(name)
    model = build(cfg)
    classes = dict(digits=11, voc=21, city=19)[dataset_of(name)]
    assert model.num_classes == classes
    terms = {n for n, term in cfg.model.terms.items() if term}
    assert set(model.terms) == terms
    assert hasattr(model.student.semi_heads, 'brpg') == ('brpg' in terms)


@pytest.mark.parametrize('name, head_factor', [
    ('brpg/brpg_r101_voc_366.py', 10),
    ('brpg/brpg_r101_city_372.py', 1),
    ('brpg/brpg_segformer-b4_voc_366.py', 10),
])
def test_learning_rates(name, head_factor):
    """BRPG 4.1.3: ten times for the heads on VOC, one on Cityscapes."""
    cfg = load(name)
    model = build(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = optimizer.param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    base = cfg.optim_wrapper.optimizer.lr
    for part, factor in (('backbone', 1), ('decode_head', head_factor),
                         ('semi_heads', head_factor)):
        weights = [
            p for n, p in model.student.named_parameters()
            if n.startswith(part) and p.ndim > 1
        ]
        assert {rates[id(p)] for p in weights} == {base * factor}
    assert not any(id(p) in rates for p in model.teacher.parameters())


def ablation_options():
    text = (CONFIGS / 'brpg/README.md').read_text()
    table = text.split('### Ablations')[1].split('## Data')[0]
    return sorted(set(re.findall(r'`("?model\.[^`]*)`', table)))


def test_the_readme_lists_options():
    assert len(ablation_options()) > 10


@pytest.mark.parametrize('options', ablation_options())
def test_options_of_the_readme_work(options):
    cfg = load('brpg/brpg_r101_voc_366.py')
    before = structure(cfg), cfg.model.terms.brpg.get('window')
    pairs = [o.strip('"').split('=', 1) for o in options.split(' ')]
    cfg.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in pairs})
    assert (structure(cfg), cfg.model.terms.brpg.get('window')) != before
    build(cfg)


def test_official_pads_labels_with_background():
    official = load('brpg/brpg_r101_voc_366_official.py')
    for cfg, value in ((official, 0), (load('brpg/brpg_r101_voc_366.py'),
                                       255)):
        step = cfg.train_dataloader.dataset.labeled.pipeline[4]
        assert step.type == 'RandomPadCrop'
        assert step.get('seg_pad_val', 255) == value
    model = build(official)
    assert model.terms.brpg.per_gpu_scale
    assert model.terms.brpg.schedule_begin == 5 * 638


@pytest.mark.parametrize('method', FOLDERS_OF_METHODS)
def test_the_metafile_lists_exactly_the_configs(method):
    listed = yaml.safe_load((CONFIGS / method / 'metafile.yml').read_text())
    collection, = listed['Collections']
    assert (ROOT / collection['README']).is_file()
    configs = [model['Config'] for model in listed['Models']]
    assert sorted(configs) == sorted(f'configs/{n}' for n in ALL
                                     if n.startswith(f'{method}/'))
    for model in listed['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Name'] == Path(model['Config']).stem


def test_the_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert sorted(index['Import']) == [
        f'configs/{method}/metafile.yml' for method in FOLDERS_OF_METHODS
    ]


@pytest.mark.parametrize('method', FOLDERS_OF_METHODS)
def test_the_readme_names_every_config_and_its_split(method):
    folder = CONFIGS / method
    text = (folder / 'README.md').read_text()
    for link in re.findall(r'\]\((\.[^)]*)\)', text):
        assert (folder / link).exists(), link
    rows = {
        m.group(1): m.group(2)
        for m in re.finditer(r'\| \[([\w-]+)\]\([^)]*\) \| [\w-]+ \| `(\w+)`',
                             text)
    }
    for name in (n for n in ALL if n.startswith(f'{method}/')):
        stem = Path(name).stem
        assert f'/{stem}.py)' in text, f'{name} is not in {method}/README.md'
        if stem in rows:
            digest = published_split(load(name))['sha256']
            assert digest.startswith(rows[stem])


# Small networks of the same wiring, for four iterations on a CPU.
RESNET = dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
SMALL = {
    'r101':
    dict(
        backbone=RESNET,
        decode_head=dict(
            in_channels=64, c1_in_channels=8, channels=16, c1_channels=16)),
    'r101-stock':
    dict(
        backbone=RESNET,
        decode_head=dict(
            in_channels=64, c1_in_channels=8, channels=16, c1_channels=8)),
    'segformer-b4':
    dict(
        backbone=dict(embed_dims=8, num_layers=[1, 1, 1, 1], init_cfg=None),
        decode_head=dict(in_channels=[8, 16, 40, 64], channels=16))
}
WIDTHS = {
    ('r101', 'conv'): (32, 16),
    ('r101', 'pre_cls'): (16, 16),
    ('r101', 'decoder'): (32, 32),
    ('r101-stock', 'conv'): (24, 16),
    ('segformer-b4', 'conv'): (64, 16)
}


def reduce(cfg, name, root):
    """Four iterations: labels only, sampling, and two with prototypes."""
    network = Path(name).stem.split('_')[1]
    cfg.merge_from_dict(dict(model=dict(segmentor=SMALL[network])))
    brpg = cfg.model.terms.get('brpg')
    if brpg:
        kind = 'conv'
        if brpg['head'].get('projector', kind) is None:
            kind = brpg['head'].get('tap')
        inputs, channels = WIDTHS[network, kind]
        brpg.update(
            window=(1, 2),
            schedule_begin=2,
            threshold=0.01,
            confidence=(0.01, 0.02),
            capacity=50,
            samples_per_image=40,
            draws_per_image=40)
        if brpg.get('class_threshold'):
            brpg['class_threshold'] = (0.01, 0.02)
        brpg['head'].update(in_channels=inputs, channels=channels)
    if not name.startswith('supervised/'):
        cfg.model.burn_in = 1
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    for scheduler in cfg.param_scheduler[:-1]:
        scheduler['end'] = 2
    cfg.param_scheduler[-1].begin = 0 if len(cfg.param_scheduler) == 1 else 2
    loader = cfg.train_dataloader
    unlabeled = loader.dataset.unlabeled is not None
    loader.update(
        batch_size=4 if unlabeled else 2,
        num_workers=0,
        persistent_workers=False)
    loader.sampler.counts = (2, 2 if unlabeled else 0)
    loader.dataset.verify_split = False
    sources = [loader.dataset.labeled]
    if unlabeled:
        sources.append(loader.dataset.unlabeled)
    for source in sources:
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
    'brpg/brpg_r101_voc_366.py',
    'brpg/brpg_r101_voc_1323.py',
    'brpg/brpg_r101_voc_366_official.py',
    'brpg/brpg_r101_city_744.py',
    'brpg/brpg_r101-stock_voc_366.py',
    'brpg/brpg_segformer-b4_voc_366.py',
    'brpg/brpg_segformer-b4_city_372.py',
    'brpg/brpg-plain_r101_voc_366.py',
    'brpg/ablation/class-threshold_r101_voc_366.py',
    'brpg/ablation/cls-features_r101_voc_366.py',
    'brpg/ablation/decoder-features_r101_voc_366.py',
    'brpg/ablation/pretrained-head_r101_voc_366.py',
    'mean_teacher/mean-teacher_r101_voc_366.py',
    'supervised/supervised_r101_city_372.py',
])
def test_it_trains_on_a_miniature(name, trees, tmp_path):
    cfg = load(name)
    reduce(cfg, name, trees[dataset_of(name)])
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == 4
    assert (tmp_path / 'iter_4.pth').is_file()
    assert 'mIoU' in ' '.join(runner.message_hub.log_scalars)
    losses = [
        v for n, v in runner.message_hub.log_scalars.items() if 'loss' in n
    ]
    assert losses
    for values in losses:
        assert torch.isfinite(torch.as_tensor(values.data[0])).all()
    if 'brpg' in model.terms:
        assert model.terms.brpg.head.prototype_valid.any()
