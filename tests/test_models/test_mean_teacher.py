# Copyright (c) mmseg_semi authors.
import copy

import pytest
import torch
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_semi.functional import ema_momentum
from mmseg_semi.models.step import Pass, merge_passes
from .toys import (NUM_CLASSES, SIZE, batch, mean_teacher, mean_teacher_cfg,
                   segmentor, step_of, total)


def watch(model):
    """Record (network, train mode, graph, images) of every forward."""
    calls = []
    for name in ('student', 'teacher'):
        model.net(name).backbone.register_forward_hook(
            lambda m, args, out, name=name: calls.append(
                (name, m.training, out[0].requires_grad, len(args[0]))))
    return calls


def sharpen(model):
    """Spread the scores: confidences vary, entropies do not tie in fp32."""
    with torch.no_grad():
        for net in (model.student, model.teacher):
            net.decode_head.conv_seg.weight.mul_(100)


class TestPasses:

    def test_order_modes_and_graph(self):
        model = mean_teacher()
        calls = watch(model)
        model.loss(*batch(labeled=2, unlabeled=3))
        assert calls == [('teacher', False, False, 3),
                         ('student', True, True, 5),
                         ('teacher', True, False, 5)]

    def test_weak_entropy_and_copied_buffers_need_no_statistics_pass(self):
        model = mean_teacher(
            buffers='copy',
            terms=dict(
                consistency=dict(type='PixelConsistency',
                                 entropy_view='weak')))
        calls = watch(model)
        model.loss(*batch())
        assert [c[0] for c in calls] == ['teacher', 'student']

    def test_separate_student_forwards(self):
        model = mean_teacher(joint=False, buffers='copy')
        calls = watch(model)
        model.loss(*batch(labeled=2, unlabeled=3))
        students = [c for c in calls if c[0] == 'student']
        assert students == [('student', True, True, 3),
                            ('student', True, True, 2)]

    def test_burn_in_uses_labelled_images_only(self):
        model = mean_teacher(burn_in=1)
        calls = watch(model)
        losses = model.loss(*batch())
        assert calls == [('student', True, True, 2),
                         ('teacher', True, False, 2)]
        assert 'loss_unsup' not in losses
        assert 'loss_unsup' in model.loss(*batch())

    def test_two_strong_views_share_labels_and_forward(self):
        model = mean_teacher(mixing=None)
        inputs, samples = batch()
        inputs['unsup_student2'] = inputs['unsup_student'] * 2
        samples['unsup_student2'] = samples['unsup_student']
        step = step_of(model, inputs, samples)
        first, second = (
            step.labels['student', v]
            for v in ('unsup_student', 'unsup_student2'))
        assert torch.equal(first['cls'], second['cls'])
        assert step.learned['student', 'unsup_student2'] == \
            step.learned['student', 'sup']

    def test_equal_declarations_merge(self):
        one = Pass('a', 'teacher', ('sup', ), features=frozenset({'x'}))
        two = Pass('b', 'teacher', ('sup', ), features=frozenset({'y'}))
        other = Pass('c', 'teacher', ('sup', ), train=False)
        merged = merge_passes([one, other, two])
        assert [p.name for p in merged] == ['a', 'c']
        assert merged[0].features == {'x', 'y'}

    def test_dropout_can_be_silenced_in_train_mode(self):
        model = mean_teacher()
        views = [model.begin(*batch()).views['sup']]
        item = Pass('p', 'teacher', ('sup', ), dropout=False)
        first, second = (
            model.adapter.forward(model.teacher, views, item)[0].logits
            for _ in range(2))
        assert torch.equal(first, second)
        item = Pass('p', 'teacher', ('sup', ), dropout=True)
        third = model.adapter.forward(model.teacher, views, item)[0].logits
        assert not torch.equal(first, third)

    def test_channel_dropout_changes_the_features(self):
        model = mean_teacher()
        views = [model.begin(*batch()).views['sup']]
        plain = Pass('p', 'teacher', ('sup', ), train=False)
        dropped = Pass(
            'p', 'teacher', ('sup', ), train=False, channel_dropout=.5)
        out = [
            model.adapter.forward(model.teacher, views, item)[0].logits
            for item in (plain, dropped)
        ]
        assert not torch.allclose(*out)


