# Copyright (c) mmseg_semi authors.
import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmseg.registry import TRANSFORMS

from mmseg_semi.datasets.transforms import (InitValidMap, RandomLongSideResize,
                                            RandomPadCrop, RandomShift,
                                            RandomTwoSidedResize)
from mmseg_semi.datasets.transforms.channels import MEAN_COLOR


@pytest.fixture(autouse=True)
def seeded():
    np.random.seed(0)


def sample(height, width, label=True):
    """An image whose pixels tell their position, and maps that agree."""
    rows, cols = np.mgrid[:height, :width]
    image = np.stack([rows, cols, rows + cols], -1).astype(np.uint8)
    results = InitValidMap()(dict(img=image, img_shape=(height, width)))
    if label:
        results['gt_seg_map'] = ((rows + 2 * cols) % 19).astype(np.uint8)
        results['seg_fields'].append('gt_seg_map')
    return results


def test_two_sided_law():
    """Half of the draws shrink; both halves are uniform."""
    resize = RandomTwoSidedResize(0.5, 2)
    factors = np.array(
        [resize.random_size(10**6, 10**6)[0] / 10**6 for _ in range(4000)])
    small, large = factors[factors < 1], factors[factors >= 1]
    assert abs(len(small) / 4000 - 0.5) < 0.03
    assert 0.5 <= small.min() < 0.51 and 1.98 < large.max() <= 2
    assert abs(small.mean() - 0.75) < 0.01 and abs(large.mean() - 1.5) < 0.02


def test_two_sided_truncates_and_keeps_the_factor():
    resize = RandomTwoSidedResize()
    for _ in range(50):
        state = np.random.get_state()
        height, width = resize.random_size(37, 53)
        np.random.set_state(state)
        lower = np.random.rand() < 0.5
        factor = np.random.uniform(*((0.5, 1) if lower else (1, 2)))
        assert (height, width) == (int(37 * factor), int(53 * factor))


def test_long_side_law():
    """Uniform over the integers from int(.5 L) to int(2 L), both included."""
    resize = RandomLongSideResize(0.5, 2)
    sizes = np.array([resize.random_size(7, 5) for _ in range(6000)])
    counts = np.bincount(sizes[:, 0])
    assert counts[:3].sum() == 0 and len(counts) == 15
    np.testing.assert_allclose(counts[3:] / 6000, 1 / 12, atol=0.015)
    expected = np.floor(5 * sizes[:, 0] / 7 + 0.5)
    np.testing.assert_array_equal(sizes[:, 1], expected)
    wide = np.array([resize.random_size(5, 7) for _ in range(200)])
    assert set(wide[:, 1]) <= set(range(3, 15))
    assert np.all(wide[:, 1] >= wide[:, 0])


@pytest.mark.parametrize('kind', [RandomTwoSidedResize, RandomLongSideResize])
def test_resize_moves_every_map(kind):
    for _ in range(10):
        results = kind()(sample(40, 60))
        shape = results['img'].shape[:2]
        assert results['img_shape'] == shape
        assert results['gt_seg_map'].shape == shape
        assert results['valid_map'].shape == shape
        assert not results['valid_map'].any()
        assert results['scale_factor'] == (shape[1] / 60, shape[0] / 40)
        assert set(np.unique(results['gt_seg_map'])) <= set(range(19))


