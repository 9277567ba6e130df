# Copyright (c) mmseg_semi authors.
"""Methods as their own papers train them, where that is not the common
protocol: other lists, crop, batch, network or length. Marked ``-own``.
"""
from typing import Dict, List, Optional

from .common import (CLASSES, FILES, SEMI, STUDENT, base_list, common,
                     epoch_line, loader, window)
from .families import FAMILIES
from .leaf import Code, Leaf, merged

OHEM = [dict(type='ohem', weight=1., thresh=0.7, min_kept=100_000)]


def own_leaf(folder: str,
             name: str,
             family: str,
             labels: int,
             network: str,
             bases: List[str],
             counts,
             model: dict,
             *,
             setup: Optional[List[str]] = None,
             note: str = '',
             train: Optional[Dict[str, object]] = None,
             optim: Optional[Dict[str, object]] = None,
             data_counts=None) -> Leaf:
    """A config that starts from bases.

    Args:
        folder (str): Below ``configs/``.
        name (str): Method and network, as in its name.
        family (str): Its lists.
        labels (int): Labelled images.
        network (str): See :class:`Leaf`.
        bases (list[str]): See :class:`Leaf`.
        counts (tuple[int, int]): See :class:`Leaf`.
        model (dict): Settings beside network and inference.
        setup (list[str], optional): More lines before the settings.
        note (str): Comment.
        train (dict, optional): ``train_cfg``.
        optim (dict, optional): ``optim_wrapper``.
        data_counts (tuple[int, int], optional): ``counts`` where the data
            set's file has others.
    """
    lists_ = FAMILIES[family]
    head: Dict[str, object] = dict(
        segmentor=Code('segmentor'), test_cfg=Code('_base_.inference'))
    config: Dict[str, object] = dict(model=merged(head, model))
    if optim:
        config['optim_wrapper'] = optim
    if train:
        config['train_cfg'] = train
    config['train_dataloader'] = loader(lists_, labels, data_counts)
    return Leaf(
        path=f'{folder}/{name}_{family}_{labels}',
        bases=bases,
        data=lists_.data,
        network=network,
        counts=counts,
        note=note,
        setup=[*CLASSES, *(setup or [])],
        config=config,
        family=lists_,
        labels=labels)


# --- FixMatch, UniMatch, BRPG on FixMatch -----------------------------------

_UNIMATCH_NETWORK = 'deeplabv3plus_r101-unimatch'


def _match(key: str,
           folder: str,
           views: str,
           family: str,
           labels: int,
           model: dict,
           note: str = '') -> Leaf:
    lists_ = FAMILIES[family]
    epochs = dict(voc=80, city=240)[lists_.data]
    if family == 'voc-blended':
        views = f'{views}-513'
        note = 'Crops of 513, as UniMatch has them on these lists.'
    return own_leaf(
        folder,
        f'{key}_r101',
        family,
        labels,
        'r101-unimatch',
        base_list(lists_, _UNIMATCH_NETWORK, f'{FILES[lists_.data]}_{views}',
                  key.replace('-own', '').replace('-', '_'),
                  dict(voc='sgd_voc12', city='sgd_cityscapes')[lists_.data],
                  STUDENT), (8, 8),
        model,
        setup=[epoch_line(lists_, labels, 8)],
        note=note,
        train=dict(max_iters=Code(f'{epochs} * epoch_iters')),
        optim=dict(optimizer=dict(
            weight_decay=1e-4)) if lists_.data == 'city' else None)


_MATCH_OHEM = dict(
    criterion=[dict(type='ohem', weight=0.5, thresh=0.7, min_kept=200_000)])


def fixmatch(family: str, labels: int) -> Leaf:
    model: Dict[str, object] = {}
    if FAMILIES[family].data == 'city':
        model['terms'] = dict(
            supervised=_MATCH_OHEM, consistency=dict(threshold=0.))
    return _match('fixmatch-own', 'fixmatch', 'fixmatch', family, labels,
                  model)


def unimatch(family: str, labels: int) -> Leaf:
    model: Dict[str, object] = {}
    if FAMILIES[family].data == 'city':
        model['terms'] = dict(
            supervised=_MATCH_OHEM,
            strong1=dict(threshold=0.),
            strong2=dict(threshold=0.),
            features=dict(threshold=0.))
    return _match('unimatch-own', 'unimatch', 'unimatch', family, labels,
                  model)


