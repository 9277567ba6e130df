# Copyright (c) mmseg_semi authors.
"""Numbers that papers print are the defaults, those of codes _official."""
import re

import pytest

from .cases import ALL, learning_rates, loaded, parse, transforms, where


def of(folder, **wanted):
    return [
        p for p in where(folder=folder, **wanted)
        if parse(p).data != 'digits' and '/ablation/' not in p
    ]


SEGFORMER = where(network='segformer-b4')
RATES = (
    SEGFORMER + of('pcr') + of('pps') +
    [p for p in of('supervised') + of('cps') if parse(p).network == 'r101'])


def first_of_kind(paths):
    """One config for each set of rates: lists and labels do not matter."""
    found = {}
    for path in paths:
        name = parse(path)
        found.setdefault(
            (name.folder, name.method, name.network, name.data, name.official),
            path)
    return sorted(found.values())


def expected_rates(path):
    """Part -> (learning rate, weight decay) of its weights."""
    name = parse(path)
    city = name.data == 'city'
    if name.network == 'segformer-b4':
        # BRPG 4.1.4
        low, high, decay = (6e-5, 6e-4, .01) if city else (1e-3, 1e-2, 1e-4)
    elif name.folder == 'pps' and name.own:
        # PPS 4.1; what CPS' code amounts to
        low, decay = (.02 if city else .01), 5e-4
        if name.official:
            low, decay = 2.5e-3, (8e-4 if city else 4e-4)
        high = low
    elif name.folder in ('cps', 'supervised') and name.own and \
            'u2pl' not in name.method:
        low = high = .02 / 8 if city else .01 / 4
        decay = 8e-4 if city else 4e-4
    elif city:
        # BRPG 4.1.4, PCR 4.1: 16 images
        low = high = 1e-2 if name.own else 5e-3
        decay = 5e-4
    else:
        low, high, decay = 1e-3, 1e-2, 1e-4
    return dict(
        backbone=(low, decay),
        decode_head=(high, decay),
        semi_heads=(high, decay),
        auxiliary_head=(high, decay))


@pytest.mark.parametrize('path', first_of_kind(RATES))
def test_learning_rates(path):
    """All of SegFormer, PCR and PPS; ``pytest -s`` prints them."""
    expected = expected_rates(path)
    for part, groups in learning_rates(loaded(path)).items():
        values = [tuple(group) for group in groups]
        if parse(path).folder == 'pps':
            values = [v for v in values if v[1]]  # queries do not decay
        assert values or part == 'semi_heads'
        for rate, decay in values:
            print(f'{path:45} {part:15} lr {rate:<8g} weight decay {decay:g}')
            assert (rate, decay) == pytest.approx(expected[part]), part


@pytest.mark.parametrize('path', SEGFORMER + of('pcr') + of('pps'))
def test_settings_that_decide_the_rates(path):
    """Those of the other lists are the ones just resolved."""
    model, = [
        p for p in first_of_kind(RATES)
        if parse(p)._replace(lists='', labels=0) == parse(path)._replace(
            lists='', labels=0) and parse(p).data == parse(path).data
    ]
    cfg, other = loaded(path), loaded(model)
    assert cfg.optim_wrapper == other.optim_wrapper
    assert cfg.param_scheduler == other.param_scheduler


@pytest.mark.parametrize('path', SEGFORMER)
def test_segformer(path):
    """BRPG 4.1.4: no warm-up, poly 0.9 on both data sets."""
    cfg = loaded(path)
    scheduler, = cfg.param_scheduler
    assert (scheduler.type, scheduler.power, scheduler.begin) == ('PolyLR', .9,
                                                                  0)
    city = parse(path).data == 'city'
    assert cfg.optim_wrapper.optimizer.type == ('AdamW' if city else 'SGD')
    if city:
        assert tuple(cfg.optim_wrapper.optimizer.betas) == (.9, .999)
    else:
        assert cfg.optim_wrapper.optimizer.momentum == .9


