# Copyright (c) mmseg_semi authors.
import io
import pickle

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_semi.datasets.errors import UnreadableImageError
from mmseg_semi.datasets.transforms import (LoadStrictAnnotations,
                                            LoadStrictImage)


def encode(suffix, **options):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, suffix, **options)
    return stream.getvalue()


def with_thumbnail(jpeg):
    """Put a whole JPEG, end marker included, into an application segment."""
    thumb = encode('jpeg')
    size = (len(thumb) + 2).to_bytes(2, 'big')
    return jpeg[:2] + b'\xff\xe1' + size + thumb + jpeg[2:]


@pytest.mark.parametrize('suffix, options', [
    ('jpeg', {}),
    ('jpeg', dict(progressive=True)),
    ('png', {}),
    ('bmp', {}),
    ('tiff', {}),
    ('webp', dict(lossless=True)),
])
def test_whole_images_load_as_in_mmcv(tmp_path, suffix, options):
    path = tmp_path / f'a.{suffix}'
    path.write_bytes(encode(suffix, **options))
    ours = LoadStrictImage()(dict(img_path=str(path)))
    stock = LoadImageFromFile()(dict(img_path=str(path)))
    assert ours.keys() == stock.keys()
    np.testing.assert_array_equal(ours['img'], stock['img'])
    assert ours['img_shape'] == ours['ori_shape'] == (40, 50)


def test_jpeg_with_trailing_bytes_or_thumbnail_is_whole(tmp_path):
    jpeg = encode('jpeg')
    for data in (jpeg + b'\0' * 7, with_thumbnail(jpeg)):
        (tmp_path / 'a.jpg').write_bytes(data)
        image = LoadStrictImage()(dict(img_path=str(tmp_path / 'a.jpg')))
        assert image['img'].shape == (40, 50, 3)


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 255
                                    ]) + data[position + 1:]


BROKEN = dict(
    empty=(b'', 'empty'),
    half_jpeg=(lambda: encode('jpeg')[:1500], 'truncated'),
    almost_whole_jpeg=(lambda: encode('jpeg')[:-2], 'truncated'),
    half_progressive=(lambda: encode('jpeg', progressive=True)[:1500],
                      'truncated'),
    jpeg_header=(lambda: encode('jpeg')[:30], 'truncated'),
    jpeg_tail_of_zeros=(lambda: encode('jpeg')[:1500] + b'\0' * 900,
                        'truncated'),
    half_jpeg_with_thumbnail=(lambda: with_thumbnail(encode('jpeg'))[:-600],
                              'truncated'),
    half_png=(lambda: encode('png')[:2000], 'truncated'),
    png_without_end=(lambda: encode('png')[:-12], 'truncated'),
    bit_error_png=(lambda: flipped(encode('png'), 2000), 'checksum'),
    half_bmp=(lambda: encode('bmp')[:2000], 'decoded'),
    garbage=(bytes(range(256)) * 4, 'format'),
    html=(b'\n<!DOCTYPE html><html><body>404</body></html>', 'web page'),
)


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_images_raise_and_name_the_file(tmp_path, kind):
    data, word = BROKEN[kind]
    path = tmp_path / 'broken_17.jpg'
    path.write_bytes(data() if callable(data) else data)
    with pytest.raises(UnreadableImageError, match=word) as info:
        LoadStrictImage()(dict(img_path=str(path)))
    assert 'broken_17.jpg' in str(info.value)
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)
    assert LoadStrictImage(ignore_empty=True)(dict(img_path=str(path))) is None
    with pytest.raises(UnreadableImageError, match='broken_17'):
        LoadStrictAnnotations()(
            dict(
                seg_map_path=str(path), seg_fields=[],
                reduce_zero_label=False))


@pytest.mark.parametrize('suffix', ['tif', 'bmp', 'webp'])
def test_more_pixels_than_pillow_decodes(tmp_path, monkeypatch, suffix):
    path = str(tmp_path / f'a.{suffix}')
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 500)
    with pytest.raises(UnreadableImageError, match='1,000 pixels.*tiles'):
        LoadStrictImage().transform(dict(img_path=path))


