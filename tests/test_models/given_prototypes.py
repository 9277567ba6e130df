# Copyright (c) mmseg_semi authors.
"""Hand-made outputs of PPS' two networks and what they know."""
from random import Random

import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, QueryOut, Step, View

C, N, D, SIDE, SIZE = 4, 3, 6, 9, 33
P = C * N
NETS = ('student1', 'student2')
OTHER = dict(zip(NETS, NETS[::-1]))
VIEW = 'unsup_student'


def terms(**kwargs):
    """The copies of both networks with one projector, in fp64."""
    cfg = dict(type='PPS', head=dict(in_channels=D, channels=5))
    cfg.update(kwargs)
    pair = [build_term(cfg, net, C, 'paper') for net in NETS]
    heads = nn.ModuleDict()
    torch.manual_seed(0)
    for name, head in pair[0].heads().items():
        heads[name] = MODELS.build(dict(head, num_classes=C)).double()
    for term in pair:
        net = nn.Module()
        net.semi_heads = heads
        term.bind(net)
    return pair


def random_out(gen, images, grad=True, n=N):
    embed, pixels = (
        torch.randn(*shape, generator=gen, dtype=torch.float64)
        for shape in ((images, C * n, D), (images, D, SIDE, SIDE)))
    embed.requires_grad_(grad), pixels.requires_grad_(grad)
    queries = QueryOut([], [embed], pixels)
    scores = queries.mask_logits()
    return Out(
        logits=scores.unflatten(1, (C, n)).logsumexp(2),
        features=dict(pps=pixels),
        aux=[],
        align_corners=False,
        queries=queries)


def make_step(seed=0, images=2, iteration=5, semi=True, n=N, same=False):
    """What CrossPseudo leaves behind: labels made by the other network."""
    gen = torch.Generator().manual_seed(seed)
    valid = torch.ones(images, SIZE, SIZE, dtype=torch.bool)
    valid[0, :, -7:] = False
    labels = torch.randint(0, C, (images, SIZE, SIZE), generator=gen)
    labels[:, 0, :5] = 255
    blank = torch.zeros(images, 3, SIZE, SIZE)
    views = dict(
        sup=View(blank, [], torch.ones_like(valid), labels),
        unsup_student=View(blank, [], valid))
    step = Step(5, 100,
                torch.Generator().manual_seed(seed), Random(0), semi,
                views if semi else dict(sup=views['sup']))
    step.iteration = iteration
    for net in NETS:
        for view in views if semi else ('sup', ):
            if same:
                gen.manual_seed(seed + (view == 'sup'))
            step.outs[net, view] = random_out(gen, images, n=n)
            step.learned[net, view] = net
        if semi:
            made = random_out(gen, images, grad=False, n=n)
            step.labels[OTHER[net], VIEW] = dict(
                cls=made.at((SIZE, SIZE)).argmax(1).masked_fill(~valid, 255),
                proto=made.prototype_map((SIZE, SIZE)),
                conf=valid.double(),
                valid=valid)
    return step


def losses_of(pair, step):
    return [term.loss(step) for term in pair]


def total(losses):
    return sum(sum(part.values()) for part in losses)


def scores(step, net, view):
    queries = step.learner(net, view).queries
    return torch.einsum('bqd,bdhw->bqhw', queries.mask_embed[-1],
                        queries.pixel_embed)


def nearest(labels, valid):
    """The label of every grid point: the first pixel that shows it."""
    images = len(labels)
    grid = torch.full((images, SIDE, SIDE), -1)
    for b in range(images):
        for i in range(SIDE):
            for j in range(SIDE):
                row = next(r for r in range(SIZE) if r * SIDE // SIZE == i)
                col = next(r for r in range(SIZE) if r * SIDE // SIZE == j)
                if valid[b, row, col]:
                    grid[b, i, j] = labels[b, row, col]
    return grid