def test_two_sided_resize_is_plain_bilinear():
    results = RandomTwoSidedResize()(sample(40, 60))
    height, width = results['img_shape']
    reference = cv2.resize(
        sample(40, 60)['img'], (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(results['img'], reference)


def test_a_tiny_image_keeps_a_pixel():
    for _ in range(20):
        assert min(RandomTwoSidedResize()(sample(1, 3))['img_shape']) >= 1


@pytest.mark.parametrize('pad, top, left', [('symmetric', 5, 2),
                                            ('corner', 0, 0)])
def test_padding_of_a_small_image(pad, top, left):
    original = sample(21, 27)
    results = RandomPadCrop(32, pad=pad)(sample(21, 27))
    color = MEAN_COLOR if pad == 'symmetric' else (0, 0, 0)
    image = np.full((32, 32, 3), color, np.uint8)
    label = np.full((32, 32), 255, np.uint8)
    valid = label.copy()
    window = np.s_[top:top + 21, left:left + 27]
    image[window] = original['img']
    label[window] = original['gt_seg_map']
    valid[window] = 0
    np.testing.assert_array_equal(results['img'], image)
    np.testing.assert_array_equal(results['gt_seg_map'], label)
    np.testing.assert_array_equal(results['valid_map'], valid)
    assert results['img_shape'] == (32, 32)


def test_official_padding_label_leaves_the_valid_map():
    results = RandomPadCrop(32, seg_pad_val=0, img_pad_val=7)(sample(21, 27))
    padding = results['valid_map'] == 255
    assert padding.sum() == 32 * 32 - 21 * 27
    assert not results['gt_seg_map'][padding].any()
    assert (results['img'][padding] == 7).all()


@pytest.mark.parametrize('pad', ['symmetric', 'corner'])
def test_crop_of_a_mixed_size_is_a_window(pad):
    """One side is padded, the other one cropped, at uniform offsets."""
    original, offsets = sample(20, 50), []
    for _ in range(200):
        results = RandomPadCrop((24, 32), pad=pad)(sample(20, 50))
        real = results['valid_map'] == 0
        assert real.sum() == 20 * 32
        top = 2 if pad == 'symmetric' else 0
        assert real[top:top + 20].all()
        offset = results['img'][top, 0, 1]
        window = np.s_[:, offset:offset + 32]
        np.testing.assert_array_equal(results['img'][top:top + 20],
                                      original['img'][window])
        np.testing.assert_array_equal(results['gt_seg_map'][top:top + 20],
                                      original['gt_seg_map'][window])
        offsets.append(int(offset))
    assert set(offsets) == set(range(19))


def test_crop_without_label():
    results = RandomPadCrop(16)(sample(20, 30, label=False))
    assert 'gt_seg_map' not in results
    assert results['valid_map'].shape == (16, 16)


def test_shift_is_a_roll_with_padding():
    shift, offsets = RandomShift(2), []
    for _ in range(200):
        state = np.random.get_state()
        results = shift(sample(20, 30))
        np.random.set_state(state)
        down, right = shift.random_offset()
        offsets.append((down, right))
        original, valid = sample(20, 30), np.zeros((20, 30), bool)
        for row in range(20):
            for col in range(30):
                source = (row - down, col - right)
                if 0 <= source[0] < 20 and 0 <= source[1] < 30:
                    valid[row, col] = True
        for key in ('img', 'gt_seg_map'):
            rolled = np.roll(original[key], (down, right), (0, 1))
            np.testing.assert_array_equal(results[key][valid], rolled[valid])
        np.testing.assert_array_equal(results['valid_map'] == 0, valid)
        assert (results['gt_seg_map'][~valid] == 255).all()
        assert (results['img'][~valid] == MEAN_COLOR).all()
        assert results['img_shape'] == results['img'].shape[:2] == (20, 30)
    assert len(set(offsets)) == 25


def test_valid_map_through_the_whole_pipeline():
    """Real pixels of a white image stay white, padding stays black."""
    pipeline = Compose([
        InitValidMap(),
        RandomLongSideResize(),
        RandomPadCrop(40, pad='corner'),
        TRANSFORMS.build(dict(type='RandomFlip', prob=0.5)),
    ])
    padded = 0
    for _ in range(30):
        results = pipeline(
            dict(img=np.full((30, 45, 3), 255, np.uint8), img_shape=(30, 45)))
        white = (results['img'] == 255).all(-1)
        np.testing.assert_array_equal(results['valid_map'],
                                      np.where(white, 0, 255))
        padded += not white.all()
    assert padded > 0


@pytest.mark.parametrize('cfg', [
    dict(type='RandomPadCrop', crop_size=8, pad='middle'),
    dict(type='RandomTwoSidedResize', low=1.5),
    dict(type='RandomLongSideResize', low=3., high=2.),
    dict(type='RandomShift', max_shift=-1),
])
def test_senseless_arguments(cfg):
    with pytest.raises(ValueError, match='(pad|low|max_shift)'):
        TRANSFORMS.build(cfg)


@pytest.mark.parametrize('cfg, text', [
    (dict(type='RandomTwoSidedResize'),
     'RandomTwoSidedResize(low=0.5, high=2.0, backend=cv2, '
     'interpolation=bilinear)'),
    (dict(type='RandomPadCrop', crop_size=8, pad='corner'),
     "RandomPadCrop(crop_size=(8, 8), pad='corner', img_pad_val=0, "
     'seg_pad_val=255, cat_max_ratio=1.0)'),
    (dict(type='RandomShift', img_pad_val=0),
     'RandomShift(max_shift=6, img_pad_val=0, seg_pad_val=255)'),
])
def test_repr(cfg, text):
    assert repr(TRANSFORMS.build(cfg)) == text


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('bands', [1, 2, 4, 6])
@pytest.mark.parametrize(
    'cfg', [
        dict(type='RandomTwoSidedResize'),
        dict(type='RandomLongSideResize'),
        dict(type='RandomPadCrop', crop_size=40),
        dict(type='RandomPadCrop', crop_size=40, pad='corner'),
        dict(type='RandomShift'),
        dict(type='PadCenterCrop', crop_size=40),
    ],
    ids=lambda c: c['type'])
def test_any_number_of_bands(cfg, bands, dtype):
    """Every band is treated as one by itself."""
    transform = TRANSFORMS.build(cfg)
    image = np.random.uniform(0, 255, (21, 27, bands)).astype(dtype)
    whole, single = [], []
    for result, part in ((whole, image), (single, image[..., -1:])):
        np.random.seed(3)
        results = transform(
            dict(
                img=part.copy(),
                gt_seg_map=np.zeros((21, 27), np.uint8),
                seg_fields=['gt_seg_map']))
        assert results['img'].shape[:2] == results['gt_seg_map'].shape
        assert results['img_shape'] == results['img'].shape[:2]
        result.append(np.atleast_3d(results['img']))
    assert whole[0].shape[2] == bands
    if cfg['type'] != 'PadCenterCrop':
        assert whole[0].dtype == dtype
    np.testing.assert_allclose(whole[0][..., -1:], single[0], atol=1e-3)


def test_pillow_resizes_floats_as_it_resizes_8_bits():
    image = np.random.randint(0, 256, (60, 80, 3)).astype(np.uint8)
    outcome = []
    for part in (image, image.astype(np.float32)):
        np.random.seed(1)
        outcome.append(
            TRANSFORMS.build(dict(type='RandomLongSideResize',
                                  high=.9))(dict(img=part)))
    first, second = outcome
    assert second['img'].dtype == np.float32
    assert np.abs(first['img'] - second['img']).max() <= 1
    assert first['scale_factor'] == second['scale_factor']


def test_padding_of_bands():
    image = np.zeros((2, 2, 5), np.float32)
    options = dict(type='RandomPadCrop', crop_size=4)
    for value, expected in ((None, [np.mean(MEAN_COLOR)] * 5), (7, [7] * 5),
                            ((1, 2, 3, 4, 5), [1, 2, 3, 4, 5])):
        padded = TRANSFORMS.build(dict(options, img_pad_val=value))(
            dict(img=image.copy()))['img']
        np.testing.assert_allclose(padded[0, 0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match='3 levels, the image 5 bands'):
        TRANSFORMS.build(dict(options, img_pad_val=(1, 2, 3)))(dict(img=image))