class TestLosses:

    def test_gradient_reaches_the_student_only(self):
        model = mean_teacher()
        total(model.loss(*batch())).backward()
        assert all(p.grad is not None and p.grad.isfinite().all()
                   for p in model.student.parameters())
        assert not any(p.requires_grad for p in model.teacher.parameters())
        assert all(p.grad is None for p in model.teacher.parameters())

    def test_losses_equal_the_equations(self):
        """L_s (Eq. 2) and L_u (Eq. 5-6 with the official factor)."""
        model = mean_teacher()
        sharpen(model)
        step = step_of(model, *batch(padding=3))
        losses = {}
        for term in model.terms.values():
            losses.update(term.loss(step))

        def at_image_size(logits):
            return F.interpolate(
                logits.double(), (SIZE, SIZE),
                mode='bilinear',
                align_corners=True)

        def pixels(logits, target):
            log_p = at_image_size(logits).log_softmax(1)
            return [
                -log_p[b, target[b, i, j], i, j].item()
                for b, i, j in (target != 255).nonzero()
            ]

        labels = step.views['sup'].labels
        values = pixels(step.learner('student', 'sup').logits, labels)
        assert losses['loss_sup'].item() == pytest.approx(
            sum(values) / len(values), rel=1e-5)

        maps = step.labels['student', 'unsup_student']
        probs = at_image_size(step.outs['statistics',
                                        'unsup_student'].logits).softmax(1)
        entropy = -(probs * probs.log()).sum(1)
        known = maps['valid'] & (maps['cls'] != 255)
        threshold = torch.quantile(entropy[known], .8)
        kept = known & (entropy < threshold)
        values = pixels(
            step.learner('student', 'unsup_student').logits,
            maps['cls'].masked_fill(~kept, 255))
        share = len(values) / kept.numel()
        assert losses['loss_unsup'].item() == pytest.approx(
            sum(values) / len(values) / share, rel=1e-5)

    @pytest.mark.parametrize('normalizer', ['valid', 'all'])
    def test_confidence_filter_keeps_confident_pixels(self, normalizer):
        model = mean_teacher(
            terms=dict(
                consistency=dict(
                    type='PixelConsistency',
                    filter='confidence',
                    threshold=.5,
                    normalizer=normalizer)))
        sharpen(model)
        step = step_of(model, *batch())
        loss = model.terms['consistency'].loss(step)['loss_unsup']
        maps = step.labels['student', 'unsup_student']
        target = maps['cls'].masked_fill(maps['conf'] < .5, 255)
        assert 0 < (target != 255).sum() < target.numel()
        values = F.cross_entropy(
            step.learner('student', 'unsup_student').at((SIZE, SIZE)),
            target,
            ignore_index=255,
            reduction='none')
        count = target.numel() if normalizer == 'all' else (target
                                                            != 255).sum()
        assert loss.item() == pytest.approx(
            (values.sum() / count).item(), rel=1e-5)

    def test_padding_is_never_a_pseudo_label(self):
        model = mean_teacher(mixing=None)
        step = step_of(model, *batch(padding=4))
        maps = step.labels['student', 'unsup_student']
        assert (maps['cls'][..., -4:] == 255).all()
        assert (maps['conf'][..., -4:] == 0).all()
        assert (maps['cls'][..., :-4] != 255).all()

    def test_auxiliary_heads_are_weighted(self):
        cfg = segmentor(
            auxiliary_head=dict(
                type='FCNHead',
                in_channels=16,
                in_index=2,
                channels=4,
                num_convs=1,
                num_classes=NUM_CLASSES,
                align_corners=True))
        model = mean_teacher(segmentor=cfg)
        step = step_of(model, *batch())
        losses = model.terms['supervised'].loss(step)
        aux = step.learner('student', 'sup').aux[0]
        expected = F.cross_entropy(
            F.interpolate(
                aux, (SIZE, SIZE), mode='bilinear', align_corners=True),
            step.views['sup'].labels,
            ignore_index=255)
        assert losses['loss_aux'].item() == pytest.approx(
            .4 * expected.item(), rel=1e-5)

    def test_own_head_losses_are_the_stock_ones(self):
        cfg = segmentor(
            'fcn',
            auxiliary_head=dict(
                type='FCNHead',
                in_channels=16,
                in_index=2,
                channels=4,
                num_convs=1,
                dropout_ratio=0,
                num_classes=NUM_CLASSES))
        cfg['decode_head']['dropout_ratio'] = 0
        model = mean_teacher(
            segmentor=cfg,
            terms=dict(
                supervised=dict(type='SupervisedLoss', criterion=None),
                consistency=None))
        inputs, samples = batch(unlabeled=0)
        stock = copy.deepcopy(model.student).loss(inputs['sup'],
                                                  samples['sup'])
        ours = model.loss(inputs, samples)
        assert total(ours).item() == pytest.approx(
            total(stock).item(), rel=1e-5)

    def test_unlabelled_terms_without_unlabelled_images(self):
        model = mean_teacher()
        with pytest.raises(ValueError, match='consistency.*unlabelled'):
            model.loss(*batch(unlabeled=0))
        off = mean_teacher(terms=dict(consistency=None))
        assert set(off.loss(*batch(unlabeled=0))) == {'loss_sup'}


