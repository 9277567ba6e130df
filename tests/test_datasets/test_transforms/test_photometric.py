# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageEnhance, ImageFilter

from mmseg_semi.datasets.scene_drawing import load_photos
from mmseg_semi.datasets.transforms import (RandomGaussianBlur,
                                            SemiColorJitter, SemiGrayscale,
                                            SemiPhotoMetricDistortion,
                                            channels)
from mmseg_semi.datasets.transforms import photometric as ops


@pytest.fixture(autouse=True)
def seeded():
    np.random.seed(0)


@pytest.fixture
def bgr():
    return np.ascontiguousarray(load_photos()[1][100:164, 200:280, ::-1])


def pil(bgr):
    return Image.fromarray(bgr[..., ::-1])


def pil_hue(picture, shift):
    hue, saturation, value = picture.convert('HSV').split()
    levels = (np.asarray(hue).astype(int) + int(shift * 255)) % 256
    hue = Image.fromarray(levels.astype(np.uint8))
    return Image.merge('HSV', (hue, saturation, value)).convert('RGB')


REFERENCES = dict(
    brightness=lambda p, x: ImageEnhance.Brightness(p).enhance(x),
    contrast=lambda p, x: ImageEnhance.Contrast(p).enhance(x),
    saturation=lambda p, x: ImageEnhance.Color(p).enhance(x),
    hue=pil_hue)


@pytest.mark.parametrize('name, amount', [
    ('brightness', 0.5),
    ('brightness', 1.5),
    ('contrast', 0.5),
    ('contrast', 1.5),
    ('saturation', 0.),
    ('saturation', 1.5),
    ('hue', -0.25),
    ('hue', 0.1),
])
def test_changes_equal_those_of_pil(bgr, name, amount):
    before = bgr.copy()
    ours = getattr(ops, f'adjust_{name}')(bgr, amount)[..., ::-1].astype(int)
    reference = np.asarray(REFERENCES[name](pil(bgr), amount)).astype(int)
    error = np.abs(ours - reference)
    # Hue passes through 8-bit HSV, which the two libraries round differently.
    limit, mean = (16, 2.) if name == 'hue' else (2, 1.)
    assert error.max() <= limit and error.mean() <= mean
    assert np.abs(ours - before[..., ::-1]).mean() > 5
    np.testing.assert_array_equal(bgr, before)


def test_neutral_changes(bgr):
    for name in ('brightness', 'contrast', 'saturation'):
        same = getattr(ops, f'adjust_{name}')(bgr, 1.)
        np.testing.assert_array_equal(same, bgr)


def test_jitter_draws():
    jitter = SemiColorJitter(0.8, 0.5, 0.4, 0.3, 0.25)
    draws = [jitter.random_steps() for _ in range(2000)]
    changed = [d for d in draws if d]
    assert abs(len(changed) / 2000 - 0.8) < 0.03
    assert len({tuple(n for n, _ in d) for d in changed}) == 24
    values = {name: [dict(d)[name] for d in changed] for name in REFERENCES}
    for name, low, high in (('brightness', 0.5, 1.5), ('contrast', 0.6, 1.4),
                            ('saturation', 0.7, 1.3), ('hue', -.25, .25)):
        assert low <= min(values[name]) < low + 0.01
        assert high - 0.01 < max(values[name]) <= high
        assert abs(np.mean(values[name]) - (low + high) / 2) < 0.03


def test_jitter_applies_its_draws_in_order(bgr):
    jitter = SemiColorJitter(p=1.)
    state = np.random.get_state()
    ours = jitter(dict(img=bgr.copy()))['img']
    np.random.set_state(state)
    expected = bgr
    for name, amount in jitter.random_steps():
        expected = getattr(ops, f'adjust_{name}')(expected, amount)
    np.testing.assert_array_equal(ours, expected)


def test_zero_widths_change_nothing(bgr):
    jitter = SemiColorJitter(1., 0, 0, 0, 0)
    np.testing.assert_array_equal(jitter(dict(img=bgr))['img'], bgr)


def test_stock_grayscale_is_the_papers(bgr):
    """mmcv's transform with these weights is torchvision's."""
    transform = TRANSFORMS.build(
        dict(
            type='RandomGrayscale',
            prob=1.,
            keep_channels=True,
            channel_weights=(0.114, 0.587, 0.299)))
    gray = transform(dict(img=bgr.copy()))['img']
    reference = np.asarray(pil(bgr).convert('L')).astype(int)
    assert gray.shape == bgr.shape and gray.dtype == np.uint8
    assert np.abs(gray - reference[..., None]).max() <= 1


@pytest.mark.parametrize('sigma', [0.1, 0.7, 2.])
def test_blur_has_the_width_of_pil(bgr, sigma):
    blur = RandomGaussianBlur(p=1., sigma=(sigma, sigma))
    ours = blur(dict(img=bgr.copy()))['img'][..., ::-1].astype(int)
    reference = np.asarray(pil(bgr).filter(ImageFilter.GaussianBlur(sigma)))
    assert np.abs(ours - reference.astype(int)).mean() < 1.5


def test_blur_draws():
    blur = RandomGaussianBlur(0.5, (0.1, 2.))
    sigmas = np.array([blur.random_sigma() for _ in range(4000)])
    drawn = sigmas[sigmas > 0]
    assert abs(len(drawn) / 4000 - 0.5) < 0.03
    assert 0.1 <= drawn.min() and drawn.max() <= 2.
    assert abs(drawn.mean() - 1.05) < 0.05


