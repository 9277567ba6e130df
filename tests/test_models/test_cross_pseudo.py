# Copyright (c) mmseg_semi authors.
"""CPS against its two training scripts, written out."""
import copy
import warnings

import pytest
import torch
from torch.nn import functional as F

from mmseg_semi.models.segmentors.paired import next_labels
from .given_students import NETS, OTHER, cps, losses_of, made_of, plain, watch
from .toys import SIZE, batch, mean_teacher, step_of, total


class TestPasses:

    @pytest.mark.parametrize('halves, labels', [(True, 2), (False, 1)])
    def test_with_cutmix(self, halves, labels):
        model = cps(halves=halves)
        calls = watch(model)
        inputs, samples = batch(labeled=3, unlabeled=4)
        model.loss(inputs, samples)
        each = [(name, True, False, 2 if halves else 4) for name in NETS]
        learn = [(name, True, True, 2 if halves else 4) for name in NETS]
        sup = [(name, True, True, 3) for name in NETS]
        found = [(*call[:3], len(call[3])) for call in calls]
        assert found == each * labels + learn + sup
        images = [call[3] for call in calls]
        if halves:
            assert torch.equal(images[0], inputs['unsup_teacher'][:2])
            assert torch.equal(images[2], inputs['unsup_teacher'][2:])
        assert torch.equal(images[-3], images[-4])  # one mixed batch for both
        assert torch.equal(images[-1], inputs['sup'])

    def test_without_cutmix(self):
        model = cps(mixing=None)
        calls = watch(model)
        model.loss(*batch(labeled=3, unlabeled=4))
        assert [(*call[:3], len(call[3]))
                for call in calls] == [('student1', True, True, 3),
                                       ('student2', True, True, 3),
                                       ('student1', True, True, 4),
                                       ('student2', True, True, 4)]

    @pytest.mark.parametrize('mixing, sizes', [
        (dict(kind='cutmix_xor', prob=1.), [4, 4, 5, 5]),
        (None, [7, 7]),
    ])
    def test_concat(self, mixing, sizes):
        model = cps(concat=True, mixing=mixing)
        calls = watch(model)
        model.loss(*batch(labeled=3, unlabeled=4))
        assert [len(call[3]) for call in calls] == sizes

    @pytest.mark.parametrize('options', [
        dict(),
        dict(halves=False),
        dict(same_image_mix=True),
        dict(mixing=None),
        dict(concat=True),
        dict(concat=True, halves=False),
        dict(concat=True, mixing=None),
    ])
    def test_the_sizes_of_forwards_are_known_before(self, options):
        model = cps(**options)
        calls = watch(model)
        inputs, samples = batch(labeled=5, unlabeled=4)
        for name in ('teacher', 'student'):
            if model.same_image_mix:
                inputs[f'partner_{name}'] = inputs[f'unsup_{name}']
                samples[f'partner_{name}'] = samples[f'unsup_{name}']
        model.loss(inputs, samples)
        sizes = model.forward_sizes(labeled=5, unlabeled=4)
        assert set(sizes) == {len(images) for *_, images in calls}

    def test_burn_in_uses_labelled_images_only(self):
        model = cps(burn_in=1)
        calls = watch(model)
        losses = model.loss(*batch(unlabeled=4))
        assert [len(call[3]) for call in calls] == [2, 2]
        assert 'student1.loss_unsup' not in losses
        assert 'student1.loss_unsup' in model.loss(*batch(unlabeled=4))

    def test_labels_are_made_without_dropout(self):
        model = cps(segmentor=plain(dropout=.5), mixing=dict(prob=0.))
        step = step_of(model, *batch(unlabeled=4))
        silent = model.adapter.forward(
            copy.deepcopy(model.student1), [step.views['unsup_teacher']],
            model.passes(step)[0])[0]
        labelled = step.outs['student1.label', 'unsup_teacher']
        assert torch.equal(silent.logits, labelled.logits)
        assert not torch.equal(
            labelled.logits,
            step.learner('student1', 'unsup_student').logits)

    def test_batch_norm_sees_u0_u1_mixed_labelled(self):
        model = cps()
        reference = copy.deepcopy(model.student2)
        inputs, samples = batch(unlabeled=4)
        step = step_of(model, inputs, samples)
        weak = inputs['unsup_teacher']
        for images in (weak[:2], weak[2:], step.views['unsup_student'].image,
                       inputs['sup']):
            reference.decode_head(reference.extract_feat(images))
        state = model.student2.state_dict()
        for name, value in reference.state_dict().items():
            if 'running' in name or 'tracked' in name:
                assert torch.equal(value, state[name]), name


