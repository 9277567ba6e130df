# Copyright (c) mmseg_semi authors.
"""Options that the READMEs offer exist, change something, and build."""
import re
import shlex

import pytest
from mmengine.config import DictAction

from .cases import CONFIGS, build, load
from .shrink import small_network

# The config that a README's options are meant for, and how many it has.
BASES = {
    'brpg': ('brpg/brpg_r101_voc_366', 10),
    'cmb': ('cmb/cmb-ssda-own_v2-r101_city-cmb_100', 20),
    'cps': ('cps/cps-own_r101_voc-blended-cps_662', 5),
    'fixmatch': ('fixmatch/fixmatch-own_r101_voc_92', 3),
    'pcr': ('pcr/pcr_r101_voc_92', 10),
    'pps': ('pps/pps-own_r101_voc-blended-cps_662', 3),
    'rc2l': ('rc2l/rc2l-own_r101_voc-pseudoseg_732', 20),
    'unimatch': ('unimatch/unimatch-own_r101_voc_92', 3),
}
# Values that are the paper's, and so those of the config already.
SAME = {'rc2l': ('betas', 'loss_weight=2', 'num_queries=50', 'smc_weights')}
# Of other configs than the base, and named only to say what they would be.
OTHERS = {'model.shared': 'brpg/brpg-cps_r101_voc_366'}
NAMED = ('decode_head.pixel_decoder.type', 'model.buffers=copy')
_OPTION = re.compile(
    r'`("?(?:--cfg-options )?"?(?:model|optim_wrapper|train_cfg)\.[\w.]+='
    r'[^`]*)`')


def options_of(folder):
    text = (CONFIGS / folder / 'README.md').read_text()
    text = re.sub(r'(?s)```.*?```', '', text)
    found = set(_OPTION.findall(text))
    return sorted(o for o in found if not any(name in o for name in NAMED))


OPTIONS = [(folder, option) for folder in BASES
           for option in options_of(folder)]


@pytest.mark.parametrize('folder', BASES)
def test_the_readme_lists_options(folder):
    assert len(options_of(folder)) >= BASES[folder][1]


@pytest.mark.parametrize('folder, options', OPTIONS)
def test_options_of_the_readme_work(folder, options):
    base, _ = BASES[folder]
    if folder == 'brpg':
        for key, other in OTHERS.items():
            base = other if key in options else base
    cfg = load(base)
    before = cfg.pretty_text
    pairs = [
        o.split('=', 1)
        for o in shlex.split(options.replace('--cfg-options ', ''))
    ]
    cfg.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in pairs})
    same = any(part in options for part in SAME.get(folder, ()))
    assert same or cfg.pretty_text != before
    small_network(cfg)
    build(cfg)


def test_documented_choices_of_pcr_exist():
    """The keys and values of the README's table of open questions."""
    cfg = load('pcr/pcr_r101_voc_92')
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


@pytest.mark.parametrize('assign', ['sum_logits', 'literal', 'softmax_sum'])
def test_documented_choices_of_pps_exist(assign):
    cfg = load('pps/pps-own_r101_voc-blended-cps_662')
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
