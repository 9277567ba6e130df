# Copyright (c) mmseg_semi authors.
"""CPS in its own recipe, and what stands on it. Marked ``-own``."""
from typing import Dict, List, Optional

from .common import FILES, SEMI, STUDENT, base_list, epoch_line, window
from .families import FAMILIES, Family
from .leaf import Code, Leaf
from .own import each_list, own_leaf

# Of the one image that each of CPS' 8 GPUs has.
OHEM = [dict(type='ohem', weight=1., thresh=0.7, min_kept=50_000)]
# CPS' epochs by share of the labelled images.
CPS_EPOCHS = dict(
    voc={
        2: 60,
        4: 40,
        8: 34,
        16: 32
    }, city={
        2: 240,
        4: 160,
        8: 137,
        16: 128
    })


def _cps_length(family: Family, labels: int):
    """Setup lines, note and ``train_cfg``."""
    if family.name not in ('voc-blended-cps', 'city-cps'):
        return [], ('The length of the training is not stated, this is that '
                    'of 662 labels.'), dict(max_iters=39680)
    share = round(family.images / labels)
    epochs = CPS_EPOCHS[family.data][share]
    images = family.images
    value = (images - images // share) // 8
    line = (f'epoch_iters = ({images} - {images} // {share}) // 8'
            f'  # {value}, as CPS counts')
    return [line], '', dict(max_iters=Code(f'{epochs} * epoch_iters'))


def _cps_bases(family: Family, model: str, method: str, schedule: str):
    return base_list(family, model, f'{FILES[family.data]}_cps', method,
                     schedule, STUDENT)


def _cps_optim(family: Family) -> Optional[dict]:
    """What acts on Cityscapes, where CPS used 8 GPUs."""
    if family.data == 'voc':
        return None
    return dict(optimizer=dict(weight_decay=8e-4))


def cps(family: str, labels: int, cutmix: bool = True) -> Leaf:
    lists_ = FAMILIES[family]
    setup, note, train = _cps_length(lists_, labels)
    terms: Dict[str, object] = {}
    model: Dict[str, object] = {}
    city = lists_.data == 'city'
    if city:
        terms['supervised'] = dict(criterion=OHEM)
        terms['consistency'] = dict(loss_weight=5.)
    name, counts, data_counts = 'cps-own', (8, 16), None
    if not cutmix:
        name = 'cps-nocutmix-own'
        counts = data_counts = (8, 8)
        model['mixing'] = None
        terms['consistency'] = dict(loss_weight=6. if city else 1.5)
        note = ('Without CutMix: no second batch, and the labelled images '
                f'have cross labels too. {note}').strip()
    if terms:
        model['terms'] = terms
    return own_leaf(
        'cps',
        f'{name}_r101',
        family,
        labels,
        'r101-cps',
        _cps_bases(lists_, 'deeplabv3plus_r101-cps', 'cross_pseudo',
                   'sgd_cps'),
        counts,
        model,
        setup=setup,
        note=note,
        train=train,
        optim=_cps_optim(lists_),
        data_counts=data_counts)


def supervised_cps(family: str, labels: int) -> Leaf:
    """The supervised baseline of CPS' recipe (PPS, Fig. 4)."""
    lists_ = FAMILIES[family]
    setup, _, train = _cps_length(lists_, labels)
    model = {}
    if lists_.data == 'city':
        model['terms'] = dict(supervised=dict(criterion=OHEM))
    return own_leaf(
        'supervised',
        'supervised-cps-own_r101',
        family,
        labels,
        'r101-cps',
        base_list(lists_, 'deeplabv3plus_r101-cps',
                  f'{FILES[lists_.data]}_cps', 'supervised', 'sgd_cps', SEMI),
        (8, 0),
        model,
        setup=setup,
        note="CPS' recipe on the labelled images alone.",
        train=train,
        optim=_cps_optim(lists_),
        data_counts=(8, 0))


def pps(family: str, labels: int) -> Leaf:
    lists_ = FAMILIES[family]
    setup, note, train = _cps_length(lists_, labels)
    n = dict(voc=5, city=7)[lists_.data]
    setup = [
        f'segmentor.decode_head.num_queries = {n} * _base_.num_classes'
        '  # of every class', *setup
    ]
    city = lists_.data == 'city'
    return own_leaf(
        'pps',
        'pps-own_r101',
        family,
        labels,
        'r101-cps',
        _cps_bases(lists_, 'deeplabv3plus-prototypes_r101-cps', 'pps',
                   'sgd_pps'), (8, 16), {},
        setup=setup,
        note=note,
        train=train,
        optim=dict(optimizer=dict(lr=0.02)) if city else None)


def brpg_cps(family: str, labels: int) -> Leaf:
    lists_ = FAMILIES[family]
    _, _, train = _cps_length(lists_, labels)
    return own_leaf(
        'brpg',
        'brpg-cps-own_r101',
        family,
        labels,
        'r101-cps',
        _cps_bases(lists_, 'deeplabv3plus_r101-cps', 'brpg_cross_pseudo',
                   'sgd_cps'), (8, 16),
        dict(
            terms=dict(
                brpg=dict(head=dict(in_channels=304), window=window(1, 2)))),
        setup=[epoch_line(lists_, labels, 8)],
        note='Table 10. The paper does not say how it trained this: data, '
        "losses and length are CPS' own, the window is that of the common "
        'protocol.',
        train=train)


def leaves() -> List[Leaf]:
    of_cps = each_list('voc-blended-cps', 'voc-pseudoseg', 'city-cps')
    found = [cps(*key) for key in of_cps + each_list('voc')]
    found += [cps(*key, cutmix=False) for key in of_cps]
    found += [
        supervised_cps(*key)
        for key in each_list('voc-blended-cps', 'city-cps')
    ]
    found += [pps(*key) for key in of_cps]
    found += [brpg_cps(*key) for key in each_list('voc')]
    return found
