# Copyright (c) mmseg_semi authors.
"""Nothing in a training step may wait for the device.

Fake tensors have no data: whatever asks for a value (``item``) or for a
shape that depends on one (``nonzero``, boolean indexing) raises.
"""
import pytest
import torch
from torch._subclasses.fake_tensor import (DataDependentOutputException,
                                           DynamicOutputShapeException,
                                           FakeTensorMode)

from mmseg_semi import functional as func
from mmseg_semi.functional import host
from mmseg_semi.models.banks import ClassBank

B, C, SIDE, D, K = 2, 5, 9, 4, 3


def _losses(maps, generator):
    logits, target = maps['logits'], maps['target']
    for normalizer in ('valid', 'all', 'kept_boost', 'weight', 'non_padding'):
        func.cross_entropy(
            logits,
            target,
            weight=maps['confidence'],
            valid=maps['valid'],
            normalizer=normalizer).backward()
    func.ohem_cross_entropy(logits, target, min_kept=10).backward()


def _filters(maps, generator):
    entropy = func.softmax_entropy(maps['logits'])
    func.entropy_filter(entropy, maps['valid'], 80.)
    func.confidence_filter(maps['confidence'], maps['valid'], .8)


def _mixing(maps, generator):
    size = (B, SIDE, SIDE)
    masks = [
        func.half_area_boxes(*size, generator),
        func.single_boxes(*size, generator),
        func.xor_boxes(*size, generator),
        func.class_masks(maps['target'], C, generator, background=0)
    ]
    for mask in masks:
        func.cutout(
            func.mix(dict(target=maps['target']), mask), mask,
            dict(target=255))


def _prototypes(maps, generator):
    image, rows, cols, drawn = func.draw_positions(maps['valid'], 20,
                                                   generator)
    target = maps['target'][image, rows, cols].masked_fill(~drawn, 255)
    features = func.features_at(maps['features'], image, rows, cols,
                                (SIDE, SIDE), True)
    prototypes, present = maps['prototypes'], maps['present']
    similarity = func.prototype_similarity(features, prototypes, present)
    func.prototype_loss(func.prototype_logits(similarity, .1),
                        target).backward()
    sums, counts = func.assigned_sums(features, similarity, target)
    func.moved_prototypes(prototypes, sums, counts, .99)


def _thresholds(maps, generator):
    sums, counts = func.class_confidence_sums(maps['logits'].softmax(1),
                                              maps['target'])
    func.moved_thresholds(torch.ones(C), sums, counts)


def _bank(maps, generator):
    bank = ClassBank(C, 7, D)
    bank.allocate()
    features = maps['features'].movedim(1, -1).reshape(-1, D)
    number = len(features)
    bank.push(features, maps['target'].flatten()[:number],
              maps['confidence'].flatten()[:number])
    bank.fill()


def _class_balance(maps, generator):
    weights = func.balancing_weights(func.class_counts(maps['target'], C))
    func.weights_at(weights, maps['target'])
    func.pixel_entropies(maps['logits']).sum().backward()


def _augmentation(maps, generator):
    func.place(
        dict(target=maps['target'], confidence=maps['confidence']),
        func.draw_placements(B, SIDE, SIDE, generator),
        dict(target=255, confidence=0.))
    images, amount = torch.rand(B, 3, SIDE, SIDE), torch.rand(B)
    for law in func.COLOR_LAWS.values():
        for adjust in law.values():
            images = adjust(images, amount)
    func.gaussian_blur(images, amount, amount)


def _contrast(maps, generator):
    rows = maps['features'].movedim(1, -1).reshape(-1, D)
    labels = maps['target'][:, :3, :3].flatten()
    rows = func.masked_batch_norm(rows, labels != 255, torch.ones(D),
                                  torch.zeros(D))
    weight = torch.randn(C, D, D, requires_grad=True)
    ones = torch.ones(C, D, requires_grad=True)
    scores = func.class_mlp(rows, labels, weight, ones, ones, ones, ones[:, 0])
    directions = func.class_directions(maps['prototypes'], maps['present'],
                                       torch.rand(C, K))
    cosine = func.class_cosine(rows, labels, directions)
    func.contrastive_loss(cosine, labels, maps['present'].all(1),
                          scores.sigmoid()).backward()
    func.quality_filter(maps['logits'].movedim(1, -1), maps['target'], .95)
    func.best_rows(scores, labels, C, 4)


