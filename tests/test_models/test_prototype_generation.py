# Copyright (c) mmseg_semi authors.
import logging

import pytest
import torch

from mmseg_semi.models.banks import ClassBank
from mmseg_semi.models.regularizers.prototype_generation import (
    generate_prototypes, prototype_counts)

APO = dict(extra=1, ratio=.05, score='cosine')


def bank(rows_per_class, spread=(), dim=4, seed=0):
    """A filled bank; class c scatters by ``spread[c]`` around its mean."""
    generator = torch.Generator().manual_seed(seed)
    store = ClassBank(len(rows_per_class), 50, dim)
    store.allocate()
    for c, count in enumerate(rows_per_class):
        mean = 5 * torch.randn(dim, generator=generator)
        scale = spread[c] if c < len(spread) else .1
        store.push(mean + scale * torch.randn(count, dim, generator=generator),
                   torch.full((count, ), c),
                   torch.rand(count, generator=generator))
    return store


def generate(banks, base, size, **kwargs):
    options = dict(apo=None, backend='faiss', seed=0)
    return generate_prototypes(banks, base, size, **{**options, **kwargs})


class TestCounts:

    @pytest.mark.parametrize('classes, extra', [(21, 1), (19, 1), (81, 4)])
    def test_share_of_classes(self, classes, extra):
        """T6: 5 % of 21, 19, 81 classes are 1, 1, 4."""
        counts = prototype_counts(bank([9] * classes), 2, APO)
        assert sorted(counts) == [2] * (classes - extra) + [3] * extra

    @pytest.mark.parametrize('score', ['cosine', 'l2', 'l2_norm'])
    def test_the_most_scattered_class(self, score):
        counts = prototype_counts(
            bank([20] * 4, spread=(.1, .1, 3., .1)), 2, dict(APO, score=score))
        assert counts == [2, 2, 3, 2]

    def test_classes_without_samples_are_not_scattered(self):
        """T6."""
        store = bank([0, 20, 20], spread=(.1, .1, 2.))
        assert prototype_counts(store, 2, APO) == [2, 2, 3]

    def test_number_added(self):
        """Table A.14."""
        counts = prototype_counts(bank([9] * 4), 2, dict(APO, extra=4))
        assert sorted(counts) == [2, 2, 2, 6]

    def test_off(self):
        assert prototype_counts(bank([9] * 4), 3, None) == [3] * 4


class TestPrototypes:

    def test_high_comes_first(self):
        high, low = bank([9, 9], seed=0), bank([9, 9], seed=1)
        prototypes, valid = generate(
            dict(high=high, low=low), dict(high=1, low=1), 2)
        assert valid.all()
        for k, store in enumerate((high, low)):
            for c in range(2):
                torch.testing.assert_close(prototypes[c, k],
                                           store.rows(c)[0].mean(0))

    def test_few_and_no_rows(self):
        """T7: k > n is handled."""
        prototypes, valid = generate(
            dict(high=bank([0, 1, 3]), low=bank([0, 0, 9])),
            dict(high=2, low=2), 4)
        assert valid.sum(1).tolist() == [0, 1, 4]
        assert (prototypes[~valid] == 0).all()
        # Places are filled from the left.
        assert valid[1].tolist() == [True, False, False, False]

    @pytest.mark.parametrize('backend', ['faiss', 'minibatch'])
    def test_deterministic(self, backend):
        """T7."""
        stores = dict(all=bank([40, 40], spread=(2., 2.)))
        first, second = (
            generate(stores, dict(all=3), 3, backend=backend)[0]
            for _ in range(2))
        assert torch.equal(first, second)


def _generate(rank):
    """Banks that wrongly differ: rank 0's must win."""
    return generate(dict(all=bank([9, 4 * rank], seed=rank)), dict(all=2), 2)


@pytest.mark.dist
def test_every_rank_has_the_main_ranks_prototypes(gloo_pool):
    """T7."""
    first, second = gloo_pool(_generate)
    expected = _generate(0)
    for ours, theirs, own in zip(first, second, expected):
        assert torch.equal(ours, theirs) and torch.equal(ours, own)


@pytest.mark.parametrize('counts,words', [
    ([9, 9, 9], None),
    ([9, 0, 9], 'classes [1] had no sample'),
    ([9, 0, 0], 'which is 0 from now on'),
])
def test_classes_without_a_prototype_are_said(monkeypatch, counts, words):
    said = {}
    monkeypatch.setattr(
        'mmseg_semi.models.regularizers.prototype_generation.print_log',
        lambda text, _, level: said.setdefault(level, text))
    _, valid = generate(dict(all=bank(counts)), dict(all=2), 2)
    assert valid.any(1).tolist() == [count > 0 for count in counts]
    assert list(said) == [logging.WARNING if words else logging.INFO]
    assert words is None or words in said[logging.WARNING]
    assert ('nothing to tell apart' in str(said)) is (counts.count(0) == 2)
