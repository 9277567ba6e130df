# Copyright (c) mmseg_semi authors.
"""PCR's equations, on hand-made steps, against slow references."""
import math

import pytest
import torch
from torch.nn import functional as F

from mmseg_semi.functional import entropy_filter
from mmseg_semi.functional.sampling import jittered_positions
from mmseg_semi.models.regularizers.consistency import PixelConsistency
from .given import (TAU, D, bare_pcr, features_of, given_maps, given_step,
                    sampled, set_prototypes, take)
from .toys import NUM_CLASSES, SIZE


def both_kinds(maps, cells=8):
    """The same pixels in every image, labelled and unlabelled."""
    return [
        sampled(maps, kind,
                torch.Generator().manual_seed(0), cells)
        for kind in ('sup', 'mixed')
    ]


def slow_logits(term, feature):
    """Eq. 2 by loops: (C,), -inf for a class without prototypes."""
    scores = []
    for prototypes, valid in zip(term.head.prototypes,
                                 term.head.prototype_valid):
        cosines = [
            torch.dot(feature, p) / feature.norm() / p.norm()
            for p, v in zip(prototypes, valid) if v
        ]
        scores.append(
            max(cosines) / .1 if cosines else torch.tensor(-math.inf).double())
    return torch.stack(scores)


def slow_losses(term, samples):
    """Cross entropies of the samples that count."""
    losses = []
    for feature, label in samples:
        if label != 255 and term.head.prototype_valid[label].any():
            scores = slow_logits(term, feature)
            losses.append(torch.logsumexp(scores, 0) - scores[label])
    return losses


def slow_update(term, samples, momentum=.99):
    """Eq. 11 with the mean of the iteration, by loops."""
    members = {}
    for feature, label in samples:
        if label == 255 or not term.head.prototype_valid[label].any():
            continue
        similarity = [
            torch.cosine_similarity(feature, p, dim=0) if v else -math.inf
            for p, v in zip(term.head.prototypes[label],
                            term.head.prototype_valid[label])
        ]
        best = max(range(len(similarity)), key=lambda k: similarity[k])
        members.setdefault((label, best), []).append(feature)
    moved = term.head.prototypes.clone()
    for place, rows in members.items():
        mean = torch.stack(rows).mean(0)
        moved[place] = momentum * moved[place] + (1 - momentum) * mean
    return moved


