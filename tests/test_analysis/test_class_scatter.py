# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch

from mmseg_semi.analysis import ClassScatter


def slow_traces(features, labels, weighting):
    """The variance matrices themselves, class by class."""
    features, labels = features.double().numpy(), labels.numpy()
    present = np.unique(labels)
    weight = np.array([(labels == c).mean() for c in present])
    if weighting == 'class':
        weight = np.full(len(present), 1 / len(present))
    means = [features[labels == c].mean(0) for c in present]
    centre = sum(w * m for w, m in zip(weight, means))
    within = between = 0
    for w, m, c in zip(weight, means, present):
        rows = features[labels == c]
        within = within + w * np.cov(rows.T, bias=True)
        between = between + w * np.outer(m - centre, m - centre)
    return np.trace(between), np.trace(within)


def data(num=500, dim=6, classes=5, absent=2):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (num, ), generator=generator)
    labels[labels == absent] = 0
    spread = torch.linspace(.5, 3, classes)[labels, None]
    centre = torch.randn(classes, dim, generator=generator)[labels]
    noise = torch.randn(num, dim, generator=generator)
    return centre + spread * noise, labels


def scatter_of(features, labels, cuts, classes=5):
    scatter = ClassScatter(classes, features.shape[1])
    for rows, target in zip(features.split(cuts), labels.split(cuts)):
        scatter.update(rows, target)
    return scatter


@pytest.mark.parametrize('weighting', ['pixel', 'class'])
@pytest.mark.parametrize('cuts', [[500], [1, 0, 7, 250, 242]])
def test_traces_equal_those_of_the_matrices(weighting, cuts):
    features, labels = data()
    found = scatter_of(features, labels, cuts).traces(weighting)
    inter, intra = slow_traces(features, labels, weighting)
    assert found.inter == pytest.approx(inter, rel=1e-12)
    assert found.intra == pytest.approx(intra, rel=1e-12)
    assert found.ratio == pytest.approx(inter / intra, rel=1e-12)


def test_weightings_differ():
    features, labels = data()
    scatter = scatter_of(features, labels, [500])
    assert scatter.traces('pixel').inter != pytest.approx(
        scatter.traces('class').inter, rel=.01)


def test_pixel_weighted_traces_add_up_to_the_total_variance():
    features, labels = data()
    found = scatter_of(features, labels, [100] * 5).traces('pixel')
    total = features.double().var(0, correction=0).sum()
    assert found.inter + found.intra == pytest.approx(float(total), rel=1e-12)


def test_features_far_from_the_origin():
    """The difference of raw second moments would have no digit left."""
    features, labels = data()
    far = features.double() + 1e8
    found = scatter_of(far, labels, [100] * 5).traces('pixel')
    assert found == pytest.approx(
        slow_traces(features, labels, 'pixel'), rel=1e-6)


def test_absent_class():
    features, labels = data()
    scatter = scatter_of(features, labels, [500])
    for values in (scatter.class_variance(), scatter.distance('class')):
        assert torch.isnan(values).tolist() == [
            False, False, True, False, False
        ]
    assert scatter.weight('class').tolist() == [.25, .25, 0, .25, .25]


def test_features_that_do_not_vary():
    scatter = scatter_of(
        torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([0, 1]), [2])
    found = scatter.traces('pixel')
    assert found == (2., 0.) and found.ratio is None


def test_no_features():
    with pytest.raises(ValueError, match='no labelled pixel'):
        ClassScatter(3, 2).traces()


def test_unknown_weighting():
    with pytest.raises(ValueError, match="'pixel', 'class'"):
        scatter_of(*data(), [500]).traces('image')
