# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest

from mmseg_semi.labeling.confident import (keep_confident, regions,
                                           thresholds_of)
from mmseg_semi.predicting import Prediction


def test_thresholds_by_class():
    found = thresholds_of(('road', 'car'), .95, {'car': .8})
    np.testing.assert_array_equal(found, [.95, .8])


@pytest.mark.parametrize('threshold, by_class, text', [
    (2, {}, 'threshold 2'),
    (.5, dict(car=-.1), r'-0.1 \(car\)'),
    (.5, dict(cat=.5), "no class 'cat'.*road, car. 'car' is near"),
])
def test_wrong_thresholds(threshold, by_class, text):
    with pytest.raises(ValueError, match=text):
        thresholds_of(('road', 'car'), threshold, by_class)


def test_a_pixel_needs_the_threshold_of_its_class():
    found = Prediction(
        np.array([[0, 0, 1, 1]], np.uint8),
        np.array([[.9, .89, .6, .59]], np.float32))
    mask = keep_confident(found, np.array([.9 - 1e-6, .6 - 1e-6]))
    assert mask.tolist() == [[0, 255, 1, 255]]
    assert mask.dtype == np.uint8


def test_small_regions_go_after_unsure_pixels():
    """Regions of 3 pixels, joined by an unsure one, touch by a corner."""
    classes = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]], np.uint8)
    confidence = np.ones((3, 4), np.float32)
    confidence[1, 1] = 0
    mask = keep_confident(Prediction(classes, confidence), np.full(2, .5), 4)
    assert mask.tolist() == [[255, 255, 0, 0], [255, 255, 0, 0],
                             [255, 255, 255, 255]]
    mask = keep_confident(Prediction(classes, confidence), np.full(2, .5), 3)
    assert mask.tolist() == [[1, 1, 0, 0], [1, 255, 0, 0], [255, 1, 1, 1]]


def test_regions_are_the_mask_and_holes_come_later():
    mask = np.zeros((7, 7), np.uint8)
    mask[1:6, 1:6], mask[2:5, 2:5], mask[3, 3] = 255, 2, 0
    found = regions(mask)
    assert [one.label for one in found] == [0, 255, 2, 0]
    rebuilt = np.full_like(mask, 9)
    for one in found:
        assert (rebuilt[one.window][one.bitmap] == 9).all()
        rebuilt[one.window][one.bitmap] = one.label
    np.testing.assert_array_equal(rebuilt, mask)
    assert [one.area for one in found] == [24, 16, 8, 1]
