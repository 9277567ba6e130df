# Copyright (c) mmseg_semi authors.
"""A hand-made step for CMB, and what enters its memory, by loops."""
from random import Random

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, Step, View
from .toys import NUM_CLASSES

C, D, SIZE, SIDE = NUM_CLASSES, 6, 17, 5
FULL = (SIZE, SIZE)


def make_term(fidelity='paper', num_classes=C, **kwargs):
    """The term in fp64, and the heads of a student and of a teacher."""
    torch.manual_seed(0)
    cfg = dict(
        type='CMB',
        head=dict(in_channels=3, channels=D),
        rows_per_image=2,
        capacity=9,
        memory_start=1,
        contrast_start=2,
        threshold=.6)
    cfg.update(kwargs)
    term = build_term(cfg, 'student', num_classes, fidelity)
    heads = []
    for _ in range(2):
        head = MODELS.build(
            dict(term.heads()['cmb'], num_classes=num_classes)).double()
        for name, parameter in head.named_parameters():
            if parameter.dim() < 3:  # norms and biases away from their start
                nn.init.normal_(parameter, std=.5)
        heads.append(nn.ModuleDict(dict(cmb=head)))
    net = nn.Module()
    net.semi_heads = heads[0]
    term.bind(net)
    heads[1].requires_grad_(False)
    return term.double(), heads[0], heads[1]


def make_step(heads, iteration=2, seed=0, images=3, semi=True, part=None):
    """A step with given features, scores and labels; 255 among the labels."""
    gen = torch.Generator().manual_seed(seed)
    part = slice(None) if part is None else part

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    step = Step(
        iteration=iteration,
        total_iters=10,
        generator=torch.Generator().manual_seed(seed),
        random=Random(0),
        semi=semi,
        views={})
    classes = heads[0]['cmb'].selectors.weight.shape[0] if heads[0][
        'cmb'].selectors is not None else C
    names = ['sup'] + ['unsup_student', 'unsup_student2'] * semi
    for view in names:
        labels = torch.randint(0, classes, (images, *FULL), generator=gen)
        labels[:, :5] = 255
        scores = 4 * randn(images, classes, 9, 9)
        features = [randn(images, D, SIDE, SIDE) for _ in range(2)]
        right = F.one_hot(labels.clamp_max(classes - 1)[:, ::2, ::2], classes)
        scores = scores + 4 * right.permute(0, 3, 1, 2)
        step.views[view] = View(
            image=torch.zeros(images, 3, *FULL)[part],
            samples=[],
            valid=torch.ones(images, *FULL)[part] > 0,
            labels=labels[part] if view == 'sup' else None)
        step.labels['student', view] = dict(cls=labels[part])
        step.learned['student', view] = 'learn'
        for name, net, feature in zip(('learn', 'bank'), heads, features):
            feature = feature[part].clone()
            step.outs[name, view] = Out(
                logits=scores[part],
                features=dict(cmb=feature.requires_grad_(name == 'learn')),
                aux=[],
                align_corners=True,
                heads=net)
    step.labels.pop(('student', 'sup'))
    return step


def trained(heads):
    """Parameters by name; the first layer runs in the pass, not here."""
    return {
        name: parameter
        for name, parameter in heads['cmb'].named_parameters()
        if not name.startswith('reduce.')
    }


def mlp(block, rows):
    """BatchNorm1d, ReLU, Linear, on rows that all count."""
    rows = F.batch_norm(rows, None, None, block.weight, block.bias, True)
    return block.linear(rows.relu())


def selector(module, label, rows):
    hidden = module.norm_bias[label].expand(len(rows), -1)
    if len(rows) > 1:  # a single row has no statistics
        hidden = F.batch_norm(rows @ module.weight[label], None, None,
                              module.norm_weight[label],
                              module.norm_bias[label], True)
    return F.leaky_relu(hidden,
                        .2) @ module.out[label] + module.out_bias[label]


def nearest(pixels, size=SIDE):
    return [int(i * SIZE / size) for i in range(size)]


def candidates(step, head, source='bank', threshold=.6, **option):
    """Accepted vectors and their scores, by class (spec 1.5)."""
    out = step.outs[source, 'sup']
    view = step.views['sup']
    dense = F.interpolate(
        out.logits, FULL, mode='bilinear', align_corners=True).softmax(1)
    side = option.get('side', SIDE)
    rows, labels = [], []
    for image in range(len(dense)):
        for i in range(side):
            for j in range(side):
                y, x = i * SIZE // side, j * SIZE // side
                probability = dense[image, :, y, x]
                label = view.labels[image, y, x].item()
                good = probability.max() > threshold and (probability.argmax()
                                                          == label)
                if view.target is not None and not view.target[image, y, x]:
                    continue
                if label == 255 or (option.get('filter', True) and not good):
                    continue
                rows.append(out.features['cmb'].detach()[image, :,
                                                         i * SIDE // side,
                                                         j * SIDE // side])
                labels.append(label)
    if len(rows) < 2:
        rows = labels = []
    vectors = mlp(head.projector, torch.stack(rows)) if rows else \
        torch.zeros(0, D).double()
    labels = torch.tensor(labels)
    kind = option.get('rank', 'memory_selectors')
    found = {}
    for label in range(C):
        mine = vectors[labels == label]
        scores = torch.zeros(len(mine)).double()
        if kind and len(mine):
            scores = selector(getattr(head, kind), label, mine)
        found[label] = mine, scores
    return found


def entering(found, number, highest=True):
    """Of every class the best, in the order they enter: the best is newest."""
    chosen = {}
    for label, (vectors, scores) in found.items():
        order = scores.argsort(descending=highest, stable=True)
        chosen[label] = vectors[order[:number]].flip(0)
    return chosen


def expected_push(step, head, number=6, highest=True, **option):
    if not option.get('rank', True):
        number = 99
    return entering(candidates(step, head, **option), number, highest)


def assert_same_rows(bank, entering):
    for label, rows in entering.items():
        stored = bank.rows(label)[0]
        assert len(stored) == len(rows)
        ours, theirs = (sorted(map(tuple, x.tolist())) for x in (stored, rows))
        for mine, other in zip(ours, theirs):
            assert mine == pytest.approx(other, rel=1e-8, abs=1e-10)


def only_target(step, images):
    """Make all images but these ones of the source domain."""
    view = step.views['sup']
    mask = torch.zeros(len(view.image), 1, 1, dtype=torch.bool)
    mask[images] = True
    view.target = mask.expand(-1, *FULL)
    view.samples = [
        dict(domain='target' if i in images else 'source')
        for i in range(len(view.image))
    ]
    return step
