# Copyright (c) mmseg_semi authors.
"""Every method under one protocol, that of U2PL: ResNet-101 with the
published decoder, the crop, batch and epochs of :data:`SETTINGS`.

What belongs to a method, its losses, views and optimizer where it cannot do
with SGD, is its own.
"""
from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

from .families import FAMILIES, Family, loader_epoch
from .leaf import Code, Leaf, merged

MODELS, DATA = '_base_/models', '_base_/datasets'
METHODS, SCHEDULES = '_base_/algorithms', '_base_/schedules'
SEMI, STUDENT = '_base_/semi_runtime', '_base_/student_runtime'

FILES = dict(voc='voc12', city='cityscapes', coco='coco81')
SGD = dict(voc='sgd_voc12', city='sgd_cityscapes', coco='sgd_voc12')
GPUS = 4


@dataclass(frozen=True)
class Setting:
    """Labelled = unlabelled images an iteration, epochs, BRPG's window."""
    batch: int
    epochs: int
    window: Tuple[int, int]


SETTINGS = dict(
    voc=Setting(16, 80, (1, 2)),
    city=Setting(8, 200, (3, 6)),
    coco=Setting(16, 30, (1, 2)))

CLASSES = [
    'segmentor = _base_.segmentor',
    'segmentor.decode_head.num_classes = _base_.num_classes'
]
EPOCH = Code('epoch_iters')


def window(first: int, last: int) -> Code:
    """Iterations of epochs ``first`` to ``last``, the latter excluded."""

    def times(n: int) -> str:
        return 'epoch_iters' if n == 1 else f'{n} * epoch_iters'

    return Code(f'({times(first)}, {times(last)})')


def epoch_line(family: Family,
               labels: int,
               batch: int,
               gpus: int = GPUS) -> str:
    """The line that computes ``epoch_iters``, its value as a comment."""
    share = batch // gpus
    value = loader_epoch(family.images - labels, gpus, share)
    return (f'epoch_iters = (_base_.protocol.images - {labels} + {gpus - 1}) '
            f'// {gpus} // {share}  # {value}')


def lists(family: Family,
          labels: int,
          unlabeled: bool = True) -> Dict[str, object]:
    """The data set part of the loader: lists of labelled images and pool."""
    found: Dict[str, object] = dict(
        labeled=dict(ann_file=Code(f"_base_.protocol.lists['{labels}']")))
    if not unlabeled:
        found['unlabeled'] = None
    elif family.pool:
        found['unlabeled'] = dict(ann_file=Code('_base_.protocol.pool'))
    return found


def loader(family: Family,
           labels: int,
           counts: Tuple[int, int] = None) -> Dict[str, object]:
    found: Dict[str, object] = {}
    if counts:
        found = dict(batch_size=sum(counts), sampler=dict(counts=counts))
    with_pool = not counts or counts[1] > 0
    return dict(found, dataset=lists(family, labels, with_pool))


def base_list(family: Family, model: str, views: str, method: str,
              schedule: str, runtime: str) -> List[str]:
    return [
        f'_base_/protocols/{family.module}', f'{MODELS}/{model}',
        f'{DATA}/{views}', f'{METHODS}/{method}', f'{SCHEDULES}/{schedule}',
        runtime
    ]


@dataclass(frozen=True)
class Network:
    """A network of the common protocol and what methods read of it."""
    model: str
    decoder_channels: int
    brpg_head: Dict[str, object]


NETWORKS = {
    'r101':
    Network('deeplabv3plus_r101', 512, dict(in_channels=512)),
    'r101-stock':
    Network('deeplabv3plus_r101-stock', 560, dict(in_channels=560)),
    # Linear-Dropout-Linear (BRPG 4.1.3) on what SegFormer's own
    # Linear-Dropout-Linear reads, its four maps side by side.
    'segformer-b4':
    Network(
        'segformer_b4', 1024,
        dict(
            projector='linear',
            tap='decode_head.fusion_conv:input',
            in_channels=1024)),
    'xception65':
    Network('deeplabv3plus_xception65_coco', 512, dict(in_channels=512)),
}


