# Copyright (c) mmseg_semi authors.
"""A hand-made step for BRPG and PCR: features, labels, scores per image."""
from random import Random

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmseg_semi.functional.sampling import jittered_positions
from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, Step, View
from .toys import NUM_CLASSES, SIZE, brpg_cfg

D, SIDE = 5, 9  # feature channels; stride 4 of SIZE = 33
TAU = .5  # PCR's confidence threshold
PLENTY = dict(threshold=.8, samples_per_image=SIDE**2, capacity=4000)


def build_stock(cfg):
    """Build a segmentor as the stock tools do, in MMSegmentation's scope."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(ConfigDict(cfg))
        model.init_weights()
    return model


def bare_term(fidelity='paper', **kwargs):
    """A BRPG term in fp64 whose features are given: no projector."""
    head = dict(in_channels=D, channels=D, projector=None)
    return bare(brpg_cfg(head=head, **kwargs), fidelity)


def bare_pcr(**kwargs):
    """A PCR term in fp64 whose features are given."""
    cfg = dict(
        type='PCR',
        head=dict(in_channels=D),
        num_prototypes=3,
        window=(1, 3),
        capacity=500,
        threshold=TAU,
        cells=8)
    cfg.update(kwargs)
    return bare(cfg, 'paper')


def bare(cfg, fidelity):
    """A term whose head is in an otherwise empty network, in fp64."""
    term = build_term(cfg, 'student', NUM_CLASSES, fidelity)
    net = nn.Module()
    net.semi_heads = nn.ModuleDict({
        name:
        MODELS.build(dict(head, num_classes=NUM_CLASSES))
        for name, head in term.heads().items()
    })
    term.bind(net)
    net.double(), term.double()
    return term


def given_maps(images=4, seed=0, blocks=False):
    """Everything a step holds, for the same number of images of each kind.

    Scores vary, so that confidences do. Features lie around two modes of the
    class at their pixel; with ``blocks`` that class fills the block around
    it, so that each class's bank has two clusters and no others.
    """
    gen = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    maps = {}
    for kind in ('sup', 'weak', 'mixed'):
        cls = torch.randint(
            0, NUM_CLASSES, (images, SIZE, SIZE), generator=gen)
        small = cls[:, ::4, ::4]
        if blocks:
            near = (torch.arange(SIZE) + 3) // 4
            cls = small[:, near][:, :, near].clone()
        mode = torch.randint(0, 2, small.shape, generator=gen)
        modes = 3 * torch.randn(
            NUM_CLASSES,
            2,
            D,
            generator=torch.Generator().manual_seed(7),
            dtype=torch.float64)
        features = modes[small, mode].permute(
            0, 3, 1, 2) + .1 * randn(images, D, SIDE, SIDE)
        features = features.float().double()  # banks hold fp32 values
        logits = 2 * randn(images, NUM_CLASSES, SIDE, SIDE)
        own = F.one_hot(small, NUM_CLASSES).permute(0, 3, 1, 2)
        if kind == 'weak':  # always right, with a varying confidence
            lead = logits.amax(1) + 4 * randn(*small.shape).abs()
            logits = torch.where(own > 0, lead[:, None], logits)
        else:
            right = torch.rand(small.shape, generator=gen) < .6
            logits = logits + 3 * own * right[:, None]
        maps[kind] = dict(cls=cls, features=features, logits=logits)
    maps['sup']['cls'][:, :3] = 255
    valid = torch.ones(images, SIZE, SIZE, dtype=torch.bool)
    valid[1:, :, -5:] = False
    maps['valid'] = valid
    maps['mixed']['cls'] = maps['mixed']['cls'].masked_fill(~valid, 255)
    maps['conf'] = torch.rand(
        images, SIZE, SIZE, generator=gen, dtype=torch.float64)
    return maps


def given_step(maps, iteration, semi=True, part=slice(None), seed=0):
    """The :class:`Step` that a framework would have made of the maps.

    Args:
        maps (dict): Of :func:`given_maps`.
        iteration (int): Which step.
        semi (bool): With unlabelled images.
        part (slice): The images of this rank.
        seed (int): Of the generator.
    """
    step = Step(
        iteration=iteration,
        total_iters=100,
        generator=torch.Generator().manual_seed(seed),
        random=Random(0),
        semi=semi,
        views={})

    def out(kind, grad):
        features = maps[kind]['features'][part].clone().requires_grad_(grad)
        return Out(
            logits=maps[kind]['logits'][part].clone().requires_grad_(grad),
            features=dict(brpg=features, pcr=features),
            aux=[],
            align_corners=True)

    def view(kind, labels=None):
        images = maps[kind]['cls'][part]
        return View(
            image=images.new_zeros(len(images), 3, SIZE, SIZE).float(),
            samples=[],
            valid=maps['valid'][part].clone(),
            labels=labels)

    step.views['sup'] = view('sup', maps['sup']['cls'][part])
    step.outs['learn', 'sup'] = out('sup', True)
    step.learned['student', 'sup'] = 'learn'
    if semi:
        step.views['unsup_teacher'] = view('weak')
        step.views['unsup_student'] = view('mixed')
        step.outs['learn', 'unsup_student'] = out('mixed', True)
        step.outs['label', 'unsup_teacher'] = out('weak', False)
        step.learned['student', 'unsup_student'] = 'learn'
        step.sources['student', 'unsup_student'] = ('label', 'unsup_teacher')
        step.labels['student', 'unsup_student'] = dict(
            cls=maps['mixed']['cls'][part],
            conf=maps['conf'][part],
            valid=maps['valid'][part])
    return step


def take(term, step):
    """The term's part of a step, in the framework's order."""
    with torch.no_grad():
        term.on_labels(step)
        term.update_before(step)
    losses = term.loss(step)
    with torch.no_grad():
        term.update_after(step)
    return losses


def set_prototypes(term, seed=0):
    """Random prototypes; class 2 has fewer, class 3 has none."""
    gen = torch.Generator().manual_seed(seed)
    prototypes = torch.randn(
        NUM_CLASSES, term.size, D, generator=gen, dtype=torch.float64)
    valid = torch.ones(NUM_CLASSES, term.size, dtype=torch.bool)
    valid[2, 1:] = False
    valid[3] = False
    term.head.set_prototypes(
        prototypes.masked_fill(~valid[..., None], 0.), valid)


def features_of(step, view):
    """The learner's features, which carry the gradient."""
    return step.learner('student', view).features['brpg']


