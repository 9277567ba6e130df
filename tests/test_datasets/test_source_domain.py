# Copyright (c) mmseg_semi authors.
"""A labelled source domain beside the target's images."""
import itertools

import pytest
import torch

from mmseg_semi.datasets import SemiSampler, SemiSegDataset, StreamIndex
from mmseg_semi.datasets.splits import split_hash


def build(tree, unlabeled=None, **kwargs):
    return SemiSegDataset(tree.labeled(), tree.unlabeled(**(unlabeled or {})),
                          **kwargs)


@pytest.fixture
def domains(tree):
    """The tree and a source domain of three images."""
    for i in range(3):
        tree.image(f'game/images/{i:05d}.png', 100 + i)
        tree.mask(f'game/labels/{i:05d}.png', i)
    tree.game = tree.labeled(
        ann_file='',
        img_suffix='.png',
        data_prefix=dict(img_path='game/images', seg_map_path='game/labels'))
    return tree


def test_the_source_domain_comes_last_and_is_marked(domains):
    dataset = build(domains, labeled_source=domains.game)
    assert dataset.source_lengths == (5, 15, 3) and len(dataset) == 23
    marks = [dataset[i]['data_samples'].get('domain') for i in range(23)]
    assert marks == [None] * 20 + ['source'] * 3
    assert 'gt_sem_seg' in dataset[-1]['data_samples']
    assert dataset.get_data_info(21)['img_path'].endswith('game/images/00001'
                                                          '.png')
    assert dataset.split_info == dict(
        name='labeled',
        labeled=5,
        unlabeled=15,
        sha256=split_hash(domains.stems[:5]),
        source=3,
        source_sha256=split_hash(['00000', '00001', '00002']))


def test_branches_of_the_source_domain_are_marked(domains):
    domains.game['pipeline'] = domains.game['pipeline'][:2] + [
        dict(
            type='MultiBranch',
            branch_field=['sup', 'unsup_teacher'],
            sup=[dict(type='PackSemiInputs')])
    ]
    samples = build(domains, labeled_source=domains.game)[20]['data_samples']
    assert samples['sup'].domain == 'source'
    assert samples['unsup_teacher'] is None


def test_the_source_domain_without_unlabelled_images(domains):
    dataset = SemiSegDataset(domains.labeled(), labeled_source=domains.game)
    assert dataset.source_lengths == (5, 0, 3)
    assert dataset[5]['data_samples']['sup'].domain == 'source'
    draws = itertools.islice(SemiSampler(dataset, (2, 0, 1), seed=0), 6)
    assert [int(i) < 5 for i in draws] == [True, True, False] * 2


def test_the_source_domain_samples_are_a_function_of_position(domains):
    dataset = build(domains, labeled_source=domains.game)
    index = StreamIndex(22, position=7, seed=3)
    one, two = (dataset[index]['inputs'] for _ in range(2))
    assert torch.equal(one, two)


def test_faults_of_the_source_domain_are_named(domains):
    other = dict(domains.game, metainfo=dict(classes=('a', 'c', 'b')))
    with pytest.raises(ValueError, match='same classes in the same order'):
        build(domains, labeled_source=other)
    with pytest.raises(ValueError, match='labelled set and in labeled_source'):
        build(domains, labeled_source=domains.labeled())
    (domains.root / 'game/labels/00001.png').write_bytes(b'no image')
    with pytest.raises(RuntimeError, match='00001.png cannot be decoded'):
        build(domains, labeled_source=domains.game)[21]
    (domains.root / 'game/labels/00001.png').unlink()
    with pytest.raises(FileNotFoundError, match='labels/00001.png'):
        build(domains, labeled_source=domains.game)


def test_source_images_are_not_unlabelled(domains):
    both = dict(data_prefix=dict(img_path=['JPEGImages', 'game/images']))
    assert build(domains, unlabeled=both).source_lengths == (5, 18)
    dataset = build(domains, unlabeled=both, labeled_source=domains.game)
    assert dataset.source_lengths == (5, 15, 3)
