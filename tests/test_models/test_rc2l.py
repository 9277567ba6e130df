# Copyright (c) mmseg_semi authors.
"""RC²L's losses on hand-made steps, against slow references in fp64."""

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

from mmseg_semi.models.regularizers.rc2l import RC2L
from .given_segments import (CLASSES, LAYERS, SIZE, STRIDE, C, Q, maps,
                             step_of, term, total)


def binary(logits, target, valid, weights):
    """weights of focal and dice, by loops over pixels."""
    focal, both, first, second, count = 0., 0., 0., 0., 0
    for place in valid.nonzero().tolist():
        p, t = logits[tuple(place)].sigmoid(), float(target[tuple(place)])
        p_t = p if t else 1 - p
        focal = focal - (.25 if t else .75) * (1 - p_t)**2 * p_t.log()
        both, first, second = both + p * t, first + p, second + t
        count += 1
    dice = 1 - (2 * both + 1) / (first + second + 1)
    return weights[0] * focal / max(count, 1) + weights[1] * dice


def reference(given, leaf, layer=-1, smc=(1., .05), tau=(.5, .4)):
    """Sums and counts of the four losses, image by image, as printed."""
    pixels, classes, embed = leaf[0], leaf[1:LAYERS + 1], leaf[LAYERS + 1:]
    sums = dict.fromkeys(('rcc', 'smc', 'rmc', 'rfc'), 0.)
    count = paired = 0
    for b, labels in enumerate(given['labels']):
        masks = torch.einsum('qd,dhw->qhw', embed[layer][b], pixels[b])
        small = labels[::STRIDE, ::STRIDE]
        valid = small != 255
        own = [c for c in range(C) if (small == c).any()]
        cost = torch.zeros(len(masks), len(own))
        for q in range(len(masks)):
            for i, c in enumerate(own):
                cost[q, i] = binary(masks[q].detach(), small == c, valid,
                                    (20., 1.))
                cost[q, i] -= classes[layer][b, q].detach().softmax(0)[c]
        sigma = dict(zip(*reversed(linear_sum_assignment(cost))))
        query = {c: int(sigma[i]) for i, c in enumerate(own)}
        region = {c: masks[q].sigmoid() * valid for c, q in query.items()}
        for c in own:
            count += 1
            sums['rcc'] = sums['rcc'] - classes[layer][
                b, query[c]].log_softmax(0)[c]
            members = [
                q for q in range(len(masks))
                if classes[layer][b, q].argmax() == c or q == query[c]
            ]
            union = torch.stack([masks[q] for q in members]).amax(0)
            union = F.interpolate(
                union[None, None], (SIZE, SIZE), mode='bilinear')[0, 0]
            sums['smc'] = sums['smc'] + binary(union, labels == c, labels
                                               != 255, smc)
            if len(own) < 2:
                continue
            paired += 1
            target = (small == c).double()
            overlap = {
                j: 2 * (m * target).sum() / (m.sum() + target.sum())
                for j, m in region.items()
            }
            mean = (target * pixels[b]).mean((1, 2))
            cosine = {
                j: F.cosine_similarity((m * pixels[b]).mean((1, 2)), mean, 0)
                for j, m in region.items()
            }
            for name, d, t in (('rmc', overlap, tau[0]), ('rfc', cosine,
                                                          tau[1])):
                rivals = sum((v / t).exp() for j, v in d.items() if j != c)
                sums[name] = sums[name] - d[c] / t + rivals.log()
    counts = dict(rcc=count, smc=count, rmc=paired, rfc=paired)
    return sums, counts


def same(ours, theirs, leaf, atol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)
    for mine, other in zip(*(
            torch.autograd.grad(x, leaf, allow_unused=True, retain_graph=True)
            for x in (ours, theirs))):
        mine, other = (
            torch.zeros(()) if g is None else g for g in (mine, other))
        assert torch.isfinite(mine).all()
        assert (mine - other).abs().max() < atol


BETAS = dict(rcc=1., smc=20., rmc=4., rfc=4.)


