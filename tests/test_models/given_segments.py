# Copyright (c) mmseg_semi authors.
"""RC²L on hand-made label maps and what queries say of them."""
from random import Random

import torch

from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, QueryOut, Step, View

C, Q, D, SIDE, STRIDE, LAYERS = 5, 7, 3, 4, 4, 2
SIZE = SIDE * STRIDE


def term(**kwargs):
    cfg = dict(type='RC2L', min_area=1, tau=(.5, .4))
    return build_term({**cfg, **kwargs}, 'student', C, 'paper')


# Classes of the images: three, one, two, none, all of them.
CLASSES = ((0, 2, 4), (3, ), (1, 4), (), tuple(range(C)))


def maps(seed=0, classes=CLASSES, number=Q):
    """Labels of columns of blocks and what a head may say about them."""
    gen = torch.Generator().manual_seed(seed)
    batch = len(classes)
    labels = torch.full((batch, SIZE, SIZE), 255)
    for b, own in enumerate(classes):
        choice = torch.tensor([*own, 255])
        order = torch.randperm(SIDE * SIDE, generator=gen) % len(choice)
        blocks = choice[order].view(SIDE, SIDE)
        labels[b] = blocks.repeat_interleave(STRIDE,
                                             0).repeat_interleave(STRIDE, 1)
        if own:
            labels[b, ::5, ::7] = own[0]
    valid = torch.ones_like(labels, dtype=torch.bool)
    valid[:, :, -3:] = False

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    return dict(
        labels=labels.masked_fill(~valid, 255),
        valid=valid,
        conf=torch.rand(labels.shape, generator=gen, dtype=torch.float64),
        classes=[randn(batch, number, C + 1) for _ in range(LAYERS)],
        embed=[randn(batch, number, D) for _ in range(LAYERS)],
        pixels=randn(batch, D, SIDE, SIDE))


def step_of(given, part=slice(None), semi=True):
    """The step a mean teacher would have made, with leaves for gradients."""
    leaf = [given['pixels'], *given['classes'], *given['embed']]
    leaf = [t[part].clone().requires_grad_() for t in leaf]
    queries = QueryOut(leaf[1:LAYERS + 1], leaf[LAYERS + 1:], leaf[0])
    step = Step(
        iteration=5,
        total_iters=10,
        generator=torch.Generator(),
        random=Random(0),
        semi=semi,
        views={})
    labels = given['labels'][part]
    step.views['unsup_student'] = View(
        image=torch.zeros(len(labels), 3, SIZE, SIZE),
        samples=[],
        valid=given['valid'][part])
    step.outs['learn', 'unsup_student'] = Out(
        logits=torch.zeros(len(labels), C, SIDE, SIDE),
        features={},
        aux=[],
        align_corners=False,
        queries=queries)
    step.learned['student', 'unsup_student'] = 'learn'
    step.labels['student', 'unsup_student'] = dict(
        cls=labels, conf=given['conf'][part], valid=given['valid'][part])
    return step, leaf


def total(losses):
    return sum(losses.values())
