# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest

from mmseg_semi.labeling.choosing import (SHORTLIST, balance, choose, k_center,
                                          label_shares)


def test_like_the_labels_is_one_and_rare_classes_are_more():
    labels = label_shares(np.array([899, 99, 0]))
    np.testing.assert_allclose(labels, np.array([900, 100, 1]) / 1001)
    found = balance(
        np.array([labels, [1, 0, 0], [0, 1, 0], [0, 0, 1]]), labels)
    assert found[0] == pytest.approx(1)
    assert found[1] < 1 < found[2] < found[3]
    assert found[3] == pytest.approx(1001 / 3)


def test_k_center_takes_the_farthest_again_and_again():
    labelled = np.array([[0., 0.], [10., 0.]])
    features = np.array([[1., 0.], [4., 0.], [10., 7.], [10., 6.], [5., 0.]])
    found = k_center(features, labelled, 5)
    assert [one.index for one in found] == [2, 4, 0, 1, 3]
    np.testing.assert_allclose([one.distance for one in found],
                               [7, 5, 1, 1, 1])
    assert [one.nearest for one in found] == [1, 0, 0, -1 - 4, -1 - 2]


def test_k_center_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    features, labelled = rng.normal(size=(30, 5)), rng.normal(size=(4, 5))
    weights = rng.random(30)
    chosen = []
    for _ in range(12):
        there = np.concatenate([labelled, features[chosen]])
        gaps = [np.linalg.norm(there - one, axis=1).min() for one in features]
        chosen.append(int(np.argmax(gaps * weights)))
    found = k_center(features, labelled, 12, weights)
    assert [one.index for one in found] == chosen


def test_equal_images_are_chosen_once_each():
    found = k_center(np.zeros((3, 2)), np.zeros((1, 2)), 3)
    assert [one.index for one in found] == [0, 1, 2]


def given(count=40):
    rng = np.random.default_rng(1)
    return dict(
        uncertainty=rng.random(count),
        balances=rng.random(count),
        features=rng.normal(size=(count, 3)),
        labelled=rng.normal(size=(2, 3)))


def test_one_criterion_alone():
    data = given()
    for by, values in (('uncertainty', data['uncertainty']),
                       ('balance', data['balances'])):
        found = [one.index for one in choose(by, 5, **data)]
        assert found == np.argsort(-values).tolist()[:5]
    found = choose('diversity', 5, **data)
    assert found == k_center(data['features'], data['labelled'], 5)


def test_all_takes_unlike_and_rare_ones_of_the_least_sure():
    data = given()
    found = choose('all', 5, **data)
    sure = np.argsort(-data['uncertainty'])[SHORTLIST * 5:]
    assert not set(sure) & {one.index for one in found}
    for one in found[1:]:
        if one.nearest < 0:  # names an image chosen before, by its own row
            other = data['features'][-1 - one.nearest]
            gap = np.linalg.norm(data['features'][one.index] - other)
            assert gap == pytest.approx(one.distance)
    assert any(one.nearest < 0 for one in found)
    # Without what is rare in the first one, another comes first.
    data['balances'][found[0].index] = 0
    assert choose('all', 5, **data)[0].index != found[0].index


def test_all_with_as_many_as_there_are():
    found = choose('all', 40, **given())
    assert sorted(one.index for one in found) == list(range(40))