class TestEquations:

    @pytest.mark.parametrize('name', list(BETAS))
    def test_each_loss_is_the_printed_one(self, name):
        given = maps()
        step, leaf = step_of(given)
        losses = term(loss_weight=2.).loss(step)
        assert set(losses) == {f'loss_{n}' for n in BETAS}
        sums, counts = reference(given, leaf)
        assert counts['rcc'] == 11 and counts['rmc'] == 10
        expected = 2. * BETAS[name] * sums[name] / counts[name]
        same(losses[f'loss_{name}'], expected, leaf)

    def test_the_literal_reading_of_smc(self):
        given = maps()
        step, leaf = step_of(given)
        losses = term(smc_weights=(20., 1.)).loss(step)
        sums, counts = reference(given, leaf, smc=(20., 1.))
        same(losses['loss_smc'], 20. * sums['smc'] / counts['smc'], leaf)

    def test_all_layers_are_added(self):
        given = maps()
        step, leaf = step_of(given)
        losses = term(deep_supervision=True).loss(step)
        parts = [reference(given, leaf, layer) for layer in range(LAYERS)]
        for name, beta in BETAS.items():
            expected = beta * sum(sums[name] / counts[name]
                                  for sums, counts in parts)
            same(losses[f'loss_{name}'], expected, leaf)

    @pytest.mark.parametrize('layers', [(-1, ), range(LAYERS)])
    def test_sums_over_the_segments_of_an_image(self, layers):
        given = maps()
        step, leaf = step_of(given)
        losses = term(
            reduction='image', deep_supervision=len(layers) > 1).loss(step)
        parts = [reference(given, leaf, layer)[0] for layer in layers]
        for name, beta in BETAS.items():
            expected = beta * sum(sums[name] for sums in parts)
            same(losses[f'loss_{name}'], expected / len(CLASSES), leaf)

    def test_queries_without_a_segment_say_no_object(self):
        """Weighted, and divided by the weights, as a cross-entropy is."""
        given = maps()
        step, leaf = step_of(given)
        loss = term(empty_weight=.3).loss(step)['loss_rcc']
        sums, counts = reference(given, leaf)
        matched = counts['rcc']
        silent = Q * len(CLASSES) - matched
        # The matched queries are those with a gradient without the weight.
        grad, = torch.autograd.grad(
            sums['rcc'], leaf[LAYERS], retain_graph=True)
        others = grad.abs().sum(-1) == 0
        assert others.sum() == silent > 0
        empty = -leaf[LAYERS].log_softmax(-1)[..., -1][others].sum()
        same(loss, (sums['rcc'] + .3 * empty) / (matched + .3 * silent), leaf)

    def test_several_views_form_one_mean(self):
        given = maps()
        whole, _ = step_of(given)
        step, _ = step_of(given, slice(0, 2))
        other, _ = step_of(given, slice(2, None))
        step.outs['learn', 'unsup_student2'] = other.outs['learn',
                                                          'unsup_student']
        step.learned['student', 'unsup_student2'] = 'learn'
        step.labels['student',
                    'unsup_student2'] = other.labels['student',
                                                     'unsup_student']
        together, apart = term().loss(whole), term().loss(step)
        for name, value in together.items():
            torch.testing.assert_close(apart[name], value)
        one = term(views=('unsup_student', )).loss(step)
        assert one['loss_rcc'] != apart['loss_rcc']


