# Copyright (c) mmseg_semi authors.
import random

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_semi.data_check import check_config
from mmseg_semi.datasets import SemiSampler, SemiSegDataset
from mmseg_semi.datasets.held_out import choose_held_out, held_out_number
from mmseg_semi.datasets.splits import split_hash

TEST = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]


def build(tree, held_out, labeled=None, **kwargs):
    labeled = labeled or tree.labeled(ann_file='lists/ten.txt')
    return SemiSegDataset(
        labeled, tree.unlabeled(), held_out=held_out, **kwargs)


def stems(infos):
    return [info['img_path'].rsplit('/', 1)[1][:-4] for info in infos]


def infos(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.fixture
def ten(tree):
    """Image i shows class i % 3 alone."""
    tree.list('ten', tree.stems[:10])
    return tree


def test_held_out_images_are_not_read_at_all(ten):
    dataset = build(ten, 4)
    held = stems([dict(img_path=path) for path in dataset.held_out])
    assert len(held) == 4 and held == sorted(held)
    assert dataset.source_lengths == (6, 10)  # neither labelled nor not
    read = stems(infos(dataset))
    assert not set(held) & set(read)
    assert sorted(held + read) == ten.stems
    loaded = {dataset[i]['data_samples'].img_path for i in range(16)}
    assert not loaded & set(dataset.held_out)
    assert len(dataset.class_pixels()) == 6
    sampler = SemiSampler(dataset, (2, 2))
    assert sampler.source_lengths == (6, 10)


def test_split_info_says_it(ten):
    dataset = build(ten, .3)
    trained = stems(infos(dataset))[:7]
    assert dataset.split_info == dict(
        name='ten',
        labeled=7,
        unlabeled=10,
        held_out=3,
        sha256=split_hash(trained))


def test_none_is_held_out_by_default(ten):
    one, other = build(ten, 0), SemiSegDataset(
        ten.labeled(ann_file='lists/ten.txt'), ten.unlabeled())
    assert one.split_info == other.split_info
    assert 'held_out' not in one.split_info
    assert type(one.labeled) is type(DATASETS.build(ten.labeled()))
    assert one.held_out == () and len(one.held_out_set(TEST)) == 0


def test_the_slice_depends_on_the_names_alone(ten):
    first = build(ten, 3).held_out
    shuffled = ten.stems[:10]
    random.Random(1).shuffle(shuffled)
    ten.list('ten', shuffled)
    np.random.seed(5)
    assert build(ten, 3).held_out == first


def test_every_class_is_on_both_sides(ten):
    dataset = build(ten, 3)
    assert (dataset.class_pixels().sum(0) > 0).all()
    masks = [
        sample['data_samples'].gt_sem_seg.data.unique().tolist()
        for sample in map(dataset.held_out_set(TEST).__getitem__, range(3))
    ]
    assert sorted(masks) == [[0], [1], [2]]


def test_held_out_set_is_loaded_as_said(ten):
    dataset = build(ten, 3)
    found = dataset.held_out_set(TEST)
    assert tuple(sorted(info['img_path']
                        for info in infos(found))) == dataset.held_out
    assert found.metainfo['classes'] == ('a', 'b', 'c')
    assert found.ignore_index == 255
    assert found[0]['inputs'].shape == (3, 8, 10)


def test_several_and_repeated_labelled_sets(ten):
    ten.list('five', ten.stems[10:15])
    labeled = [
        dict(
            type='RepeatDataset',
            times=2,
            dataset=ten.labeled(ann_file='lists/ten.txt')),
        ten.labeled(ann_file='lists/five.txt')
    ]
    dataset = build(ten, 6, labeled)
    assert len(dataset.held_out) == len(dataset.held_out_set(TEST)) == 6
    read = stems(infos(dataset.labeled))
    held = stems([dict(img_path=path) for path in dataset.held_out])
    assert not set(read) & set(held)
    assert set(read) | set(held) == set(ten.stems[:15])
    assert dataset.source_lengths[1] == 5


@pytest.mark.parametrize('held_out, message', [
    (10, 'holds 10 of 10 labelled images out'),
    (-1, 'must be a share'),
    (2.5, 'must be a share'),
    (True, 'must be a share'),
    ('a', 'must be a share'),
])
def test_refused(ten, held_out, message):
    with pytest.raises(ValueError, match=message):
        build(ten, held_out)


def test_the_check_of_the_data_refuses_it_too(ten):
    dataset = dict(
        type='SemiSegDataset',
        labeled=ten.labeled(ann_file='lists/ten.txt'),
        held_out=10)
    report = check_config(
        Config(dict(train_dataloader=dict(dataset=dataset))), pipelines=False)
    (finding, ) = report.errors
    assert finding.path.endswith('held_out') and '10 of 10' in finding.value


@pytest.mark.parametrize('held_out, images, number', [(.1, 100, 10),
                                                      (.1, 3, 1), (.25, 10, 2),
                                                      (7, 10, 7), (0, 10, 0),
                                                      (1., 10, 1)])
def test_number(held_out, images, number):
    assert held_out_number(held_out, images) == number


def test_classes_keep_their_share():
    rng = np.random.default_rng(0)
    presence = rng.random((200, 6)) < [.9, .5, .3, .1, .05, .02]
    chosen = choose_held_out(presence, 40, 3)
    assert chosen.sum() == 40
    held, left = presence[chosen].sum(0), presence[~chosen].sum(0)
    assert (held > 0).all() and (left > 0).all()
    share = held / presence.sum(0)
    assert (share[:4] > .14).all() and (share[:4] < .35).all(), share


def test_a_class_of_one_image_stays_in_training():
    presence = np.zeros((12, 3), bool)
    presence[:, 0] = True
    presence[5, 1] = True
    presence[[2, 7], 2] = True
    for seed in range(20):
        chosen = choose_held_out(presence, 3, seed)
        assert not chosen[5]
        assert presence[chosen, 2].sum() == 1


def test_more_than_can_be_spared():
    """Each image has a class of its own, and still the number holds."""
    chosen = choose_held_out(np.eye(5, dtype=bool), 4, 0)
    assert chosen.sum() == 4
