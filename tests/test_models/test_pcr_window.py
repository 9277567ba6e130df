# Copyright (c) mmseg_semi authors.
"""PCR: the iterations that are sampled and their clustering."""

import pytest
import torch

from mmseg_semi.functional import class_prototypes
from mmseg_semi.functional.sampling import jittered_positions
from .given import bare_pcr, given_maps, given_step, sampled, sorted_rows, take
from .toys import NUM_CLASSES, SIZE


class TestWindow:
    """Algorithm 2 within the training."""

    def test_bank_and_clustering(self):
        term, maps = bare_pcr(capacity=4000), given_maps()
        losses = take(term, given_step(maps, 0))
        assert losses['loss_proto'] == 0 and not term.bank.allocated
        rows = {c: [] for c in range(NUM_CLASSES)}
        for iteration in (1, 2):
            take(term, given_step(maps, iteration, semi=False))
            generator = torch.Generator().manual_seed(0)
            for feature, label in sampled(maps, 'sup', generator):
                if label != 255:
                    rows[label].append(feature)
        for c, expected in rows.items():
            assert expected
            torch.testing.assert_close(
                torch.tensor(sorted_rows(term.bank.rows(c)[0])),
                torch.tensor(sorted_rows(torch.stack(expected))),
                rtol=0,
                atol=1e-12)
        term.momentum = 1.
        expected = [
            class_prototypes(term.bank.rows(c)[0], 3)
            for c in range(NUM_CLASSES)
        ]
        losses = take(term, given_step(maps, 3))
        assert losses['loss_proto'] > 0 and not term.bank.allocated
        assert torch.equal(term.head.prototypes, torch.stack(expected))

    def test_clustering_by_direction(self):
        term, maps = bare_pcr(normalize=True, momentum=1.), given_maps()
        take(term, given_step(maps, 2, semi=False))
        expected = [
            class_prototypes(term.bank.rows(c)[0], 3, normalize=True)
            for c in range(NUM_CLASSES)
        ]
        take(term, given_step(maps, 3))
        assert torch.equal(term.head.prototypes, torch.stack(expected))

    def test_few_or_no_samples_of_a_class(self):
        term, maps = bare_pcr(capacity=4000), given_maps()
        cls = maps['sup']['cls']
        cls[cls == 3] = 255
        cls[cls == 2] = 255
        rows, cols = jittered_positions(SIZE, SIZE, 8,
                                        torch.Generator().manual_seed(0))
        cls[0, rows[:2], cols[:2]] = 2  # two samples, three wanted
        take(term, given_step(maps, 2, semi=False))
        step = given_step(maps, 3)
        losses = take(term, step)
        valid = term.head.prototype_valid.sum(1)
        assert valid.tolist() == [3, 3, 2, 0]
        assert all(loss.isfinite() for loss in losses.values())

    def test_no_label_at_all(self):
        term, maps = bare_pcr(), given_maps()
        maps['sup']['cls'].fill_(255)
        take(term, given_step(maps, 2, semi=False))
        with pytest.raises(RuntimeError, match='no labelled pixel'):
            take(term, given_step(maps, 3))

    def test_begin_postpones_the_loss(self):
        assert bare_pcr(begin=7).stages() == dict(
            before=0, sampling=1, waiting=3, prototypes=7)
        for begin in (2, 3):
            assert bare_pcr(begin=begin).stages() == dict(
                before=0, sampling=1, prototypes=3)
        assert bare_pcr(
            prototypes='x', begin=2).stages() == dict(
                before=0, prototypes=2)

    def test_nothing_is_sampled_after_the_window(self):
        """Also when the losses begin later."""
        maps = given_maps()
        prototypes = []
        for begin in (0, 7):
            term = bare_pcr(begin=begin, capacity=4000, momentum=1.)
            for iteration in range(8):
                semi = iteration > 2
                step = given_step(maps, iteration, semi=semi, seed=iteration)
                reads = list(term.features('learner', step))
                assert bool(reads) == (0 < iteration < 3
                                       or iteration >= max(begin, 3))
                losses = take(term, step)
                assert (losses['loss_proto'] > 0) == (
                    iteration >= max(begin, 3))
            prototypes.append(term.head.prototypes)
        assert torch.equal(*prototypes)

    def test_message_of_an_empty_window(self):
        """It names the iterations that were sampled, not those that wait."""
        term, maps = bare_pcr(begin=7), given_maps()
        empty = given_maps()
        empty['sup']['cls'].fill_(255)
        for iteration, given in ((1, empty), (2, empty), (5, maps)):
            take(term, given_step(given, iteration, semi=False))
        with pytest.raises(RuntimeError, match=r'iterations \(1, 3\)'):
            take(term, given_step(maps, 7))