class TestOptions:

    @pytest.mark.parametrize('options', [
        dict(union='noisy_or'),
        dict(union='soft'),
        dict(union='matched'),
        dict(similarity='iou'),
        dict(include_positive=True),
        dict(empty_weight=.1),
        dict(empty_competes=False),
        dict(ignore_invalid=False),
        dict(threshold=.5),
        dict(min_area=60),
        dict(tau=(.1, .1)),
        dict(smc_weights=(1., 1.)),
        dict(match_weights=dict(cls=100., focal=0., dice=0.)),
        dict(reduction='image'),
        dict(deep_supervision=True),
    ])
    def test_every_option_changes_the_loss(self, options):
        given = maps()
        plain = total(term().loss(step_of(given)[0]))
        step, leaf = step_of(given)
        other = total(term(**options).loss(step))
        assert torch.isfinite(other) and abs(other - plain) > 1e-6
        for grad in torch.autograd.grad(other, leaf, allow_unused=True):
            assert grad is None or torch.isfinite(grad).all()

    def test_detached_targets_change_the_gradient_alone(self):
        """Mask embeddings act on the student's side only and keep theirs."""
        values, pixels, embeddings = [], [], []
        for detach in (False, True):
            step, leaf = step_of(maps())
            loss = term(detach_target=detach).loss(step)['loss_rfc']
            values.append(loss)
            grads = torch.autograd.grad(loss, [leaf[0], leaf[-1]])
            pixels.append(grads[0])
            embeddings.append(grads[1])
        assert torch.equal(*values) and not torch.allclose(*pixels)
        assert torch.equal(*embeddings) and embeddings[0].any()

    @pytest.mark.parametrize('betas, names', [
        ((0, 1, 0, 0), {'smc'}),
        ((1, 20, 0, 0), {'rcc', 'smc'}),
        ((0, 0, 0, 4), {'rfc'}),
    ])
    def test_losses_without_weight_are_not_computed(self, betas, names):
        losses = term(betas=betas).loss(step_of(maps())[0])
        assert set(losses) == {f'loss_{name}' for name in names}

    def test_the_mask_baseline_compares_matched_pairs(self):
        # Sec. 3.5: no union, no class term.
        given = maps()
        step, leaf = step_of(given)
        with torch.no_grad():
            for logits in step.learner('student',
                                       'unsup_student').queries.class_logits:
                logits.mul_(1e-9)  # nobody is matched by class
                logits[..., -1] = 1e-6  # nor in a union
        baseline = term(betas=(0, 1, 0, 0), union='matched').loss(step)
        alike = term(betas=(0, 1, 0, 0)).loss(step)
        sums, counts = reference(given, leaf)
        same(baseline['loss_smc'], sums['smc'] / counts['smc'], leaf)
        same(baseline['loss_smc'], alike['loss_smc'], leaf)

    def test_small_segments_are_dropped(self):
        given = maps(classes=((0, 1), ))
        given['labels'][0] = 0
        given['labels'][0, :4, :4] = 1
        step, _ = step_of(given)
        term(min_area=16).loss(step)
        assert step.log['regions/segments'] == 2
        term(min_area=17).loss(step)
        assert step.log['regions/segments'] == 1

    def test_an_unsure_teacher_labels_nothing(self):
        given = maps()
        step, leaf = step_of(given)
        loss = total(term(threshold=.999999).loss(step))
        assert loss == 0
        for grad in torch.autograd.grad(loss, leaf, allow_unused=True):
            assert grad is None or not grad.any()


class TestGradients:

    @pytest.mark.parametrize('name', ['rcc', 'rmc', 'rfc'])
    def test_unmatched_queries_get_none(self, name):
        # Oracle 11.
        step, leaf = step_of(maps())
        loss = term().loss(step)[f'loss_{name}']
        grads = torch.autograd.grad(loss, leaf[1:], allow_unused=True)
        for grad, images in zip(grads, leaf[1:]):
            reached = 0 if grad is None else grad.abs().sum(2).gt(0).sum(1)
            if grad is None:
                continue
            wanted = [len(own) for own in CLASSES]
            if name != 'rcc':
                wanted = [n if n > 1 else 0 for n in wanted]
            assert reached.tolist() == wanted

    def test_other_layers_get_none(self):
        step, leaf = step_of(maps())
        loss = total(term().loss(step))
        grads = torch.autograd.grad(loss, leaf, allow_unused=True)
        assert [g is not None
                for g in grads] == [True, False, True, False, True]

    def test_pixels_without_label_give_none(self):
        given = maps()
        unknown = given['labels'] == 255
        given['labels'][:, -4:] = 255
        step, leaf = step_of(given)
        names = ('loss_rmc', 'loss_rfc')
        losses = term().loss(step)
        assert (given['labels'] == 255).sum() > unknown.sum()
        grad, = torch.autograd.grad(
            sum(losses[n] for n in names),
            step.learner('student', 'unsup_student').queries.mask_logits())
        nowhere = (given['labels'] == 255)[:, ::STRIDE, ::STRIDE]
        assert not (grad * nowhere[:, None]).any() and grad.any()

    def test_labels_carry_none(self):
        given = maps()
        given['conf'].requires_grad_()
        step, _ = step_of(given)
        total(term().loss(step)).backward()
        assert given['conf'].grad is None


