# Copyright (c) mmseg_semi authors.
"""What made the authors' numbers, where their code differs from the paper."""
from typing import Dict, List

from .leaf import Code, Leaf, on_top

_OHEM = dict(type='ohem', weight=1., thresh=0.7, min_kept=100_000)
_MIXTURE = dict(criterion=[
    dict(type='cross_entropy', weight=0.5),
    dict(type='ohem', weight=0.5, thresh=0.7, min_kept=100_000)
])
_PADDED = [
    'train_pipeline = _base_.train_pipeline',
    "train_pipeline[4]['seg_pad_val'] = 0"
]
_PADDED_LOADER = dict(
    dataset=dict(labeled=dict(pipeline=Code('train_pipeline'))))
_EPOCH = '_base_.epoch_iters'

_EVALUATION = dict(
    val_dataloader=dict(dataset=dict(pipeline=Code('_base_.eval_pipeline'))),
    test_dataloader=Code('val_dataloader'),
    tta_pipeline=Code('_base_.eval_tta_pipeline'))


def _padded(data: str) -> Dict[str, object]:
    """Evaluation of U2PL's code: the base to add and what it sets."""
    sizes = dict(voc=513, coco=641)
    if data not in sizes:
        return {}
    return dict(
        _EVALUATION, extra_base=f'_base_/protocols/eval_padded-{sizes[data]}')


def _official_brpg(leaves, name):
    return on_top(
        leaves,
        f'brpg/{name}',
        f'{name}_official',
        "What made the authors' numbers: cross-entropy with OHEM on labelled "
        'images, pixels / kept pixels as a factor of the consistency, rules '
        'per GPU (run it on 4), K-means in mini-batches, schedules by epoch, '
        'and padding that counts as class 0 in labelled images and gets '
        'pseudo-labels in unlabelled ones. Add --amp.',
        setup=_PADDED,
        **_padded(leaves[f'brpg/{name}'].data),
        model=dict(
            fidelity='official',
            label_padding=True,
            terms=dict(
                supervised=_MIXTURE,
                consistency=dict(
                    normalizer='kept_boost', epoch_iters=Code(_EPOCH)),
                brpg=dict(schedule_begin=Code(f'5 * {_EPOCH}')))),
        train_dataloader=_PADDED_LOADER)


_POLY_09 = [
    dict(type='PolyLR', power=0.9, eta_min=0., begin=0, by_epoch=False)
]
_PCR_NOTE = (
    "Settings of the authors' config file where the paper has others: the "
    'power of the schedule, OHEM on labelled images{}. As in U2PL\'s code, '
    'which theirs extends, padding counts as class 0 in labelled images and '
    'gets pseudo-labels in unlabelled ones.')
_AUXILIARY = dict(
    type='PublishedFCNHead',
    in_channels=1024,
    in_index=2,
    channels=256,
    num_convs=1,
    concat_input=False,
    dropout_ratio=0.1,
    num_classes=Code('_base_.num_classes'),
    norm_cfg=dict(type='SyncBN', requires_grad=True),
    align_corners=True)


def _official_pcr(leaves):
    terms = dict(supervised=dict(criterion=[_OHEM]))
    yield on_top(
        leaves,
        'pcr/pcr_r101_voc_366',
        'pcr_r101_voc_366_official',
        _PCR_NOTE.format(''),
        setup=_PADDED,
        **_padded('voc'),
        model=dict(label_padding=True, terms=terms),
        param_scheduler=_POLY_09,
        train_dataloader=_PADDED_LOADER)
    city = dict(
        terms,
        consistency=dict(threshold=0.65),
        pcr=dict(
            num_prototypes=3,
            threshold=0.65,
            prototypes='data/prototypes/pcr-own_r101_city_372_official.pth'))
    yield on_top(
        leaves,
        'pcr/pcr-own_r101_city_372',
        'pcr-own_r101_city_372_official',
        _PCR_NOTE.format(
            ', three prototypes, a lower threshold, an auxiliary classifier'),
        setup=_PADDED,
        model=dict(
            label_padding=True,
            segmentor=dict(auxiliary_head=_AUXILIARY),
            terms=city),
        param_scheduler=_POLY_09,
        train_dataloader=_PADDED_LOADER)


_U2PL_NOTE = (
    "The mechanics of the authors' code: more anchors, fewer negatives, the "
    'weight 1, its indexing of classes, rules per GPU; padding counts as '
    'class 0 in labelled images and gets pseudo-labels in unlabelled ones{}.')