@dataclass(frozen=True)
class Method:
    """How a method is trained under the common protocol.

    Args:
        folder (str): Below ``configs/``.
        base (str): Its file in configs/_base_/algorithms.
        views (str): ``strong``, ``two-strong``, ``weak`` or ``plain``.
        runtime (str): With or without the hook of a teacher.
        model (callable): (family, labels, network, name) to settings of
            ``model``.
        burn_in (bool): One epoch on labels alone, as U2PL.
        note (callable): Data set to comment.
        schedule (callable, optional): Data set to schedule; None is SGD.
        setup (callable): Data set to more lines before the settings.
        model_file (str): Another network file than that of ``NETWORKS``.
    """
    folder: str
    base: str
    views: str
    runtime: str
    model: Callable[..., dict] = lambda *_: {}
    burn_in: bool = False
    note: Callable[[str], str] = lambda data: ''
    schedule: Callable[[str], str] = SGD.get
    setup: Callable[[str], List[str]] = lambda data: []
    model_file: str = ''


def common(key: str, family: str, labels: int, network: str = 'r101') -> Leaf:
    method, lists_ = COMMON[key], FAMILIES[family]
    data = lists_.data
    setting, net = SETTINGS[data], NETWORKS[network]
    name = f'{key}_{network}_{family}_{labels}'
    supervised = method.folder == 'supervised'
    counts = (setting.batch, 0 if supervised else setting.batch)
    schedule = method.schedule(data)
    if network == 'segformer-b4' and data == 'city':
        schedule = 'adamw_segformer'
    model: Dict[str, object] = dict(
        segmentor=Code('segmentor'), test_cfg=Code('_base_.inference'))
    if method.burn_in:
        model['burn_in'] = EPOCH
    return Leaf(
        path=f'{method.folder}/{name}',
        bases=base_list(lists_, method.model_file or net.model,
                        f'{FILES[data]}_{method.views}', method.base, schedule,
                        method.runtime),
        data=data,
        network=network,
        counts=counts,
        note=method.note(data),
        setup=[
            epoch_line(lists_, labels, setting.batch), *CLASSES,
            *method.setup(data)
        ],
        config=dict(
            model=merged(model, method.model(lists_, labels, net, name)),
            train_cfg=dict(max_iters=Code(f'{setting.epochs} * epoch_iters')),
            train_dataloader=loader(lists_, labels,
                                    counts if supervised else None)),
        family=lists_,
        labels=labels)


def _brpg(family, labels, net, name):
    span = window(*SETTINGS[family.data].window)
    return dict(terms=dict(brpg=dict(head=net.brpg_head, window=span)))


def _pcr(family, labels, net, name):
    return dict(
        strong_copies=1,
        terms=dict(
            pcr=dict(
                head=dict(
                    in_channels=net.decoder_channels, full_resolution=True),
                prototypes=f'data/prototypes/{name}.pth',
                window=Code('(epoch_iters // 2, epoch_iters)'))))


def _u2pl(family, labels, net, name):
    return dict(
        strong_copies=1,
        terms=dict(
            consistency=dict(epoch_iters=EPOCH),
            u2pl=dict(
                head=dict(in_channels=net.decoder_channels),
                epoch_iters=EPOCH)))


def _cps(family, labels, net, name):
    found = dict(halves=False)
    if family.data == 'city':
        found['terms'] = dict(consistency=dict(loss_weight=5.))
    return found


