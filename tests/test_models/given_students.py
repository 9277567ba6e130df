# Copyright (c) mmseg_semi authors.
"""A tiny CPS, its steps and what passes through its students."""

import torch
from mmseg.registry import MODELS

from .toys import segmentor

NETS = ('student1', 'student2')
OTHER = dict(zip(NETS, NETS[::-1]))


def plain(dropout=0., norm='BN'):
    """A segmentor without dropout, like the one of CPS."""
    cfg = segmentor()
    cfg['decode_head']['dropout_ratio'] = dropout
    norm_cfg = dict(type=norm)
    if norm == 'GN':
        norm_cfg['num_groups'] = 2
    for part in ('backbone', 'decode_head'):
        cfg[part]['norm_cfg'] = norm_cfg
    return cfg


def cps(total_iters=100, **kwargs):
    """A built and initialised CPS in train mode."""
    torch.manual_seed(0)
    terms = dict(
        supervised=dict(
            type='SupervisedLoss', criterion=[dict(type='cross_entropy')]),
        consistency=dict(
            type='PixelConsistency',
            filter='none',
            normalizer='valid',
            loss_weight=1.5))
    terms.update(kwargs.pop('terms', {}))
    model = MODELS.build(
        dict(
            type='CrossPseudo',
            segmentor=kwargs.pop('segmentor', plain()),
            terms=terms,
            **kwargs))
    model.init_weights()
    model.total_iters = total_iters
    return model.train()


def losses_of(model, step):
    """The losses of a step whose passes are done."""
    losses = {}
    for name, term in model.terms.items():
        losses.update(model._named(name, term.loss(step)))
    return losses


def watch(model):
    """Record (network, train mode, graph, images) of every forward."""
    calls = []
    for name in NETS:
        model.net(name).backbone.register_forward_hook(
            lambda m, args, out, name=name: calls.append(
                (name, m.training, out[0].requires_grad, args[0].clone())))
    return calls


def made_of(mixed, zero, one):
    """(B, H, W) mask of the pixels that come from u1, and that it fits."""
    mask = (mixed == one).all(1) & ~(zero == one).all(1)
    return mask, torch.equal(mixed, torch.where(mask[:, None], one, zero))