class TestRandomness:

    def losses(self, model, iteration):
        model.iteration = iteration
        return torch.stack(list(model.loss(*batch()).values()))

    def test_a_step_depends_on_its_position_alone(self):
        model = mean_teacher()
        model = copy.deepcopy(model).eval().train()
        state = copy.deepcopy(model.state_dict())
        first = self.losses(model, 7)
        model.load_state_dict(state)
        torch.rand(5)
        assert torch.equal(first, self.losses(model, 7))
        model.load_state_dict(state)
        assert not torch.equal(first, self.losses(model, 8))

    def test_a_step_depends_on_the_seed(self):
        model = mean_teacher()
        state = copy.deepcopy(model.state_dict())
        first = self.losses(model, 7)
        model.load_state_dict(state)
        model.seed = 1
        assert not torch.equal(first, self.losses(model, 7))


class TestTeacher:

    def test_ramp_by_hand(self):
        model = mean_teacher(burn_in=1, momentum=.6)
        weights = {
            n: p.detach().clone()
            for n, p in model.teacher.named_parameters()
        }
        for it in range(6):
            model.loss(*batch(seed=it))
            with torch.no_grad():
                for p in model.student.parameters():
                    p.add_(torch.randn_like(p) * .1)
            model.update_teacher()
            decay = 0 if it == 0 else ema_momentum(it - 1, .6)
            for name, p in model.student.named_parameters():
                weights[name] = decay * weights[name] + (1 - decay) * p
        for name, p in model.teacher.named_parameters():
            torch.testing.assert_close(p, weights[name])
        assert model.ema_steps == 5

    @pytest.mark.parametrize('buffers', ['copy', 'own'])
    def test_statistics_follow_the_policy(self, buffers):
        model = mean_teacher(buffers=buffers)
        with torch.no_grad():
            model.student.backbone.conv1.weight.mul_(2)
        model.loss(*batch())
        model.update_teacher()
        mine = model.teacher.backbone.bn1.running_mean
        theirs = model.student.backbone.bn1.running_mean
        assert torch.equal(mine, theirs) == (buffers == 'copy')

    def test_own_statistics_move_only_in_the_train_mode_pass(self):
        model = mean_teacher(buffers='own')
        step = model.begin(*batch())
        seen = []
        for item in model.schedule(step):
            before = model.teacher.backbone.bn1.running_mean.clone()
            model.run(step, item)
            model.make_labels(step, item)
            now = model.teacher.backbone.bn1.running_mean
            seen.append((item.name, not torch.equal(before, now)))
        assert seen == [('labeler', False), ('sup+unsup_student', False),
                        ('statistics', True)]

    def test_stays_in_eval_mode(self):
        model = mean_teacher()
        model.eval()
        model.train()
        model.loss(*batch())
        assert model.student.training and not model.teacher.training

    def test_starts_as_the_student(self):
        model = mean_teacher()
        for (name, a), b in zip(model.student.state_dict().items(),
                                model.teacher.state_dict().values()):
            assert torch.equal(a, b), name

    def test_loaded_teacher_survives_burn_in(self):
        model = mean_teacher(burn_in=0)
        for it in range(3):
            model.loss(*batch(seed=it))
            model.update_teacher()
        state = copy.deepcopy(model.state_dict())
        new = mean_teacher(burn_in=10)
        new.load_state_dict(state)
        new.iteration = 0
        with torch.no_grad():
            for p in new.student.parameters():
                p.add_(1.)
        new.loss(*batch())
        new.update_teacher()
        name = 'decode_head.conv_seg.weight'
        old = state[f'teacher.{name}']
        expected = .75 * old + .25 * new.student.state_dict()[name]
        torch.testing.assert_close(new.teacher.state_dict()[name], expected)


@pytest.mark.parametrize('wrong, message', [
    (dict(momentum=1.), 'momentum'),
    (dict(buffers='none'), 'buffers'),
    (dict(predict_with='nobody'), 'predict_with'),
    (dict(mixing=dict(kind='cutmax')), 'cutmax'),
    (dict(burn_in=-1), 'burn_in'),
    (dict(fidelity='exact'), 'fidelity'),
])
def test_bad_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(mean_teacher_cfg(**wrong))