def _official_u2pl(leaves):
    model: Dict[str, object] = dict(fidelity='official', label_padding=True)
    yield on_top(
        leaves,
        'u2pl/u2pl_r101_voc_366',
        'u2pl_r101_voc_366_official',
        _U2PL_NOTE.format(''),
        setup=_PADDED,
        **_padded('voc'),
        model=model,
        train_dataloader=_PADDED_LOADER)
    yield on_top(
        leaves,
        'u2pl/u2pl-own_r101_city_372',
        'u2pl-own_r101_city_372_official',
        _U2PL_NOTE.format('; OHEM, an auxiliary classifier, and '
                          'pseudo-labels from the first iteration'),
        setup=_PADDED,
        model=dict(
            model,
            burn_in=0,
            segmentor=dict(auxiliary_head=_AUXILIARY),
            terms=dict(supervised=dict(criterion=[_OHEM]))),
        train_dataloader=_PADDED_LOADER)


_CMB_NOTE = (
    "The mechanics of the authors' code where paper and code differ: memory "
    'takes the lowest scores and does not weigh its vectors, the teacher\'s '
    'momentum rises from 0.995 to 1, one draw of augmentation serves a '
    'batch, colours change less, blur has one axis. 150,000 iterations. On '
    'one GPU. Without progress it goes back to the best weights, see '
    'cmb_selection.py.')
_CMB_MODEL = dict(
    fidelity='official',
    momentum=0.995,
    momentum_schedule='cosine',
    label_padding=True,
    labeled_mixing=dict(per_image=False),
    mixing=dict(prob=0.75, per_image=False),
    terms=dict(consistency=dict(ramp=dict(kind='exp'))),
    augment=dict(
        sup=dict(
            brightness=0.125,
            contrast=0.125,
            saturation=0.0625,
            hue=Code('0.125 / 3'),
            batch_level=True),
        strong=dict(
            brightness=0.25,
            contrast=0.25,
            saturation=0.125,
            hue=Code('0.25 / 3'),
            batch_level=True,
            one_axis_blur=True)))


def _official_cmb(leaves, name):
    config: Dict[str, object] = dict(
        model=_CMB_MODEL, train_cfg=dict(max_iters=150_000))
    if 'v3plus' in name and '_voc-' in name:
        config['optim_wrapper'] = dict(optimizer=dict(lr=2e-4))
    config['custom_hooks'] = Code(
        '[*_base_.custom_hooks, *_base_.selection_hooks]')
    return on_top(
        leaves,
        f'cmb/{name}',
        f'{name}_official',
        _CMB_NOTE,
        extra_base='_base_/algorithms/cmb_selection',
        **config)


_CPS_SETUP = [
    "branches = ['sup', 'unsup_teacher', 'partner_teacher']",
    "crop = [*_base_.augmentation, dict(type='PackSemiInputs')]",
    'train_pipeline = _base_.train_pipeline',
    "train_pipeline[-1]['branch_field'] = branches",
    "unlabeled_pipeline = [dict(type='LoadStrictImage'), "
    "dict(type='InitValidMap'), dict(type='MultiBranch', "
    'branch_field=branches, unsup_teacher=crop, partner_teacher=crop)]',
]


def _official_cps(leaves, name):
    return on_top(
        leaves,
        f'cps/{name}',
        f'{name}_official',
        "As the authors' loaders and losses come out: u1 shows the images of "
        'u0 in another crop, because both loaders have one order, and padding '
        'is labelled and learned like any other pixel.',
        setup=_CPS_SETUP,
        counts=(8, 8),
        model=dict(same_image_mix=True, label_padding=True),
        train_dataloader=dict(
            batch_size=16,
            sampler=dict(counts=(8, 8)),
            dataset=dict(
                labeled=dict(pipeline=Code('train_pipeline')),
                unlabeled=dict(pipeline=Code('unlabeled_pipeline')))))


def _official_pps(leaves, name):
    decay = 8e-4 if 'city' in name else 4e-4
    return on_top(
        leaves,
        f'pps/{name}',
        f'{name}_official',
        "The authors published no code; theirs extends CPS', whose losses "
        'are divided once more by the number of GPUs. These are the learning '
        'rate and the weight decay that act there.',
        optim_wrapper=dict(optimizer=dict(lr=2.5e-3, weight_decay=decay)))


def official(leaves: Dict[str, Leaf]) -> List[Leaf]:
    return [
        _official_brpg(leaves, 'brpg_r101_voc_366'),
        _official_brpg(leaves, 'brpg_r101_city_372'),
        _official_brpg(leaves, 'brpg_xception65_coco_1849'),
        *_official_pcr(leaves),
        *_official_u2pl(leaves),
        *(_official_cmb(leaves, f'cmb-own_{name}')
          for name in ('v2-r101-coco_city-cmb_100', 'v2-r101-coco_voc-cmb_212',
                       'v3plus-r50_city-cmb_100', 'v3plus-r50_voc-cmb_212')),
        *(_official_cps(leaves, f'cps-own_r101_{name}')
          for name in ('voc-blended-cps_662', 'city-cps_186')),
        *(_official_pps(leaves, f'pps-own_r101_{name}')
          for name in ('voc-blended-cps_662', 'city-cps_186')),
    ]