class TestEquations:

    def test_losses_and_update(self):
        term, maps = bare_pcr(), given_maps()
        set_prototypes(term)
        labeled, unlabeled = both_kinds(maps)
        trusted = sum(label != 255 for _, label in unlabeled)
        assert 0 < trusted < len(unlabeled)
        expected = [slow_losses(term, s) for s in (labeled, unlabeled)]
        moved = slow_update(term, labeled + unlabeled)
        step = given_step(maps, 3)
        losses = take(term, step)
        for name, values in zip(('loss_proto', 'loss_proto_unsup'), expected):
            mean = torch.stack(values).mean()
            torch.testing.assert_close(losses[name], mean, rtol=1e-9, atol=0)
        torch.testing.assert_close(
            term.head.prototypes, moved, rtol=0, atol=1e-12)
        assert step.log['proto/trusted_ratio'].item() == pytest.approx(
            trusted / len(unlabeled))

    def test_gradient(self):
        """Of Eq. 6 and 10 to the features; none to the prototypes."""
        term, maps = bare_pcr(), given_maps()
        set_prototypes(term)
        step = given_step(maps, 3)
        sum(take(term, step).values()).backward()
        slow = bare_pcr()
        set_prototypes(slow)
        for kind in ('sup', 'mixed'):
            maps[kind]['features'].requires_grad_()
        sum(
            torch.stack(slow_losses(slow, samples)).mean()
            for samples in both_kinds(maps)).backward()
        for kind, view in (('sup', 'sup'), ('mixed', 'unsup_student')):
            torch.testing.assert_close(
                features_of(step, view).grad,
                maps[kind]['features'].grad,
                rtol=0,
                atol=1e-11)
        assert not term.head.prototypes.requires_grad

    def test_every_pixel(self):
        """Eq. 6 and 10 as printed."""
        term, maps = bare_pcr(cells=None), given_maps(images=1)
        set_prototypes(term)
        full = F.interpolate(
            maps['sup']['features'], (SIZE, SIZE),
            mode='bilinear',
            align_corners=True)
        pixels = full[0].flatten(1).t()
        samples = list(zip(pixels, maps['sup']['cls'][0].flatten().tolist()))
        expected = torch.stack(slow_losses(term, samples)).mean()
        loss = take(term, given_step(maps, 3, semi=False))
        assert set(loss) == {'loss_proto'}
        torch.testing.assert_close(
            loss['loss_proto'], expected, rtol=1e-9, atol=0)

    @pytest.mark.parametrize('normalizer', ['all', 'kept_boost'])
    def test_normalizer(self, normalizer):
        maps, losses = given_maps(), {}
        for name in ('valid', normalizer):
            term = bare_pcr(normalizer=name)
            set_prototypes(term)
            losses[name] = take(term, given_step(maps, 3))
        _, unlabeled = both_kinds(maps)
        kept = len(slow_losses(term, unlabeled)) / len(unlabeled)
        factor = kept if normalizer == 'all' else 1 / kept
        ratio = losses[normalizer]['loss_proto_unsup'] / losses['valid'][
            'loss_proto_unsup']
        assert ratio.item() == pytest.approx(factor)
        assert losses[normalizer]['loss_proto'] == losses['valid'][
            'loss_proto']

    def test_ohem_on_labelled_samples(self):
        term, maps = bare_pcr(ohem=dict(thresh=0., min_kept=20)), given_maps()
        set_prototypes(term)
        labeled, unlabeled = (
            torch.stack(slow_losses(term, s)) for s in both_kinds(maps))
        losses = take(term, given_step(maps, 3))
        hardest = labeled.sort(descending=True).values[:20].mean()
        torch.testing.assert_close(
            losses['loss_proto'], hardest, rtol=1e-9, atol=0)
        torch.testing.assert_close(
            losses['loss_proto_unsup'], unlabeled.mean(), rtol=1e-9, atol=0)


class TestPositions:
    """T13: one pixel per cell, the same in all images."""

    def test_all_images_and_views_share_them(self):
        """Features that say where they are: (row, column, ...)."""
        term, maps = bare_pcr(), given_maps()
        axis = torch.arange(0, SIZE, 4).double()
        for kind in ('sup', 'mixed'):
            features = maps[kind]['features']
            features[:, 0], features[:, 1] = axis[:, None], axis
            pixel = torch.arange(SIZE * SIZE).view(SIZE, SIZE)
            maps[kind]['cls'] = pixel.expand_as(maps[kind]['cls'])
        step = given_step(maps, 3)
        drawn = list(
            term._draw(
                step,
                sup=maps['sup']['cls'],
                unsup_student=maps['mixed']['cls']))
        rows, cols = jittered_positions(SIZE, SIZE, 8,
                                        torch.Generator().manual_seed(0))
        for features, labels in drawn:
            assert torch.equal(labels, (rows * SIZE + cols).repeat(4))
            for c, axis in enumerate((rows, cols)):
                torch.testing.assert_close(
                    features[:, c],
                    axis.double().repeat(4),
                    rtol=0,
                    atol=1e-12)

    def test_too_many_cells(self):
        term = bare_pcr(cells=SIZE + 1)
        set_prototypes(term)
        with pytest.raises(ValueError, match='cells do not fit'):
            take(term, given_step(given_maps(), 3))


