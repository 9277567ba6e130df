# Copyright (c) mmseg_semi authors.
"""Rows of the papers' ablations, on top of another config."""
from typing import Dict, List

from .leaf import Code, Leaf, on_top


def term(name: str, **options: object) -> Dict[str, object]:
    return dict(terms={name: options})


_BRPG_PLAIN = term('brpg', split=False, num_prototypes=(4, ), apo=None)
_BRPG = [
    # name, base, note, model; those without "/" stand beside their base
    ('brpg-plain', 'brpg_r101_voc_366',
     'Table 6, III: prototypes of randomly drawn features, without CPG and '
     'APO.', _BRPG_PLAIN),
    ('brpg-cpg', 'brpg_r101_voc_366',
     'Table 6, IV: one clustering per confidence (CPG), without APO.',
     term('brpg', apo=None)),
    ('ablation/class-threshold', 'brpg_r101_voc_366',
     'Table 8, last column: eta_s per class, an average within [0.7, 0.9].',
     term('brpg', class_threshold=(0.7, 0.9))),
    ('ablation/class-threshold', 'brpg_r101_city_372',
     'Table 8, last column: eta_s per class, an average within [0.7, 0.9].',
     term('brpg', class_threshold=(0.7, 0.9))),
    ('ablation/cls-features', 'brpg_r101_voc_366',
     'Table 9, II: features of the classification head, no feature head.',
     term(
         'brpg',
         head=dict(
             projector=None, tap='pre_cls', in_channels=256, channels=256))),
    ('ablation/decoder-features', 'brpg_r101_voc_366',
     'Table 9, III: the 512 channels that both heads read, no feature head.',
     term(
         'brpg',
         head=dict(
             projector=None, tap='decoder', in_channels=512, channels=512))),
    ('ablation/pretrained-head', 'brpg_r101_voc_366',
     'Table 9, I: the feature head learns from labels until sampling begins.',
     term('brpg', pretrain_head=True)),
]
_PCR_BOTH = [
    ('ablation/frozen', 'Table 4, 3: both predictors, prototypes as they were '
     'initialised.', term('pcr', momentum=1.)),
    ('ablation/linear', 'Table 4, 1: the linear predictor alone, a mean '
     'teacher with CutMix and a confidence threshold.',
     dict(terms=dict(pcr=None))),
    ('ablation/prototype', 'Table 4, 2: the prototype predictor alone. It '
     'also makes the pseudo-labels and predicts; the linear classifier learns '
     'nothing.',
     dict(
         label_head='pcr',
         predict_head='pcr',
         terms=dict(supervised=dict(until=0), consistency=None))),
]
_PCR = [
    ('pcr-e2e', 'pcr_r101_voc_366',
     'Prototypes are clustered within the training, from features of the '
     'second half of its supervised epoch: no extractor, no file.',
     term('pcr', prototypes=None)),
    ('ablation/classmix', 'pcr_r101_voc_92',
     'Table 6: half of the classes of an image are pasted onto another. '
     "`extra=0` is ClassMix as in U2PL's code, on which PCR is built.",
     dict(mixing=dict(kind='classmix', extra=0))),
    ('ablation/cutout', 'pcr_r101_voc_92',
     'Table 6: half of every image is cut out instead of mixed.',
     dict(mixing=dict(kind='cutout'))),
    *((name, f'pcr_r101_voc_{n}', note, model)
      for name, note, model in _PCR_BOTH for n in (92, 183)),
]
_SHARED = ('decode_head.decoder_input_proj', 'decode_head.transformer_decoder',
           'decode_head.query_embed', 'decode_head.mask_embed')
PPS_PARTS = [
    ('mpm-par', 'Table 4, MPM + PAR: without contrast there is no projector.',
     dict(shared=_SHARED, **term('pps', contrast_weight=0.))),
    ('mpm-pcl', 'Table 4, MPM + PCL: without the activation regularisation.',
     term('pps', activation_weight=0.)),
    ('mpm', 'Table 4, MPM: prototypes alone. Without contrast there is no '
     'projector.',
     dict(
         shared=_SHARED,
         **term('pps', contrast_weight=0., activation_weight=0.))),
]


def _queries(n: int) -> Dict[str, object]:
    number = Code(f'{n} * _base_.num_classes')
    return dict(segmentor=dict(decode_head=dict(num_queries=number)))


_PPS_VOC, _PPS_CITY = 'pps-own_r101_voc-blended-cps_662', \
    'pps-own_r101_city-cps_186'
_PPS = [
    *((f'ablation/{name}-own', _PPS_VOC, note, model)
      for name, note, model in PPS_PARTS),
    *((f'ablation/n{n}-own', _PPS_VOC,
       f'Table 5: {n} prototype{"s" * (n > 1)} of every class.', _queries(n))
      for n in (1, 3, 7, 9)),
    *((f'ablation/n{n}-own', _PPS_CITY,
       f'Table 6: {n} prototype{"s" * (n > 1)} of every class.', _queries(n))
      for n in (1, 3, 5, 9)),
]
_PIXEL = dict(
    terms=dict(
        consistency=dict(
            type='PixelConsistency', filter='none', normalizer='valid'),
        rc2l=None))
_RC2L_ROWS = [
    ('baseline', 'Table 3, baseline: mask consistency of matched pairs, no '
     'union, no class.',
     term('rc2l', betas=(0., 20., 0., 0.), union='matched')),
    ('pixel', "The other reading of Table 3's baseline: consistency of every "
     'pixel.', _PIXEL),
    ('smc', 'Table 3: SMC.', term('rc2l', betas=(0., 20., 0., 0.))),
    ('smc-rcc', 'Table 3: SMC and RCC.', term('rc2l',
                                              betas=(1., 20., 0., 0.))),
    ('smc-rcc-rmc', 'Table 3: SMC, RCC and RMC.',
     term('rc2l', betas=(1., 20., 4., 0.))),
]
_RC2L = [(f'ablation/{name}-own', f'rc2l-own_r101_{lists}', note, model)
         for name, note, model in _RC2L_ROWS
         for lists in ('voc-pseudoseg_732', 'voc-blended-cps_2646')]


def ablations(leaves: Dict[str, Leaf]) -> List[Leaf]:
    found = []
    for folder, rows in (('brpg', _BRPG), ('pcr', _PCR), ('pps', _PPS),
                         ('rc2l', _RC2L)):
        for name, base, note, model in rows:
            tail = base.split('_', 1)[1]
            head, _, stem = name.rpartition('/')
            found.append(
                on_top(
                    leaves,
                    f'{folder}/{base}',
                    f'{stem}_{tail}',
                    note,
                    folder=f'{head}/' if head else '',
                    model=model))
    return found
