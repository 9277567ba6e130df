# Copyright (c) mmseg_semi authors.
import sys

import cv2
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_semi.datasets.errors import UnreadableImageError
from tests.test_datasets.band_images import values, write_png, write_tiff


def load(path, **options):
    loader = TRANSFORMS.build(dict(type='LoadBands', **options))
    results = loader(dict(img_path=str(path)))
    assert results['img_shape'] == results['ori_shape'] == \
        results['img'].shape[:2]
    assert results['img'].dtype == np.float32
    return results['img']


def scaled(pixels, low, high):
    """What the loader promises, in float64; three bands become BGR."""
    levels = ((pixels.astype(float) - low) * 255 / (high - low)).clip(0, 255)
    return levels[..., ::-1] if pixels.shape[2] == 3 else levels


@pytest.mark.parametrize('bands', [1, 3, 4])
def test_twelve_bits_in_png(tmp_path, bands):
    pixels = values(bands, 0, 4095, np.uint16)
    image = load(
        write_png(tmp_path / 'a.png', pixels), bands=bands, range=(0, 4095))
    np.testing.assert_allclose(image, scaled(pixels, 0, 4095), atol=1e-4)
    assert image.min() == 0 and image.max() == 255
    assert len(np.unique(image)) > 150  # no rounding to levels of 8 bits


def test_photographs_of_8_bits_are_as_from_the_other_loader(tmp_path):
    pixels = values(3, 0, 255, np.uint8)
    for name in ('a.png', 'a.jpg', 'a.bmp'):
        path = write_png(tmp_path / name, pixels)
        strict = TRANSFORMS.build(dict(type='LoadStrictImage'))
        expected = strict(dict(img_path=path))['img']
        np.testing.assert_array_equal(load(path, bands=3), expected)


def test_a_lying_photograph_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values(3, 0, 255, np.uint8)).save(
        tmp_path / 'a.jpg', exif=exif)
    assert load(tmp_path / 'a.jpg', bands=3).shape == (17, 12, 3)


@pytest.mark.parametrize('dtype, low, high', [(np.uint8, 0, 255),
                                              (np.uint16, 7, 900),
                                              (np.int16, -500, 900),
                                              (np.float32, 0, .4),
                                              (np.float64, -3, 1e6)])
@pytest.mark.parametrize('bands', [1, 2, 3, 4, 7])
def test_tiff(tmp_path, bands, dtype, low, high):
    pixels = values(bands, low, high, dtype)
    path = write_tiff(tmp_path / 'a.tif', pixels)
    image = load(path, bands=bands, range=(low, high))
    np.testing.assert_allclose(image, scaled(pixels, low, high), atol=1e-3)


def test_pages_and_planes_are_bands(tmp_path):
    pixels = values(5, 0, 1, np.float32)
    for name, options in dict(
            pages=dict(pages=True),
            planes=dict(planarconfig='separate'),
            contig=dict()).items():
        if name == 'planes':
            path = write_tiff(tmp_path / 'planes.tif',
                              pixels.transpose(2, 0, 1), **options)
        else:
            path = write_tiff(tmp_path / f'{name}.tif', pixels, **options)
        image = load(path, bands=(4, 0), range=(0, 1))
        np.testing.assert_allclose(
            image, scaled(pixels[..., [4, 0]], 0, 1), atol=1e-4)


