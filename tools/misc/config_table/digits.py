# Copyright (c) mmseg_semi authors.
"""DigitScenes: the embedded data set, trained on a CPU in minutes."""
from typing import Dict, List

from .ablations import PPS_PARTS, term
from .common import DATA, METHODS, MODELS, SCHEDULES, SEMI, STUDENT
from .leaf import Code, Leaf, merged

_MIXTURE = dict(criterion=[
    dict(type='cross_entropy', weight=0.5),
    dict(type='ohem', weight=0.5, thresh=0.7, min_kept=100_000)
])
_LABELS_FIRST = ('Against the VOC configs: labels alone for 300 iterations, '
                 'as long as the network knows nothing')
_BRPG_SIZES = dict(
    head=dict(in_channels=96, channels=48, norm_cfg=dict(type='BN')),
    window=(600, 1000),
    capacity=2000,
    samples_per_image=256,
    cells=16,
    draws_per_image=256)

_NO_FLIP = dict(flip_prob=0., color_law='pil')


def _top(folder: str,
         name: str,
         method: str,
         runtime: str,
         note: str,
         model: dict,
         *,
         network: str = 'deeplabv3plus_r18_digits',
         data: str = 'digits',
         schedule: str = 'adamw_3k_digits',
         counts=(8, 8),
         loader: dict = None) -> Leaf:
    """A config for 50 labels that inherits no other one."""
    config: Dict[str, object] = dict(
        model=merged(dict(segmentor=Code('_base_.segmentor')), model))
    if loader:
        config['train_dataloader'] = loader
    kind = dict(
        deeplabv3plus_r18_digits='r18',
        **{
            'mask-query_r18_digits': 'r18-mask-query',
            'deeplabv3plus-prototypes_r18_digits': 'r18'
        })[network]
    return Leaf(
        path=f'{folder}/{name}_r18_digits_50',
        bases=[
            f'{MODELS}/{network}', f'{DATA}/{data}', f'{METHODS}/{method}',
            f'{SCHEDULES}/{schedule}', runtime
        ],
        data='digits',
        network=kind,
        counts=counts,
        note=note,
        config=config,
        labels=50)


_ALONE = dict(
    batch_size=8, sampler=dict(counts=(8, 0)), dataset=dict(unlabeled=None))


