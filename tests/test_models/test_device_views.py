# Copyright (c) mmseg_semi authors.
"""Mean Teacher with views made on the device, as CMB uses it."""
import copy
import math

import pytest
import torch
from mmseg.registry import MODELS
from torch.nn import functional as F

from .test_mean_teacher import sharpen, watch
from .toys import (SIZE, batch, mean_teacher, mean_teacher_cfg, segmentor,
                   step_of, total)

FLIPS = dict(scale_prob=0., jitter_prob=0.)
CMB = dict(
    labeler_mode='train',
    joint=False,
    strong_copies=2,
    predict_with='student',
    labeled_mixing=dict(kind='classmix', prob=.2, per_image=True),
    mixing=dict(kind='classmix', prob=.8, per_image=True),
    augment=dict(
        sup=dict(), strong=dict(scale_prob=.8, jitter_prob=.8, blur_prob=.2)),
    terms=dict(
        balance=dict(type='ClassBalance', windows=(2, 2), begin=2),
        consistency=dict(
            type='PixelConsistency',
            filter='none',
            sharpen=6.,
            normalizer='all',
            ramp=dict(length=3)),
        entropy=dict(type='EntropyMinimization')))


def cmb(**kwargs):
    return mean_teacher(**{**copy.deepcopy(CMB), **kwargs})


def weak_batch(**kwargs):
    """Without a strong view from the pipeline."""
    inputs, samples = batch(**kwargs)
    inputs.pop('unsup_student'), samples.pop('unsup_student')
    return inputs, samples


def follow_brightness(view):
    """Where the toy's rule from image to label holds."""
    rule = ((view.image[:, 0] + 1).clamp(0, 1.99) * 2).long()
    return (rule == view.labels) | (view.labels == 255)


class TestPasses:

    def test_order_modes_and_graph(self):
        model = cmb()
        calls = watch(model)
        model.loss(*weak_batch(labeled=2, unlabeled=3))
        # Labelling in train mode feeds the teacher's statistics.
        assert calls == [('teacher', True, False, 3),
                         ('student', True, True, 6),
                         ('student', True, True, 2)]

    def test_burn_in_still_feeds_the_teachers_statistics(self):
        model = cmb(burn_in=1)
        calls = watch(model)
        assert set(model.loss(*weak_batch())) == {'loss_sup'}
        assert calls == [('student', True, True, 2),
                         ('teacher', True, False, 2)]

    def test_gradient_reaches_the_student_only(self):
        model = cmb()
        model.iteration = 5
        total(model.loss(*weak_batch())).backward()
        assert all(p.grad is not None and p.grad.isfinite().all()
                   for p in model.student.parameters())
        assert all(p.grad is None for p in model.teacher.parameters())

    def test_heads_of_the_network_that_made_the_pass(self):
        model = cmb()
        step = step_of(model, *weak_batch())
        assert step.labeler('student',
                            'unsup_student').heads is model.teacher.semi_heads
        assert step.learner('student', 'sup').heads is model.student.semi_heads

    @pytest.mark.parametrize('dropout', [False, True])
    def test_labels_of_train_mode(self, dropout):
        """Batch statistics; dropout only if asked for."""
        model = cmb(labeler_dropout=dropout)
        sharpen(model)
        inputs, samples = weak_batch()
        net = copy.deepcopy(model.teacher).train()
        for module in net.modules():
            if 'Dropout' in type(module).__name__:
                module.eval()
        logits = net.decode_head(net.extract_feat(inputs['unsup_teacher']))
        scores = F.interpolate(
            logits.double(), (SIZE, SIZE), mode='bilinear', align_corners=True)
        conf, cls = scores.softmax(1).max(1)
        labels = step_of(model, inputs, samples).labels['student',
                                                        'unsup_teacher']
        same = torch.allclose(labels['conf'], conf.float(), atol=1e-5)
        assert same != dropout
        if not dropout:
            assert (labels['cls'] == cls).float().mean() > .999


