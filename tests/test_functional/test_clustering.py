# Copyright (c) mmseg_semi authors.
import math

import numpy as np
import pytest
import torch

from mmseg_semi import dist
from mmseg_semi.functional import (class_prototypes, kmeans, most_scattered,
                                   scatter_score)
from mmseg_semi.functional.clustering import _fill_empty

BACKENDS = ['faiss', 'minibatch']


def _blobs(number=60, k=3, seed=0, spread=0.1):
    generator = torch.Generator().manual_seed(seed)
    centers = 5 * torch.randn(k, 6, generator=generator)
    which = torch.arange(number) % k
    noise = torch.randn(number, 6, generator=generator)
    return centers[which] + spread * noise, which, centers


@pytest.mark.parametrize('backend', BACKENDS)
def test_kmeans_finds_the_blobs(backend):
    features, which, centers = _blobs()
    found, assignment = kmeans(features, 3, seed=0, backend=backend)
    nearest = torch.cdist(found, centers).argmin(1)
    assert sorted(nearest.tolist()) == [0, 1, 2]
    assert torch.equal(nearest[assignment], which)
    torch.testing.assert_close(found, centers[nearest], rtol=0, atol=0.15)


@pytest.mark.parametrize('backend', BACKENDS)
def test_kmeans_is_deterministic(backend):
    # Acceptance check 7.
    features = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    first = kmeans(features, 5, seed=3, backend=backend)
    torch.manual_seed(99)
    np.random.seed(99)
    second = kmeans(features, 5, seed=3, backend=backend)
    for ours, theirs in zip(first, second):
        assert torch.equal(ours, theirs)


def _slow_mini_batch(rows, batches, center):
    """One cluster: the running mean of every row that was ever drawn."""
    count = 0
    for batch in batches:
        for index in batch:
            count += 1
            center = center + (rows[index] - center) / count
    return center


def test_mini_batches_have_100_rows(monkeypatch):
    """As scikit-learn 0.20.1, whatever the installed one defaults to."""
    from sklearn.cluster import _kmeans
    made, draws = [], []

    class Spy(_kmeans.MiniBatchKMeans):

        def fit(self, rows):
            made.append(self)
            return super().fit(rows)

    class Recorder(np.random.RandomState):

        def randint(self, *args, **kwargs):  # older scikit-learn
            draws.append(super().randint(*args, **kwargs))
            return draws[-1]

        def choice(self, *args, **kwargs):
            draws.append(super().choice(*args, **kwargs))
            return draws[-1]

    monkeypatch.setattr('sklearn.cluster.MiniBatchKMeans', Spy)
    monkeypatch.setattr(_kmeans, 'check_random_state', Recorder)
    features = torch.randn(
        2000,
        3,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0))
    features[::7] += 5
    centers, _ = kmeans(features, 1, seed=0, backend='minibatch', nredo=1)
    params = made[0].get_params()
    assert params['batch_size'] == 100 and params['n_init'] == 1
    # The rest has not changed since.
    assert (params['max_iter'], params['max_no_improvement'],
            params['reassignment_ratio'], params['init']) == (100, 10, .01,
                                                              'k-means++')
    batches = [draw for draw in draws if np.size(draw) == 100]
    assert len(batches) == made[0].n_steps_ > 10
    slow = _slow_mini_batch(features.numpy(), batches, np.zeros(3))
    np.testing.assert_allclose(centers[0].numpy(), slow, atol=1e-9)


def test_faiss_trains_on_all_rows(capfd):
    # By default it would subsample to 256 rows per centre, and then 1.4 % of
    # these rows would be nearer to another centre.
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3000, 2, generator=generator, dtype=torch.float64)
    centers, assignment = kmeans(features, 2, seed=0)
    assert centers.dtype == torch.float64
    for k in range(2):
        mean = features[assignment == k].mean(0)
        torch.testing.assert_close(centers[k], mean, rtol=0, atol=1e-12)
    nearest = torch.cdist(features, centers).argmin(1)
    assert (nearest == assignment).double().mean() > 0.998
    assert capfd.readouterr() == ('', '')


def test_many_starts_reach_a_better_optimum():
    # Eight blobs: one start of Lloyd's algorithm often merges two of them.
    def inertia(seed, nredo):
        centers, assignment = kmeans(features, 8, seed=seed, nredo=nredo)
        return (features - centers[assignment]).square().sum().item()

    features, which, _ = _blobs(400, 8, seed=1)
    means = torch.stack([features[which == k].mean(0) for k in range(8)])
    best = (features - means[which]).square().sum().item()
    single = sum(inertia(seed, 1) > 1.01 * best for seed in range(10))
    several = sum(inertia(seed, 10) > 1.01 * best for seed in range(10))
    assert several < single


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('number', [0, 1, 2, 3, 4, 5])
def test_few_rows(number, backend, capfd):
    # Acceptance check 7: k > n.
    features = torch.randn(number, 6)
    centers, assignment = kmeans(features, 4, seed=0, backend=backend)
    assert centers.shape == (min(number, 4), 6)
    assert assignment.shape == (number, ) and assignment.dtype == torch.long
    if 0 < number <= 4:
        assert torch.equal(centers[assignment], features)
    if backend == 'faiss' or number <= 4:
        assert set(assignment.tolist()) == set(range(min(number, 4)))
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('backend', BACKENDS)
def test_duplicates(backend):
    distinct = torch.tensor([[0., 1.], [2., 3.], [-0., 1.]])
    features = distinct.repeat(10, 1)
    centers, assignment = kmeans(features, 4, seed=0, backend=backend)
    assert torch.equal(centers, distinct[:2])  # -0 equals 0
    assert torch.equal(centers[assignment], features)