@pytest.mark.parametrize('path', of('pcr'))
def test_pcr(path):
    """Power 0.8 (4.1), tau 0.8 (3.3), K = 4 (4.3), cross-entropy (Eq. 5)."""
    name, cfg = parse(path), loaded(path)
    terms = cfg.model.terms
    power, tau, number, loss = .8, .8, 4, 'cross_entropy'
    if name.official:
        power, loss = .9, 'ohem'
        if name.data == 'city':
            tau, number = .65, 3
    assert [s.power for s in cfg.param_scheduler] == [power]
    assert terms.consistency.threshold == terms.pcr.threshold == tau
    assert terms.consistency.filter == 'confidence'
    assert terms.pcr.num_prototypes == number
    if number == 3:  # of another file than those with four
        assert terms.pcr.prototypes.endswith(f'{path[len("pcr"):]}.pth')
    assert [c.type for c in terms.supervised.criterion] == [loss]
    aux = cfg.model.segmentor.get('auxiliary_head')
    assert bool(aux) == (name.official and name.data == 'city')
    assert cfg.model.get('label_padding', False) == name.official
    assert transforms(cfg,
                      'labeled')[4].get('seg_pad_val',
                                        255) == (0 if name.official else 255)


@pytest.mark.parametrize('path', [
    p for p in of('brpg') + of('mean_teacher') + of('supervised')
    if not parse(p).own and parse(p).method in ('brpg', 'mean-teacher',
                                                'supervised')
])
def test_brpg(path):
    """Cross-entropy (Eq. 2), mean over kept pixels (Eq. 6); or the code's."""
    name, cfg = parse(path), loaded(path)
    terms = cfg.model.terms
    kinds = [(c.type, c.weight) for c in terms.supervised.criterion]
    if name.official:
        assert kinds == [('cross_entropy', .5), ('ohem', .5)]
        assert terms.consistency.normalizer == 'kept_boost'
        assert terms.consistency.epoch_iters == cfg.epoch_iters
        assert terms.brpg.schedule_begin == 5 * cfg.epoch_iters
        assert cfg.model.fidelity == 'official'
    else:
        assert kinds == [('cross_entropy', 1.)]
        if terms.consistency:
            assert terms.consistency.normalizer == 'valid'
    assert cfg.model.get('label_padding', False) == name.official
    step = transforms(cfg, 'labeled')[4]
    assert step.type == 'RandomPadCrop'
    assert step.get('seg_pad_val', 255) == (0 if name.official else 255)


@pytest.mark.parametrize('path', [p for p in ALL if parse(p).official])
def test_official_configs_evaluate_as_the_code(path):
    name, cfg = parse(path), loaded(path)
    padded = dict(voc='513', coco='641').get(name.data)
    if name.folder not in ('brpg', 'pcr', 'u2pl'):
        padded = None
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        crop = [
            str(s.crop_size) for s in loader.dataset.pipeline
            if s.type == 'PadCenterCrop'
        ]
        assert crop == ([padded] if padded else [])
    assert cfg.get('eval_protocol',
                   'whole') == (f'padded-{padded}' if padded else 'whole')


def test_one_official_config_for_a_method_and_data_set():
    found = [
        parse(p)[:3] + (parse(p).data, ) for p in ALL if parse(p).official
    ]
    assert len(found) == len(set(found))
    assert {(f, data)
            for f, _, _, data in found} >= {('brpg', 'voc'), ('brpg', 'city'),
                                            ('brpg', 'coco'), ('pcr', 'voc'),
                                            ('pcr', 'city'), ('u2pl', 'voc'),
                                            ('u2pl', 'city'), ('cmb', 'voc'),
                                            ('cmb', 'city'), ('pps', 'voc'),
                                            ('pps', 'city'), ('cps', 'voc'),
                                            ('cps', 'city')}


@pytest.mark.parametrize('path', of('cmb'))
def test_cmb(path):
    """4.2 and Table 1, or its code."""
    name, cfg = parse(path), loaded(path)
    model = cfg.model
    assert model.momentum == (.995 if name.official else .997)
    assert model.mixing.prob == (.75 if name.official else .8)
    assert model.terms.consistency.ramp == dict(
        length=2000, kind='exp' if name.official else 'hard')
    assert model.augment.strong.brightness == (.25 if name.official else .3)
    assert model.augment.strong.get('color_law', 'kornia') == 'kornia'
    if name.own:
        assert cfg.train_cfg.max_iters == (150_000
                                           if name.official else 80_000)
        rate = 2e-4 if name.network.startswith('v2') else 4e-4
        if name.official and name.data == 'voc':
            rate = 2e-4
        assert cfg.optim_wrapper.optimizer.lr == rate
    hooks = {hook.type for hook in cfg.custom_hooks}
    assert 'EMATeacherHook' in hooks
    choose = {'BestWeightsHook', 'NormRefreshHook'}
    assert choose & hooks == (choose if name.official else set())


