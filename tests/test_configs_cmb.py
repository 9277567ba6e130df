# Copyright (c) mmseg_semi authors.
"""CMB's configs: arithmetic, wiring, documented options, short runs."""
import copy
import json
import re
import shlex

import pytest
import torch
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmseg_semi.datasets.miniatures import FOLDERS, write_miniature
from .test_configs import ALL, CONFIGS, build, load, published_split

NAMES = [n for n in ALL if n.startswith('cmb/') and '_digits_' not in n]
FIELDS = re.compile(r'cmb/(cmb|cmb-ssda)_([\w-]+)_(voc|city)_(\d+)'
                    r'(_official)?\.py$')
IMAGES = dict(voc=10582, city=2975)
# Spec 1.9: labelled images an iteration, and the learning rate.
SETTINGS = {
    ('v2', 'city'): (5, 2e-4),
    ('v3plus', 'city'): (7, 4e-4),
    ('v2', 'voc'): (14, 2e-4),
    ('v3plus', 'voc'): (20, 4e-4)
}
LABELS = {
    ('cmb', 'voc'): {212, 530, 1323},
    ('cmb', 'city'): {100, 200, 372, 500, 744, 1000},
    ('cmb-ssda', 'city'): {100, 200, 500, 1000}
}


def parts(name):
    """Method, network, data set, number of labels, whether official."""
    method, network, data, labels, official = FIELDS.match(name).groups()
    return method, network, data, int(labels), bool(official)


def test_every_protocol_of_the_paper_is_there():
    found = {}
    for name in NAMES:
        method, network, data, labels, official = parts(name)
        if not official:
            found.setdefault((method, network, data), set()).add(labels)
    few = {100, 372, 744}
    assert found == {
        ('cmb', 'v2-r101-coco', 'city'): few,
        ('cmb', 'v2-r101', 'city'): LABELS['cmb', 'city'],
        ('cmb', 'v3plus-r50', 'city'): few,
        ('cmb', 'v2-r101-coco', 'voc'): LABELS['cmb', 'voc'],
        ('cmb', 'v2-r101', 'voc'): LABELS['cmb', 'voc'],
        ('cmb', 'v3plus-r50', 'voc'): LABELS['cmb', 'voc'],
        ('cmb-ssda', 'v2-r101', 'city'): LABELS['cmb-ssda', 'city'],
    }