def test_empty_clusters_get_the_worst_placed_rows():
    assignment = np.array([0, 0, 0, 2, 0])
    distance = np.array([1., 5., 2., 9., 4.])
    _fill_empty(assignment, distance, 4)
    # Row 3 is farther away, but taking it would empty cluster 2.
    assert assignment.tolist() == [0, 1, 0, 2, 3]


def _directions(lengths):
    """Rows along two directions; the lengths would cluster otherwise."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.tensor([[1., .1, 0.], [.1, 1., 0.]], dtype=torch.float64)
    which = torch.arange(len(lengths)) % 2
    noise = .02 * torch.randn(
        len(lengths), 3, generator=generator, dtype=torch.float64)
    return (rows[which] + noise) * torch.tensor(lengths)[:, None], which


def test_clusters_by_direction():
    rows, which = _directions([1., 1., 50., 50.] * 15)
    by_length = class_prototypes(rows, 2)
    found = class_prototypes(rows, 2, normalize=True)
    means = torch.stack([rows[which == k].mean(0) for k in range(2)])
    order = found[:, 1].argsort()
    torch.testing.assert_close(found[order], means, rtol=0, atol=1e-12)
    assert (by_length - means).norm(dim=1).max() > 5
    assert len(class_prototypes(rows[:0], 2, normalize=True)) == 0


def test_kmeans_rejects():
    features = torch.randn(10, 3)
    with pytest.raises(ValueError, match='backend'):
        kmeans(features, 2, seed=0, backend='lloyd')
    with pytest.raises(ValueError, match='k=0'):
        kmeans(features, 0, seed=0)
    features[3, 1], features[5, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match='2 of 10 feature rows'):
        kmeans(features, 2, seed=0)


def _scatter_reference(features, kind):
    rows = features.numpy()
    if kind == 'l2_norm':
        rows = np.stack([row / np.sqrt((row**2).sum()) for row in rows])
    mean = sum(rows) / len(rows)
    if kind == 'cosine':
        cosines = [
            row @ mean / math.sqrt(row @ row) / math.sqrt(mean @ mean)
            for row in rows
        ]
        return 1 - sum(cosines) / len(cosines)
    return sum(math.sqrt(((row - mean)**2).sum()) for row in rows) / len(rows)


@pytest.mark.parametrize('kind', ['cosine', 'l2', 'l2_norm'])
def test_scatter_score_equals_loops(kind):
    features = 1 + torch.randn(30, 5, dtype=torch.float64)
    assert scatter_score(features, kind) == pytest.approx(
        _scatter_reference(features, kind), rel=1e-10)
    tight, wide = _blobs(k=1, spread=0.1)[0], _blobs(k=1, spread=1.)[0]
    assert scatter_score(tight, kind) < scatter_score(wide, kind)
    assert math.isnan(scatter_score(features[:0], kind))


def test_scatter_score_rejects():
    with pytest.raises(ValueError, match="kind='l1'"):
        scatter_score(torch.ones(2, 2), 'l1')


@pytest.mark.parametrize('num_classes,number', [(21, 1), (19, 1), (81, 4)])
def test_most_scattered_equals_paper_percentile(num_classes, number):
    # Acceptance check 6; Eq. 12 with the paper's strict percentile, whose
    # score falls with scatter.
    similarity = np.random.RandomState(num_classes).rand(num_classes)
    gamma = np.percentile(similarity, 5)
    paper = np.flatnonzero(similarity < gamma).tolist()
    assert most_scattered((1 - similarity).tolist(), 0.05) == paper
    assert len(paper) == number


def test_most_scattered_leaves_out_empty_classes():
    nan = math.nan
    assert most_scattered([nan, 0.1, nan, 0.5, 0.3], 0.4) == [3, 4]
    assert most_scattered([nan, 0.1, nan], 1.) == [1]
    assert most_scattered([nan, nan], 0.05) == []
    assert most_scattered([0.5, 0.5, 0.5], 0.05) == [0]


def test_class_prototypes():
    features, _, _ = _blobs()
    centers, _ = kmeans(features, 3, seed=1)
    assert torch.equal(class_prototypes(features, 3, seed=1), centers)
    assert class_prototypes(torch.zeros(0, 6), 2).shape == (0, 6)


def _cluster_on_main(rank, features):
    centers = torch.zeros(3, features.shape[1])
    if rank == 0:
        centers = class_prototypes(features, 3, seed=0)
    return dist.broadcast_from_main(centers)


@pytest.mark.dist
def test_all_ranks_get_the_same_prototypes(gloo_pool):
    # Acceptance check 7.
    features = torch.randn(100, 4)
    ours, theirs = gloo_pool(_cluster_on_main, features)
    assert torch.equal(ours, theirs)
    assert torch.equal(ours, class_prototypes(features, 3, seed=0))
