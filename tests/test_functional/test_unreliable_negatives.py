# Copyright (c) mmseg_semi authors.
"""U2PL's contrast against loops over pixels, classes and anchors."""
import math

import numpy as np
import pytest
import torch

from mmseg_semi import functional as func

C, N, B, SIDE, D, M, K = 5, 60, 2, 7, 6, 4, 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


class TestReliability:

    def given(self):
        entropy = randn(B, SIDE, SIDE).abs()
        return entropy, randn(B, SIDE, SIDE, seed=1) > -.5

    @pytest.mark.parametrize('keep', [80., 93.5, 60.])
    def test_loop(self, keep):
        """Eq. 6; the code's lowest percentiles."""
        entropy, known = self.given()
        values = entropy[known].numpy()
        high, low = (np.percentile(values, q) for q in (keep, 100 - keep))
        for rule in func.RELIABLE:
            reliable, unreliable = func.reliability(entropy, known, keep, rule)
            for place in np.ndindex(B, SIDE, SIDE):
                value = entropy[place].item()
                fits = value < high if rule == 'kept' else value <= low
                assert bool(reliable[place]) == (bool(known[place]) and fits)
                assert bool(unreliable[place]) == (
                    bool(known[place]) and value >= high)

    def test_kept_and_unreliable_part_the_known(self):
        entropy, known = self.given()
        reliable, unreliable = func.reliability(entropy, known, 80.)
        assert torch.equal(reliable ^ unreliable, known)
        assert not (reliable & unreliable).any()

    @pytest.mark.parametrize('rule', func.RELIABLE)
    def test_nothing_known(self, rule):
        entropy, known = self.given()
        for part in func.reliability(entropy, known & False, 80., rule):
            assert not part.any()

    def test_unknown_rule(self):
        with pytest.raises(ValueError, match="reliable='some'.*kept"):
            func.reliability(*self.given(), 80., 'some')


class TestNegatives:

    def scores(self):
        scores = randn(N, C)
        scores[0] = 1.  # ties: the lower class id is first
        return scores

    def ranked(self, row):
        return sorted(range(C), key=lambda c: (-row[c].item(), c))

    def test_ranks(self):
        ranks = func.class_ranks(self.scores())
        for row, found in zip(self.scores(), ranks.tolist()):
            assert [found[c] for c in self.ranked(row)] == list(range(C))

    @pytest.mark.parametrize('low', [1, 3])
    def test_labelled(self, low):
        """Not its class, but among the most probable ones."""
        labels = torch.randint(0, C + 1, (N, ), generator=generator())
        labels[labels == C] = 255
        found = func.labeled_negatives(
            func.class_ranks(self.scores()), labels, low)
        for row, label, mine in zip(self.scores(), labels.tolist(), found):
            top = self.ranked(row)[:low]
            for c in range(C):
                assert bool(mine[c]) == (
                    label != 255 and c != label and c in top)

    @pytest.mark.parametrize('low, high', [(1, 3), (3, 20)])
    def test_unlabelled(self, low, high):
        """Unreliable, hardly the class, not the least probable."""
        unreliable = randn(N, seed=2) > 0
        found = func.unreliable_negatives(
            func.class_ranks(self.scores()), unreliable, low, high)
        for row, is_so, mine in zip(self.scores(), unreliable, found):
            middle = self.ranked(row)[low:high]
            for c in range(C):
                assert bool(mine[c]) == (bool(is_so) and c in middle)


class TestDraws:

    @pytest.mark.parametrize('number', [3, 20, N + 9])
    def test_candidates(self, number):
        candidates = randn(N, C) > .3
        candidates[:, 1] = False
        index, valid = func.draw_candidates(candidates, number, generator())
        assert index.shape == valid.shape == (C, number)
        for c in range(C):
            chosen = index[c][valid[c]].tolist()
            there = candidates[:, c].nonzero()[:, 0].tolist()
            assert len(set(chosen)) == len(chosen) == min(number, len(there))
            assert set(chosen) <= set(there)

    def test_every_candidate_equally_often(self):
        candidates = torch.ones(4, 1, dtype=torch.bool)
        gen = generator()
        seen = torch.zeros(4)
        for _ in range(2000):
            seen[func.draw_candidates(candidates, 1, gen)[0][0]] += 1
        assert seen.min() > 420 and seen.max() < 580

    def test_negatives_come_from_the_class_and_are_present(self):
        queues = torch.arange(3 * 8.).view(3, 8, 1)
        counts = torch.tensor([8, 3, 0])
        drawn = func.draw_negatives(queues, counts, 50, 40, generator())
        assert drawn.shape == (3, 50, 40, 1)
        assert set(drawn[0].flatten().tolist()) == set(range(8))
        assert set(drawn[1].flatten().tolist()) == {8, 9, 10}
        assert set(drawn[2].flatten().tolist()) == {16}
        shares = torch.bincount(drawn[0].flatten().long()) / 2000
        assert (shares - 1 / 8).abs().max() < .03

    def test_an_anchors_draws_are_its_own(self):
        drawn = func.draw_negatives(
            randn(1, 500, 2), torch.tensor([500]), 2, 30, generator())
        assert not torch.equal(drawn[0, 0], drawn[0, 1])