@pytest.mark.parametrize('name', NAMES)
def test_numbers_follow_from_the_split(name):
    method, network, data, labels, official = parts(name)
    cfg = load(name)
    batch, rate = SETTINGS[network.split('-')[0], data]
    assert published_split(cfg)['count'] == labels
    assert tuple(cfg.train_dataloader.sampler.counts) == (batch, batch // 2)
    assert cfg.train_cfg.max_iters == (150_000 if official else 80_000)
    if official and network.startswith('v3'):
        rate = 2e-4
    assert cfg.optim_wrapper.optimizer.lr == rate
    terms = cfg.model.terms
    assert terms.cmb.num_labeled == labels
    assert terms.cmb.rows_per_image == data
    if data == 'city':
        assert tuple(
            terms.class_balance.windows) == (labels // batch,
                                             (IMAGES[data] - labels) //
                                             (batch // 2))
    else:
        assert terms.class_balance is None
        assert cfg.model.mixing.background == 0
        assert cfg.model.labeled_mixing.background == 0


def test_windows_of_the_paper():
    """Spec 1.7: 20 and 1437 iterations at Cityscapes 1/30."""
    terms = load('cmb/cmb_v2-r101-coco_city_100.py').model.terms
    assert tuple(terms.class_balance.windows) == (20, 1437)


@pytest.mark.parametrize('name', NAMES)
def test_images_are_halved_for_deeplabv2_on_cityscapes(name):
    method, network, data, labels, official = parts(name)
    cfg = load(name)
    dataset = cfg.train_dataloader.dataset
    pipelines = [dataset.labeled.pipeline, dataset.unlabeled.pipeline]
    if method == 'cmb-ssda':
        assert dataset.labeled_source.pipeline == dataset.labeled.pipeline
        assert cfg.train_dataloader.sampler.alternate
        assert cfg.train_dataloader.sampler.target_only_last == 100
    else:
        assert 'labeled_source' not in dataset
    for pipeline in pipelines:
        crop, = [s for s in pipeline if 'crop_size' in s]
        assert crop.crop_size == dict(voc=321, city=512)[data]
    halved = network.startswith('v2') and data == 'city'
    for pipeline in pipelines + [cfg.val_dataloader.dataset.pipeline]:
        resized = [s for s in pipeline if s.type == 'Resize']
        assert [s.scale_factor for s in resized] == [0.5] * halved
    # The ground truth of the validation keeps its size.
    steps = [s.type for s in cfg.val_dataloader.dataset.pipeline]
    assert steps.index('LoadAnnotations') == len(steps) - 2


@pytest.mark.parametrize('name', NAMES)
def test_pixels_are_as_the_weights_want_them(name):
    method, network, data, labels, official = parts(name)
    pixels = load(name).model.segmentor.data_preprocessor
    mean = dict(
        voc=[122.679, 116.669, 104.007], city=[73.158, 82.909, 72.392])[data]
    coco = network.endswith('coco')
    assert pixels.mean == (mean[::-1] if coco else mean)
    assert pixels.bgr_to_rgb != coco and pixels.std == [255.] * 3


@pytest.mark.parametrize('name', NAMES)
def test_official_configs_choose_weights_as_the_code(name):
    hooks = [hook.type for hook in load(name).custom_hooks]
    assert 'EMATeacherHook' in hooks
    choose = {'BestWeightsHook', 'NormRefreshHook'}
    assert choose & set(hooks) == (choose if parts(name)[4] else set())


def structure(cfg):
    """What decides how a model is built, but for numbers of the split."""
    model = copy.deepcopy(cfg.model.to_dict())
    for term, key in (('cmb', 'num_labeled'), ('class_balance', 'windows')):
        (model['terms'].get(term) or {}).pop(key, None)
    return json.dumps(model, sort_keys=True, default=str)


DISTINCT = [n for n in NAMES if re.search(r'_(100|212)(_official)?\.py$', n)]


@pytest.mark.parametrize('name', sorted(set(NAMES) - set(DISTINCT)))
def test_splits_differ_in_numbers_only(name):
    label = dict(voc='212', city='100')[parts(name)[2]]
    model = re.sub(r'\d+\.py$', f'{label}.py', name)
    assert structure(load(name)) == structure(load(model))


@pytest.mark.parametrize('name', DISTINCT)
def test_the_model_builds_and_learns_at_one_rate(name):
    cfg = load(name)
    model = build(cfg)
    method, network, data, labels, official = parts(name)
    assert model.num_classes == dict(voc=21, city=19)[data]
    assert set(model.terms) == {n for n, t in cfg.model.terms.items() if t}
    assert model.predictor is model.student
    assert model.momentum == (0.995 if official else 0.997)
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    group, = optimizer.param_groups
    rates = {id(p) for p in group['params']}
    for part in ('decode_head', 'semi_heads', 'backbone'):
        named = [(n, p) for n, p in model.student.named_parameters()
                 if n.startswith(part)]
        frozen = [n for n, p in named if id(p) not in rates]
        if part == 'backbone':  # affine parameters of BatchNorm
            assert frozen and all(
                re.search(r'bn\d|downsample\.1', n) for n in frozen)
            assert not any(
                re.search(r'bn\d|downsample\.1', n)
                for n, p in named if id(p) in rates)
        else:
            assert named and not frozen


def ablation_options():
    text = (CONFIGS / 'cmb/README.md').read_text()
    table = text.split('### Ablations')[1].split('## Data')[0]
    return sorted(set(re.findall(r'`("?(?:model|train)[._][^`]*)`', table)))


def test_the_readme_lists_options():
    assert len(ablation_options()) > 20


@pytest.mark.parametrize('options', ablation_options())
def test_options_of_the_readme_work(options):
    cfg = load('cmb/cmb-ssda_v2-r101_city_100.py')
    before = cfg.pretty_text
    pairs = [o.split('=', 1) for o in shlex.split(options)]
    cfg.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in pairs})
    assert cfg.pretty_text != before
    build(cfg)
    counts = cfg.train_dataloader.sampler.counts
    assert cfg.train_dataloader.batch_size == sum(counts)


# Small networks of the same wiring, for six iterations on a CPU.
RESNET = dict(depth=50, base_channels=2, stem_channels=4, init_cfg=None)
SMALL = {
    'v2-r101':
    dict(backbone=RESNET, decode_head=dict(in_channels=64)),
    'v2-r101-coco':
    dict(backbone=RESNET, decode_head=dict(in_channels=64, init_cfg=None)),
    'v3plus-r50':
    dict(
        backbone=RESNET,
        decode_head=dict(
            in_channels=64, c1_in_channels=8, channels=16, c1_channels=8))
}


def reduce(cfg, name, roots):
    """Six iterations: one without memory, one that fills it, contrast."""
    network = parts(name)[1]
    small = copy.deepcopy(SMALL[network])  # merging takes `_delete_` out
    cfg.merge_from_dict(dict(model=dict(segmentor=small)))
    terms = cfg.model.terms
    terms.cmb.update(
        memory_start=1, contrast_start=2, capacity=6, threshold=0.01)
    terms.cmb.head.update(
        in_channels=16 if network.startswith('v3') else 64, channels=8)
    terms.consistency.ramp.length = 2
    if terms.class_balance:
        terms.class_balance.update(windows=(2, 2), begin=3)
    cfg.model.mixing.begin = 2
    cfg.train_cfg.update(max_iters=6, val_interval=6)
    loader = cfg.train_dataloader
    loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    loader.sampler.counts = (2, 2)
    if loader.sampler.get('alternate'):
        loader.sampler.target_only_last = 1
    loader.dataset.verify_split = False
    for key in ('labeled', 'unlabeled', 'labeled_source'):
        source = loader.dataset.get(key)
        if source:
            source.data_root = roots['gta5' if key ==
                                     'labeled_source' else parts(name)[2]]
            for step in source.pipeline:
                if 'crop_size' in step:
                    step.crop_size = 65
    for which in ('val_dataloader', 'test_dataloader'):
        cfg[which].update(num_workers=0, persistent_workers=False)
        cfg[which].dataset.data_root = roots[parts(name)[2]]
    cfg.default_hooks.logger.interval = 1
    for hook in cfg.custom_hooks:
        if hook.type == 'NormRefreshHook':
            hook.forwards = 2


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mini')
    kinds = ('voc', 'city', 'gta5')
    for kind in kinds:
        write_miniature(kind, folder / FOLDERS[kind])
    return {kind: str(folder / FOLDERS[kind]) for kind in kinds}


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'cmb/cmb_v2-r101-coco_city_100_official.py',
    'cmb/cmb_v2-r101-coco_voc_212.py',
    'cmb/cmb_v2-r101_city_372.py',
    'cmb/cmb_v3plus-r50_city_100.py',
    'cmb/cmb_v3plus-r50_voc_212_official.py',
    'cmb/cmb-ssda_v2-r101_city_100.py',
])
def test_it_trains_on_a_miniature(name, trees, tmp_path):
    method, network, data, labels, official = parts(name)
    cfg = load(name)
    reduce(cfg, name, trees)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == 6
    assert (tmp_path / 'iter_6.pth').is_file()
    assert (tmp_path / 'selected.pth').is_file() == official
    scalars = runner.message_hub.log_scalars
    assert 'mIoU' in ' '.join(scalars)
    for loss in ('loss_sup', 'loss_unsup', 'loss_entropy', 'loss_contrast',
                 'loss_contrast_unsup'):
        found = [v for n, v in scalars.items() if n == f'train/{loss}']
        assert found, (loss, sorted(scalars))
        assert torch.isfinite(torch.as_tensor(found[0].data[0])).all()
    bank = model.terms.cmb.bank
    assert bank.allocated and bank.count.sum() > 0
    if data == 'city':
        # Of the six batches the labelled ones count, at most two of them.
        assert model.terms.class_balance.seen.tolist() == [2, 6]