def brpg_fixmatch(family: str, labels: int) -> Leaf:
    return _match(
        'brpg-fixmatch-own',
        'brpg',
        'fixmatch',
        family,
        labels,
        dict(
            terms=dict(
                brpg=dict(head=dict(in_channels=304), window=window(1, 2)))),
        note='Table 10. The paper does not say how it trained this: data, '
        "losses and length are FixMatch's own, the window is that of the "
        'common protocol.')


def unimatch_coco(labels: int) -> Leaf:
    lists_ = FAMILIES['coco']
    return own_leaf(
        'unimatch',
        'unimatch-own_xception65',
        'coco',
        labels,
        'xception65-unimatch',
        base_list(lists_, 'deeplabv3plus_xception65-unimatch_coco',
                  'coco81_unimatch', 'unimatch', 'sgd_coco_unimatch', STUDENT),
        (8, 8), {},
        setup=[epoch_line(lists_, labels, 8)],
        train=dict(max_iters=Code('30 * epoch_iters')))


# --- U2PL, PCR, and U2PL's supervised baseline, Cityscapes ------------------


def sixteen(key: str, labels: int) -> Leaf:
    """Cityscapes with 16 + 16 images on 8 GPUs at 0.01: U2PL and PCR."""
    lists_ = FAMILIES['city']
    leaf = common(key, 'city', labels)
    name = f'{key}-own_r101_city_{labels}'
    leaf.path = f'{key}/{name}'
    leaf.counts = (16, 16)
    leaf.setup[0] = epoch_line(lists_, labels, 16, gpus=8)
    if key == 'pcr':
        leaf.config['model']['terms']['pcr']['prototypes'] = (
            f'data/prototypes/{name}.pth')
    leaf.config['train_dataloader'] = loader(lists_, labels, (16, 16))
    leaf.config['optim_wrapper'] = dict(optimizer=dict(lr=1e-2))
    return leaf


def supervised_u2pl(labels: int) -> Leaf:
    """What made the SupOnly rows of the tables on Cityscapes."""
    lists_ = FAMILIES['city']
    return own_leaf(
        'supervised',
        'supervised-u2pl-own_r101',
        'city',
        labels,
        'r101',
        base_list(lists_, 'deeplabv3plus_r101-aux', 'cityscapes_weak',
                  'supervised', 'sgd_cityscapes', SEMI), (16, 0),
        dict(terms=dict(supervised=dict(criterion=OHEM))),
        setup=[
            'segmentor.auxiliary_head.num_classes = _base_.num_classes',
            epoch_line(lists_, labels, 16, gpus=8)
        ],
        note="U2PL's recipe, which made the numbers of the tables: OHEM, an "
        'auxiliary classifier, twice the learning rate of 16 images.',
        train=dict(max_iters=Code('200 * epoch_iters')),
        optim=dict(optimizer=dict(lr=1e-2)),
        data_counts=(16, 0))


# --- CMB --------------------------------------------------------------------

CMB_NETWORKS = {
    # network: in_channels of the contrast, and by data set: model, views
    'v2-r101-coco': (2048, dict(
        voc=('deeplabv2_r101-coco', 'voc12_cmb'),
        city=('deeplabv2_r101-coco_city', 'cityscapes_cmb-half'))),
    'v2-r101': (2048, dict(
        voc=('deeplabv2_r101', 'voc12_cmb'),
        city=('deeplabv2_r101_city', 'cityscapes_cmb-half'))),
    'v3plus-r50': (256, dict(
        voc=('deeplabv3plus_r50', 'voc12_cmb'),
        city=('deeplabv3plus_r50_city', 'cityscapes_cmb'))),
}  # yapf: disable
CMB_COUNTS = dict(
    v2=dict(voc=(14, 7), city=(5, 2)), v3plus=dict(voc=(20, 10), city=(7, 3)))


