# Copyright (c) mmseg_semi authors.
"""A hand-made step for U2PL, and its loss by loops over pixels."""
from random import Random

import numpy as np
import torch
from torch.nn import functional as F

from mmseg_semi.models.step import Out, Step, View
from .given import bare
from .toys import NUM_CLASSES as C
from .toys import SIZE

D, SIDE = 5, 9
VIEWS = ('sup', 'unsup_student')


def bare_u2pl(fidelity='paper', **kwargs):
    """A U2PL term in fp64; its head is there but features are given."""
    cfg = dict(
        type='U2PL',
        head=dict(in_channels=D, channels=D),
        num_anchors=1000,
        num_negatives=6,
        ranks=(1, 3),
        capacity=(700, 500),
        keys_per_image=SIDE**2)
    cfg.update(kwargs)
    return bare(cfg, fidelity)


def given_maps(images=4, seed=0):
    """Scores of teacher and features of both networks, for both views."""
    gen = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    maps = {}
    for view in VIEWS:
        cls = torch.randint(0, C, (images, SIZE, SIZE), generator=gen)
        cls = F.interpolate(  # blocks of 4: many pixels of a class
            cls[:, None, ::4, ::4].double(), (SIZE, SIZE))[:, 0].long()
        maps[view] = dict(
            cls=cls,
            scores=2 * randn(images, C, SIDE, SIDE),
            teacher=randn(images, D, SIDE, SIDE).float().double(),
            student=randn(images, D, SIDE, SIDE))
    maps['sup']['cls'][:, :6] = 255
    valid = torch.ones(images, SIZE, SIZE, dtype=torch.bool)
    valid[1:, :, -9:] = False
    maps['valid'] = valid
    mixed = maps['unsup_student']
    mixed['cls'] = mixed['cls'].masked_fill(~valid, 255)
    return maps


def given_step(maps, iteration=10, semi=True, part=slice(None), seed=0):
    """The :class:`Step` that a Mean Teacher would have made of the maps."""
    step = Step(
        iteration=iteration,
        total_iters=100,
        generator=torch.Generator().manual_seed(seed),
        random=Random(0),
        semi=semi,
        views={})
    for view in VIEWS if semi else VIEWS[:1]:
        given = {name: value[part] for name, value in maps[view].items()}
        blank = torch.zeros(len(given['cls']), 3, SIZE, SIZE)
        valid = maps['valid'][part]
        for name, who in (('learn', 'student'), ('statistics', 'teacher')):
            step.outs[name, view] = Out(
                logits=given['scores'].clone(),
                features=dict(u2pl=given[who].clone().requires_grad_(
                    who == 'student')),
                aux=[],
                align_corners=True)
        step.learned['student', view] = 'learn'
        if view == 'sup':
            step.views[view] = View(blank, [], torch.ones_like(valid),
                                    given['cls'])
        else:
            step.views[view] = View(blank, [], valid)
            step.labels['student', view] = dict(
                cls=given['cls'], conf=valid.double(), valid=valid)
    return step


def features_of(step, view):
    """The learner's features, which carry the gradient."""
    return step.learner('student', view).features['u2pl']


def pixel_facts(maps, term, iteration=10):
    """One dict per pixel of the features' grid: what Sec. 3.3 says of it."""
    keep = 100 - (100 - term.start) * (1 - iteration / 100)
    facts = []
    for view in VIEWS:
        given = maps[view]
        full = F.interpolate(
            given['scores'], (SIZE, SIZE), mode='bilinear', align_corners=True)
        prob = full.softmax(1)
        entropy = -(prob * prob.log()).sum(1)
        known = maps['valid'] & (given['cls'] != 255)
        high, low = (
            np.percentile(entropy[known].numpy(), q)
            for q in (keep, 100 - keep))
        for b, i, j in np.ndindex(len(full), SIDE, SIDE):
            y, x = i * SIZE // SIDE, j * SIZE // SIDE
            label, value = given['cls'][b, y, x].item(), entropy[b, y, x]
            p = given['scores'][b, :, i, j].softmax(0)
            order = sorted(range(C), key=lambda c: -p[c].item())
            unsure = False
            reliable = label != 255
            if view != 'sup':
                ok = bool(known[b, y, x])
                unsure = ok and bool(value >= high)
                reliable = ok and (not unsure if term.reliable == 'kept' else
                                   bool(value <= low))
            negative = []
            for c in range(C):
                rank = order.index(c)
                if view == 'sup':
                    is_one = (not term.legacy and label not in (255, c)
                              and rank < term.low)
                else:
                    is_one = unsure and term.low <= rank < term.high
                    if term.legacy:
                        is_one = is_one and label == c
                if is_one:
                    negative.append(c)
            facts.append(
                dict(
                    view=view,
                    at=(b, i, j),
                    label=label if reliable else None,
                    anchor=reliable and p[label].item() > term.threshold,
                    negative=negative))
    return facts


def reference_queues(maps, facts):
    """The directions that each class's queue gets, in any order."""
    queues = [[] for _ in range(C)]
    for fact in facts:
        b, i, j = fact['at']
        row = maps[fact['view']]['teacher'][b, :, i, j]
        for c in fact['negative']:
            queues[c].append(row / row.norm())
    return queues


def reference_loss(maps, facts, term, queue, students):
    """Eq. 4 where the queue of class c holds the vector queue[c] or None.

    Args:
        students (dict): Features (B, D, h, w) of the student by view.
    """
    anchors = [[] for _ in range(C)]
    centres = [[] for _ in range(C)]
    present = set()
    for fact in facts:
        c, (b, i, j) = fact['label'], fact['at']
        if c is None:
            continue
        present.add(c)
        if fact['anchor']:
            anchors[c].append(students[fact['view']][b, :, i, j])
        if fact['anchor'] or term.positive == 'reliable':
            centres[c].append(maps[fact['view']]['teacher'][b, :, i, j])
    pairs = [(c, c) for c in range(C)]
    if term.legacy:  # by position among the present classes
        pairs = list(enumerate(sorted(present)))
    total = 0.
    for c, queue_of in pairs:
        if not anchors[c] or queue[queue_of] is None:
            continue
        centre = torch.stack(centres[c]).mean(0)
        losses = []
        for anchor in anchors[c]:
            own, other = ((F.cosine_similarity(anchor, v, dim=0) /
                           term.temperature).exp()
                          for v in (centre, queue[queue_of]))
            losses.append(-(own / (own + term.num_negatives * other)).log())
        total = total + torch.stack(losses).mean()
    divisor = C if term.average == 'all' else len(present)
    return term.loss_weight * total / divisor


def one_vector_queues(term, seed=0, empty=()):
    """Make every row of a class's queue the same: draws do not matter."""
    vectors = F.normalize(
        torch.randn(
            C,
            D,
            generator=torch.Generator().manual_seed(seed),
            dtype=torch.float64),
        dim=1)
    for bank, classes in term.queues._parts():
        bank.allocate()
        bank.features.copy_(vectors[classes][:, None].expand_as(bank.features))
        bank.count.fill_(7)
    for c in empty:
        if c == 0:
            term.queues.first.count.zero_()
        else:
            term.queues.others.count[c - 1] = 0
    return [None if c in empty else vectors[c] for c in range(C)]


def stored(term):
    """Rows of every class's queue as sorted tuples."""
    rows = [term.queues.first.rows(0)[0]]
    rows += [term.queues.others.rows(c)[0] for c in range(C - 1)]
    return [sorted(map(tuple, part.tolist())) for part in rows]