EVERY = [
    SemiColorJitter(1.),
    RandomGaussianBlur(1.),
    SemiGrayscale(1.),
    SemiPhotoMetricDistortion()
]


@pytest.mark.parametrize('transform', EVERY, ids=lambda t: type(t).__name__)
def test_other_numbers_are_refused(transform, bgr):
    normalised = bgr.astype(np.float32) / 57 - 2
    for image in (normalised, bgr.astype(np.uint16), bgr.astype(float)):
        with pytest.raises(TypeError, match=f'got {image.dtype}'):
            transform(dict(img=image))


def draws(transform, image, seed):
    np.random.seed(seed)
    return transform(dict(img=image.copy()))['img']


@pytest.mark.parametrize('transform', EVERY, ids=lambda t: type(t).__name__)
def test_floats_get_what_8_bits_get(transform, bgr):
    """Without rounding, which 8 bits get once or twice a change."""
    changed = 0
    for seed in range(12):
        expected = draws(transform, bgr, seed).astype(int)
        ours = draws(transform, bgr.astype(np.float32), seed)
        assert ours.dtype == np.float32 and ours.shape == bgr.shape
        assert ours.min() >= 0 and ours.max() <= 255
        # 8 bits of hue are steps of 1.4 or 2 degrees.
        assert np.abs(ours - expected).mean() < 3
        changed += np.abs(ours - bgr).mean() > 1
    assert changed > 5


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('bands', [0, 1, 2, 4, 9])
@pytest.mark.parametrize('transform', EVERY, ids=lambda t: type(t).__name__)
def test_any_number_of_bands(transform, bands, dtype):
    """All bands alike; 0 stands for an image without the axis of bands."""
    shape = (24, 31, bands) if bands else (24, 31)
    image = np.random.uniform(60, 190, shape).astype(dtype)
    for seed in range(8):
        ours = draws(transform, image, seed)
        assert ours.shape == image.shape and ours.dtype == dtype
        if isinstance(transform, SemiGrayscale):
            np.testing.assert_array_equal(ours, image)
        else:
            for band in range(bands):
                single = image[..., band:band + 1].copy()
                np.testing.assert_allclose(
                    draws(transform, single, seed)[..., 0],
                    ours[..., band],
                    atol=1e-3)


def test_contrast_of_bands_turns_about_their_means():
    image = np.random.uniform(90, 110, (20, 20, 2)).astype(np.float32)
    image[..., 1] += 80
    ours = ops.adjust_contrast(image, .5)
    np.testing.assert_allclose(
        ours.mean((0, 1)), image.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        ours.std((0, 1)), image.std((0, 1)) / 2, rtol=1e-4)


def test_what_needs_colours_is_said_once(monkeypatch):
    said = []
    monkeypatch.setattr(channels, 'print_log',
                        lambda text, *args, **kwargs: said.append(text))
    channels.say_skipped.cache_clear()
    image = np.random.uniform(0, 255, (20, 20, 4)).astype(np.float32)
    for _ in range(3):
        SemiColorJitter(1.)(dict(img=image))
    assert len(said) == 1 and 'SemiColorJitter: saturation and hue' in said[0]
    assert 'images of 4' in said[0]
    SemiColorJitter(1., saturation=0, hue=0)(dict(img=image[..., :2]))
    assert len(said) == 1  # nothing is left out


def test_distortion_of_photographs_is_the_stock_one(bgr):
    stock = TRANSFORMS.build(dict(type='PhotoMetricDistortion'))
    for seed in range(10):
        np.testing.assert_array_equal(
            draws(SemiPhotoMetricDistortion(), bgr, seed),
            draws(stock, bgr, seed))


def test_grayscale_is_the_stock_one_of_the_configs(bgr):
    stock = TRANSFORMS.build(
        dict(
            type='RandomGrayscale',
            prob=1.,
            keep_channels=True,
            channel_weights=(0.114, 0.587, 0.299)))
    ours = SemiGrayscale(1.)(dict(img=bgr.copy()))['img'].astype(int)
    assert np.abs(ours - stock(dict(img=bgr.copy()))['img']).max() <= 1
    sometimes = SemiGrayscale(.2)
    some = [sometimes.random_choice() for _ in range(2000)]
    assert abs(np.mean(some) - .2) < .03


@pytest.mark.parametrize('cfg', [
    dict(type='SemiColorJitter', p=1.5),
    dict(type='SemiColorJitter', hue=0.6),
    dict(type='RandomGaussianBlur', sigma=(2., 1.)),
])
def test_senseless_arguments(cfg):
    with pytest.raises(ValueError):
        TRANSFORMS.build(cfg)


@pytest.mark.parametrize('transform, text', [
    (SemiColorJitter(), 'SemiColorJitter(p=0.8, brightness=0.5, contrast=0.5,'
     ' saturation=0.5, hue=0.25)'),
    (RandomGaussianBlur(), 'RandomGaussianBlur(p=0.5, sigma=(0.1, 2.0))'),
    (SemiGrayscale(), 'SemiGrayscale(prob=0.2)'),
])
def test_repr(transform, text):
    assert repr(transform) == text