def test_missing_image(tmp_path):
    with pytest.raises(UnreadableImageError, match='nowhere.png'):
        LoadStrictImage()(dict(img_path=str(tmp_path / 'nowhere.png')))


def load_mask(path, loader, **results):
    defaults = dict(
        seg_map_path=str(path), seg_fields=[], reduce_zero_label=False)
    return loader({**defaults, **results})


@pytest.fixture
def mask():
    mask = np.random.default_rng(0).integers(0, 5, (6, 7)).astype(np.uint8)
    mask[0, :2] = 255
    return mask


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 0, 2: 255, 3: 2}])
@pytest.mark.parametrize('mode', ['L', 'P'])
def test_label_map_is_that_of_mmseg(tmp_path, mask, reduce_zero_label,
                                    label_map, mode):
    picture = Image.fromarray(mask)
    if mode == 'P':
        picture.putpalette(np.arange(768) % 251)
    picture.save(tmp_path / 'm.png')
    extra = dict(reduce_zero_label=reduce_zero_label, label_map=label_map)
    ours = load_mask(tmp_path / 'm.png', LoadStrictAnnotations(), **extra)
    stock = load_mask(tmp_path / 'm.png', LoadAnnotations(), **extra)
    np.testing.assert_array_equal(ours['gt_seg_map'], stock['gt_seg_map'])
    assert ours['gt_seg_map'].dtype == np.uint8
    assert ours['seg_fields'] == stock['seg_fields'] == ['gt_seg_map']


def test_mask_of_one_row_keeps_two_dimensions(tmp_path):
    cv2.imwrite(str(tmp_path / 'm.png'), np.ones((1, 4), np.uint8))
    results = load_mask(tmp_path / 'm.png', LoadStrictAnnotations())
    assert results['gt_seg_map'].shape == (1, 4)


def test_ids_out_of_range_name_file_ids_and_cause(tmp_path, mask):
    Image.fromarray(mask + (mask == 4)).save(tmp_path / 'bad_3.png')
    with pytest.raises(ValueError, match=r'bad_3.png holds ids \[5\]'):
        load_mask(tmp_path / 'bad_3.png', LoadStrictAnnotations(num_classes=5))
    load_mask(tmp_path / 'bad_3.png', LoadStrictAnnotations(num_classes=6))


def test_ids_that_start_at_one(tmp_path, mask):
    mask[mask != 255] += 1
    Image.fromarray(mask).save(tmp_path / 'm.png')
    loader = LoadStrictAnnotations(num_classes=5)
    with pytest.raises(ValueError, match='reduce_zero_label=True'):
        load_mask(tmp_path / 'm.png', loader)
    load_mask(tmp_path / 'm.png', loader, reduce_zero_label=True)


def test_grey_levels_instead_of_ids(tmp_path):
    Image.fromarray(np.uint8([[0, 128], [0, 128]])).save(tmp_path / 'm.png')
    with pytest.raises(ValueError, match='grey levels'):
        load_mask(tmp_path / 'm.png', LoadStrictAnnotations(num_classes=2))


def test_ids_are_checked_after_the_label_map(tmp_path, mask):
    Image.fromarray(mask).save(tmp_path / 'm.png')
    loader = LoadStrictAnnotations(num_classes=2)
    to_two = {0: 0, 1: 1, 2: 255, 3: 255, 4: 255}
    results = load_mask(tmp_path / 'm.png', loader, label_map=to_two)
    assert set(np.unique(results['gt_seg_map'])) == {0, 1, 255}
    with pytest.raises(ValueError, match=r'ids \[3, 4\]'):
        load_mask(tmp_path / 'm.png', loader, label_map={0: 0, 1: 1, 2: 255})


def test_colour_mask(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / 'rgb.png')
    with pytest.raises(ValueError, match='rgb.png has 3 channels.*colour'):
        load_mask(tmp_path / 'rgb.png', LoadStrictAnnotations())


