# Copyright (c) mmseg_semi authors.
"""Original Mean Teacher and CutMix-Seg: squared error of probabilities."""
import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from mmseg_semi.models import FixMatch
from .toys import (NUM_CLASSES, SIZE, batch, mean_teacher, segmentor, step_of,
                   total)

MEAN_TEACHER = dict(labeled=True, over_classes='mean', loss_weight=100.)
CUTMIX_SEG = dict(threshold=.97)


def squared(options=None, **kwargs):
    cfg = dict(type='SquaredConsistency', **(options or {}))
    settings = dict(terms=dict(consistency=cfg), mixing=None)
    return mean_teacher(**{**settings, **kwargs})


def original(**kwargs):
    """Both networks in train mode on the same images, nothing mixed."""
    settings = dict(
        labeler_mode='train',
        labeler_dropout=True,
        joint=False,
        strong_copies=1,
        predict_with='student')
    return squared(MEAN_TEACHER, **{**settings, **kwargs})


def one_view(inputs, samples):
    """The pipeline brings the weak view alone."""
    for part in (inputs, samples):
        part.pop('unsup_student')
    return inputs, samples


def apart(model, seed=5):
    """Make the teacher another network than the student."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.teacher.parameters():
            p.add_(.3 * torch.randn(p.shape, generator=gen))
    return model


def loop(logits, target, valid, over):
    """Sum over pixels of the squared error, and the number of pixels."""
    values = []
    for b, i, j in np.ndindex(*valid.shape):
        if valid[b, i, j]:
            p = logits[b, :, i, j].double().softmax(0)
            values.append(((p - target[b, :, i, j].double())**2).sum())
    values = torch.stack(values)
    return values.sum() / (NUM_CLASSES if over == 'mean' else 1), len(values)


class TestEquations:

    def test_original_mean_teacher(self):
        """100 x the mean over all pixels, labelled too, and classes."""
        model = apart(original())
        step = step_of(model, *one_view(*batch(padding=3)))
        loss = model.terms['consistency'].loss(step)['loss_squared']
        parts = []
        pairs = dict(
            sup=('labeler_sup', 'sup'),
            unsup_student=('labeler', 'unsup_teacher'))
        for view, source in pairs.items():
            logits = step.learner('student', view).at((SIZE, SIZE))
            target = step.outs[source].at((SIZE, SIZE)).softmax(1)
            valid = step.views[view].valid
            parts.append(loop(logits, target, valid, 'mean'))
        sums, numbers = zip(*parts)
        assert numbers == (2 * SIZE**2, 2 * SIZE * (SIZE - 3))
        expected = 100 * sum(sums) / sum(numbers)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_networks_see_the_same_images_in_the_same_mode(self):
        model = original()
        step = step_of(model, *one_view(*batch()))
        weak, strong = (
            step.views[v].image for v in ('unsup_teacher', 'unsup_student'))
        assert torch.equal(weak, strong)
        # Same weights, batch statistics and no dropout: no difference.
        for net in (model.student, model.teacher):
            for module in net.modules():
                if isinstance(module, (torch.nn.Dropout, torch.nn.Dropout2d)):
                    module.p = 0.
        step = step_of(model, *one_view(*batch()))
        loss = model.terms['consistency'].loss(step)['loss_squared']
        assert loss.item() == pytest.approx(0, abs=1e-8)

    def test_cutmix_seg(self):
        """Mixed probabilities; one factor, the share of confident pixels."""
        model = apart(squared(CUTMIX_SEG, mixing=dict(prob=1.)))
        step = step_of(model, *batch(padding=3))
        labels = step.labels['student', 'unsup_student']
        weak = step.outs['labeler', 'unsup_teacher'].at((SIZE, SIZE))
        prob = weak.softmax(1)
        partner = prob.roll(-1, 0)
        mixed = labels['prob']
        from_partner = (mixed == partner).all(1)
        assert ((mixed == prob).all(1) | from_partner).all()
        assert .3 < from_partner.float().mean() < .7
        logits = step.learner('student', 'unsup_student').at((SIZE, SIZE))
        sums, number = loop(logits, mixed, labels['valid'], 'sum')
        sure = (mixed.amax(1) >= .97)[labels['valid']].double().mean()
        assert .1 < sure < .98
        loss = model.terms['consistency'].loss(step)['loss_squared']
        assert loss.item() == pytest.approx(
            (sums / number * sure).item(), rel=1e-5)
        assert step.log['pseudo/confident_ratio'].item() == pytest.approx(
            sure.item())

    def test_probabilities_are_made_for_those_who_ask(self):
        step = step_of(mean_teacher(), *batch())
        assert 'prob' not in step.labels['student', 'unsup_student']

    @pytest.mark.parametrize('kind', ['cutmix', 'classmix', 'cutout'])
    def test_probabilities_move_with_the_image(self, kind):
        model = squared(mixing=dict(kind=kind, prob=1.))
        labels = step_of(model, *batch()).labels['student', 'unsup_student']
        known = labels['valid'] & (labels['cls'] != 255)
        assert torch.equal(labels['prob'].argmax(1)[known],
                           labels['cls'][known])

    def test_warped_with_the_image(self):
        model = squared(
            augment=dict(strong=dict(scale=(.5, 2.), scale_prob=1.)),
            strong_copies=2)
        step = step_of(model, *one_view(*batch()))
        losses = model.terms['consistency'].loss(step)
        assert losses['loss_squared'].isfinite()
        first, second = (
            step.labels['student', view]['prob']
            for view in ('unsup_student', 'unsup_student2'))
        assert not torch.equal(first, second)


class TestGradient:

    @pytest.mark.parametrize('build', [original, lambda: squared(CUTMIX_SEG)])
    def test_student_alone(self, build):
        model = apart(build())
        made = batch()
        if model.strong_copies:
            made = one_view(*made)
        losses = model.loss(*made)
        losses['loss_squared'].backward()
        assert model.student.backbone.conv1.weight.grad.any()
        assert all(p.grad is None for p in model.teacher.parameters())
        student = dict(model.student.named_parameters())
        assert all(p.grad is not None for p in student.values())

    def test_all_padding_is_an_attached_zero(self):
        model = apart(squared(CUTMIX_SEG))
        loss = model.loss(*batch(padding=SIZE))['loss_squared']
        loss.backward()
        assert loss == 0
        assert not model.student.backbone.conv1.weight.grad.any()

    def test_nobody_confident_is_an_attached_zero(self):
        model = squared(CUTMIX_SEG)
        with torch.no_grad():
            model.teacher.decode_head.conv_seg.weight.zero_()
        loss = model.loss(*batch())['loss_squared']
        loss.backward()
        assert loss == 0
        assert not model.student.backbone.conv1.weight.grad.any()

    def test_burn_in(self):
        model = original(burn_in=2)
        assert set(model.loss(*one_view(*batch()))) == {'loss_sup'}

    def test_autocast(self):
        model = apart(squared(CUTMIX_SEG))
        with torch.autocast('cpu', torch.bfloat16):
            losses = model.loss(*batch())
        assert losses['loss_squared'].dtype == torch.float32
        assert losses['loss_squared'].isfinite()


class TestOptions:

    @pytest.mark.parametrize('options, message', [
        (dict(over_classes='max'), "over_classes='max' must be"),
        (dict(threshold=1.5), r'threshold=1.5 must be in \[0, 1\]'),
        (dict(loss_weight=-1.), 'loss_weight=-1.0 must be at least 0'),
        (dict(views='unsup'), "views='unsup' must be a list"),
    ])
    def test_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            squared(options)

    def test_needs_a_teacher(self):
        with pytest.raises(TypeError, match='no teacher.*MeanTeacher'):
            FixMatch(
                segmentor(),
                terms=dict(consistency=dict(type='SquaredConsistency')))

    def test_unknown_view(self):
        model = squared(dict(views=['unsup_student7']))
        with pytest.raises(ValueError, match='unsup_student7'):
            model.loss(*batch())


def _loss(rank, maker, images):
    """Loss and gradient of this rank's share of the images."""
    model = apart(squared(CUTMIX_SEG) if maker == 'cutmix' else original())
    for net in (model.student, model.teacher):
        for module in net.modules():  # each image alone, nothing drawn
            if isinstance(module, torch.nn.BatchNorm2d):
                module.forward = torch.nn.Identity().forward
            if isinstance(module, (torch.nn.Dropout, torch.nn.Dropout2d)):
                module.p = 0.
    inputs, samples = images
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    inputs = {name: value[part] for name, value in inputs.items()}
    samples = {name: value[part] for name, value in samples.items()}
    if maker != 'cutmix':
        inputs, samples = one_view(inputs, samples)
    losses = model.loss(inputs, samples)
    losses['loss_squared'].backward()
    return (losses['loss_squared'].detach(),
            model.student.decode_head.conv_seg.weight.grad)


@pytest.mark.dist
@pytest.mark.parametrize('maker', ['cutmix', 'original'])
def test_world_size(gloo_pool, maker):
    """W=1, B=4 against W=2, B=2 with unequal padding."""
    inputs, samples = batch(labeled=4, unlabeled=4)
    for name in ('unsup_teacher', 'unsup_student'):
        samples[name][3].valid_map.data[0, :, 5:] = 255
    loss, grad = _loss(None, maker, (inputs, samples))
    results = gloo_pool(_loss, maker, (inputs, samples))
    mean = sum(result[0] for result in results) / 2
    torch.testing.assert_close(mean, loss, rtol=1e-5, atol=1e-7)
    mean = sum(result[1] for result in results) / 2
    torch.testing.assert_close(mean, grad, rtol=1e-4, atol=1e-6)


def _ddp(rank):
    model = original()
    ddp = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=.05)
    for it in range(3):
        losses = ddp(*one_view(*batch(seed=10 * it + rank)), mode='loss')
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        model.update_teacher()
    return dict(model.student.named_parameters())


@pytest.mark.dist
def test_two_processes_stay_alike(gloo_pool):
    first, second = gloo_pool(_ddp)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
