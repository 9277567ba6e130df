# Copyright (c) mmseg_semi authors.
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.datasets import SemiSampler
from mmseg_semi.datasets.class_pixels import class_pixels
from .conftest import Tree


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def tree(tmp_path):
    found = Tree(tmp_path / 'data', 5)
    found.mask('SegmentationClass/i000.png', 0, 1, 2, 255)  # 20 of each
    return found


def slow(paths, change):
    """Pixels of three classes, counted one by one."""
    rows = []
    for path in paths:
        ids = [change(i) for i in np.asarray(Image.open(path)).ravel()]
        rows.append([ids.count(c) for c in range(3)])
    return rows


class TestClassPixels:

    @pytest.mark.parametrize('options, change', [
        ({}, lambda i: i),
        (dict(reduce_zero_label=True), lambda i: i - 1 if 0 < i < 255 else 9),
        (dict(ignore_index=1), lambda i: 9 if i == 1 else i),
    ])
    def test_they_are_those_of_the_masks(self, tree, options, change):
        cfg = tree.labeled(ann_file='', **options)
        dataset = DATASETS.build(cfg)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        paths = [info['seg_map_path'] for info in infos]
        assert len(paths) == 5
        assert class_pixels(dataset).tolist() == slow(paths, change)

    def test_label_map_of_other_names(self, tree):
        cfg = tree.labeled(ann_file='lists/val.txt')
        tree.list('val', tree.stems)
        cfg['metainfo'] = dict(classes=('bicycle', 'background'))
        dataset = DATASETS.build(
            dict(cfg, type='PascalVOCDataset', img_suffix='.jpg'))
        labels = dataset.get_data_info(0)['label_map']
        ids = np.asarray(Image.open(
            dataset.get_data_info(0)['seg_map_path'])).ravel()
        found = [labels.get(i, i) for i in ids.tolist()]
        assert class_pixels(dataset)[0].tolist() == [
            found.count(0), found.count(1)
        ]

    def test_no_label_map(self, tree):
        path = tree.root / 'SegmentationClass/i003.png'
        Image.new('RGB', (10, 8), 'red').save(path)
        with pytest.raises(ValueError, match='i003.png cannot be counted'):
            class_pixels(DATASETS.build(tree.labeled(ann_file='')))


class Numbers:
    """Sources of 4 and 3 images, a rare class and one without a pixel."""
    source_lengths = 4, 3
    pixels = np.array([[90, 10, 0, 0], [80, 0, 0, 0], [100, 0, 0, 20],
                       [0, 0, 0, 0]])

    def class_pixels(self):
        return self.pixels


class TestRareClasses:

    def sampler(self, temperature, **kwargs):
        return SemiSampler(
            Numbers(), (2, 1),
            seed=0,
            rare_class_temperature=temperature,
            **kwargs)

    def draws(self, sampler, number):
        stream = iter(sampler)
        return [int(next(stream)) for _ in range(number)]

    def test_images_as_often_as_the_law_says(self):
        temperature, share = .5, np.array([270, 10, 20]) / 300
        classes = np.exp((1 - share) / temperature)
        classes /= classes.sum()
        wanted = [
            classes[0] / 3 + classes[1], classes[0] / 3,
            classes[0] / 3 + classes[2], 0
        ]
        number = 6000
        found = Counter(
            i for i in self.draws(self.sampler(temperature), number * 3 // 2)
            if i < 4)
        for i, p in enumerate(wanted):  # within five standard deviations
            spread = 5 * (number * p * (1 - p))**.5
            assert abs(found[i] - number * p) <= spread

    def test_unlabelled_images_walk_in_passes(self):
        plain = SemiSampler(Numbers(), (2, 1), seed=0)
        a, b = (self.draws(s, 60) for s in (plain, self.sampler(.01)))
        assert a[2::3] == b[2::3]

    def test_the_stream_is_a_function_of_the_position(self):
        whole = self.draws(self.sampler(.2), 60)
        later = self.sampler(.2)
        later.skip(30)
        assert self.draws(later, 30) == whole[30:]

    @pytest.mark.parametrize('temperature', [0, -1, float('nan'), 'small'])
    def test_temperature_is_positive(self, temperature):
        with pytest.raises(ValueError, match='must be above 0'):
            self.sampler(temperature)

    def test_the_dataset_must_count(self):
        with pytest.raises(TypeError, match='class_pixels.*SemiSegDataset'):
            SemiSampler(
                SimpleNamespace(source_lengths=(1, 1)), (1, 1),
                rare_class_temperature=1)

    def test_something_is_labelled(self, monkeypatch):
        monkeypatch.setattr(Numbers, 'pixels', np.zeros((4, 4), int))
        with pytest.raises(ValueError, match='no labelled pixel'):
            self.sampler(1)