def _tops() -> List[Leaf]:
    return [
        _top(
            'supervised',
            'supervised',
            'supervised',
            SEMI,
            '',
            dict(terms=dict(supervised=_MIXTURE)),
            counts=(8, 0),
            loader=_ALONE),
        _top(
            'supervised',
            'supervised-maskquery',
            'supervised',
            SEMI,
            "MaskFormer's own loss: the baseline of RC2L.",
            dict(terms=dict(supervised=dict(criterion=None))),
            network='mask-query_r18_digits',
            schedule='adamw_4k_mask-query',
            counts=(8, 0),
            loader=_ALONE),
        _top(
            'brpg', 'brpg', 'brpg', SEMI,
            "Against the VOC configs: losses as in the authors' code, fewer "
            'pixels are sampled from fewer pixels, the stages are shorter, '
            'every batch is mixed, and the teacher shares the student\'s '
            'BatchNorm statistics, which spares its second forward.',
            dict(
                burn_in=300,
                buffers='copy',
                mixing=dict(prob=1.0),
                terms=dict(
                    supervised=_MIXTURE,
                    consistency=dict(
                        normalizer='kept_boost', entropy_view='weak'),
                    brpg=_BRPG_SIZES))),
        _top(
            'brpg', 'brpg-cps', 'brpg_cross_pseudo', STUDENT,
            'As cps_r18_digits_50.py, with the prototypes of '
            'brpg_r18_digits_50.py.',
            dict(
                burn_in=300,
                halves=False,
                terms=dict(
                    consistency=dict(loss_weight=1.5), brpg=_BRPG_SIZES))),
        _top(
            'brpg', 'brpg-fixmatch', 'brpg_fixmatch', STUDENT,
            'As fixmatch_r18_digits_50.py, with the prototypes of '
            'brpg_r18_digits_50.py.',
            dict(burn_in=300, terms=dict(brpg=_BRPG_SIZES))),
        _top(
            'pcr', 'pcr', 'pcr', SEMI,
            'Against the VOC configs: prototypes are clustered within the '
            'training, fewer pixels are sampled from fewer pixels, the strong '
            'view has its colours changed, every batch is mixed, and the '
            "teacher shares the student's BatchNorm statistics, which spares "
            'its second forward.',
            dict(
                burn_in=300,
                buffers='copy',
                mixing=dict(prob=1.0),
                terms=dict(
                    pcr=dict(
                        head=dict(in_channels=96),
                        window=(200, 300),
                        capacity=2000,
                        cells=16)))),
        _top(
            'u2pl', 'u2pl', 'u2pl', SEMI,
            'Against the VOC configs: 11 classes and smaller queues, fewer '
            'negatives, the strong view has its colours changed, every batch '
            "is mixed, and the teacher shares the student's BatchNorm "
            'statistics.',
            dict(
                burn_in=300,
                buffers='copy',
                mixing=dict(prob=1.0),
                terms=dict(
                    u2pl=dict(
                        head=dict(
                            in_channels=96,
                            channels=48,
                            norm_cfg=dict(type='BN')),
                        num_negatives=64,
                        ranks=(3, 10),
                        capacity=(4000, 2000),
                        keys_per_image=8)))),
        _top(
            'cps', 'cps', 'cross_pseudo', STUDENT,
            f'{_LABELS_FIRST}; the strong view has its colours changed; the '
            'next image of the batch is pasted, which spares the passes on a '
            'second batch; its labels weigh as much as without CutMix.',
            dict(
                burn_in=300,
                halves=False,
                terms=dict(consistency=dict(loss_weight=1.5)))),
        _top('fixmatch', 'fixmatch', 'fixmatch', STUDENT, f'{_LABELS_FIRST}.',
             dict(burn_in=300)),
        _top(
            'unimatch',
            'unimatch',
            'unimatch',
            STUDENT,
            f'{_LABELS_FIRST}.',
            dict(burn_in=300),
            data='digits_unimatch'),
        _top(
            'cmb',
            'cmb',
            'cmb',
            SEMI,
            'Against the VOC configs: shorter phases, a faster teacher, and '
            'no flip, which would turn one digit into another, and colours '
            'that change less.',
            dict(
                momentum=0.99,
                labeled_mixing=dict(background=0),
                mixing=dict(background=0, begin=600),
                augment=dict(sup=_NO_FLIP, strong=_NO_FLIP),
                terms=dict(
                    class_balance=None,
                    consistency=dict(ramp=dict(length=600, kind='exp')),
                    cmb=dict(
                        head=dict(in_channels=48, channels=48),
                        num_labeled=50,
                        memory_start=300,
                        contrast_start=600))),
            data='digits_cmb',
            counts=(8, 4)),
        _top(
            'pps',
            'pps',
            'pps',
            STUDENT,
            'Against the VOC configs: a small decoder; labels alone for 300 '
            'iterations, as long as the network knows nothing; the strong '
            'view has its colours changed; the next image of the batch is '
            'pasted, which spares the passes on a second batch; the contrast '
            'weighs a fifth, as with 0.5 it costs 2.8 points.',
            dict(
                burn_in=300,
                halves=False,
                terms=dict(
                    pps=dict(
                        head=dict(in_channels=48, channels=32),
                        contrast_weight=0.1,
                        samples=32))),
            network='deeplabv3plus-prototypes_r18_digits',
            schedule='adamw_3k_queries'),
        _top(
            'rc2l',
            'rc2l',
            'rc2l',
            SEMI,
            'Against the VOC configs: the strong view has its colours changed '
            'and is pasted in half of the steps; the teacher is faster and '
            'has statistics of its own, as BatchNorm trains here. An image of '
            '64 x 64 has two to five segments, with which the printed '
            'denominators of RMC and RFC are nearly linear: the positive pair '
            'is in them, and their betas are a tenth. SMC has a tenth of '
            "MaskFormer's weights. Fragments and unsure pixels make no "
            'segments, and queries without one learn "no object", weighted as '
            'on labelled images.',
            dict(
                strong_copies=0,
                momentum=0.998,
                buffers='own',
                mixing=dict(prob=0.5),
                terms=dict(
                    rc2l=dict(
                        loss_weight=1.,
                        betas=(1., 2., 0.4, 0.4),
                        include_positive=True,
                        empty_weight=0.1,
                        min_area=32,
                        threshold=0.8))),
            network='mask-query_r18_digits',
            schedule='adamw_4k_mask-query'),
    ]


