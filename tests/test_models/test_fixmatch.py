# Copyright (c) mmseg_semi authors.
"""FixMatch and UniMatch against UniMatch's training scripts, written out."""
import copy

import pytest
import torch
from mmseg.registry import MODELS
from torch.nn import functional as F

from .toys import SIZE, batch, segmentor, step_of, total

WEAK, DROPPED = 'unsup_teacher', 'unsup_teacher_dropped'
LEARN = 'sup+weak'


def consistency(*views, loss_weight=.5, threshold=.3):
    return dict(
        type='PixelConsistency',
        filter='confidence',
        threshold=threshold,
        normalizer='non_padding',
        views=views or None,
        loss_weight=loss_weight)


def fixmatch(**kwargs):
    """A built and initialised FixMatch in train mode."""
    torch.manual_seed(0)
    cfg = segmentor()
    cfg['decode_head']['dropout_ratio'] = 0.
    terms = dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=.5)]),
        consistency=consistency())
    terms.update(kwargs.pop('terms', {}))
    model = MODELS.build(
        dict(
            type='FixMatch',
            segmentor=kwargs.pop('segmentor', cfg),
            terms=terms,
            **kwargs))
    model.init_weights()
    model.total_iters = 100
    return model.train()


def unimatch(**kwargs):
    terms = dict(
        consistency=None,
        strong1=consistency('unsup_student', loss_weight=.125),
        strong2=consistency('unsup_student2', loss_weight=.125),
        dropped=consistency(DROPPED, loss_weight=.25))
    return fixmatch(feature_dropout=.5, terms=terms, **kwargs)


def two_strong(**kwargs):
    inputs, samples = batch(**kwargs)
    inputs['unsup_student2'] = inputs['unsup_student'] * .9 + .05
    samples['unsup_student2'] = samples['unsup_student']
    return inputs, samples


def sharpen(model):
    """Spread the scores, so that confidences vary."""
    with torch.no_grad():
        model.student.decode_head.conv_seg.weight.mul_(50)


def watch(model):
    calls = []
    model.student.backbone.register_forward_hook(
        lambda m, args, out: calls.append(
            (m.training, out[0].requires_grad, args[0].clone())))
    return calls


def box_of(mixed, own, other):
    mask = (mixed == other).all(1) & ~(own == other).all(1)
    assert torch.equal(mixed, torch.where(mask[:, None], other, own))
    return mask


BOX = dict(kind='cutmix_single', prob=1., per_image=True)


class TestPasses:

    @pytest.mark.parametrize('halves', [False, True])
    def test_order_and_modes(self, halves):
        model = fixmatch(halves=halves, mixing=BOX)
        calls = watch(model)
        inputs, samples = batch(labeled=3, unlabeled=4)
        model.loss(inputs, samples)
        number = 2 if halves else 4
        assert [(*call[:2], len(call[2]))
                for call in calls] == [(False, False, number),
                                       (True, True, 3 + number),
                                       (True, True, number)]
        weak = inputs[WEAK]
        assert torch.equal(calls[0][2], weak[number:] if halves else weak)
        assert torch.equal(calls[1][2],
                           torch.cat([inputs['sup'], weak[:number]]))

    def test_without_mixing_nothing_is_pasted(self):
        model = fixmatch(mixing=None)
        calls = watch(model)
        inputs, samples = batch()
        model.loss(inputs, samples)
        assert [call[0] for call in calls] == [True, True]
        assert torch.equal(calls[1][2], inputs['unsup_student'])

    def test_burn_in_uses_labelled_images_only(self):
        model = fixmatch(burn_in=1)
        calls = watch(model)
        assert set(model.loss(*batch())) == {'loss_sup'}
        assert [len(call[2]) for call in calls] == [2]
        assert 'loss_unsup' in model.loss(*batch())

    def test_batch_norm_sees_labelled_with_weak_then_mixed(self):
        model = fixmatch(mixing=BOX)
        reference = copy.deepcopy(model.student)
        inputs, samples = batch(unlabeled=3)
        step = step_of(model, inputs, samples)
        for images in (torch.cat([inputs['sup'], inputs[WEAK]]),
                       step.views['unsup_student'].image):
            reference.decode_head(reference.extract_feat(images))
        state = model.student.state_dict()
        for name, value in reference.state_dict().items():
            if 'running' in name or 'tracked' in name:
                assert torch.equal(value, state[name]), name


class TestLabels:

    def test_own_ones_in_train_mode_pasted_ones_in_eval_mode(self):
        model = fixmatch(mixing=BOX)
        sharpen(model)
        inputs, samples = batch(unlabeled=3)
        before = copy.deepcopy(model.student).eval()
        step = step_of(model, inputs, samples)
        strong = inputs['unsup_student']
        mask = box_of(step.views['unsup_student'].image, strong,
                      strong.roll(-1, 0))
        assert mask.any() and not mask.all()
        with torch.no_grad():
            pasted = F.interpolate(
                before.decode_head(before.extract_feat(inputs[WEAK])),
                (SIZE, SIZE),
                mode='bilinear',
                align_corners=True).roll(-1, 0)
        own = step.outs[LEARN, WEAK].at((SIZE, SIZE)).detach()
        conf, cls = torch.where(mask[:, None], pasted, own).softmax(1).max(1)
        labels = step.labels['student', 'unsup_student']
        assert torch.equal(labels['cls'], cls)
        assert torch.allclose(labels['conf'], conf, atol=1e-6)

    def test_they_carry_no_gradient(self):
        model = fixmatch()
        step = step_of(model, *batch())
        losses = [
            v for term in model.terms.values()
            for v in term.loss(step).values()
        ]
        weak = step.outs[LEARN, WEAK].logits
        assert weak.requires_grad
        grad, = torch.autograd.grad(sum(losses), weak, allow_unused=True)
        assert grad is None

    def test_other_kinds_of_mixing_are_refused(self):
        with pytest.raises(ValueError, match='classmix.*cutmix_single'):
            fixmatch(mixing=dict(kind='classmix'))


