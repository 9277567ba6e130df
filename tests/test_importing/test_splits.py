# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest

from mmseg_semi.importing.findings import Findings
from mmseg_semi.importing.groups import group_keys
from mmseg_semi.importing.photos import Photo
from mmseg_semi.importing.stratify import stratified_split


def photos(*names):
    return [Photo(name, name) for name in names]


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('share', [.1, .2, .5])
def test_every_class_has_its_share(seed, share):
    """One class an image: the share is met as well as numbers allow."""
    counts = np.array([50, 20, 8, 3, 2, 1])
    labels = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(6), counts))
    chosen = stratified_split(
        np.eye(6, dtype=bool)[labels], np.arange(len(labels)), share, seed)
    got = np.bincount(labels[chosen], minlength=6)
    wanted = np.where(counts >= 2, np.maximum(1, share * counts),
                      share * counts)
    assert (abs(got - wanted) <= .5 + 1e-9).all()


@pytest.mark.parametrize('seed', range(5))
def test_many_classes_an_image(seed):
    """Rare classes are in both sets, which chance alone would not give."""
    random = np.random.default_rng(seed)
    rate = np.array([1, .6, .3, .1, .05, .04])
    presence = random.random((100, 6)) < rate
    chosen = stratified_split(presence, np.arange(100), .2, seed)
    assert 15 <= chosen.sum() <= 25
    held = presence.sum(0)
    for part in (presence[chosen].sum(0), presence[~chosen].sum(0)):
        assert (part[held >= 2] >= 1).all()
    share = presence[chosen].sum(0) / held
    assert (abs(share[held >= 20] - .2) < .1).all()


def test_groups_stay_together_and_seeds_matter():
    random = np.random.default_rng(0)
    presence = random.random((60, 3)) < .5
    groups = np.repeat(np.arange(12), 5)
    splits = [stratified_split(presence, groups, .25, s) for s in (0, 0, 1)]
    np.testing.assert_array_equal(splits[0], splits[1])
    assert (splits[0] != splits[2]).any()
    by_group = splits[0].reshape(12, 5)
    assert (by_group == by_group[:, :1]).all()
    assert 2 <= by_group[:, 0].sum() <= 4


def test_two_groups_give_two_sets():
    presence = np.ones((10, 2), bool)
    groups = np.array([0] * 9 + [1])
    chosen = stratified_split(presence, groups, .2, 0)
    assert chosen.tolist() == [False] * 9 + [True]
    with pytest.raises(ValueError, match='one group.*--group-by.*--val 0'):
        stratified_split(presence, groups * 0, .2, 0)
    with pytest.raises(ValueError, match='--val: 1'):
        stratified_split(presence, groups, 1, 0)


def test_group_keys(tmp_path):
    images = photos('x/s1_a.jpg', 'x/s1_b.JPG', 'y/s2_a.png')

    def keys(how):
        return list(group_keys(images, how, Findings()).values())

    assert len(set(keys('none'))) == 3
    assert keys('folder') == ['x', 'x', 'y']
    assert keys('prefix:s[0-9]') == ['s1', 's1', 's2']
    assert keys('prefix:(s)[0-9]') == ['s', 's', 's']
    table = tmp_path / 'plots.csv'
    table.write_text('plot,file\nA,s1_a.jpg\nA,x/s1_b\nB,s2_a\n')
    assert keys(f'csv:{table}:plot') == ['A', 'A', 'B']
    with pytest.raises(ValueError, match="no column 'field'.*plot, file"):
        keys(f'csv:{table}:field')
    with pytest.raises(ValueError, match='none of none, folder'):
        keys('year')
    findings = Findings()
    group_keys(images, 'prefix:s1', findings)
    assert [f.path for f in findings.all] == ['y/s2_a.png']