class TestUpdate:

    @pytest.mark.parametrize('which', ['correct', 'none'])
    def test_some_labelled_samples_move_nothing(self, which):
        term, maps = bare_pcr(update_labeled=which), given_maps()
        set_prototypes(term)
        labeled, unlabeled = both_kinds(maps)
        if which == 'correct':
            labeled = [(f, label) for f, label in labeled
                       if slow_logits(term, f).argmax() == label]
            assert labeled
        else:
            labeled = []
        moved = slow_update(term, labeled + unlabeled)
        take(term, given_step(maps, 3))
        torch.testing.assert_close(
            term.head.prototypes, moved, rtol=0, atol=1e-12)

    def test_frozen(self):
        term = bare_pcr(momentum=1.)
        set_prototypes(term)
        before = term.head.prototypes.clone()
        take(term, given_step(given_maps(), 3))
        assert torch.equal(term.head.prototypes, before)

    def test_loss_uses_the_old_prototypes(self):
        losses = []
        for momentum in (0., 1.):
            term = bare_pcr(momentum=momentum)
            set_prototypes(term)
            losses.append(take(term, given_step(given_maps(), 3)))
        assert losses[0]['loss_proto'] == losses[1]['loss_proto']


@pytest.mark.parametrize('empty', ['labels', 'confident', 'both'])
def test_empty_sets(empty):
    term, maps = bare_pcr(), given_maps()
    set_prototypes(term)
    if empty in ('labels', 'both'):
        maps['sup']['cls'].fill_(255)
    if empty in ('confident', 'both'):
        maps['conf'].zero_()
    before = term.head.prototypes.clone()
    step = given_step(maps, 3)
    losses = take(term, step)
    sum(losses.values()).backward()
    assert (losses['loss_proto'] == 0) == (empty != 'confident')
    assert (losses['loss_proto_unsup'] == 0) == (empty != 'labels')
    for view in ('sup', 'unsup_student'):
        assert features_of(step, view).grad.isfinite().all()
    assert torch.equal(term.head.prototypes, before) == (empty == 'both')


def test_the_entropy_filter_comes_on_top():
    term, maps = bare_pcr(entropy_start=50.), given_maps()
    assert set(term.label_maps()) == {'entropy'}
    step = given_step(maps, 0)
    labels = step.labels['student', 'unsup_student']
    labels['entropy'] = torch.rand(labels['conf'].shape, dtype=torch.float64)
    known = labels['valid'] & (labels['cls'] != 255)
    expected = known & (labels['conf'] >= TAU) & entropy_filter(
        labels['entropy'], known, 50.)
    assert torch.equal(kept(term, step), expected)
    assert kept(bare_pcr(), step).sum() > expected.sum() > 0


def kept(term, step):
    """(B, H, W) bool: where the targets of the prototype loss are labels."""
    targets = {}
    draw = term._draw
    term._draw = lambda step, **given: targets.update(given) or draw(
        step, **given)
    set_prototypes(term)
    term.loss(step)
    return targets['unsup_student'] != 255


@pytest.mark.parametrize('view', ['weak', 'mixed'])
def test_both_predictors_keep_the_same_pixels(view):
    """For equal options: same views, percentages and thresholds."""
    term = bare_pcr(entropy_start=40., entropy_view=view, epoch_iters=30)
    linear = PixelConsistency(
        filter='both',
        threshold=TAU,
        start=40.,
        entropy_view=view,
        epoch_iters=30,
        net='student',
        num_classes=NUM_CLASSES)
    assert list(term.label_maps()) == list(linear.label_maps())
    masks = []
    for iteration in (0, 29, 31, 61):
        step = given_step(given_maps(), iteration)
        labels = step.labels['student', 'unsup_student']
        labels['entropy'] = torch.rand(
            labels['conf'].shape, generator=torch.Generator().manual_seed(0))
        step.outs['statistics', 'unsup_student'] = step.outs['learn',
                                                             'unsup_student']
        masks.append(kept(term, step))
        assert torch.equal(masks[-1], linear.keep(step, 'unsup_student',
                                                  labels))
    sums = [mask.sum() for mask in masks]
    assert sums[0] == sums[1] < sums[2] < sums[3]  # once per epoch


