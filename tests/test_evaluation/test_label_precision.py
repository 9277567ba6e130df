# Copyright (c) mmseg_semi authors.
import json

import numpy as np
import pytest
import torch

from mmseg_semi.evaluation import (LabelPrecision, gate_alarms, gate_lines,
                                   suggest_threshold)

C, EDGES = 4, (.5, .8, .9)


def images(number=6, seed=0):
    """Class 3 is never predicted; a sixth of the pixels is ignored."""
    rng = torch.Generator().manual_seed(seed)
    for index in range(number):
        size = 5 + index, 7
        label = torch.randint(0, 3, size, generator=rng)
        confidence = torch.rand(size, generator=rng)
        truth = torch.where(
            torch.rand(size, generator=rng) < confidence, label,
            torch.randint(0, C, size, generator=rng))
        truth[torch.rand(size, generator=rng) < 1 / 6] = 255
        confidence[0, :3] = torch.tensor(EDGES)  # at a threshold counts
        yield label, confidence, truth


def counted(items, thresholds=EDGES):
    counts = LabelPrecision(C, thresholds)
    for item in items:
        counts.add(*item)
    return counts


def brute_force(items, thresholds):
    """Precision and pixels per class, pixel by pixel."""
    right = np.zeros((C, len(thresholds)), int)
    kept = np.zeros_like(right)
    for label, confidence, truth in items:
        for a, p, t in zip(label.flatten().tolist(), confidence.flatten(),
                           truth.flatten().tolist()):
            for place, edge in enumerate(thresholds):
                if t != 255 and p >= edge:
                    kept[a, place] += 1
                    right[a, place] += a == t
    return right, kept


def test_equals_a_count_pixel_by_pixel():
    counts = counted(images())
    assert counts.thresholds == (0., *EDGES)
    right, kept = brute_force(images(), counts.thresholds)
    assert (counts.right == right).all() and (counts.kept == kept).all()
    assert kept[:3].all() and right[0, 0] < kept[0, 0]
    found = counts.as_dict('abcd')
    assert found['images'] == 6
    for index, name in enumerate('abc'):
        np.testing.assert_allclose(
            found['precision'][name], right[index] / kept[index], atol=1e-5)
        assert found['pixels'][name] == kept[index].tolist()
    np.testing.assert_allclose(
        found['precision_of_all'], right.sum(0) / kept.sum(0), atol=1e-5)
    np.testing.assert_allclose(
        found['kept'], kept.sum(0) / kept[:, 0].sum(), atol=1e-5)
    truth = torch.cat([item[2].flatten() for item in images()])
    assert list(found['labelled_pixels'].values()) == [
        int((truth == c).sum()) for c in range(C)
    ]
    json.dumps(found, allow_nan=False)


def test_a_class_that_is_never_predicted_has_no_precision():
    found = counted(images()).as_dict('abcd')
    assert found['precision']['d'] == [None] * 4
    assert found['kept_per_class']['d'] == [None] * 4
    assert found['labelled_pixels']['d'] > 0
    (alarm, ) = gate_alarms(found, .5, lowest=0., min_pixels=1)
    assert alarm.startswith('No pixel is predicted from confidence 0.5 on as '
                            'd')


def test_ignored_pixels_are_of_no_account():
    some = [(torch.tensor([0, 1]), torch.tensor([.9,
                                                 .9]), torch.tensor([255, 1]))]
    found = counted(some).as_dict('abcd')
    assert found['precision']['a'] == [None] * 4
    assert found['precision_of_all'][0] == 1. and found['kept'][0] == 1.
    empty = [(torch.tensor([0]), torch.tensor([.9]), torch.tensor([255]))]
    found = counted(empty).as_dict('abcd')
    assert found['kept'] == [None] * 4
    assert suggest_threshold(found)[0] is None
    assert gate_alarms(found, None) == []


def test_memory_does_not_grow():
    counts = counted(images(2))
    assert counts._pixels.shape == (2, C, 4)


def test_refused():
    with pytest.raises(ValueError, match='confidence lies'):
        LabelPrecision(2, [80])
    with pytest.raises(ValueError, match='after it resizes'):
        counted([(torch.zeros(2, 3, dtype=int), torch.zeros(2, 3),
                  torch.zeros(4, 6, dtype=int))])


def test_equal_names_are_told_apart():
    found = counted(images()).as_dict(['a', 'a', 'b', 'c'])
    assert list(found['precision']) == ['a (0)', 'a (1)', 'b (2)', 'c (3)']


def _summed(rank, world):
    counts = counted(list(images(5))[rank::world])
    return counts.summed().as_dict('abcd')