def sorted_rows(rows):
    """Rows in an order that does not depend on theirs."""
    return sorted(map(tuple, rows.tolist()))


def unequal_counts(maps):
    """Ignore labels and distrust pseudo-labels, most in the last image."""
    for image, rows in enumerate((0, 5, 20, 33)):
        maps['sup']['cls'][image, :rows] = 255
        maps['conf'][image, :rows] = 0
    return maps


def stored(term):
    return {
        group: {
            c: sorted_rows(bank.rows(c)[0])
            for c in range(NUM_CLASSES)
        }
        for group, bank in term.banks.banks.items()
    }


def sampled(maps, kind, generator, cells=8):
    """Upsampled features and labels, pixel by pixel (Eq. 6 and 10)."""
    rows, cols = jittered_positions(SIZE, SIZE, cells, generator)
    full = F.interpolate(
        maps[kind]['features'], (SIZE, SIZE),
        mode='bilinear',
        align_corners=True)
    samples = []
    for b in range(len(full)):
        for y, x in zip(rows.tolist(), cols.tolist()):
            label = maps[kind]['cls'][b, y, x].item()
            if kind == 'mixed' and (not maps['valid'][b, y, x]
                                    or maps['conf'][b, y, x] < TAU):
                label = 255
            samples.append((full[b, :, y, x], label))
    return samples