def test_overviews_are_no_bands(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    pixels = values(2, 0, 1, np.float32)
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        options = dict(photometric='minisblack', planarconfig='contig')
        file.write(pixels, subifds=1, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
        file.write(pixels[::4, ::4], subfiletype=1, **options)
    assert load(tmp_path / 'a.tif', bands=2, range=(0, 1)).shape[2] == 2


def test_chosen_bands_have_ranges_of_their_own(tmp_path):
    pixels = values(4, 0, 4095, np.uint16)
    path = write_png(tmp_path / 'a.png', pixels)
    image = load(
        path, bands=(3, 2, 1), range=[(0, 4095), (0, 8190), (0, 2000)])
    expected = np.stack([
        scaled(pixels[..., [3]], 0, 4095),
        scaled(pixels[..., [2]], 0, 8190),
        scaled(pixels[..., [1]], 0, 2000)
    ], -2)[..., ::-1, 0]  # as BGR
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_grey_with_alpha_has_two_bands(tmp_path):
    pixels = values(2, 0, 255, np.uint8)
    Image.fromarray(pixels, 'LA').save(tmp_path / 'a.png')
    np.testing.assert_array_equal(load(tmp_path / 'a.png', bands=2), pixels)


def test_pictures_in_tiff(tmp_path):
    """Two levels, white as zero, palettes: as other loaders show them."""
    tifffile = pytest.importorskip('tifffile')
    levels = values(1, 0, 9, np.uint16)[..., 0]
    path = tmp_path / 'a.tif'
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        tifffile.imwrite(path, levels.astype(dtype), photometric='miniswhite')
        image = load(path, bands=1, range=(0, white))
        np.testing.assert_allclose(
            image[..., 0], (white - levels) * 255. / white, atol=1e-3)
    tifffile.imwrite(path, levels > 4, photometric='minisblack')
    np.testing.assert_array_equal(
        load(path, bands=1)[..., 0], 255 * (levels > 4))
    colours = np.random.default_rng(1).integers(0, 256, (3, 256))
    tifffile.imwrite(
        path,
        levels.astype(np.uint8),
        photometric='palette',
        colormap=(colours * 257).astype(np.uint16))
    np.testing.assert_array_equal(
        load(path, bands=3), colours.T[levels][..., ::-1])


def refused(path, **options):
    with pytest.raises(UnreadableImageError) as error:
        load(path, **options)
    text = str(error.value)
    assert str(path) in text and '\n' not in text
    return text


def test_another_number_of_bands(tmp_path):
    path = write_png(tmp_path / 'a.png', values(4, 0, 255, np.uint8))
    text = refused(path, bands=3)
    assert 'has 4 bands' in text and 'expects 3' in text
    assert '(0 to 3)' in refused(path, bands=(0, 4))


def test_no_range(tmp_path):
    path = write_png(tmp_path / 'a.png', values(1, 3, 4095, np.uint16))
    text = refused(path, bands=1)
    assert 'from 3 to 4095' in text and 'measure_pixels' in text


def test_values_beyond_the_range(tmp_path):
    path = write_png(tmp_path / 'a.png', values(1, 0, 4095, np.uint16))
    text = refused(path, bands=1, range=(0, 1))
    assert '100%' in text or '99%' in text
    assert load(path, bands=1, range=(0, 1), max_clipped=1.).max() == 255
    assert load(path, bands=1, range=(1000, 4095)).min() == 0


def test_constant_image(tmp_path):
    path = write_png(tmp_path / 'a.png', np.full((9, 9, 1), 7, np.uint8))
    assert 'are 7' in refused(path, bands=1)
    assert (load(path, bands=1, allow_constant=True) == 7).all()


def test_pixels_without_data(tmp_path):
    pixels = values(2, 0, 1, np.float32)
    pixels[3:6, 2] = np.nan, np.inf
    path = write_tiff(tmp_path / 'nan.tif', pixels)
    text = refused(path, bands=2, range=(0, 1))
    assert f'{6 / pixels.size:.2%}' in text and 'fill=' in text
    image = load(path, bands=2, range=(0, 1), fill=(.5, .25))
    np.testing.assert_allclose(image[3:6, 2], [[127.5, 63.75]] * 3)
    # Their numbers do not count as beyond the range.
    pixels[3:6, 2], pixels[6] = .5, -9999
    path = write_tiff(tmp_path / 'stated.tif', pixels, no_data=-9999)
    assert 'no-data value -9999' in refused(path, bands=2, range=(0, 1))
    image = load(path, bands=2, range=(0, 1), fill=1, max_clipped=0.)
    assert (image[6] == 255).all()


def test_no_data_of_whole_numbers(tmp_path):
    pixels = values(1, 1, 900, np.uint16)
    pixels[5] = 0
    path = write_tiff(tmp_path / 'a.tif', pixels, no_data=0)
    assert 'no-data value 0' in refused(path, bands=1, range=(0, 900))
    image = load(path, bands=1, range=(0, 900), fill=450.6)
    np.testing.assert_allclose(image[5], 450.6 * 255 / 900, rtol=1e-6)


def test_cut_and_strange_files(tmp_path):
    path = write_tiff(tmp_path / 'a.tif', values(5, 0, 1, np.float32))
    whole = (tmp_path / 'a.tif').read_bytes()
    for content in (whole[:-300], whole[:100], b'', b'<html>', b'II*\0rubbish',
                    b'no image at all'):
        (tmp_path / 'a.tif').write_bytes(content)
        refused(path, bands=5, range=(0, 1))
    refused(tmp_path / 'absent.tif', bands=5, range=(0, 1))
    complex_path = write_tiff(tmp_path / 'c.tif',
                              values(1, 0, 1, np.complex64))
    assert 'complex64' in refused(complex_path, bands=1, range=(0, 1))


def test_missing_packages_are_named(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / 'a.tif', values(5, 0, 1, np.float32))
    picture = write_tiff(tmp_path / 'b.tif', values(3, 0, 900, np.uint16))
    expected = load(picture, bands=3, range=(0, 900))
    for name in ('tifffile', 'rasterio'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError) as error:
        load(path, bands=5, range=(0, 1))
    assert 'pip install tifffile' in str(error.value)
    assert path in str(error.value)
    # One or three bands of whole numbers need none of them.
    np.testing.assert_array_equal(
        load(picture, bands=3, range=(0, 900)), expected)


def test_compressions(tmp_path, monkeypatch):
    """OpenCV and rasterio know what tifffile alone does not."""
    tifffile = pytest.importorskip('tifffile')
    pixels = values(1, 0, 900, np.uint16)
    assert cv2.imwrite(
        str(tmp_path / 'lzw.tif'), pixels,
        [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW])
    image = load(tmp_path / 'lzw.tif', bands=1, range=(0, 900))
    np.testing.assert_allclose(image, scaled(pixels, 0, 900), atol=1e-4)

    class Page(tifffile.TiffPage):

        def asarray(self, *args, **kwargs):
            raise ValueError("LZW requires the 'imagecodecs' package")

    path = write_tiff(tmp_path / 'a.tif', values(5, 0, 1, np.float32))
    monkeypatch.setattr(tifffile.TiffPage, 'asarray', Page.asarray)
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(ModuleNotFoundError, match='pip install imagecodecs'):
        load(path, bands=5, range=(0, 1))


def test_rasterio_reads_the_same(tmp_path, monkeypatch):
    pytest.importorskip('rasterio')
    pixels = values(5, 0, 1, np.float32)
    pixels[2, 2] = -1
    path = write_tiff(tmp_path / 'a.tif', pixels, no_data=-1)
    options = dict(bands=5, range=(0, 1), fill=0)
    expected = load(path, **options)
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    np.testing.assert_array_equal(load(path, **options), expected)


@pytest.mark.parametrize('options, named', [
    (dict(bands=0), 'bands=0'),
    (dict(bands=()), r'bands=\(\)'),
    (dict(bands=(0, -1)), 'bands='),
    (dict(bands=2, range=(1, 1)), 'range='),
    (dict(bands=2, range=[(0, 1)] * 3), 'range='),
    (dict(bands=2, range='wide'), 'range='),
    (dict(bands=2, fill=(1, 2, 3)), 'fill='),
    (dict(bands=2, max_clipped=5), 'max_clipped=5'),
])
def test_options(options, named):
    with pytest.raises(ValueError, match=named):
        TRANSFORMS.build(dict(type='LoadBands', **options))