# path, base, note, model: settings on top of another config
_ON_TOP = [
    ('brpg/brpg-cpg', 'brpg/brpg',
     'Table 6, IV: one clustering per confidence (CPG), without APO.',
     term('brpg', apo=None)),
    ('brpg/brpg-plain', 'brpg/brpg', 'Table 6, III: prototypes of randomly '
     'drawn features, without CPG and APO.',
     term('brpg', split=False, num_prototypes=(4, ), apo=None)),
    ('mean_teacher/mean-teacher', 'brpg/brpg',
     'BRPG without its prototypes: EMA teacher and CutMix.',
     dict(terms=dict(brpg=None))),
    ('pcr/pcr-classmix', 'pcr/pcr',
     'Table 6: half of the classes of an image are pasted onto another. '
     "`extra=0` is ClassMix as in U2PL's code, on which PCR is built.",
     dict(mixing=dict(kind='classmix', extra=0))),
    ('pcr/pcr-cutout', 'pcr/pcr', 'Table 6: half of every image is cut out '
     'instead of mixed.', dict(mixing=dict(kind='cutout'))),
    ('pcr/pcr-frozen', 'pcr/pcr', 'Table 4, 3: both predictors, prototypes '
     'as they were initialised.', term('pcr', momentum=1.)),
    ('pcr/pcr-linear', 'pcr/pcr', 'Table 4, 1: the linear predictor alone, a '
     'mean teacher with CutMix and a confidence threshold.',
     dict(terms=dict(pcr=None))),
    ('pcr/pcr-prototype', 'pcr/pcr', 'Table 4, 2: the prototype predictor '
     'alone. It also makes the pseudo-labels and predicts; the linear '
     'classifier learns nothing. The linear one trains the features until '
     'there are prototypes; the teacher has them one iteration later.',
     dict(
         burn_in=301,
         label_head='pcr',
         predict_head='pcr',
         terms=dict(supervised=dict(until=300), consistency=None))),
    ('cmb/ablation/no-dropout', 'cmb/cmb', 'The teacher without dropout.',
     dict(labeler_dropout=False, **term('cmb', memory_dropout=False))),
    *((f'cmb/ablation/{name}', 'cmb/cmb', f'Table 5, {note}.',
       dict(terms={t: None
                   for t in without}))
      for name, note, without in (
          ('sup', 'labels only', ('consistency', 'entropy', 'cmb')),
          ('sup-ent', 'labels and entropy', ('consistency', 'cmb')),
          ('sup-pseudo', 'labels and pseudo-labels',
           ('entropy', 'cmb')), ('sup-contr', 'labels and contrast',
                                 ('consistency', 'entropy')),
          ('sup-ent-contr', 'everything but pseudo-labels', ('consistency', )),
          ('sup-pseudo-contr', 'everything but the entropy',
           ('entropy', )), ('sup-pseudo-ent', 'everything but the contrast',
                            ('cmb', )))),
    *((f'pps/ablation/{name}', 'pps/pps', note, model)
      for name, note, model in PPS_PARTS),
    *((f'pps/ablation/n{n}', 'pps/pps',
       f'{n} prototype{"s" * (n > 1)} of every class.',
       dict(
           segmentor=dict(
               decode_head=dict(
                   num_queries=Code(f'{n} * _base_.num_classes')))))
      for n in (1, 3)),
    ('rc2l/ablation/baseline', 'rc2l/rc2l', 'Table 3, baseline: mask '
     'consistency of matched pairs, no union, no class.',
     term('rc2l', betas=(0., 2., 0., 0.), union='matched')),
    ('rc2l/ablation/pixel', 'rc2l/rc2l', "The other reading of Table 3's "
     'baseline: consistency of every pixel, of the same pixels that RC²L '
     'counts.',
     dict(
         terms=dict(
             consistency=dict(
                 type='PixelConsistency',
                 filter='confidence',
                 threshold=0.8,
                 normalizer='valid'),
             rc2l=None))),
    ('rc2l/ablation/q50', 'rc2l/rc2l', 'Table 5: more queries.',
     dict(segmentor=dict(decode_head=dict(num_queries=50)))),
    ('rc2l/ablation/smc', 'rc2l/rc2l', 'Table 3: SMC.',
     term('rc2l', betas=(0., 2., 0., 0.))),
    ('rc2l/ablation/smc-rcc', 'rc2l/rc2l', 'Table 3: SMC and RCC.',
     term('rc2l', betas=(1., 2., 0., 0.))),
    ('rc2l/ablation/smc-rcc-rmc', 'rc2l/rc2l', 'Table 3: SMC, RCC and RMC.',
     term('rc2l', betas=(1., 2., 0.4, 0.))),
]
_HUNDRED = ('brpg/brpg', 'pcr/pcr', 'cmb/cmb', 'cps/cps', 'pps/pps',
            'rc2l/rc2l', 'supervised/supervised',
            'supervised/supervised-maskquery')