class TestArguments:

    @pytest.mark.parametrize('options, message', [
        (dict(betas=(1, 20, 4)), '4 weights'),
        (dict(betas=(0, 0, 0, 0)), 'not all of them 0'),
        (dict(smc_weights=(-1, 1)), 'at least 0'),
        (dict(tau=(0., .5)), 'two positive'),
        (dict(similarity='cosine'), 'unknown: use one of'),
        (dict(union='sum'), 'unknown: use one of'),
        (dict(reduction='mean'), 'unknown: use one of'),
        (dict(match_weights=dict(mask=1.)), 'must weigh some of'),
        (dict(threshold=1.), r'in \[0, 1\)'),
        (dict(threshold='0.8'), "threshold='0.8'"),
        (dict(betas=1.), 'betas=1.0 must be 4 weights'),
        (dict(betas='1234'), "betas='1234' must be 4 weights"),
        (dict(smc_weights=20.), 'smc_weights=20.0 must be 2 weights'),
        (dict(tau=.5), 'tau=0.5 must be two positive'),
        (dict(match_weights=.5), 'match_weights=0.5 must be a dict'),
        (dict(match_weights=dict(cls=-1.)), 'numbers of at least 0'),
        (dict(loss_weight=-1.), 'loss_weight=-1.0 must be'),
        (dict(empty_weight=-1), 'empty_weight=-1 must be'),
        (dict(min_area=-3), 'min_area=-3 must be'),
        (dict(views='unsup_student'), 'must be a list'),
    ])
    def test_they_are_checked(self, options, message):
        with pytest.raises(ValueError, match=message):
            term(**options)

    def test_a_head_without_queries(self):
        net = nn.Module()
        net.decode_head = nn.Conv2d(1, 1, 1)
        with pytest.raises(TypeError, match='Use MaskQueryHead'):
            term().bind(net)

    def test_it_replaces_pixel_consistency(self):
        assert 'pixel_consistency' in RC2L.replaces


def _of_rank(rank, parts, options):
    """Losses and gradients of one process's images."""
    step, leaf = step_of(maps(), parts[rank])
    losses = term(**options).loss(step)
    grads = torch.autograd.grad(total(losses), leaf, allow_unused=True)
    return {n: v.detach() for n, v in losses.items()}, grads


@pytest.mark.dist
@pytest.mark.parametrize('cuts', [(0, 2, 4), (0, 3, 4), (1, 2, 4), (3, 4, 5)])
@pytest.mark.parametrize('options', [{}, dict(reduction='image')])
def test_two_processes_equal_one(gloo_pool, cuts, options):
    """Unequal numbers of segments; image 3 has none."""
    parts = [slice(*cuts[:2]), slice(*cuts[1:])]
    whole, expected = _of_rank(0, [slice(cuts[0], cuts[2])], options)
    results = gloo_pool(_of_rank, parts, options)
    for name, value in whole.items():
        mean = sum(losses[name] for losses, _ in results) / 2
        torch.testing.assert_close(mean, value, rtol=1e-12, atol=1e-12)
    for grad, *shares in zip(expected, *(grads for _, grads in results)):
        assert (grad is None) == all(share is None for share in shares)
        if grad is not None:  # DDP averages
            torch.testing.assert_close(
                torch.cat(shares) / 2, grad, rtol=1e-10, atol=1e-12)