class TestLabels:

    @pytest.mark.parametrize('kind', ['cutmix_xor', 'cutmix_single', 'cutmix'])
    def test_the_other_student_labels_both_halves(self, kind):
        model = cps(mixing=dict(kind=kind, prob=1.))
        inputs, samples = batch(unlabeled=4)
        step = step_of(model, inputs, samples)
        strong = inputs['unsup_student']
        mask, fits = made_of(step.views['unsup_student'].image, strong[:2],
                             strong[2:])
        assert fits and mask.any() and not mask.all()
        for net in NETS:
            first, second = (
                step.outs[f'{OTHER[net]}.label', view].at((SIZE, SIZE))
                for view in ('unsup_teacher', 'partner_teacher'))
            logits = torch.where(mask[:, None], second, first)
            conf, cls = logits.softmax(1).max(1)
            labels = step.labels[net, 'unsup_student']
            assert torch.equal(labels['cls'], cls)
            assert torch.allclose(labels['conf'], conf)
            assert not labels['conf'].requires_grad
            assert step.labeler(
                net, 'unsup_student') is step.outs[f'{OTHER[net]}.label',
                                                   'unsup_teacher']
            assert step.embedder(net,
                                 'unsup_student') is step.outs[f'{net}.label',
                                                               'unsup_teacher']

    def test_the_next_image_as_partner(self):
        model = cps(halves=False)
        inputs, samples = batch(unlabeled=3)
        step = step_of(model, inputs, samples)
        strong = inputs['unsup_student']
        mask, fits = made_of(step.views['unsup_student'].image, strong,
                             strong.roll(-1, 0))
        assert fits and mask.any()
        plain = step.labels['student1', 'unsup_teacher']['cls']
        assert torch.equal(step.labels['student1', 'unsup_student']['cls'],
                           torch.where(mask, plain.roll(-1, 0), plain))

    def test_the_same_images_as_partner(self):
        inputs, samples = batch(unlabeled=2)
        for name in ('teacher', 'student'):
            inputs[f'partner_{name}'] = inputs[f'unsup_{name}'].flip(-1)
            samples[f'partner_{name}'] = samples[f'unsup_{name}']
        model = cps(same_image_mix=True)
        step = step_of(model, inputs, samples)
        _, fits = made_of(step.views['unsup_student'].image,
                          inputs['unsup_student'],
                          inputs['unsup_student'].flip(-1))
        assert fits
        with pytest.raises(ValueError, match='partner_student'):
            model.loss(*batch(unlabeled=2))

    def test_a_weak_view_alone_is_mixed_as_it_is(self):
        inputs, samples = batch(unlabeled=4)
        for maps in (inputs, samples):
            del maps['unsup_student']
        step = step_of(cps(), inputs, samples)
        weak = inputs['unsup_teacher']
        assert made_of(step.views['unsup_student'].image, weak[:2],
                       weak[2:])[1]

    def test_padding_is_labelled_on_demand_only(self):
        for label_padding in (False, True):
            model = cps(label_padding=label_padding)
            step = step_of(model, *batch(unlabeled=4, padding=4))
            labels = step.labels['student1', 'unsup_student']
            ignored = labels['cls'] == 255
            assert ignored[..., -4:].all() == (not label_padding)
            assert not ignored[..., :-4].any()

    def test_odd_batches_are_refused(self):
        with pytest.raises(ValueError, match='even number'):
            cps().loss(*batch(unlabeled=3))

    @pytest.mark.parametrize('kind', ['classmix', 'cutout'])
    def test_other_mixing_is_refused(self, kind):
        with pytest.raises(ValueError, match=f'{kind}.*cutmix_xor'):
            cps(mixing=dict(kind=kind))


class TestLosses:

    def test_with_cutmix_they_equal_the_script(self):
        """CE_1 + CE_2 + lambda (CE(net1(x_m), y_2) + CE(net2(x_m), y_1))."""
        model = cps()
        step = step_of(model, *batch(unlabeled=4))
        losses = losses_of(model, step)

        def ce(net, view, target):
            logits = F.interpolate(
                step.learner(net, view).logits.double(), (SIZE, SIZE),
                mode='bilinear',
                align_corners=True)
            return F.cross_entropy(logits, target, ignore_index=255).item()

        for net in NETS:
            assert losses[f'{net}.loss_sup'].item() == pytest.approx(
                ce(net, 'sup', step.views['sup'].labels), rel=1e-5)
            target = step.labels[net, 'unsup_student']['cls']
            assert losses[f'{net}.loss_unsup'].item() == pytest.approx(
                1.5 * ce(net, 'unsup_student', target), rel=1e-5)

    def test_without_cutmix_labelled_images_count_too(self):
        model = cps(mixing=None)
        step = step_of(model, *batch(labeled=2, unlabeled=3))
        losses = losses_of(model, step)
        for net in NETS:
            mine, theirs = (
                torch.cat([
                    step.learner(n, view).at((SIZE, SIZE)).double()
                    for view in ('sup', 'unsup_student')
                ]) for n in (net, OTHER[net]))
            expected = 1.5 * F.cross_entropy(mine, theirs.argmax(1))
            assert losses[f'{net}.loss_unsup'].item() == pytest.approx(
                expected.item(), rel=1e-5)

    def test_labelled_images_may_be_left_out(self):
        model = cps(
            mixing=None,
            terms=dict(
                consistency=dict(
                    type='PixelConsistency',
                    filter='none',
                    normalizer='valid',
                    views=('unsup_student', ))))
        step = step_of(model, *batch())
        logits, labels = (
            step.learner(net, 'unsup_student').at((SIZE, SIZE))
            for net in NETS)
        loss = losses_of(model, step)['student1.loss_unsup']
        assert loss.item() == pytest.approx(
            F.cross_entropy(logits, labels.argmax(1)).item(), rel=1e-5)

    def test_identical_students_have_identical_losses(self):
        model = cps(mixing=None)
        model.student2.load_state_dict(model.student1.state_dict())
        with pytest.warns(UserWarning, match='same weights'):
            losses = model.loss(*batch())
        for kind in ('loss_sup', 'loss_unsup'):
            assert torch.equal(losses[f'student1.{kind}'],
                               losses[f'student2.{kind}'])

    @pytest.mark.parametrize('mixing', [dict(kind='cutmix_xor'), None])
    def test_labels_carry_no_gradient(self, mixing):
        model = cps(mixing=mixing)
        model.loss(*batch(unlabeled=4))['student1.loss_unsup'].backward()
        assert all(p.grad.isfinite().all()
                   for p in model.student1.parameters())
        assert all(p.grad is None for p in model.student2.parameters())