class TestLoss:

    def loss(self, threshold, padding=5):
        model = fixmatch(
            mixing=BOX,
            terms=dict(
                consistency=consistency(threshold=threshold, loss_weight=1.)))
        sharpen(model)
        step = step_of(model, *batch(unlabeled=3, padding=padding))
        labels = step.labels['student', 'unsup_student']
        logits = step.learner('student', 'unsup_student').at((SIZE, SIZE))
        loss = model.terms['consistency'].loss(step)['loss_unsup']
        return loss.item(), labels, logits.detach().double(), step

    @pytest.mark.parametrize('threshold', [0., .4, .6])
    def test_is_the_mean_over_real_pixels(self, threshold):
        """Sum of CE over confident pixels / number of unpadded pixels."""
        loss, labels, logits, _ = self.loss(threshold)
        log_p = logits.log_softmax(1)
        values, confident = [], 0
        for b, i, j in labels['valid'].nonzero().tolist():
            kept = labels['conf'][b, i, j] >= threshold
            confident += kept
            values.append(-log_p[b, labels['cls'][b, i, j], i,
                                 j] if kept else 0.)
        assert loss == pytest.approx(float(sum(values) / len(values)), 1e-5)
        assert confident == len(values) if threshold == 0 else \
            0 < confident < len(values)

    def test_padding_never_counts(self):
        loss, labels, logits, step = self.loss(0.)
        assert not labels['valid'][..., -5:].any()
        assert labels['valid'].sum() == 3 * SIZE * (SIZE - 5)
        assert step.log['pseudo/keep_ratio'].item() == pytest.approx(
            (SIZE - 5) / SIZE)

    def test_halves_of_both_kinds(self):
        """L = (L_x + L_u) / 2, by the weights of the terms."""
        model = fixmatch()
        step = step_of(model, *batch())
        found = {}
        for term in model.terms.values():
            found.update(term.loss(step))
        labels = step.views['sup'].labels
        full = F.cross_entropy(
            step.learner('student', 'sup').at((SIZE, SIZE)),
            labels,
            ignore_index=255)
        assert found['loss_sup'].item() == pytest.approx(
            .5 * full.item(), rel=1e-5)


class TestUniMatch:

    def test_one_encoder_pass_two_decoder_shares(self):
        model = unimatch(mixing=BOX)
        calls, decoded = watch(model), []
        model.student.decode_head.register_forward_hook(
            lambda m, args, out: decoded.append(len(out)))
        model.loss(*two_strong(labeled=2, unlabeled=3))
        assert [len(call[2]) for call in calls] == [3, 5, 6]
        assert decoded == [3, 10, 6]

    def test_channels_are_dropped_as_a_whole(self):
        model = unimatch(mixing=BOX)
        seen = []
        model.student.decode_head.register_forward_pre_hook(
            lambda m, args: seen.append(args[0]))
        model.loss(*two_strong(labeled=2, unlabeled=3))
        for maps in seen[1]:
            clean, dropped = maps.chunk(2)
            gone = (dropped == 0).flatten(2).all(2)
            share = (gone & ~(clean == 0).flatten(2).all(2)).float().mean()
            kept = ~gone[:, :, None, None]
            assert torch.equal(dropped, clean * 2 * kept)
            assert .2 < share < .8

    def test_views_have_boxes_of_their_own(self):
        model = unimatch(mixing=BOX)
        inputs, samples = two_strong(unlabeled=3)
        step = step_of(model, inputs, samples)
        masks = [
            box_of(step.views[v].image, inputs[v], inputs[v].roll(-1, 0))
            for v in ('unsup_student', 'unsup_student2')
        ]
        assert not torch.equal(*masks)
        own = step.labels['student', DROPPED]['cls']
        for mask, view in zip(masks, ('unsup_student', 'unsup_student2')):
            labels = step.labels['student', view]['cls']
            assert torch.equal(labels[~mask], own[~mask])

    def test_loss_equals_the_script(self):
        """(L_x + L_s1 / 4 + L_s2 / 4 + L_fp / 2) / 2."""
        model = unimatch(mixing=BOX)
        sharpen(model)
        step = step_of(model, *two_strong(unlabeled=3, padding=4))
        losses = {}
        for name, term in model.terms.items():
            losses.update(model._named(name, term.loss(step)))
        weights = dict(strong1=.125, strong2=.125, dropped=.25)
        assert set(losses) == {'loss_sup'
                               } | {f'{name}.loss_unsup'
                                    for name in weights}
        for (name, weight), view in zip(
                weights.items(), ('unsup_student', 'unsup_student2', DROPPED)):
            labels = step.labels['student', view]
            values = F.cross_entropy(
                step.learner('student', view).at((SIZE, SIZE)),
                labels['cls'],
                ignore_index=255,
                reduction='none')
            kept = (labels['conf'] >= .3) & labels['valid']
            expected = weight * (values * kept).sum() / labels['valid'].sum()
            assert losses[f'{name}.loss_unsup'].item() == pytest.approx(
                expected.item(), rel=1e-5)

    def test_gradient_passes_the_dropped_features(self):
        model = unimatch()
        sharpen(model)
        losses = model.loss(*two_strong())
        losses['dropped.loss_unsup'].backward()
        assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
        total(unimatch().loss(*two_strong())).backward()
