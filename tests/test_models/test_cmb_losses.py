# Copyright (c) mmseg_semi authors.
"""CMB's losses besides the contrast, on hand-made steps in fp64."""
import math

import numpy as np
import pytest
import torch

from .given_labels import STRONG, C, given_maps, given_step, pseudo, term


def pixels(maps, *views):
    """(label, confidence, probabilities) of every pixel, as numbers."""
    for view in views:
        values = maps[view]
        for b, y, x in np.ndindex(*values['cls'].shape):
            scores = [
                math.exp(s) for s in values['logits'][b, :, y, x].tolist()
            ]
            yield (values['cls'][b, y, x].item(), values['conf'][b, y,
                                                                 x].item(),
                   [s / sum(scores) for s in scores])


def slow_pseudo(maps, views=STRONG, weights=None, sharpen=6, ramp=1.):
    """Eq. 6: r(t) alpha conf^6 ce, mean over all pixels, ignored included."""
    weights = [1.] * C if weights is None else weights.tolist()
    terms = [
        0. if label == 255 else -ramp * weights[label] * conf**sharpen *
        math.log(probs[label]) for label, conf, probs in pixels(maps, *views)
    ]
    return sum(terms) / len(terms)


def slow_entropy(maps, views=STRONG):
    """Eq. 7 over log C, mean over pixels with a label."""
    terms = [
        -sum(p * math.log(p) for p in probs) / math.log(C)
        for label, _, probs in pixels(maps, *views) if label != 255
    ]
    return sum(terms) / len(terms)


def slow_supervised(maps, weights, by_pixels=False):
    """Eq. 3-4, divided by the weights or by the pixels."""
    kept = [(label, probs) for label, _, probs in pixels(maps, 'sup')
            if label != 255]
    total = sum(-weights[label].item() * math.log(probs[label])
                for label, probs in kept)
    return total / (
        len(kept) if by_pixels else sum(weights[label].item()
                                        for label, _ in kept))


WEIGHTS = torch.tensor([.5, 1., 2.5, 1.2, 3.])


