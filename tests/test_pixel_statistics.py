# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_semi.pixel_statistics import measure_pixels
from .test_datasets.band_images import values, write_png, write_tiff


def loaded(files, config):
    """All pixels (N, C) as the network gets them, before normalisation."""
    loader = TRANSFORMS.build(config['loader'])
    images = [loader(dict(img_path=path))['img'] for path in files]
    pixels = np.concatenate([i.reshape(-1, i.shape[2]) for i in images])
    swap = config['data_preprocessor']['bgr_to_rgb']
    return pixels[:, ::-1] if swap else pixels


@pytest.mark.parametrize('bands', [1, 2, 3, 4, 6])
def test_the_config_normalises_what_it_loads(tmp_path, bands):
    gains = np.linspace(.3, 1, bands)
    files = [
        write_tiff(tmp_path / f'{i}.tif',
                   (values(bands, 0, 4095, np.uint16, seed=i) * gains).astype(
                       np.uint16)) for i in range(3)
    ]
    statistics = measure_pixels(files, percentiles=(1, 99))
    assert (statistics.dtype, statistics.bits) == ('uint16', 12)
    assert statistics.files == 3 and not statistics.skipped
    config = statistics.as_config()
    pixels = loaded(files, config)
    given = config['data_preprocessor']
    np.testing.assert_allclose(pixels.mean(0), given['mean'], rtol=1e-4)
    np.testing.assert_allclose(pixels.std(0), given['std'], rtol=1e-4)
    assert given['bgr_to_rgb'] == (bands == 3)
    # Few values are cut, and little of the range is left unused.
    low, high = np.array(statistics.range).T
    if bands == 3:
        assert len(set(statistics.range)) == 1  # colours keep their balance
    else:
        np.testing.assert_allclose(high, 4095 * gains * .99, rtol=.05)
    assert (pixels == 255).any(0)[-1] and (pixels == 0).any(0)[-1]


@pytest.mark.parametrize('high, bits', [(255, 8), (256, 10), (1023, 10),
                                        (4095, 12), (16383, 14), (65535, 16)])
def test_bits_that_are_used(tmp_path, high, bits):
    path = write_png(tmp_path / 'a.png', values(1, 0, high, np.uint16))
    assert measure_pixels([path]).bits == bits


def test_photographs_of_8_bits_keep_their_range(tmp_path):
    files = [write_png(tmp_path / 'a.png', values(3, 9, 90, np.uint8))]
    config = measure_pixels(files).as_config()
    assert config['loader'] == dict(type='LoadBands', bands=3)
    np.testing.assert_allclose(
        loaded(files, config).mean(0),
        config['data_preprocessor']['mean'],
        rtol=1e-4)


def test_chosen_bands(tmp_path):
    pixels = values(4, 0, 1, np.float32) * np.float32([1, 2, 3, 4])
    path = write_tiff(tmp_path / 'a.tif', pixels)
    statistics = measure_pixels([path], bands=(3, 1), percentiles=(0, 100))
    assert statistics.bands == (3, 1) and statistics.bits is None
    assert statistics.range == ((0, 4), (0, 2))
    assert measure_pixels([path], bands=4).bands == 4


def test_outliers_do_not_make_the_range(tmp_path):
    pixels = values(1, 100, 900, np.uint16)
    pixels = np.tile(pixels, (20, 20, 1))
    pixels[0, 0] = 65535
    path = write_png(tmp_path / 'a.png', pixels)
    statistics = measure_pixels([path])
    assert statistics.maximum == (65535, )
    assert 850 < statistics.range[0][1] <= 900


def test_pixels_without_data_do_not_count(tmp_path):
    pixels = values(2, 0, 1, np.float32)
    pixels[3:6] = -9999
    pixels[7] = np.nan
    path = write_tiff(tmp_path / 'a.tif', pixels, no_data=-9999)
    statistics = measure_pixels([path], percentiles=(0, 100))
    assert statistics.minimum == (0, 0)
    assert statistics.without_data == pytest.approx(4 / 12)
    config = statistics.as_config()
    image = loaded([path], config).reshape(*pixels.shape)
    # What is filled in is 0 after normalisation.
    np.testing.assert_allclose(
        image[7, 0], config['data_preprocessor']['mean'], rtol=1e-4)
    assert 'without data' in str(statistics)


def test_the_text_is_the_config(tmp_path):
    path = write_png(tmp_path / 'a.png', values(1, 0, 900, np.uint16))
    statistics = measure_pixels([path])
    lines = {}
    exec(str(statistics), lines)
    config = statistics.as_config()
    assert {name: lines[name] for name in config} == config
    assert str(statistics).startswith(
        '# 1 files, 1 bands of uint16, 10 bits used, 0 to 900')


def test_files_that_cannot_be_measured(tmp_path):
    good = write_png(tmp_path / 'a.png', values(1, 0, 900, np.uint16))
    empty = write_png(tmp_path / 'b.png', np.full((9, 9, 1), 7, np.uint16))
    (tmp_path / 'c.png').write_bytes(b'')
    bad = str(tmp_path / 'c.png')
    statistics = measure_pixels([bad, good, empty])
    assert statistics.files == 1 and set(statistics.skipped) == {bad, empty}
    assert statistics.minimum == (0, )
    with pytest.raises(ValueError, match='None of the 2 files.*c.png.*empty'):
        measure_pixels([bad, empty])
    with pytest.raises(ValueError, match='no file'):
        measure_pixels([])


def test_files_of_several_kinds(tmp_path):
    one = write_png(tmp_path / 'a.png', values(1, 0, 255, np.uint8))
    three = write_png(tmp_path / 'b.png', values(3, 0, 255, np.uint8))
    deep = write_png(tmp_path / 'c.png', values(1, 0, 900, np.uint16))
    with pytest.raises(ValueError, match='b.png has 3 bands.*expects 1'):
        measure_pixels([one, three])
    with pytest.raises(ValueError, match='c.png holds uint16.*a.png'):
        measure_pixels([one, deep])
    dead = values(4, 0, 255, np.uint8)
    dead[..., 2] = 5
    path = write_png(tmp_path / 'd.png', dead)
    with pytest.raises(ValueError, match='Band 2'):
        measure_pixels([path])


def test_of_many_files_some_are_measured(tmp_path):
    files = [
        write_png(tmp_path / f'{i}.png', values(1, 0, 900, np.uint16, seed=i))
        for i in range(6)
    ]
    seen = []

    def track(items, text):
        seen.extend(items)
        return items

    assert measure_pixels(files, max_files=3, track=track).files == 3
    assert seen == files[::2]