def _cmb(family, labels, net, name):
    terms = dict(
        cmb=dict(
            head=dict(in_channels=256),
            num_labeled=labels,
            rows_per_image=family.data))
    if family.data == 'city':
        batch = SETTINGS['city'].batch
        spans = (labels // batch, (family.images - labels) // batch)
        terms['class_balance'] = dict(windows=spans)
        return dict(terms=terms)
    terms['class_balance'] = None
    moves = dict(background=0)
    return dict(labeled_mixing=moves, mixing=moves, terms=terms)


def _fixmatch(family, labels, net, name):
    if family.data != 'city':
        return {}
    return dict(terms=dict(consistency=dict(threshold=0.)))


def _unimatch(family, labels, net, name):
    if family.data != 'city':
        return {}
    return dict(terms={
        term: dict(threshold=0.)
        for term in ('strong1', 'strong2', 'features')
    })


def _rc2l(family, labels, net, name):
    alpha = 2. if family.name == 'voc' else 1.
    return dict(terms=dict(rc2l=dict(loss_weight=alpha)))


def _prototypes(data: str) -> List[str]:
    n = dict(voc=5, city=7)[data]
    return [
        f'segmentor.decode_head.num_queries = {n} * _base_.num_classes'
        f'  # of every class'
    ]


_PARTNER = ('The next image of the batch is pasted instead of one of a '
            'second batch, so that all methods see as many images.')

COMMON = {
    'supervised':
    Method(
        'supervised',
        'supervised',
        'strong',
        SEMI,
        note=lambda data: 'As many iterations as the semi-supervised methods '
        'on these labels.'),
    'mean-teacher':
    Method('mean_teacher', 'mean_teacher', 'strong', SEMI, burn_in=True),
    'brpg':
    Method('brpg', 'brpg', 'strong', SEMI, _brpg, burn_in=True),
    'pcr':
    Method(
        'pcr',
        'pcr',
        'weak',
        SEMI,
        _pcr,
        burn_in=True,
        note=lambda data: 'The prototypes are made by '
        'tools/misc/init_prototypes.py; None clusters them in the window.',
        schedule=lambda data: f'{SGD[data]}_pcr'),
    'u2pl':
    Method('u2pl', 'u2pl', 'weak', SEMI, _u2pl, burn_in=True),
    'mean-teacher-mse':
    Method('mean_teacher', 'mean_teacher_mse', 'weak', SEMI, burn_in=True),
    'cutmix-seg':
    Method('cutmix_seg', 'cutmix_seg', 'weak', SEMI, burn_in=True),
    'cps':
    Method(
        'cps',
        'cross_pseudo',
        'weak',
        STUDENT,
        _cps,
        note=lambda data: _PARTNER),
    'fixmatch':
    Method('fixmatch', 'fixmatch', 'strong', STUDENT, _fixmatch),
    'unimatch':
    Method('unimatch', 'unimatch', 'two-strong', STUDENT, _unimatch),
    'cmb':
    Method(
        'cmb',
        'cmb',
        'plain',
        SEMI,
        _cmb,
        note=lambda data: dict(
            voc='ClassMix moves the background only if an image has nothing '
            'else.',
            city='The class weights follow about one pass over the labelled '
            'and one over the unlabelled images.')[data]),
    'pps':
    Method(
        'pps',
        'pps',
        'weak',
        STUDENT,
        lambda *_: dict(halves=False),
        note=lambda data: _PARTNER,
        setup=_prototypes,
        model_file='deeplabv3plus-prototypes_r101'),
    'rc2l':
    Method(
        'rc2l',
        'rc2l',
        'weak',
        SEMI,
        _rc2l,
        note=lambda data: "MaskFormer's queries on the published decoder, and "
        'its optimizer: SGD does not train a transformer.',
        schedule=lambda data: 'adamw_maskformer',
        model_file='deeplabv3plus-queries_r101'),
    'brpg-cps':
    Method(
        'brpg',
        'brpg_cross_pseudo',
        'weak',
        STUDENT,
        lambda *args: merged(_cps(*args), _brpg(*args)),
        note=lambda data: f'Table 10. {_PARTNER}'),
    'brpg-fixmatch':
    Method(
        'brpg',
        'brpg_fixmatch',
        'strong',
        STUDENT,
        lambda *args: merged(_fixmatch(*args), _brpg(*args)),
        note=lambda data: 'Table 10.'),
}

PROTOCOLS = ('voc', 'voc-blended', 'city')
COCO = ('supervised', 'mean-teacher', 'brpg')
SEGFORMER_MEAN_TEACHER = (('voc', 366), ('voc-blended', 1323), ('city', 372),
                          ('city', 744))


def leaves() -> List[Leaf]:
    found = [
        common(key, family, labels) for key in COMMON for family in PROTOCOLS
        for labels in FAMILIES[family].lists
    ]
    found += [
        common(key, family, labels, 'segformer-b4')
        for key in ('supervised', 'brpg') for family in PROTOCOLS
        for labels in FAMILIES[family].lists
    ]
    found += [
        common('mean-teacher', family, labels, 'segformer-b4')
        for family, labels in SEGFORMER_MEAN_TEACHER
    ]
    found += [
        common(key, 'coco', labels, 'xception65') for key in COCO
        for labels in (925, 1849, 3697, 7393)
    ]
    found += [
        common(key, 'voc', 366, 'r101-stock')
        for key in ('supervised', 'mean-teacher', 'pcr', 'brpg')
    ]
    return found
