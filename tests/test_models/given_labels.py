# Copyright (c) mmseg_semi authors.
"""Hand-made steps with labels, scores and confidences in fp64."""
from random import Random

import torch

from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, Step, View

C, H, W = 5, 6, 7
STRONG = ('unsup_student', 'unsup_student2')


def given_maps(images=4, seed=0):
    """Labels, scores and confidences of some images of every view."""
    gen = torch.Generator().manual_seed(seed)
    maps = {}
    for view in ('sup', 'unsup_teacher', *STRONG):
        cls = torch.randint(0, C - 1, (images, H, W), generator=gen)
        cls[:, -1] = 255
        valid = torch.rand(images, H, W, generator=gen) < .8
        maps[view] = dict(
            cls=cls if view == 'sup' else cls.masked_fill(~valid, 255),
            valid=valid,
            conf=torch.rand(images, H, W, generator=gen).double() * valid,
            logits=2 * torch.randn(images, C, H, W, generator=gen).double())
    return maps


def given_step(maps, iteration=5, part=slice(None), weights=None, semi=True):
    step = Step(
        iteration=iteration,
        total_iters=100,
        generator=torch.Generator().manual_seed(0),
        random=Random(0),
        semi=semi,
        views={},
        class_weights=weights)
    for name, values in maps.items():
        values = {key: value[part] for key, value in values.items()}
        step.views[name] = View(
            image=torch.zeros(len(values['cls']), 3, H, W),
            samples=[],
            valid=values['valid'],
            labels=values['cls'] if name == 'sup' else None)
        if name != 'unsup_teacher':
            step.learned['student', name] = 'learn'
            step.outs['learn', name] = Out(
                logits=values['logits'].clone().requires_grad_(),
                features={},
                aux=[],
                align_corners=True)
        if name != 'sup' and semi:
            step.labels['student', name] = {
                key: values[key]
                for key in ('cls', 'valid', 'conf')
            }
    step.originals = dict(step.views)
    return step


def term(kind, **kwargs):
    return build_term(dict(type=kind, **kwargs), 'student', C, 'paper')


def pseudo(**kwargs):
    return term(
        'PixelConsistency', **{
            'filter': 'none',
            'sharpen': 6.,
            'normalizer': 'all',
            **kwargs
        })