class TestPseudoLabelLoss:

    @pytest.mark.parametrize('weights', [None, WEIGHTS])
    def test_equals_the_equation(self, weights):
        maps = given_maps()
        step = given_step(maps, weights=weights)
        loss = pseudo().loss(step)['loss_unsup']
        assert loss.item() == pytest.approx(
            slow_pseudo(maps, weights=weights), rel=1e-7)

    def test_views_form_one_mean(self):
        """Not a mean of means, which differs where views keep more."""
        maps = given_maps()
        options = dict(sharpen=0., normalizer='valid')
        losses = [
            pseudo(views=views,
                   **options).loss(given_step(maps))['loss_unsup'].item()
            for views in (STRONG, None, STRONG[:1], STRONG[1:])
        ]
        counts = [(maps[view]['cls'] != 255).sum().item() for view in STRONG]
        assert losses[0] == losses[1]
        assert counts[0] != counts[1]
        assert losses[0] == pytest.approx(
            (losses[2] * counts[0] + losses[3] * counts[1]) / sum(counts))
        assert losses[2] == pytest.approx(
            slow_pseudo(maps, STRONG[:1], sharpen=0) *
            maps['sup']['cls'].numel() / counts[0])

    @pytest.mark.parametrize('kind, expected', [('exp', math.exp(-5 * .75**2)),
                                                ('hard', 0.)])
    def test_ramp(self, kind, expected):
        maps = given_maps()
        ramp = dict(length=20, kind=kind)
        loss = pseudo(ramp=ramp).loss(given_step(maps))['loss_unsup']
        assert loss.item() == pytest.approx(
            slow_pseudo(maps, ramp=expected), rel=1e-7)
        late = pseudo(ramp=ramp).loss(given_step(maps, 20))['loss_unsup']
        assert late.item() == pytest.approx(slow_pseudo(maps), rel=1e-7)

    def test_gradients(self):
        """None through the weights, zero at ignored pixels."""
        maps = given_maps()
        step = given_step(maps, weights=WEIGHTS)
        conf = step.labels['student', STRONG[0]]['conf'].requires_grad_()
        pseudo().loss(step)['loss_unsup'].backward()
        assert conf.grad is None
        for view in STRONG:
            grad = step.learner('student', view).logits.grad.abs().sum(1)
            taught = (maps[view]['cls'] != 255) & (maps[view]['conf'] > .1)
            assert (grad[taught] > 0).all()
            assert (grad[maps[view]['cls'] == 255] == 0).all()
        assert step.learner('student', 'sup').logits.grad is None

    def test_nothing_labelled(self):
        maps = given_maps()
        for view in STRONG:
            maps[view]['cls'].fill_(255)
        for options in (dict(), dict(normalizer='valid')):
            step = given_step(maps)
            loss = pseudo(**options).loss(step)['loss_unsup']
            loss.backward()
            assert loss == 0
            assert not step.learner('student', STRONG[0]).logits.grad.any()
        assert pseudo().loss(given_step(maps, semi=False)) == {}

    @pytest.mark.parametrize('wrong, error', [
        (dict(filter='most'), ValueError),
        (dict(ramp=dict(length=5, kind='soft')), ValueError),
    ])
    def test_bad_options(self, wrong, error):
        with pytest.raises(error, match='unknown'):
            pseudo(**wrong)

    @pytest.mark.parametrize('wrong', [
        dict(normalizer='pixels'),
        dict(sharpen=-1.),
        dict(ramp=dict(length=0)),
        dict(threshold=1.1),
        dict(threshold=-.1),
        dict(start=0.),
        dict(start=101.),
        dict(loss_weight=-1.),
        dict(views='unsup_student'),
        dict(views=()),
        dict(views=(1, )),
    ])
    def test_values_out_of_range(self, wrong):
        name, = wrong
        with pytest.raises(
                ValueError, match='length' if name == 'ramp' else name):
            pseudo(**wrong)

    @pytest.mark.parametrize('kind',
                             ['PixelConsistency', 'EntropyMinimization'])
    def test_views_that_nobody_learns(self, kind):
        maps = given_maps()
        for views in (['sup'], [STRONG[0], 'unsup_student3']):
            loss = term(kind, views=views).loss
            with pytest.raises(ValueError, match='unsup_student2'):
                loss(given_step(maps))
            assert loss(given_step(maps, semi=False)) == {}
        for view in STRONG:
            del maps[view]
        with pytest.raises(ValueError, match='views=None'):
            term(kind).loss(given_step(maps))