def test_wide_ids_do_not_wrap(tmp_path):
    wide = np.full((4, 4), 26001, np.uint16)
    cv2.imwrite(str(tmp_path / 'wide.png'), wide)
    with pytest.raises(ValueError, match=r'wide.png.*\[26001\]'):
        load_mask(tmp_path / 'wide.png', LoadStrictAnnotations())
    cv2.imwrite(str(tmp_path / 'wide.png'), wide % 2)
    results = load_mask(tmp_path / 'wide.png', LoadStrictAnnotations(2))
    assert results['gt_seg_map'].max() == 1


@pytest.mark.parametrize('value', [np.nan, 1.6])
def test_label_maps_hold_whole_numbers(tmp_path, value):
    path = tmp_path / 'float.tif'
    ids = np.ones((4, 4), np.float32)
    Image.fromarray(ids).save(path)
    assert load_mask(path, LoadStrictAnnotations())['gt_seg_map'].max() == 1
    ids[0] = value
    Image.fromarray(ids).save(path)
    with pytest.raises(ValueError, match='float.tif holds NaN or fractions'):
        load_mask(path, LoadStrictAnnotations())


def test_masks_of_resized_images_keep_their_size(tmp_path, mask):
    Image.fromarray(mask).save(tmp_path / 'm.png')
    resized = dict(img=np.zeros((2, 2, 3), np.uint8), ori_shape=mask.shape)
    results = load_mask(tmp_path / 'm.png', LoadStrictAnnotations(), **resized)
    assert results['gt_seg_map'].shape == mask.shape


def test_size_must_be_that_of_the_image(tmp_path, mask):
    Image.fromarray(mask).save(tmp_path / 'm.png')
    with pytest.raises(ValueError, match='m.png is 7x6 .* 6x7'):
        load_mask(
            tmp_path / 'm.png',
            LoadStrictAnnotations(),
            img=np.zeros((7, 6, 3), np.uint8))


def test_registered_with_readable_repr():
    loader = TRANSFORMS.build(
        dict(type='LoadStrictAnnotations', num_classes=21))
    assert repr(loader) == (
        'LoadStrictAnnotations(num_classes=21, ignore_index=255, '
        "reduce_zero_label=None, imdecode_backend='pillow', "
        'backend_args=None)')
    image = TRANSFORMS.build(dict(type='LoadStrictImage'))
    assert repr(image).startswith('LoadStrictImage(ignore_empty=False')


def test_floats_are_said_to_be_floats(tmp_path):
    path = tmp_path / 'reflectance.tif'
    Image.fromarray(np.random.rand(9, 8).astype(np.float32)).save(path)
    with pytest.raises(UnreadableImageError) as error:
        TRANSFORMS.build(dict(type='LoadStrictImage'))(
            dict(img_path=str(path)))
    text = str(error.value)
    assert str(path) in text and '1 band of float 32 bits' in text
    assert 'LoadBands bands=1' in text and 'damaged' not in text


def test_a_tiff_too_large_for_pillow_is_named(tmp_path, monkeypatch):
    path = tmp_path / 'scan.tif'
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 900)
    with pytest.raises(
            UnreadableImageError, match='scan.tif.*more than the 1,800'):
        TRANSFORMS.build(dict(type='LoadStrictImage'))(
            dict(img_path=str(path)))


@pytest.mark.parametrize('mode', ['CMYK', 'L', '1', 'P', 'LA', 'RGBA'])
def test_photographs_of_other_modes_keep_their_colours(tmp_path, mode):
    """As Pillow shows them, without an alpha that hides nothing."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    red, green = np.meshgrid(ramp, ramp)
    picture = Image.fromarray(np.stack([red, green, 255 - red], -1))
    picture = picture.convert(mode)
    path = str(tmp_path / ('a.jpg' if mode == 'CMYK' else 'a.png'))
    picture.save(path, **(dict(quality=95) if mode == 'CMYK' else {}))
    loaded = LoadStrictImage()(dict(img_path=path))['img']
    with Image.open(path) as shown:
        wanted = np.asarray(shown.convert('RGB'))[..., ::-1]
    assert loaded.shape == (64, 64, 3)
    assert np.abs(loaded.astype(int) - wanted).max() <= 3