def _query_prototypes(maps, generator):
    scores = maps['logits'].repeat_interleave(2, dim=1)
    for assign in func.ASSIGNMENTS:
        func.class_scores(scores, C, assign).sum().backward()
    func.activation_logits(scores, func.draw_prototypes(C, 2, generator))
    labels = maps['target'].flatten()
    drawn = [
        func.draw_per_prototype(labels, 2 * C, K, generator) for _ in range(2)
    ]
    pixels, counts = (torch.stack(part) for part in zip(*drawn))
    pool = scores.movedim(1, -1).flatten(0, 2)[pixels]
    partner = func.draw_partners(counts, K, generator)
    for negatives in (None, 4):
        func.prototype_contrast(
            pool,
            counts,
            *partner,
            0,
            negatives=negatives,
            generator=generator).backward(retain_graph=True)


def _unreliable_negatives(maps, generator):
    logits, labels = maps['logits'].detach(), maps['target']
    entropy = func.softmax_entropy(logits)
    for rule in func.RELIABLE:
        _, high = func.reliability(entropy, maps['valid'], 80., rule)
    ranks = func.class_ranks(logits.movedim(1, -1).flatten(0, 2))
    negative = func.unreliable_negatives(ranks, high.flatten(), 1, 3)
    negative |= func.labeled_negatives(ranks, labels.flatten(), 3)
    index, _ = func.draw_candidates(negative, 4, generator)
    small = func.nearest(labels, (3, 3))
    centres = func.class_sums(maps['features'], small, C)
    anchors = func.rows_at([maps['features']], index.flatten() % 9)
    losses = func.negative_contrast(
        anchors.view(C, 4, D), centres,
        func.draw_negatives(maps['prototypes'], maps['present'].sum(1), 4, 5,
                            generator))
    ones = torch.ones(C)
    func.anchor_mean(losses, losses > 0, ones, ones > 0, ones.sum()).backward()
    func.squared_errors(maps['logits'], logits.softmax(1)).sum().backward()


def _teacher(maps, generator):
    nets = [torch.nn.BatchNorm2d(3) for _ in range(2)]
    for buffers in ('copy', 'ema', 'own'):
        func.ema_update(*nets, 0.9, buffers)


@pytest.mark.parametrize('step', [
    _losses, _filters, _mixing, _prototypes, _thresholds, _bank, _teacher,
    _class_balance, _augmentation, _contrast, _query_prototypes,
    _unreliable_negatives
])
def test_step_functions_never_synchronise(step, monkeypatch):
    monkeypatch.setattr(host, 'HOST', ())  # as on any other device
    generator = torch.Generator()
    with FakeTensorMode():
        maps = dict(
            logits=torch.randn(B, C, SIDE, SIDE, requires_grad=True),
            target=torch.zeros(B, SIDE, SIDE, dtype=torch.long),
            confidence=torch.rand(B, SIDE, SIDE),
            valid=torch.ones(B, SIDE, SIDE, dtype=torch.bool),
            features=torch.randn(B, D, 3, 3, requires_grad=True),
            prototypes=torch.randn(C, K, D),
            present=torch.ones(C, K, dtype=torch.bool))
        step(maps, generator)


@pytest.mark.parametrize('offence', [
    lambda maps: maps[maps > 0], lambda maps: maps.sum().item(),
    lambda maps: maps[maps.argmax()]
])
def test_offences_are_detected(offence):
    fakes = FakeTensorMode()
    errors = (DataDependentOutputException, DynamicOutputShapeException)
    with fakes, pytest.raises(errors):
        offence(torch.randn(4))