def cmb(network: str, family: str, labels: int, source: bool = False) -> Leaf:
    lists_ = FAMILIES[family]
    data = lists_.data
    channels, files = CMB_NETWORKS[network]
    model_file, views = files[data]
    key = network.split('-')[0]
    counts = CMB_COUNTS[key][data]
    terms: Dict[str, object] = dict(
        cmb=dict(
            head=dict(in_channels=channels),
            num_labeled=labels,
            rows_per_image=data))
    model: Dict[str, object] = {}
    if data == 'voc':
        note = 'ClassMix moves the background only if an image has nothing ' \
            'else.'
        model.update(
            labeled_mixing=dict(background=0), mixing=dict(background=0))
        terms['class_balance'] = None
    else:
        note = 'The class weights follow about one pass over the labelled ' \
            'and one over the unlabelled images.'
        spans = (labels // counts[0], (lists_.images - labels) // counts[1])
        terms['class_balance'] = dict(windows=spans)
    model['terms'] = terms
    name = 'cmb-ssda-own' if source else 'cmb-own'
    return own_leaf(
        'cmb',
        f'{name}_{network}',
        family,
        labels,
        network,
        base_list(lists_, model_file,
                  'gta5_cityscapes_cmb-half' if source else views, 'cmb',
                  'sgd_cmb', SEMI),
        counts,
        model,
        note=note,
        optim=dict(optimizer=dict(lr=4e-4)) if key == 'v3plus' else None,
        data_counts=counts if key == 'v3plus' and data == 'voc' else None)


# --- RC2L -------------------------------------------------------------------

RC2L = [
    # network, family, labels, alpha (Table 4), iterations
    ('r101-coco', 'voc-pseudoseg', 92, 2., None),
    ('r101-coco', 'voc-pseudoseg', 183, 2., None),
    ('r101-coco', 'voc-pseudoseg', 366, 2., None),
    ('r101-coco', 'voc-blended-cps', 662, 1., 160_000),
    ('r101-coco', 'city-cps', 372, 1., None),
    ('r101-coco', 'city-cps', 744, 1., None),
    ('r101', 'voc-pseudoseg', 732, 2., None),
    ('r101', 'voc', 1464, 2., None),
    ('r101', 'voc-blended-cps', 1323, 1., 160_000),
    ('r101', 'voc-blended-cps', 2646, 1., 160_000),
    ('r101', 'voc-blended-cps', 5291, 1., 160_000),
]


def rc2l(network: str, family: str, labels: int, alpha: float,
         iters: Optional[int]) -> Leaf:
    lists_ = FAMILIES[family]
    coco = '-coco' if network.endswith('coco') else ''
    return own_leaf(
        'rc2l',
        f'rc2l-own_{network}',
        family,
        labels,
        f'maskformer-{network}',
        base_list(lists_, f'maskformer_r101-50q{coco}',
                  f'{FILES[lists_.data]}_rc2l', 'rc2l', 'adamw_maskformer',
                  SEMI), (8, 8),
        dict(terms=dict(rc2l=dict(loss_weight=alpha))),
        note='"1.4k/9k": the other images with SBD masks are the unlabelled '
        'ones.' if family == 'voc' else '',
        train=dict(max_iters=iters) if iters else None)


def each_list(*families: str):
    return [(f, n) for f in families for n in FAMILIES[f].lists]


MATCH_LISTS = ('voc', 'voc-blended', 'voc-blended-cps', 'city-cps')


def leaves() -> List[Leaf]:
    found = [fixmatch(*key) for key in each_list(*MATCH_LISTS)]
    found += [unimatch(*key) for key in each_list(*MATCH_LISTS)]
    found += [brpg_fixmatch(*key) for key in each_list('voc')]
    found += [unimatch_coco(n) for n in (232, 463, 925, 1849, 3697)]
    found += [
        sixteen(key, n) for key in ('pcr', 'u2pl')
        for n in FAMILIES['city'].lists
    ]
    found += [supervised_u2pl(n) for n in FAMILIES['city'].lists]
    for network in CMB_NETWORKS:
        found += [cmb(network, *key) for key in each_list('voc-cmb')]
        found += [cmb(network, 'city-cmb', n) for n in (100, 372, 744)]
    found += [cmb('v2-r101', 'city-cmb', n) for n in (200, 500, 1000)]
    found += [
        cmb('v2-r101', 'city-cmb', n, source=True)
        for n in (100, 200, 500, 1000)
    ]
    found += [rc2l(*row) for row in RC2L]
    return found
