# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmseg.registry import TRANSFORMS

from mmseg_semi.datasets.transforms import (InitValidMap, MultiBranch,
                                            PackSemiInputs)

BRANCHES = ['sup', 'unsup_teacher', 'unsup_student']
GEOMETRY = [
    dict(type='InitValidMap'),
    dict(type='RandomLongSideResize'),
    dict(type='RandomPadCrop', crop_size=24, pad='corner'),
    dict(type='RandomFlip', prob=0.5),
]


def build(*cfgs):
    return Compose([TRANSFORMS.build(cfg) for cfg in cfgs])


def unlabeled():
    image = np.random.randint(0, 256, (20, 30, 3)).astype(np.uint8)
    return dict(img=image, img_path='a.jpg', ori_shape=(20, 30))


def inverted(results):
    results['img'] = 255 - results['img']
    return results


def two_views(student=()):
    return dict(
        type='MultiBranch',
        branch_field=BRANCHES,
        unsup_teacher=[dict(type='PackSemiInputs')],
        unsup_student=[*student, dict(type='PackSemiInputs')])


@pytest.fixture(autouse=True)
def seeded():
    np.random.seed(0)


def test_views_share_geometry_and_pixels():
    pipeline = build(*GEOMETRY, two_views())
    flips = set()
    for _ in range(20):
        packed = pipeline(unlabeled())
        weak, strong = (packed['inputs'][b] for b in BRANCHES[1:])
        assert torch.equal(weak, strong)
        assert weak.data_ptr() != strong.data_ptr()
        samples = [packed['data_samples'][b] for b in BRANCHES[1:]]
        assert torch.equal(*[s.valid_map.data for s in samples])
        assert samples[0].flip == samples[1].flip
        flips.add(samples[0].flip)
    assert flips == {True, False}


def test_strong_colours_touch_the_student_only():
    packed = build(*GEOMETRY, two_views([inverted]))(unlabeled())
    weak, strong = (packed['inputs'][b] for b in BRANCHES[1:])
    assert torch.equal(strong, 255 - weak)


def test_every_sample_has_every_branch():
    packed = build(*GEOMETRY, two_views())(unlabeled())
    assert packed.keys() == {'inputs', 'data_samples'}
    for field in packed.values():
        assert list(field) == BRANCHES
        assert field['sup'] is None


def test_labelled_and_unlabelled_samples_collate():
    label = np.full((24, 24), 3, np.uint8)
    labeled = dict(
        img=np.zeros((24, 24, 3), np.uint8),
        gt_seg_map=label,
        seg_fields=['gt_seg_map'])
    sup = build(
        dict(
            type='MultiBranch',
            branch_field=BRANCHES,
            sup=[dict(type='PackSemiInputs')]))(
                labeled)
    unsup = build(*GEOMETRY, two_views())(unlabeled())
    batch = pseudo_collate([sup, unsup])
    assert list(batch['inputs']) == BRANCHES
    assert [x is None for x in batch['inputs']['sup']] == [False, True]
    assert [x is None
            for x in batch['inputs']['unsup_student']] == [True, False]
    sample = batch['data_samples']['sup'][0]
    assert sample.gt_sem_seg.data.shape == (1, 24, 24)
    assert 'valid_map' not in sample


def test_branches_cannot_see_each_other():

    def spoil(results):
        results['img'][:] = 0
        results['seg_fields'].clear()
        return results

    source = InitValidMap()(unlabeled())
    before = source['img'].copy()
    branch = MultiBranch(
        BRANCHES,
        unsup_teacher=[spoil, dict(type='PackSemiInputs')],
        unsup_student=[dict(type='PackSemiInputs')])
    packed = branch(source)
    np.testing.assert_array_equal(source['img'], before)
    assert source['seg_fields'] == ['valid_map']
    assert packed['inputs']['unsup_student'].any()
    assert not packed['inputs']['unsup_teacher'].any()


def test_a_dropped_sample_is_dropped():
    branch = MultiBranch(['sup'], sup=[lambda results: None])
    assert branch(unlabeled()) is None


def test_multi_branch_errors():
    with pytest.raises(ValueError, match=r"unknown: \['unsup_techer'\]"):
        MultiBranch(BRANCHES, unsup_techer=[])
    with pytest.raises(ValueError, match='at least one'):
        MultiBranch(BRANCHES)
    with pytest.raises(KeyError, match='PackSemiInputs'):
        MultiBranch(['sup'], sup=[dict(type='InitValidMap')])(unlabeled())


def test_valid_map_is_packed():
    results = InitValidMap()(unlabeled())
    results['valid_map'][3:5] = 255
    sample = PackSemiInputs()(results)['data_samples']
    assert sample.valid_map.data.dtype == torch.uint8
    assert sample.valid_map.data.shape == (1, 20, 30)
    assert (sample.valid_map.data[0] == 255).sum() == 60
    assert 'gt_sem_seg' not in sample
    assert sample.img_path == 'a.jpg'


def test_flipped_valid_map_is_packed():
    results = InitValidMap()(unlabeled())
    results['valid_map'][:, 0] = 255
    results['valid_map'] = results['valid_map'][:, ::-1]
    data = PackSemiInputs()(results)['data_samples'].valid_map.data
    assert (data[0, :, -1] == 255).all() and not data[0, :, 0].any()


def test_init_valid_map_is_idempotent():
    results = InitValidMap()(InitValidMap()(unlabeled()))
    assert results['seg_fields'] == ['valid_map']


def test_repr():
    assert repr(InitValidMap()) == 'InitValidMap()'
    text = repr(MultiBranch(['sup'], sup=[dict(type='InitValidMap')]))
    assert text.startswith("MultiBranch(branch_field=['sup'], "
                           "branch_pipelines={'sup': Compose(")
