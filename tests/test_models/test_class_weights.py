# Copyright (c) mmseg_semi authors.
import dataclasses

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from mmseg_semi.models.regularizers.training_plan import TrainingPlan
from .given_families import FAMILIES
from .toys import NUM_CLASSES, batch, mean_teacher, segmentor, step_of

WEIGHTS = [.5, 1., 2., 4.]
PLAN = TrainingPlan(100, 5, 5, 2, 2)
PIXELS = [4000, 1000, 0, 250]  # root of the median, 625, over each
BALANCED = [np.sqrt(625 / p) for p in (4000, 1000, 250, 250)]


def supervised(**options):
    return dict(supervised=dict(type='SupervisedLoss', **options))


def losses_of(model):
    """Supervised losses, and scores at image size with their labels."""
    inputs, samples = batch()
    step = step_of(model, inputs, samples)
    out, view = step.learner('student', 'sup'), step.views['sup']
    losses = model.terms.supervised.loss(step)
    return losses, out.at(view.labels.shape[-2:]), view.labels


def weighted(scores, labels, weights):
    """The weighted mean over labelled pixels in plain loops."""
    total = number = 0.
    for logits, label in zip(
            scores.double().permute(0, 2, 3, 1).reshape(-1, NUM_CLASSES),
            labels.flatten().tolist()):
        if label == 255:
            continue
        total -= weights[label] * logits.log_softmax(0)[label]
        number += weights[label]
    return total / number


class TestGivenWeights:

    def test_of_a_criterion(self):
        model = mean_teacher(
            terms=supervised(
                criterion=[dict(type='cross_entropy')], class_weight=WEIGHTS))
        losses, scores, labels = losses_of(model)
        wanted = weighted(scores, labels, WEIGHTS)
        assert losses['loss_sup'].item() == pytest.approx(wanted.item(), 1e-6)
        losses['loss_sup'].backward()

    def test_of_the_heads_own_losses(self):
        model = mean_teacher(terms=supervised(class_weight=WEIGHTS))
        losses, scores, labels = losses_of(model)
        wanted = weighted(scores, labels, WEIGHTS)
        assert losses['decode.loss_ce'].item() == pytest.approx(
            wanted.item(), 1e-5)

    def test_auxiliary_heads_have_them_too(self):
        auxiliary = segmentor('fcn')['decode_head']
        model = mean_teacher(
            segmentor=segmentor(auxiliary_head=auxiliary),
            terms=supervised(class_weight=WEIGHTS))
        heads = model.student.decode_head, model.student.auxiliary_head
        assert [h.loss_decode.class_weight for h in heads] == [WEIGHTS] * 2

    def test_boundary_heads_have_none(self):
        cfg = FAMILIES['stdc']()
        torch.manual_seed(0)
        model = mean_teacher(
            segmentor=cfg, terms=supervised(class_weight=WEIGHTS))
        given = [
            loss.class_weight for head in model.student.auxiliary_head
            if type(head).__name__ == 'STDCHead' for loss in head.modules()
            if 'class_weight' in vars(loss)
        ]
        assert given and given == [None] * len(given)

    def test_a_step_changes_with_them(self):
        plain = mean_teacher(terms=supervised())
        heavy = mean_teacher(terms=supervised(class_weight=[1, 1, 1, 9.]))
        a, b = (
            losses_of(model)[0]['decode.loss_ce'].item()
            for model in (plain, heavy))
        assert b > a

    @pytest.mark.parametrize(
        'weights',
        [[1., 2.], 'even', [1, 1, 1, -1.], 'abcd', 3, [1, 1, 1, 'x']])
    def test_others_are_refused(self, weights):
        with pytest.raises(ValueError, match="class_weight=.*'balanced' or 4"):
            mean_teacher(terms=supervised(class_weight=weights))


class TestBalanced:

    def plan(self, model, **kwargs):
        model.plan_training(
            dataclasses.replace(
                PLAN, **{
                    'class_pixels': lambda: np.array(PIXELS),
                    **kwargs
                }))

    def test_they_follow_from_the_pixels(self):
        model = mean_teacher(terms=supervised(class_weight='balanced'))
        assert model.student.decode_head.loss_decode.class_weight is None
        self.plan(model)
        found = model.student.decode_head.loss_decode.class_weight
        assert found == pytest.approx(BALANCED, 1e-6)

    def test_a_criterion_has_them_too(self):
        model = mean_teacher(
            terms=supervised(
                criterion=[dict(type='cross_entropy')],
                class_weight='balanced'))
        self.plan(model)
        losses, scores, labels = losses_of(model)
        wanted = weighted(scores, labels, BALANCED)
        assert losses['loss_sup'].item() == pytest.approx(wanted.item(), 1e-6)

    def test_a_checkpoint_is_that_of_a_model_without(self):
        model = mean_teacher(terms=supervised(class_weight='balanced'))
        self.plan(model)
        plain = mean_teacher(terms=supervised())
        assert model.state_dict().keys() == plain.state_dict().keys()

    def test_the_pixels_must_be_known(self):
        model = mean_teacher(terms=supervised(class_weight='balanced'))
        with pytest.raises(ValueError, match='does not count.*SemiSegDataset'):
            self.plan(model, class_pixels=None)

    def test_others_do_not_ask_for_them(self):
        self.plan(
            mean_teacher(terms=supervised()),
            class_pixels=lambda: pytest.fail('asked'))