@pytest.mark.parametrize('path', of('cmb'))
def test_pixels_of_cmb_are_as_the_weights_want_them(path):
    name, cfg = parse(path), loaded(path)
    if not name.own:
        return
    pixels = cfg.model.segmentor.data_preprocessor
    mean = dict(
        voc=[122.679, 116.669, 104.007], city=[73.158, 82.909,
                                               72.392])[name.data]
    coco = name.network.endswith('coco')
    assert pixels.mean == (mean[::-1] if coco else mean)
    assert pixels.bgr_to_rgb != coco and pixels.std == [255.] * 3
    halved = name.network.startswith('v2') and name.data == 'city'
    pipelines = [
        transforms(cfg, 'labeled'),
        transforms(cfg, 'unlabeled'), cfg.val_dataloader.dataset.pipeline
    ]
    for pipeline in pipelines:
        resized = [s for s in pipeline if s.type == 'Resize']
        assert [s.scale_factor for s in resized] == [.5] * halved


@pytest.mark.parametrize(
    'path', [p for p in ALL if re.match('(cps|fixmatch|unimatch)/', p)])
def test_weights_of_the_losses_of_frameworks(path):
    name, cfg = parse(path), loaded(path)
    terms = {k: v for k, v in cfg.model.terms.items() if v}
    sup, = terms['supervised'].criterion
    halves, city = 'match' in name.folder, name.data == 'city'
    assert sup.weight == (.5 if halves else 1.)
    assert sup.type == ('ohem' if city and name.own else 'cross_entropy')
    if sup.type == 'ohem':
        assert sup.min_kept == (200_000 if halves else 50_000)
    weights = {
        k: v.get('loss_weight')
        for k, v in terms.items() if v['type'] == 'PixelConsistency'
    }
    if name.folder == 'unimatch':
        assert weights == dict(strong1=.125, strong2=.125, features=.25)
        assert cfg.model.feature_dropout == .5
    elif halves:
        assert weights == dict(consistency=.5)
    else:
        alone = 'nocutmix' in name.method or name.data == 'digits'
        weight = 1.5 if alone else 1.
        if city:
            weight = 6. if alone else 5.
        assert weights == dict(consistency=weight)
        assert (cfg.model.mixing is None) == ('nocutmix' in name.method)
    for term in terms.values():
        if halves and term['type'] == 'PixelConsistency':
            assert term.threshold == (0. if city else .95)
            assert term.normalizer == 'non_padding'


def test_windows_of_the_codes():
    """CPS: two thirds, rounded up, small images padded. UniMatch: cut."""
    cps = loaded('cps/cps-own_r101_voc-blended-cps_662').model.test_cfg
    assert cps == dict(
        mode='slide',
        crop_size=(512, 512),
        stride=(342, 342),
        pad_to_crop=True)
    cps = loaded('cps/cps-own_r101_city-cps_186').model.test_cfg
    assert tuple(cps.stride) == (534, 534)
    unimatch = loaded('unimatch/unimatch-own_r101_city-cps_186').model.test_cfg
    assert unimatch == dict(
        mode='slide',
        crop_size=(801, 801),
        stride=(534, 534),
        windows='cut',
        average='probabilities')


ALPHA = {'voc-pseudoseg': 2., 'voc': 2., 'voc-blended-cps': 1., 'city-cps': 1.}


@pytest.mark.parametrize('path', of('rc2l', official=False))
def test_rc2l(path):
    name, cfg = parse(path), loaded(path)
    term = cfg.model.terms.rc2l
    assert tuple(term.betas) == (1., 20., 4., 4.)
    assert cfg.model.segmentor.decode_head.num_queries == 50
    assert cfg.optim_wrapper.clip_grad.max_norm == .01
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    if not name.own:
        return
    assert term.loss_weight == ALPHA[name.lists]
    coco = name.lists == 'city-cps' or name.labels in (92, 183, 366, 662)
    assert name.network == ('r101-coco' if coco else 'r101')
    blended = name.lists == 'voc-blended-cps'
    assert cfg.train_cfg.max_iters == (160_000 if blended else 120_000)
    short = dict(voc=512, city=1024)[name.data]
    for part in ('labeled', 'unlabeled'):
        scales, = [s.scales for s in transforms(cfg, part) if 'scales' in s]
        assert (min(scales), max(scales)) == (short // 2, short * 2)


@pytest.mark.parametrize(
    'path',
    [p for p in where(folder='pps') if '/ablation/' in p or parse(p).own])
def test_prototypes_of_pps(path):
    name, cfg = parse(path), loaded(path)
    row = re.match(r'n(\d)', name.method)
    n = int(row.group(1)) if row else dict(voc=5, city=7, digits=5)[name.data]
    assert cfg.model.segmentor.decode_head.num_queries == n * cfg.num_classes