@pytest.mark.dist
def test_two_processes_count_as_one(gloo_pool):
    """One of them has an image more than the other."""
    alone = counted(images(5)).as_dict('abcd')
    assert gloo_pool(_summed, 2) == [alone, alone]


def given(images=20., **rows):
    """Precision and pixels by class at 0, 0.8 and 0.9."""
    thresholds = [0., .8, .9]
    pixels = {name: [p for _, p in row] for name, row in rows.items()}
    total = [sum(row[i] for row in pixels.values()) for i in range(3)]
    return dict(
        images=2,
        thresholds=thresholds,
        precision={
            name: [v for v, _ in row]
            for name, row in rows.items()
        },
        precision_of_all=[.5, .8, .9],
        kept=[n / total[0] for n in total],
        pixels=pixels,
        images_per_class={name: [images] * 3
                          for name in rows},
        labelled_pixels=dict.fromkeys(rows, 500))


def test_smallest_threshold_that_serves_every_class():
    found = given(
        a=[(.95, 900), (.97, 800), (.99, 700)],
        b=[(.6, 300), (.92, 200), (.95, 150)],
        rare=[(.1, 20), (.1, 10), (None, 0)])
    threshold, sentence = suggest_threshold(found)
    assert threshold == .8
    assert sentence.startswith('From confidence 0.8 on every class is right')
    assert suggest_threshold(found, .94)[0] == .9
    assert suggest_threshold(found, .5)[0] == 0.


def test_few_images_suggest_nothing():
    rows = dict(a=[(.95, 900)] * 3, b=[(.95, 300)] * 3, c=[(.95, 300)] * 3)
    found = given(**rows)
    assert suggest_threshold(found)[0] == 0.
    found['images_per_class']['a'] = [4.9] * 3
    assert suggest_threshold(found)[0] == 0.  # most are judged
    found['images_per_class']['b'] = [2.] * 3
    threshold, sentence = suggest_threshold(found)
    assert threshold is None
    assert '1 of 3 classes are predicted in 5 images or more' in sentence
    assert suggest_threshold(found, min_images=1)[0] == 0.


def test_images_of_equal_weight():
    full, one = torch.zeros(4, 5, dtype=int), torch.zeros(1, 1, dtype=int)
    counts = counted([(full, torch.ones(4, 5), full)] * 3)
    assert counts.effective_images[0].tolist() == [3.] * 4
    assert not counts.effective_images[1].any()
    counts.add(one, torch.ones(1, 1), one)  # a stray pixel is no image
    assert 3 < counts.effective_images[0, 0] < 3.2
    assert counts.as_dict('abcd')['images_per_class']['a'][0] == 3.1


def test_else_the_best_compromise():
    found = given(
        a=[(.95, 900), (.97, 800), (.99, 700)],
        b=[(.6, 300), (.7, 200), (.8, 150)])
    threshold, sentence = suggest_threshold(found)
    assert threshold == .9
    assert '1 of 2 classes are, not b (80%).' in sentence


def test_a_class_that_a_threshold_drops_does_not_pass_there():
    found = given(
        a=[(.95, 900), (.97, 800), (.99, 700)],
        b=[(.6, 300), (.7, 200), (1., 5)])
    threshold, sentence = suggest_threshold(found)
    assert threshold == .8 and 'not b (70%)' in sentence


def test_alarms_name_classes():
    found = given(
        a=[(.95, 900), (.97, 800), (.99, 700)],
        b=[(.6, 300), (.65, 200), (.8, 150)],
        rare=[(.1, 20), (.1, 10), (.1, 10)])
    (alarm, ) = gate_alarms(found, .8)
    assert 'of b (65% by 20 images) are right in less than 70%' in alarm
    assert 'from confidence 0.8 on' in alarm
    assert gate_alarms(found, .9) == []
    (alarm, ) = gate_alarms(found, None)
    assert 'b (60% by' in alarm and 'at any confidence' in alarm


@pytest.mark.parametrize('source, word', [('held_out', 'held-out labelled'),
                                          ('validation', 'validation')])
def test_two_lines(source, word):
    found = given(
        a=[(.95, 900), (.97, 800), (.99, 700)],
        b=[(.6, 300), (.92, 200), (.95, 150)])
    suggested, suggestion = suggest_threshold(found)
    first, second = gate_lines(
        dict(
            found,
            source=source,
            network='teacher',
            iteration=40,
            threshold=.9,
            suggested=suggested,
            suggestion=suggestion))
    assert first == (
        f'Pseudo-labels (teacher, iteration 40, 2 {word} images) from '
        'confidence 0.9 on: 90.0% right, 71% of the pixels; least right: '
        'b (95%), a (99%).')
    assert second.startswith('Suggested threshold 0.8: From confidence 0.8')
    assert ('do not choose a threshold' in second) == (source == 'validation')
