# Copyright (c) mmseg_semi authors.
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmseg_semi.analysis import (Points, Prototypes, agreement, embed,
                                 nearest_prototypes, sample_points)


def space(value=0.):
    """The features are the image; classes 0 and 1 have a prototype."""
    return SimpleNamespace(
        feature='image',
        reader=SimpleNamespace(align_corners=False),
        features=lambda images: images + value,
        comparable=lambda rows: rows,
        prototypes=lambda: Prototypes(
            torch.tensor([[0., 0., 9.], [1., 0., 9.]]), torch.tensor([0, 1]),
            torch.tensor([0, 3])))


def batches():
    """Two batches; channel 0 is the class, channel 1 the number of the
    pixel. Class 2 has 3 pixels, class 3 none."""
    labels = torch.zeros(2, 2, 8, 8, dtype=torch.long)
    labels[:, :, 4:] = 1
    labels[0, 0, 0, :3] = 2
    labels[:, :, 7, 7] = 255
    images = torch.zeros(2, 2, 3, 8, 8)
    images[:, :, 0] = labels
    images[:, :, 1] = torch.arange(256.).view(2, 2, 8, 8)
    return list(zip(images, labels))


def test_as_many_pixels_of_every_class():
    points = sample_points(space(), batches(), [2, 0], 5, seed=0)
    assert points.classes.tolist() == [0] * 5 + [2] * 3 + [0]
    assert points.index.tolist() == [-1] * 8 + [0]
    assert points.is_prototype.tolist() == [False] * 8 + [True]
    assert torch.equal(points.vectors[:, 0].long(), points.classes)
    assert len(points.vectors[:8, 1].unique()) == 8


def test_pixels_follow_the_seed():
    one, same, other = (
        sample_points(space(), batches(), [0, 1], 9, seed).vectors
        for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_nothing_to_sample():
    with pytest.raises(ValueError, match=r'pixel of the classes \[3\]'):
        sample_points(space(), batches(), [3], 5, seed=0)
    with pytest.raises(ValueError, match='NaN or inf'):
        sample_points(space(torch.nan), batches(), [0], 5, seed=0)


def hand():
    vectors = torch.tensor([[1., 0.], [0., 2.], [3., 1.], [2., 0.], [0., 3.]])
    return Points(vectors, torch.tensor([0, 0, 1, 0, 1]),
                  torch.tensor([-1, -1, -1, 0, 1]))


def test_nearest_prototypes():
    nearest, cosine = nearest_prototypes(hand())
    assert nearest.tolist() == [3, 4, 3, 3, 4]
    expected = torch.tensor([1., 1., 3 / 10**.5, 1., 1.])
    torch.testing.assert_close(cosine, expected)
    rows = agreement(hand(), nearest, [0, 1, 2])
    assert rows == [
        dict(id=0, pixels=2, prototypes=1, agree=.5),
        dict(id=1, pixels=1, prototypes=1, agree=0.),
        dict(id=2, pixels=0, prototypes=0, agree=None)
    ]


def test_pixels_alone_have_no_nearest():
    points = Points(*(part[:3] for part in hand()))
    nearest, cosine = nearest_prototypes(points)
    assert nearest.tolist() == [-1] * 3 and cosine.isnan().all()
    assert [row['agree']
            for row in agreement(points, nearest, [0, 1])] == [None, None]


def clusters():
    generator = torch.Generator().manual_seed(0)
    rows = .1 * torch.randn(30, 4, generator=generator)
    rows[:15, 0] += 1
    rows[15:, 1] += 1
    return rows


def test_clusters_stay_apart_and_seeds_reproduce():
    plane = embed(clusters(), seed=3, perplexity=5)
    assert plane.shape == (30, 2) and plane.dtype == np.float32
    distance = np.linalg.norm(plane[:, None] - plane, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert np.array_equal(distance.argmin(1) < 15, np.arange(30) < 15)
    # By the cosine, length does not matter.
    again = embed(4 * clusters(), seed=3, perplexity=5)
    assert np.array_equal(plane, again)
    other = embed(clusters(), seed=3, perplexity=5, metric='euclidean')
    assert not np.array_equal(plane, other)


def test_mistakes():
    with pytest.raises(ValueError, match="'l1' is unknown"):
        embed(clusters(), seed=0, metric='l1')
    with pytest.raises(ValueError, match='number of points, 30'):
        embed(clusters(), seed=0)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    with pytest.raises(ImportError, match='needs scikit-learn: pip install'):
        embed(clusters(), seed=0, perplexity=5)
