# Copyright (c) mmseg_semi authors.
"""Class weights from the counts of labels (CMB)."""
import math
import statistics

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.step import View
from .given_labels import C, H, W, given_maps, given_step, term
from .toys import mean_teacher_cfg


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
            self.balance(view='sup')
        with pytest.raises(ValueError, match='those with are'):
            self.balance(view='unsup_student3').on_labels(
                given_step(given_maps()))

    def test_labels_of_mixed_images_alone(self):
        """FixMatch keeps no others: the first strong view is counted."""
        balance, maps = self.balance(), given_maps()
        step = given_step(maps)
        del step.labels['student', 'unsup_teacher']
        balance.on_labels(step)
        assert balance.unlabeled_batches[0].tolist() == counted(
            maps['unsup_student']['cls'])

    def test_batches_of_an_iteration_have_the_weights_of_those_before(self):
        """And never those of a place that is partly filled."""
        balance, labelled, unlabelled = self.balance(begin=0), [], []
        for it in range(7):
            maps = [given_maps(seed=2 * it + part) for part in range(2)]
            expected = [1.] * C
            if it >= 3:
                expected = slow_weights(labelled[:2], unlabelled[-3:])
            for part in range(2):
                step = given_step(maps[part], iteration=it)
                step.part, step.accumulate = part, 2
                balance.on_labels(step)
                assert step.class_weights.tolist() == pytest.approx(
                    expected, rel=1e-6)
            for counts, view in ((labelled, 'sup'), (unlabelled,
                                                     'unsup_teacher')):
                counts.append(
                    np.sum([counted(m[view]['cls']) for m in maps],
                           axis=0).tolist())

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
