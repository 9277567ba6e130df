# Copyright (c) mmseg_semi authors.
"""What follows from the length of a training."""
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.regularizers.term import TrainingPlan
from .given_labels import given_maps, given_step, term
from .toys import batch, brpg_cfg, mean_teacher, mean_teacher_cfg, total


def plan(total_iters, burn_in=0, **kwargs):
    options = dict(
        labeled_images=100,
        unlabeled_images=2875,
        labeled_batch=5,
        unlabeled_batch=2)
    options.update(kwargs)
    return TrainingPlan(total_iters, burn_in=burn_in, **options)


class TestRules:

    @pytest.mark.parametrize('epoch', [638, 325, 41])
    def test_the_papers_windows_on_voc(self, epoch):
        """80 epochs, of which the first has labelled images alone."""
        training = plan(80 * epoch, burn_in=epoch)
        assert training.brpg_window() == (epoch, 2 * epoch)
        assert training.pcr_window() == (epoch // 2, epoch)
        assert plan(80 * epoch).brpg_window() == (epoch, 2 * epoch)
        assert plan(80 * epoch).pcr_window() == (epoch // 2, epoch)

    def test_the_windows_follow_burn_in(self):
        training = plan(3000, burn_in=300)
        assert training.brpg_window() == (300, 338)
        assert training.pcr_window() == (150, 300)

    @pytest.mark.parametrize('total_iters', [1, 2, 3, 4, 20, 50, 300, 799])
    def test_there_are_always_some_iterations(self, total_iters):
        training = plan(total_iters)
        least = max(1, min(10, total_iters // 4))
        for begin, end in training.brpg_window(), training.pcr_window():
            assert 0 <= begin < end
            assert end <= max(1, total_iters / 2)
        begin, end = training.brpg_window()
        assert end - begin >= least

    @pytest.mark.parametrize('total_iters, starts', [
        (150_000, (1001, 2001)),
        (80_000, (1001, 2001)),
        (40_000, (500, 1000)),
        (3000, (38, 75)),
        (20, (0, 1)),
    ])
    def test_cmbs_iterations(self, total_iters, starts):
        training = plan(total_iters)
        found = training.cmb_iteration(1001), training.cmb_iteration(2001)
        assert found == starts

    def test_passes(self):
        """CMB on Cityscapes 1/30 prints 20 and 1437."""
        assert plan(9).passes() == (20, 1437)
        assert plan(9, labeled_images=3).passes() == (1, 1437)
        for lacks in (dict(unlabeled_images=None), dict(unlabeled_batch=0)):
            with pytest.raises(ValueError, match='unlabelled images'):
                plan(9, **lacks).passes()


class TestTerms:

    def test_stages(self):
        model = mean_teacher(
            burn_in=5,
            terms=dict(
                brpg=brpg_cfg(window=None),
                pcr=dict(type='PCR', head=dict(in_channels=16)),
                cmb=dict(type='CMB', head=dict(in_channels=8))))
        for each in ('brpg', 'pcr', 'cmb'):
            with pytest.raises(RuntimeError, match='plan_training'):
                model.terms[each].stages()
        model.plan_training(plan(400))
        assert [model.terms[each].stages()
                for each in ('brpg', 'pcr', 'cmb')] == [
                    dict(before=0, sampling=5, prototypes=15),
                    dict(before=0, sampling=2, prototypes=5),
                    dict(before=0, memory=5, contrast=10)
                ]

    def test_what_was_given_stays(self):
        model = mean_teacher(
            terms=dict(
                brpg=brpg_cfg(window=(1, 3)),
                pcr=dict(type='PCR', head=dict(in_channels=16), window=(2, 9)),
                cmb=dict(
                    type='CMB',
                    head=dict(in_channels=8),
                    memory_start=3,
                    contrast_start=4,
                    num_labeled=7),
                class_balance=dict(
                    type='ClassBalance', windows=(2, 3), begin=9)))
        model.plan_training(plan(400))
        assert [
            tuple(model.terms[each].stages().values())
            for each in ('brpg', 'pcr', 'cmb')
        ] == [(0, 1, 3), (0, 2, 9), (0, 3, 4)]
        assert model.terms.cmb.option('num_labeled') == 7
        balance = model.terms.class_balance
        assert balance.option('windows') == (2, 3)
        assert balance.option('begin') == 9

    def test_a_planned_training_makes_prototypes(self):
        model = mean_teacher(
            burn_in=1, total_iters=4, terms=dict(brpg=brpg_cfg(window=None)))
        model.plan_training(plan(4))
        history = []
        for it in range(4):
            losses = model.loss(*batch(seed=it))
            model.zero_grad()
            total(losses).backward()
            model.update_teacher()
            history.append(losses['loss_proto'].item() > 0)
        assert history == [False, False, True, True]

    def test_cmb_counts_the_labelled_images(self):
        cmb = term('CMB', head=dict(in_channels=3), capacity=256)
        with pytest.raises(RuntimeError, match='`num_labeled`'):
            cmb._rows_per_image()
        cmb.plan(plan(80_000))
        assert cmb._rows_per_image() == 3  # round(256 / 100)
        with pytest.raises(ValueError, match='num_labeled'):
            term(
                'CMB', head=dict(in_channels=3)).plan(
                    plan(80_000, labeled_images=None))

    def test_cmb_phases_in_the_wrong_order(self):
        late = term('CMB', head=dict(in_channels=3), memory_start=5000)
        with pytest.raises(ValueError, match='memory_start=5000'):
            late.plan(plan(80_000))

    def test_length_of_the_ramp(self):
        one = term('PixelConsistency', filter='none', ramp=dict(kind='hard'))
        step = given_step(given_maps(), iteration=49)
        with pytest.raises(RuntimeError, match='`ramp_length`'):
            one.loss(step)
        one.plan(plan(2000))  # a fortieth of the paper's: 50 iterations
        assert one.loss(step)['loss_unsup'] == 0
        step = given_step(given_maps(), iteration=50)
        assert one.loss(step)['loss_unsup'] > 0
        given = term(
            'PixelConsistency',
            filter='none',
            ramp=dict(kind='hard', length=60))
        given.plan(plan(2000))
        assert given.loss(step)['loss_unsup'] == 0
        with pytest.raises(ValueError, match='length=0'):
            term('PixelConsistency', ramp=dict(length=0))


class TestClassBalance:

    def model(self):
        balance = dict(type='ClassBalance')
        return MODELS.build(
            mean_teacher_cfg(terms=dict(class_balance=balance)))

    def planned(self):
        model = self.model()
        model.plan_training(plan(80_000, unlabeled_images=13))
        return model

    def test_windows_are_one_pass(self):
        balance = self.planned().terms.class_balance
        assert balance.option('windows') == (20, 6)
        assert balance.option('begin') == 2001
        assert balance.unlabeled_batches.shape == (6, 4)

    def test_a_checkpoint_resumes(self):
        model, other = self.planned(), self.planned()
        model.terms.class_balance.unlabeled_batches += 3
        other.load_state_dict(model.state_dict())
        assert torch.equal(other.terms.class_balance.unlabeled_batches,
                           model.terms.class_balance.unlabeled_batches)

    def test_a_model_that_predicts_has_no_plan(self):
        model, other = self.planned(), self.model()
        model.terms.class_balance.unlabeled_batches += 3
        other.load_state_dict(model.state_dict())
        assert other.terms.class_balance.unlabeled_batches.sum() == 72

    def test_images_that_are_not_known(self):
        with pytest.raises(ValueError, match='ClassBalance.*Give `windows`'):
            self.model().plan_training(plan(9, unlabeled_images=None))

    def test_another_window_is_refused(self):
        other = self.model()
        other.plan_training(plan(80_000, unlabeled_images=15))
        with pytest.raises(RuntimeError, match=r'windows=\(20, 6\)'):
            other.load_state_dict(self.planned().state_dict(), strict=False)