class TestStrongViews:

    def test_copies_of_the_weak_images_with_their_labels(self):
        model = cmb(mixing=None, augment=None, strong_copies=3)
        inputs, samples = weak_batch(padding=3)
        step = step_of(model, inputs, samples)
        weak = step.labels['student', 'unsup_teacher']
        for view in ('unsup_student', 'unsup_student2', 'unsup_student3'):
            assert torch.equal(step.views[view].image, inputs['unsup_teacher'])
            for name in weak:
                assert torch.equal(step.labels['student', view][name],
                                   weak[name])
            assert step.sources['student',
                                view] == ('labeler', 'unsup_teacher')

    def test_each_draws_its_own(self):
        only_scale = dict(FLIPS, scale_prob=1., flip_prob=0.)
        model = cmb(mixing=None, augment=dict(strong=only_scale))
        step = step_of(model, *weak_batch())
        first, second = (
            step.views[name].image
            for name in ('unsup_student', 'unsup_student2'))
        assert not torch.equal(first, second)
        assert torch.equal(step.views['unsup_teacher'].image,
                           step.originals['unsup_teacher'].image)

    def test_image_and_pseudo_label_move_together(self):
        """Each strong pixel carries the label of the pixel it came from."""
        model = cmb(
            mixing=dict(kind='cutmix', prob=1.),
            augment=dict(strong=dict(FLIPS, flip_prob=.5)))
        sharpen(model)
        inputs, samples = weak_batch(unlabeled=4, padding=4)
        where = torch.arange(4 * SIZE * SIZE).view(4, 1, SIZE, SIZE)
        inputs['unsup_teacher'] = where.expand(-1, 3, -1, -1).float() / 5000
        step = step_of(model, inputs, samples)
        weak = step.labels['student', 'unsup_teacher']
        for view in ('unsup_student', 'unsup_student2'):
            source = (step.views[view].image[:, 0] * 5000).round().long()
            assert not torch.equal(source, where[:, 0])
            for name, value in step.labels['student', view].items():
                assert torch.equal(value, weak[name].flatten()[source]), name

    def test_pipeline_and_device_must_not_both_make_them(self):
        with pytest.raises(ValueError, match='strong_copies=2'):
            cmb().loss(*batch())

    @pytest.mark.parametrize('label_padding', [False, True])
    def test_padding(self, label_padding):
        model = cmb(label_padding=label_padding, mixing=None, augment=None)
        step = step_of(model, *weak_batch(padding=4))
        labels = step.labels['student', 'unsup_student']
        labelled = (labels['cls'] != 255)[..., -4:]
        assert (labelled == label_padding).all()
        assert ((labels['conf'] > 0)[..., -4:] == label_padding).all()
        assert (step.views['unsup_student'].valid[...,
                                                  -4:] == label_padding).all()

    def test_mixing_begins_when_told(self):
        model = cmb(mixing=dict(kind='cutmix', prob=1., begin=3), augment=None)
        for it in (2, 3):
            model.iteration = it
            step = step_of(model, *weak_batch())
            same = torch.equal(step.views['unsup_student'].image,
                               step.views['unsup_teacher'].image)
            assert same == (it < 3)


class TestLabelledImages:

    def test_labels_follow_the_images(self):
        model = cmb(
            labeled_mixing=dict(kind='classmix', prob=1.),
            augment=dict(sup=dict(FLIPS, flip_prob=.5)))
        inputs, samples = weak_batch(labeled=4)
        step = step_of(model, inputs, samples)
        view, before = step.views['sup'], step.originals['sup']
        assert not torch.equal(view.image, before.image)
        assert torch.equal(before.image, inputs['sup'])
        assert follow_brightness(view).all()
        assert not torch.equal(view.labels, before.labels)
        for sample, labels in zip(view.samples, view.labels):
            assert torch.equal(sample.gt_sem_seg.data[0], labels)
        for sample, labels in zip(samples['sup'], before.labels):
            assert torch.equal(sample.gt_sem_seg.data[0], labels)

    def test_losses_of_the_wrapped_config_see_them(self):
        cfg = segmentor('fcn')
        cfg['decode_head']['dropout_ratio'] = 0
        model = mean_teacher(
            segmentor=cfg,
            augment=dict(sup=dict(FLIPS, flip_prob=1.)),
            terms=dict(
                supervised=dict(type='SupervisedLoss', criterion=None),
                consistency=None))
        inputs, samples = batch(unlabeled=0)
        flipped = copy.deepcopy(samples['sup'])
        for sample in flipped:
            sample.gt_sem_seg.data = sample.gt_sem_seg.data.flip(-1)
        stock = copy.deepcopy(model.student).loss(inputs['sup'].flip(-1),
                                                  flipped)
        assert total(model.loss(inputs, samples)).item() == pytest.approx(
            total(stock).item(), rel=1e-5)

    def test_source_domain(self):
        model = cmb(
            labeled_mixing=None, augment=dict(sup=dict(FLIPS, flip_prob=0.)))
        inputs, samples = weak_batch(labeled=3)
        assert model.begin(inputs, samples).views['sup'].target is None
        samples['sup'][1].set_metainfo(dict(domain='source'))
        samples['sup'][2].set_metainfo(dict(domain='target'))
        target = model.begin(inputs, samples).views['sup'].target
        assert target.flatten(1).any(1).tolist() == [True, False, True]
        assert target.flatten(1).all(1).tolist() == [True, False, True]

    def test_source_domain_is_mixed_along(self):
        model = cmb(
            labeled_mixing=dict(kind='cutmix', prob=1.),
            augment=dict(sup=dict(FLIPS, flip_prob=.5)))
        inputs, samples = weak_batch(labeled=4)
        for i in (0, 2):
            samples['sup'][i].set_metainfo(dict(domain='source'))
            inputs['sup'][i] = 7.
        inputs['sup'][1::2] = -7.
        view = model.begin(inputs, samples).views['sup']
        assert torch.equal(view.target, view.image[:, 0] == -7)
        assert len(view.target.flatten(1).float().mean(1).unique()) > 1


