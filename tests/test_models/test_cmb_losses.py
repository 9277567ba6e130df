# Copyright (c) mmseg_semi authors.
"""CMB's losses besides the contrast, on hand-made steps in fp64."""
import math
import statistics
from random import Random

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, Step, View
from .toys import mean_teacher_cfg

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
        supervised = term('SupervisedLoss', by_pixels=by_pixels)
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
        losses = term('SupervisedLoss').loss(step)
        assert losses['loss_aux'].item() == pytest.approx(
            .4 * losses['loss_sup'].item(), rel=1e-12)

    @pytest.mark.parametrize('criterion', [None, [dict(type='ohem')]])
    def test_criteria_without_class_weights(self, criterion):
        supervised = term('SupervisedLoss', criterion=criterion)
        with pytest.raises(ValueError, match='ClassBalance'):
            supervised.loss(given_step(given_maps(), weights=WEIGHTS))


def counted(labels):
    return [(labels == c).sum().item() for c in range(C)]


def slow_weights(labelled, unlabelled):
    """sqrt(median / f) over all counts; absent classes get the largest."""
    totals = np.sum(labelled + unlabelled, axis=0).tolist()
    median = statistics.median(totals)
    finite = [median / f for f in totals if f]
    return [math.sqrt(median / f if f else max(finite)) for f in totals]


class TestClassBalance:
    WINDOWS, BEGIN = (2, 3), 4

    def balance(self, **kwargs):
        return term('ClassBalance', **{
            'windows': self.WINDOWS,
            'begin': self.BEGIN,
            **kwargs
        })

    def test_windows_and_weights(self):
        balance, labelled, unlabelled = self.balance(), [], []
        for it in range(8):
            maps = given_maps(seed=it)
            step = given_step(maps, iteration=it)
            balance.on_labels(step)
            labelled.append(counted(maps['sup']['cls']))
            unlabelled.append(counted(maps['unsup_teacher']['cls']))
            expected = [1.] * C
            if it >= self.BEGIN:
                expected = slow_weights(labelled[:2], unlabelled[-3:])
            assert step.class_weights.dtype == torch.float32
            assert step.class_weights.tolist() == pytest.approx(
                expected, rel=1e-6)
        # Class C - 1 never occurs.
        assert step.class_weights[-1] == step.class_weights.max()
        assert balance.loss(step) == {}

    def test_ones_until_the_windows_are_full(self):
        balance = self.balance(windows=(2, 5), begin=0)
        for it in range(6):
            step = given_step(given_maps(seed=it), iteration=it)
            balance.on_labels(step)
            ones = (step.class_weights == 1).all()
            assert ones == (it < 4)

    def test_counts_images_before_mixing(self):
        balance, maps = self.balance(), given_maps()
        step = given_step(maps)
        step.views['sup'] = View(
            image=step.views['sup'].image,
            samples=[],
            valid=step.views['sup'].valid,
            labels=torch.zeros_like(maps['sup']['cls']))
        balance.on_labels(step)
        assert balance.labeled.tolist() == counted(maps['sup']['cls'])

    def test_source_images_are_not_counted(self):
        balance, maps = self.balance(), given_maps()
        target = torch.ones(4, H, W, dtype=torch.bool)
        target[2:] = False
        for it, mask in enumerate([target & False, target, None]):
            step = given_step(maps, iteration=it)
            step.originals['sup'].target = mask
            balance.on_labels(step)
        expected = np.add(
            counted(maps['sup']['cls'][:2]), counted(maps['sup']['cls']))
        # A batch of the source alone takes no place in the window.
        assert balance.labeled.tolist() == expected.tolist()
        assert balance.seen.tolist() == [2, 3]

    def test_burn_in_counts_ground_truth_only(self):
        balance = self.balance()
        balance.on_labels(given_step(given_maps(), semi=False))
        assert balance.seen.tolist() == [1, 0]

    def test_a_loaded_state_goes_on(self):
        first = self.balance()
        for it in range(5):
            first.on_labels(given_step(given_maps(seed=it), iteration=it))
        second = self.balance()
        second.load_state_dict(first.state_dict())
        step = given_step(given_maps(seed=9), iteration=5)
        again = given_step(given_maps(seed=9), iteration=5)
        first.on_labels(step), second.on_labels(again)
        assert torch.equal(step.class_weights, again.class_weights)

    def test_a_view_without_labels(self):
        with pytest.raises(ValueError, match='unsup_teacher'):
            self.balance(view='unsup').on_labels(given_step(given_maps()))

    def test_counts_of_another_window_are_refused(self):
        model = MODELS.build(self.in_a_model((2, 3)))
        model.load_state_dict(model.state_dict())
        other = MODELS.build(self.in_a_model((2, 4)))
        with pytest.raises(RuntimeError, match=r'windows=\(2, 3\)'):
            other.load_state_dict(model.state_dict(), strict=False)

    def in_a_model(self, windows):
        balance = dict(type='ClassBalance', windows=windows)
        return mean_teacher_cfg(terms=dict(class_balance=balance))

    @pytest.mark.parametrize('windows', [(0, 5), (3, ), (1, 2, 3), 5,
                                         (2., 3.5), (True, 2), '25'])
    def test_bad_windows(self, windows):
        with pytest.raises(ValueError, match='windows'):
            self.balance(windows=windows)


def _rank_losses(rank, maps):
    """All terms over a few steps, on this rank's share of the images."""
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    balance = term('ClassBalance', windows=(2, 2), begin=2)
    terms = [
        term('SupervisedLoss'),
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