def _child(path: str, base: Leaf, note: str, **config: object) -> Leaf:
    return Leaf(
        path=path,
        bases=base.path,
        data='digits',
        network=base.network,
        counts=base.counts,
        note=note,
        config=config,
        labels=int(path.rsplit('_', 1)[1]))


def leaves() -> List[Leaf]:
    found = {leaf.path: leaf for leaf in _tops()}
    for path, base, note, model in _ON_TOP:
        leaf = _child(
            f'{path}_r18_digits_50',
            found[f'{base}_r18_digits_50'],
            note,
            model=model)
        found[leaf.path] = leaf
    lists = dict(
        dataset=dict(labeled=dict(ann_file='ImageSets/Semi/digits-100.txt')))
    for base in _HUNDRED:
        config = dict(train_dataloader=lists)
        if base == 'cmb/cmb':
            config = dict(model=term('cmb', num_labeled=100), **config)
        leaf = _child(f'{base}_r18_digits_100', found[f'{base}_r18_digits_50'],
                      '', **config)
        found[leaf.path] = leaf
    hundred = [
        ('mean_teacher/mean-teacher', 'brpg/brpg',
         'BRPG without its prototypes: EMA teacher and CutMix.',
         dict(model=dict(terms=dict(brpg=None)))),
        ('cmb/ablation/eight-unlabeled', 'cmb/cmb',
         'As many unlabelled images in a step as the mean teacher has.',
         dict(
             train_dataloader=dict(batch_size=16, sampler=dict(counts=(8,
                                                                       8))))),
        ('cmb/ablation/mean-teacher-classmix', 'mean_teacher/mean-teacher',
         'The mean teacher with the mixing of CMB.',
         dict(model=dict(mixing=dict(kind='classmix')))),
    ]
    for path, base, note, config in hundred:
        leaf = _child(f'{path}_r18_digits_100',
                      found[f'{base}_r18_digits_100'], note, **config)
        if path.endswith('eight-unlabeled'):
            leaf.counts = (8, 8)
        found[leaf.path] = leaf
    return list(found.values())
