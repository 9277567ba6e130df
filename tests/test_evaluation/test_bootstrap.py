# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest

from mmseg_semi.evaluation import (PerImageAreas, paired_difference,
                                   resampled_miou, score_intervals)


def make_areas(num=12, classes=4, quality=.5, seed=0):
    rng = np.random.default_rng(seed)
    union = rng.integers(0, 50, size=(num, classes))
    union[:, -1] = 0  # a class that never occurs
    intersect = rng.binomial(union, quality)
    return PerImageAreas(
        np.array([f'i{i}' for i in range(num)]), intersect, union)


def reference_miou(areas, chosen):
    """mIoU of a list of images, class by class."""
    scores = []
    for c in range(areas.union.shape[1]):
        union = sum(int(areas.union[i, c]) for i in chosen)
        if union:
            scores.append(
                sum(int(areas.intersect[i, c]) for i in chosen) / union)
    return 100 * sum(scores) / len(scores)


def test_miou_of_resamples():
    areas, rng = make_areas(), np.random.default_rng(1)
    draws = rng.integers(12, size=(5, 12))
    weights = np.stack([np.bincount(draw, minlength=12) for draw in draws])
    expected = [reference_miou(areas, draw) for draw in draws]
    assert np.allclose(resampled_miou(areas, weights), expected, atol=1e-10)


def test_class_absent_from_a_resample_does_not_count():
    areas = PerImageAreas(
        np.array(['a', 'b']), np.array([[2, 0], [1, 3]]),
        np.array([[4, 0], [4, 3]]))
    assert resampled_miou(areas, np.array([[2, 0],
                                           [0, 2]])).tolist() == [50., 62.5]


def test_difference_and_interval_against_explicit_draws():
    ours = [make_areas(quality=.7, seed=s) for s in (0, 1)]
    theirs = [make_areas(quality=.4, seed=s) for s in (2, 3)]
    found = paired_difference(ours, theirs, resamples=300, seed=5)

    counts = np.random.default_rng(5).multinomial(12, [1 / 12] * 12, size=300)
    draws = [np.repeat(np.arange(12), count) for count in counts]

    def difference(draw):
        return np.mean([
            reference_miou(a, draw) - reference_miou(b, draw)
            for a, b in zip(ours, theirs)
        ])

    assert found.mean == pytest.approx(difference(range(12)))
    low, high = np.percentile([difference(d) for d in draws], [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert 0 < found.low < found.mean < found.high


def test_a_model_does_not_differ_from_itself():
    runs = [make_areas()]
    assert paired_difference(runs, runs) == (0, 0, 0)


def test_pairing_narrows_the_interval():
    """Both see the same draw: difficulty of images cancels."""
    rng = np.random.default_rng(0)
    union = np.full((200, 1), 100)
    hard = rng.integers(10, 90, size=(200, 1))
    ids = np.array([str(i) for i in range(200)])
    base = PerImageAreas(ids, hard, union)
    better = PerImageAreas(ids, hard + 2, union)
    found = paired_difference([better], [base])
    assert found.low == pytest.approx(2) and found.high == pytest.approx(2)


def test_wider_level_gives_a_wider_interval():
    ours, theirs = [make_areas(seed=0)], [make_areas(seed=1)]
    wide = paired_difference(ours, theirs, level=.99)
    narrow = paired_difference(ours, theirs, level=.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_what_cannot_be_paired_is_refused():
    areas = make_areas()
    with pytest.raises(ValueError, match='2 runs .* 1 of the baseline'):
        paired_difference([areas, areas], [areas])
    with pytest.raises(ValueError, match='0 runs'):
        paired_difference([], [])
    other = areas._replace(ids=areas.ids[::-1])
    with pytest.raises(ValueError, match='different images'):
        paired_difference([areas], [other])


def test_intervals_of_classes():
    areas = make_areas(num=30)
    miou, iou = score_intervals(areas, resamples=400)
    assert miou.value == pytest.approx(reference_miou(areas, range(30)))
    assert miou.low < miou.value < miou.high
    assert iou[-1] is None and None not in iou[:-1]
    for c, found in enumerate(iou[:-1]):
        one = areas._replace(
            intersect=areas.intersect[:, c:c + 1],
            union=areas.union[:, c:c + 1])
        assert found.value == pytest.approx(reference_miou(one, range(30)))
        assert found.low < found.value < found.high
    # As wide as those of means of so many images are.
    drawn = np.random.default_rng(1).integers(0, 30, (400, 30))
    scores = [reference_miou(areas, chosen) for chosen in drawn]
    assert miou.high - miou.low == pytest.approx(
        np.ptp(np.percentile(scores, [2.5, 97.5])), rel=.2)
    again = score_intervals(areas, resamples=400)
    assert again == (miou, iou)


def test_a_class_in_one_image_is_scored_where_it_is_drawn():
    areas = PerImageAreas(
        np.array(['a', 'b']), np.array([[5, 0], [5, 3]]),
        np.array([[10, 0], [10, 4]]))
    assert score_intervals(areas)[1][1] == (75., 75., 75.)
    with pytest.raises(ValueError, match='no images'):
        score_intervals(PerImageAreas(*(part[:0] for part in areas)))
