# Copyright (c) mmseg_semi authors.
"""A tiny Mean Teacher with PCR."""

from .toys import mean_teacher

Z = 16  # channels of the toy's decoder map
NAMES = ['sky', 'road', 'tree', 'car']


def pcr_model(pcr=None, terms=None, **kwargs):
    """Burn-in 2, window (0, 2): the third step makes the prototypes."""
    cfg = dict(
        type='PCR',
        head=dict(in_channels=Z),
        num_prototypes=2,
        window=(0, 2),
        capacity=100,
        threshold=.3,
        cells=8)
    cfg.update(pcr or {})
    terms = dict(
        consistency=dict(
            type='PixelConsistency',
            filter='confidence',
            threshold=.3,
            normalizer='valid'),
        **(terms or {}),
        pcr=cfg)
    return mean_teacher(**{'burn_in': 2, **kwargs, 'terms': terms})


def head_of(model, net='student'):
    return model.net(net).semi_heads['pcr']