def test_every_learned_view_is_sampled():
    """Two strong views form one mean; both move the prototypes."""
    term, maps = bare_pcr(), given_maps()
    set_prototypes(term)
    step = given_step(maps, 3)
    other = dict(step.labels['student', 'unsup_student'])
    other['conf'] = other['conf'].flip(0)
    step.labels['student', 'unsup_student2'] = other
    step.outs['learn', 'unsup_student2'] = step.outs['learn', 'unsup_student']
    step.learned['student', 'unsup_student2'] = 'learn'
    labeled, first = both_kinds(maps)
    maps['conf'] = maps['conf'].flip(0)
    _, second = both_kinds(maps)
    expected = slow_losses(term, first + second)
    moved = slow_update(term, labeled + first + second)
    losses = take(term, step)
    torch.testing.assert_close(
        losses['loss_proto_unsup'],
        torch.stack(expected).mean(),
        rtol=1e-9,
        atol=0)
    torch.testing.assert_close(term.head.prototypes, moved, rtol=0, atol=1e-12)


@pytest.mark.parametrize('wrong, message', [
    (dict(window=(3, 3)), 'window'),
    (dict(num_prototypes=0), 'num_prototypes'),
    (dict(update_labeled='some'), 'update_labeled'),
    (dict(momentum=1.5), 'momentum'),
    (dict(kmeans='lloyd'), 'lloyd'),
    (dict(head=dict(in_channels=D, channels=D + 1)), 'channels'),
    (dict(head=dict(tap='decoder')), 'head.in_channels'),
    (dict(head=dict(in_channels=D, temperature=0.)), 'temperature=0'),
    (dict(normalizer='weight'), "normalizer='weight'.*kept_boost"),
    (dict(threshold=1.2), 'threshold=1.2'),
    (dict(threshold=-.1), 'threshold=-0.1'),
    (dict(cells=0), 'cells=0.*None'),
    (dict(capacity=0), 'capacity=0'),
    (dict(ohem=dict(thresh=.7)), 'ohem=.*min_kept'),
    (dict(ohem=dict(thresh=.7, min_keep=9)), 'ohem=.*min_kept'),
    (dict(entropy_start=0), 'entropy_start=0'),
    (dict(entropy_start=101.), 'entropy_start=101'),
    (dict(entropy_start=80., entropy_view='strong'), "'strong'"),
    (dict(epoch_iters=0), 'epoch_iters=0'),
    (dict(begin=-1), 'begin=-1'),
    (dict(loss_weight=-1.), 'loss_weight=-1'),
])
def test_bad_options_fail_before_training(wrong, message):
    with pytest.raises(ValueError, match=message):
        bare_pcr(**wrong)


def _train(rank, maps):
    """Two steps that sample, two with a loss."""
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    term = bare_pcr(capacity=4000)
    for iteration in (1, 2):
        take(term, given_step(maps, iteration, part=part))
    first = None
    for iteration in (3, 4):
        step = given_step(maps, iteration, part=part)
        losses = take(term, step)
        if first is None:
            first = term.head.prototypes.clone()
    sum(losses.values()).backward()
    return (features_of(step, 'sup').grad, features_of(step,
                                                       'unsup_student').grad,
            first, term.head.prototypes)


@pytest.mark.dist
@pytest.mark.parametrize('case', ['unequal', 'zero on one'])
def test_two_processes(gloo_pool, case):
    """W=1, B=4 against W=2, B=2; the ranks draw the same pixels here."""
    maps = given_maps(blocks=True)
    for image, rows in enumerate((0, 5, 20, SIZE)):
        if case == 'zero on one':
            rows = SIZE if image > 1 else 0
        maps['sup']['cls'][image, :rows] = 255
        maps['conf'][image, :rows] = 0
    sup, unsup, first, last = _train(None, maps)
    results = gloo_pool(_train, maps)
    for mine, other, alone in zip(results[0][2:], results[1][2:],
                                  (first, last)):
        assert torch.equal(mine, other)
        torch.testing.assert_close(mine, alone, rtol=0, atol=1e-6)
    assert not torch.equal(first, last)
    for i, expected in ((0, sup), (1, unsup)):
        grad = torch.cat([r[i] for r in results]) / 2
        torch.testing.assert_close(grad, expected, rtol=0, atol=1e-6)