class TestContrast:

    def test_class_sums(self):
        features = randn(B, D, SIDE, SIDE)
        labels = torch.randint(
            0, C + 1, (B, SIDE, SIDE), generator=generator())
        labels[labels == C] = 255
        expected = torch.zeros(C, D, dtype=torch.float64)
        for b, i, j in np.ndindex(B, SIDE, SIDE):
            if labels[b, i, j] != 255:
                expected[labels[b, i, j]] += features[b, :, i, j]
        torch.testing.assert_close(
            func.class_sums(features, labels, C), expected)

    def given(self):
        anchors = randn(C, M, D).requires_grad_()
        positives = randn(C, D, seed=1).requires_grad_()
        negatives = torch.nn.functional.normalize(
            randn(C, M, K, D, seed=2), dim=3).requires_grad_()
        return anchors, positives, negatives

    def printed(self, anchors, positives, negatives, temperature):
        """Eq. 4, one anchor after the other."""
        losses = []
        for c in range(C):
            for m in range(M):

                def score(other):
                    cosine = anchors[c, m] @ other / (
                        anchors[c, m].norm() * other.norm())
                    return (cosine / temperature).exp()

                own = score(positives[c].detach())
                others = sum(
                    score(negatives[c, m, k].detach()) for k in range(K))
                losses.append(-(own / (own + others)).log())
        return torch.stack(losses).view(C, M)

    @pytest.mark.parametrize('temperature', [.5, .1])
    def test_value_and_gradient(self, temperature):
        anchors, positives, negatives = self.given()
        ours = func.negative_contrast(anchors, positives, negatives,
                                      temperature)
        expected = self.printed(anchors, positives, negatives, temperature)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
        weight = randn(C, M, seed=3)
        grads = [
            torch.autograd.grad((part * weight).sum(), anchors)[0]
            for part in (ours, expected)
        ]
        torch.testing.assert_close(*grads, rtol=0, atol=1e-12)

    def test_only_anchors_get_gradient(self):
        anchors, positives, negatives = self.given()
        func.negative_contrast(anchors, positives, negatives).sum().backward()
        assert anchors.grad.any()
        assert positives.grad is None and negatives.grad is None

    def test_perfect_anchor(self):
        """-ln(e^2 / (e^2 + K e^-2)) with tau = 0.5."""
        one = torch.ones(1, 1, 1, dtype=torch.float64)
        loss = func.negative_contrast(one, one[0], -one.expand(1, 1, K, 1))
        assert loss.item() == pytest.approx(
            math.log(1 + K * math.exp(-4)), rel=1e-6)

    def test_zero_features_are_finite(self):
        anchors = torch.zeros(C, M, D, requires_grad=True)
        loss = func.negative_contrast(anchors, torch.zeros(C, D),
                                      torch.zeros(C, M, K, D))
        loss.sum().backward()
        assert loss.isfinite().all() and anchors.grad.isfinite().all()

    def test_half_precision_is_computed_in_full(self):
        anchors, positives, negatives = (
            part.detach().half() for part in self.given())
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = func.negative_contrast(anchors, positives, negatives)
        expected = func.negative_contrast(*(part.double()
                                            for part in (anchors, positives,
                                                         negatives)))
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss.double(), expected, rtol=0, atol=1e-5)

    def test_mean(self):
        losses = randn(C, M).requires_grad_()
        drawn = torch.tensor([[True] * 4, [True, False, True, False],
                              [False] * 4, [True] * 4, [True] + [False] * 3])
        share = torch.rand(C, generator=generator(), dtype=torch.float64)
        active = torch.tensor([True, True, True, False, True])
        value = func.anchor_mean(losses, drawn, share, active, torch.tensor(5))
        expected = (share[0] * losses[0].mean() + share[1] *
                    (losses[1, 0] + losses[1, 2]) / 2 +
                    share[4] * losses[4, 0]) / 5
        torch.testing.assert_close(value, expected)

    def test_no_active_class_is_an_attached_zero(self):
        losses = randn(C, M).requires_grad_()
        none = torch.zeros(C, M, dtype=torch.bool)
        value = func.anchor_mean(losses, none, torch.zeros(C), none[:, 0],
                                 torch.tensor(0))
        value.backward()
        assert value == 0 and losses.grad is not None
        assert not losses.grad.any()