class TestTeacher:

    @pytest.mark.parametrize('batches', [1, 4])
    def test_cosine_momentum_by_hand(self, batches):
        """Also with several batches per optimizer step."""
        model = cmb(momentum=.995, momentum_schedule='cosine')
        weights = {
            n: p.detach().clone()
            for n, p in model.teacher.named_parameters()
        }
        for it in range(4):
            model.iteration = batches * it + 1
            with torch.no_grad():
                for p in model.student.parameters():
                    p.add_(torch.randn_like(p) * .1)
            model.update_teacher()
            angle = math.pi * batches * it / 100
            decay = min(1 - 1 / (10 * it + 1),
                        1 - .005 * (1 + math.cos(angle)) / 2)
            for name, p in model.student.named_parameters():
                weights[name] = decay * weights[name] + (1 - decay) * p
        for name, p in model.teacher.named_parameters():
            torch.testing.assert_close(p, weights[name])


def test_a_step_depends_on_its_position_alone():
    model = cmb()
    state = copy.deepcopy(model.state_dict())

    def losses(iteration):
        model.load_state_dict(state)
        model.iteration = iteration
        return torch.stack(list(model.loss(*weak_batch()).values()))

    first = losses(7)
    torch.rand(5)
    assert torch.equal(first, losses(7))
    assert not torch.equal(first, losses(8))


def test_mixed_precision_leaves_images_and_losses_exact():
    model = cmb(augment=dict(strong=dict(blur_prob=1., jitter_prob=1.)))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        step = step_of(model, *weak_batch())
        losses = [term.loss(step) for term in model.terms.values()]
    assert step.views['unsup_student'].image.dtype == torch.float32
    assert step.labels['student', 'unsup_student']['conf'].dtype == \
        torch.float32
    assert all(value.dtype == torch.float32 for loss in losses
               for value in loss.values())


def test_all_losses_fall_together():
    """The whole of it trains on the toy."""
    model = cmb(buffers='copy')
    optimizer = torch.optim.SGD(model.student.parameters(), .05, .9)
    history = []
    for it in range(12):
        losses = model.loss(*weak_batch(seed=it % 2))
        assert all(value.isfinite() for value in losses.values())
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        model.update_teacher()
        history.append(losses['loss_sup'].item())
    assert sum(history[-3:]) < sum(history[:3])
    assert {'loss_sup', 'loss_unsup', 'loss_entropy'} <= set(losses)


@pytest.mark.parametrize('wrong, message', [
    (dict(momentum_schedule='linear'), 'momentum_schedule'),
    (dict(labeler_mode='test'), 'labeler_mode'),
    (dict(augment=dict(weak=dict())), 'augment'),
    (dict(augment=dict(sup=dict(flip_prob=2.))), 'probabilities'),
    (dict(strong_copies=-1), 'strong_copies'),
])
def test_bad_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(mean_teacher_cfg(**wrong))