def _partners(rank):
    """A process's only image, and what would be pasted into it."""
    model = cps(halves=False)
    step = model.begin(*batch(unlabeled=1, seed=rank, padding=3 * rank))
    own, partner = (
        dict(image=view.image, valid=view.valid)
        for view in (step.views['unsup_teacher'],
                     step.views['partner_teacher']))
    return own, partner, next_labels(dict(cls=own['valid'].long()))


class TestStart:

    def test_one_student_starts_as_a_single_network(self):
        model, single = cps(), mean_teacher(segmentor=plain())
        assert all(
            torch.equal(a, b) for a, b in zip(model.student1.parameters(),
                                              single.student.parameters()))
        assert not any(
            torch.equal(a, b)
            for a, b in zip(model.student1.parameters(),
                            model.student2.parameters()) if a.dim() > 1)

    def test_seeds_of_their_own(self):
        one, two = cps(init_seeds=(3, 4)), cps(init_seeds=(4, 3))
        for a, b in zip(one.student1.parameters(), two.student2.parameters()):
            assert torch.equal(a, b)
        for a, b in zip(one.student1.parameters(), one.student2.parameters()):
            assert a.dim() == 1 or not torch.equal(a, b)

    def test_one_image_that_would_be_its_own_partner_is_warned_of(self):
        model = cps(halves=False)
        with pytest.warns(UserWarning, match='its own partner'):
            model.begin(*batch(unlabeled=1))

    @pytest.mark.dist
    def test_one_image_of_each_process_has_the_next_as_partner(
            self, gloo_pool):
        for rank, (own, partner, labels) in enumerate(gloo_pool(_partners)):
            other = gloo_pool(_partners)[1 - rank]
            for name, value in partner.items():
                assert torch.equal(value, other[0][name]), name
            assert torch.equal(labels['cls'], other[0]['valid'].long())

    def test_equal_seeds_are_warned_of(self):
        with pytest.warns(UserWarning, match='no diversity|same seed'):
            model = cps(init_seeds=(3, 3))
        with pytest.warns(UserWarning, match='no diversity'):
            model.loss(*batch(unlabeled=4))

    def test_a_plain_checkpoint_is_warned_of(self):
        model = cps()
        single = mean_teacher(segmentor=plain()).student
        state = {
            k: v
            for k, v in single.state_dict().items()
            if not k.startswith('semi_heads')
        }
        model.load_state_dict(state, strict=False)
        with pytest.warns(UserWarning, match='init_cfg'):
            model.loss(*batch(unlabeled=4))
        with warnings.catch_warnings():
            warnings.filterwarnings('error', '.*diversity')
            cps().loss(*batch(unlabeled=4))


def _rank_losses(rank, kind):
    from .test_fixmatch import fixmatch
    build = dict(cps=cps, fixmatch=fixmatch)[kind]
    model = build(segmentor=plain(norm='GN'), mixing=None)
    inputs, samples = batch(labeled=4, unlabeled=4, padding=3)
    inputs['sup'][3] = 0.  # the ranks have different numbers of labels
    samples['sup'][3].gt_sem_seg.data[:] = 255
    if rank is not None:
        part = slice(2 * rank, 2 * rank + 2)
        inputs = {k: v[part] for k, v in inputs.items()}
        samples = {k: v[part] for k, v in samples.items()}
    losses = model.loss(inputs, samples)
    total(losses).backward()
    grads = [p.grad for p in model.parameters()]
    return {k: v.item() for k, v in losses.items() if 'loss' in k}, grads


@pytest.mark.dist
@pytest.mark.parametrize('kind', ['cps', 'fixmatch'])
def test_losses_do_not_depend_on_the_world_size(gloo_pool, kind):
    whole, grads = _rank_losses(None, kind)
    ranks = gloo_pool(_rank_losses, kind)
    for name, value in whole.items():
        mean = sum(losses[name] for losses, _ in ranks) / 2
        assert mean == pytest.approx(value, rel=1e-5), name
    for one, two, expected in zip(ranks[0][1], ranks[1][1], grads):
        assert torch.allclose((one + two) / 2, expected, atol=1e-5)