class TestEntropy:

    @pytest.mark.parametrize('normalized', [True, False])
    def test_equals_the_equation(self, normalized):
        maps = given_maps()
        loss = term(
            'EntropyMinimization', normalized=normalized,
            loss_weight=.3).loss(given_step(maps))['loss_entropy']
        expected = .3 * slow_entropy(maps) * (1 if normalized else math.log(C))
        assert loss.item() == pytest.approx(expected, rel=1e-7)

    @pytest.mark.parametrize('wrong', [
        dict(loss_weight=-.1),
        dict(views='unsup_student'),
    ])
    def test_values_out_of_range(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            term('EntropyMinimization', **wrong)

    def test_default_weight_and_views(self):
        maps = given_maps()
        entropy = term('EntropyMinimization', views=STRONG[1:])
        assert entropy.loss(given_step(maps))['loss_entropy'].item() == \
            pytest.approx(.01 * slow_entropy(maps, STRONG[1:]), rel=1e-7)

    def test_gradient_lowers_the_entropy_of_labelled_pixels(self):
        maps = given_maps()
        step = given_step(maps)
        term('EntropyMinimization').loss(step)['loss_entropy'].backward()
        for view in STRONG:
            logits = step.learner('student', view).logits
            kept = maps[view]['cls'] != 255
            assert (logits.grad.abs().sum(1) > 0)[kept].all()
            assert not logits.grad.abs().sum(1)[~kept].any()
            maps[view]['logits'] = logits.detach() - 1e5 * logits.grad
        assert slow_entropy(maps) < .9 * slow_entropy(given_maps())

    def test_nothing_labelled(self):
        maps = given_maps()
        for view in STRONG:
            maps[view]['cls'].fill_(255)
        step = given_step(maps)
        loss = term('EntropyMinimization').loss(step)['loss_entropy']
        loss.backward()
        assert loss == 0
        assert not step.learner('student', STRONG[0]).logits.grad.any()
        assert term('EntropyMinimization').loss(given_step(maps,
                                                           semi=False)) == {}


class TestSupervised:

    @pytest.mark.parametrize('by_pixels', [False, True])
    def test_weighted_classes(self, by_pixels):
        maps = given_maps()
        supervised = term(
            'SupervisedLoss',
            criterion=[dict(type='cross_entropy')],
            by_pixels=by_pixels)
        loss = supervised.loss(given_step(maps, weights=WEIGHTS))['loss_sup']
        assert loss.item() == pytest.approx(
            slow_supervised(maps, WEIGHTS, by_pixels), rel=1e-7)
        ones = supervised.loss(given_step(maps, weights=torch.ones(C)))
        plain = supervised.loss(given_step(maps))
        assert ones['loss_sup'].item() == pytest.approx(
            plain['loss_sup'].item(), rel=1e-12)

    def test_auxiliary_heads_are_weighted_too(self):
        maps = given_maps()
        step = given_step(maps, weights=WEIGHTS)
        step.outs['learn', 'sup'].aux.append(maps['sup']['logits'])
        losses = term(
            'SupervisedLoss',
            criterion=[dict(type='cross_entropy')]).loss(step)
        assert losses['loss_aux'].item() == pytest.approx(
            .4 * losses['loss_sup'].item(), rel=1e-12)

    @pytest.mark.parametrize('criterion', [None, [dict(type='ohem')]])
    def test_criteria_without_class_weights(self, criterion):
        supervised = term('SupervisedLoss', criterion=criterion)
        with pytest.raises(ValueError, match='ClassBalance'):
            supervised.loss(given_step(given_maps(), weights=WEIGHTS))


def _rank_losses(rank, maps):
    """All terms over a few steps, on this rank's share of the images."""
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    balance = term('ClassBalance', windows=(2, 2), begin=2)
    terms = [
        term('SupervisedLoss', criterion=[dict(type='cross_entropy')]),
        pseudo(),
        pseudo(normalizer='valid'),
        term('EntropyMinimization')
    ]
    for it in range(4):
        step = given_step(maps[it], iteration=it, part=part)
        balance.on_labels(step)
        losses = [sum(t.loss(step).values()) for t in terms]
    sum(losses).backward()
    grads = [step.outs['learn', v].logits.grad for v in ('sup', *STRONG)]
    return ([loss.detach()
             for loss in losses], step.class_weights, balance.labeled, grads)


class TestTwoProcesses:

    @pytest.mark.parametrize('ignored', [(), (0, ), (0, 1), (0, 1, 2, 3)])
    def test_equal_one_process(self, gloo_pool, ignored):
        """Also with unequal and zero counts of labelled pixels on a rank."""
        maps = [given_maps(seed=it) for it in range(4)]
        for step in maps:
            for values in step.values():
                for image in ignored:
                    values['cls'][image] = 255
                values['cls'][1, :4] = 255
        losses, weights, labeled, grads = _rank_losses(None, maps)
        ranks = gloo_pool(_rank_losses, maps)
        for rank in ranks:
            torch.testing.assert_close(rank[1], weights)
            assert torch.equal(rank[2], labeled)
        for i, loss in enumerate(losses):
            # DDP averages over the ranks.
            mean = (ranks[0][0][i] + ranks[1][0][i]) / 2
            torch.testing.assert_close(mean, loss)
        for i, grad in enumerate(grads):
            parts = torch.cat([rank[3][i] for rank in ranks]) / 2
            torch.testing.assert_close(parts, grad)
        if len(ignored) == 4:
            assert all(loss == 0 for loss in losses)