class TestRefused:

    def test_weights_of_the_config(self):
        cfg = segmentor()
        cfg['decode_head']['loss_decode'] = dict(
            type='CrossEntropyLoss', class_weight=WEIGHTS)
        with pytest.raises(ValueError, match='to SupervisedLoss and to Cross'):
            mean_teacher(segmentor=cfg, terms=supervised(class_weight=WEIGHTS))

    def test_sigmoid(self):
        cfg = segmentor()
        cfg['decode_head'].update(
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
        with pytest.raises(ValueError, match='learns by sigmoid'):
            mean_teacher(
                segmentor=cfg, terms=supervised(class_weight='balanced'))

    def test_ohem(self):
        with pytest.raises(ValueError, match='class_weight.*cross_entropy'):
            mean_teacher(
                terms=supervised(
                    criterion=[dict(type='ohem', thresh=.7, min_kept=9)],
                    class_weight=WEIGHTS))

    def test_queries(self):
        cfg = segmentor(
            decode_head=dict(
                type='MaskQueryHead',
                in_channels=(4, 8, 16, 32),
                num_classes=NUM_CLASSES,
                feat_channels=8,
                out_channels=8,
                num_queries=6,
                pixel_decoder=dict(
                    type='PixelDecoder',
                    norm_cfg=dict(type='GN', num_groups=2)),
                transformer_decoder=dict(
                    num_layers=2, layer_cfg=decoder_layer(8, 2, 16))))
        with pytest.raises(TypeError, match='no loss of pixels'):
            MODELS.build(
                dict(
                    type='MeanTeacher',
                    segmentor=cfg,
                    terms=supervised(class_weight=WEIGHTS)))

    def test_class_balance_beside_them(self):
        model = mean_teacher(
            terms=dict(
                **supervised(
                    criterion=[dict(type='cross_entropy')],
                    class_weight=WEIGHTS),
                balance=dict(type='ClassBalance', windows=(1, 1), begin=0)))
        model.plan_training(PLAN)
        with pytest.raises(ValueError, match='remove one'):
            model.loss(*batch())


class TestIgnoredPixels:

    def losses(self, ignored):
        """Of weights in the config, ours and MMSegmentation's."""
        cfg = segmentor()
        cfg['decode_head']['loss_decode'] = dict(
            type='CrossEntropyLoss', class_weight=WEIGHTS)
        model = mean_teacher(segmentor=cfg, terms=supervised())
        inputs, samples = batch()
        for item in samples['sup']:
            labels = item.gt_sem_seg.data
            labels[labels == 255] = 255 if ignored else 0
        step = step_of(model, inputs, samples)
        out, view = step.learner('student', 'sup'), step.views['sup']
        scores = out.at(view.labels.shape[-2:])
        stock = MODELS.build(
            dict(type='CrossEntropyLoss', class_weight=WEIGHTS))
        return (model.terms.supervised.loss(step)['decode.loss_ce'], scores,
                view.labels, stock)

    def test_without_them_it_is_the_stock_loss(self):
        loss, scores, labels, stock = self.losses(False)
        assert loss.item() == stock(scores, labels, ignore_index=255).item()

    def test_nothing_but_them(self):
        model = mean_teacher(terms=supervised(class_weight=WEIGHTS))
        inputs, samples = batch()
        for item in samples['sup']:
            item.gt_sem_seg.data.fill_(255)
        step = step_of(model, inputs, samples)
        loss = model.terms.supervised.loss(step)['decode.loss_ce']
        loss.backward()
        grads = [
            p.grad for p in model.student.parameters() if p.grad is not None
        ]
        assert loss.item() == 0 and not any(g.any() for g in grads)

    def test_they_have_no_weight(self):
        loss, scores, labels, stock = self.losses(True)
        assert (labels == 255).any()
        assert loss.item() == pytest.approx(
            weighted(scores, labels, WEIGHTS).item(), 1e-5)
        with pytest.raises(IndexError):
            stock(scores, labels, ignore_index=255)


class TestOfTheModel:

    def test_they_replace_those_of_the_config(self):
        for given, wanted in ((None, None), (WEIGHTS, WEIGHTS)):
            cfg = segmentor()
            cfg['decode_head']['loss_decode'] = dict(
                type='CrossEntropyLoss', class_weight=[1.] * 19)
            model = mean_teacher(
                segmentor=cfg, class_weight=given, terms=supervised())
            found = model.student.decode_head.loss_decode.class_weight
            assert found == wanted

    def test_without_them_the_number_is_checked(self):
        cfg = segmentor()
        cfg['decode_head']['loss_decode'] = [
            dict(type='CrossEntropyLoss', class_weight=[1.] * 19)
        ]
        with pytest.raises(ValueError, match='19 classes.*class_weight: None'):
            mean_teacher(segmentor=cfg, terms=supervised())

    def test_another_of_the_term(self):
        with pytest.raises(ValueError, match='for its term .supervised.'):
            mean_teacher(
                class_weight='balanced',
                terms=supervised(class_weight=WEIGHTS))

    def test_no_term_that_could_have_them(self):
        with pytest.raises(ValueError, match='no SupervisedLoss'):
            mean_teacher(class_weight='balanced', terms=dict(supervised=None))
