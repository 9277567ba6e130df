# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS, TRANSFORMS

from mmseg_semi.datasets.transforms import PadCenterCrop

SIZE = 13


def _slow(array, size, value):
    """Where each output pixel comes from, one by one."""
    out = np.empty((*size, *array.shape[2:]), array.dtype)
    for y, x in np.ndindex(*size):
        place = []
        for at, length, side in zip((y, x), array.shape, size):
            before = (side - length) // 2 if length < side else \
                -((length - side) // 2)
            place.append(at - before)
        inside = all(0 <= at < length
                     for at, length in zip(place, array.shape))
        out[y, x] = array[tuple(place)] if inside else value
    return out


def sample(height, width):
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        gt_seg_map=rng.integers(0, 21, (height, width), dtype=np.uint8),
        seg_fields=['gt_seg_map'],
        img_shape=(height, width),
        ori_shape=(height, width))


@pytest.mark.parametrize('shape', [(13, 13), (8, 11), (9, 12), (20, 17),
                                   (8, 18), (1, 1)])
@pytest.mark.parametrize('size', [SIZE, (10, 13)])
def test_equals_pixel_by_pixel(shape, size):
    before = sample(*shape)
    after = TRANSFORMS.build(dict(type='PadCenterCrop', crop_size=size))(
        sample(*shape))
    pair = (size, size) if isinstance(size, int) else size
    mean = np.float32((103.53, 116.28, 123.675))
    np.testing.assert_array_equal(
        after['img'], _slow(before['img'].astype(np.float32), pair, mean))
    np.testing.assert_array_equal(after['gt_seg_map'],
                                  _slow(before['gt_seg_map'], pair, 0))
    assert after['img_shape'] == after['ori_shape'] == pair
    assert after['gt_seg_map'].dtype == np.uint8


def test_the_border_is_zero_for_the_network():
    after = PadCenterCrop(SIZE)(sample(7, 10))
    preprocessor = MODELS.build(
        dict(
            type='SemiDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True))
    image = torch.from_numpy(after['img']).permute(2, 0, 1)
    inputs = preprocessor(dict(inputs=[image], data_samples=None))['inputs'][0]
    assert (inputs[:, :3] == 0).all() and (inputs[:, :, -2:] == 0).all()
    assert (inputs[:, 3:10, 1:11] != 0).all()


def test_label_of_the_border_is_an_option():
    after = PadCenterCrop(SIZE, seg_pad_val=255)(sample(7, 10))
    assert (after['gt_seg_map'] == 255).sum() == SIZE**2 - 70


def test_without_a_label():
    """Inference keeps the size; a label that comes later would not fit."""
    results = sample(7, 10)
    del results['gt_seg_map']
    results['seg_fields'] = []
    unchanged = PadCenterCrop(SIZE)(dict(results))
    assert unchanged['img'] is results['img']
    assert unchanged['ori_shape'] == (7, 10)
    results['seg_map_path'] = 'masks/a.png'
    with pytest.raises(ValueError, match='masks/a.png is not loaded yet'):
        PadCenterCrop(SIZE)(results)


@pytest.mark.parametrize('size', [0, (3, ), (4, 5, 6), (-1, 5)])
def test_bad_size(size):
    with pytest.raises(ValueError, match='crop_size must be'):
        PadCenterCrop(size)
