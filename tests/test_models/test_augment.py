# Copyright (c) mmseg_semi authors.
import colorsys
from random import Random

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.functional import COLOR_LAWS
from mmseg_semi.models.augment import PixelFormat, ViewAugment
from mmseg_semi.models.step import Step, View

B, H, W = 6, 30, 30
NOTHING = dict(scale_prob=0., flip_prob=0., jitter_prob=0., blur_prob=0.)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def pixel_format(rgb=True):
    """As CMB normalises, but with a standard deviation per channel."""
    preprocessor = MODELS.build(
        dict(
            type='SemiDataPreProcessor',
            mean=list(MEAN),
            std=list(STD),
            bgr_to_rgb=rgb,
            size=(H, W)))
    return PixelFormat.of(preprocessor, torch.zeros(1, 3, 1, 1).double())


def make_step(seed=0, batch=B, target=None):
    gen = torch.Generator().manual_seed(seed)
    raw = 255 * torch.rand(batch, 3, H, W, generator=gen, dtype=torch.float64)
    raw[:, :, :4] = 0
    pixels = pixel_format()
    cls = torch.randint(0, 9, (batch, H, W), generator=gen)
    view = View(
        image=pixels.normalized(raw),
        samples=['sample'] * batch,
        valid=torch.ones(batch, H, W, dtype=torch.bool),
        labels=cls,
        target=target)
    step = Step(
        iteration=0,
        total_iters=1,
        generator=torch.Generator().manual_seed(seed),
        random=Random(seed),
        semi=True,
        views=dict(view=view))
    labels = dict(
        cls=cls,
        conf=torch.rand(batch, H, W, generator=gen, dtype=torch.float64),
        valid=view.valid)
    return step, labels


def augmented(seed=0, pixels=None, target=None, **kwargs):
    step, labels = make_step(seed, target=target)
    before = step.views['view']
    moved = ViewAugment(**{
        **NOTHING,
        **kwargs
    })(step, 'view', labels, pixels or pixel_format())
    return before, labels, step.views['view'], moved


def raw_of(view, pixels=None):
    pixels = pixels or pixel_format()
    return view.image * pixels.std + pixels.mean


def test_nothing_drawn_changes_nothing():
    before, labels, after, moved = augmented()
    assert torch.equal(after.image, before.image)
    assert all(torch.equal(moved[name], labels[name]) for name in labels)
    assert set(moved) == set(labels) and after.samples is before.samples


def test_padding_is_raw_black_and_teaches_nothing():
    before, _, after, moved = augmented(scale=(.5, .5), scale_prob=1.)
    border = torch.ones(B, H, W, dtype=torch.bool)
    border[:, 8:23, 8:23] = False  # 15 of 30 pixels, 7 before them
    border = border.roll((-1, -1), (1, 2))
    raw = raw_of(after).permute(0, 2, 3, 1)[border]
    assert raw.abs().max() < 1e-9
    assert (moved['cls'][border] == 255).all()
    assert (moved['conf'][border] == 0).all()
    assert not moved['valid'][border].any() and moved['valid'][~border].all()
    assert torch.equal(after.valid, moved['valid'])
    assert torch.equal(after.labels, moved['cls'])


def test_image_and_labels_stay_aligned():
    """An image painted in the colour of its label remains so."""
    step, labels = make_step()
    blocks = torch.arange(B * 9).view(B, 3, 3) % 7
    cls = blocks.repeat_interleave(10, 1).repeat_interleave(10, 2)
    image = cls[:, None].expand(-1, 3, -1, -1).double()
    view = step.views['view']
    view.image, view.labels, labels['cls'] = image, cls, cls
    labels['conf'] = cls.double() / 7
    pixels = PixelFormat(
        torch.zeros(3, 1, 1).double(),
        torch.ones(3, 1, 1).double(), True)
    moved = ViewAugment(scale_prob=1.)(step, 'view', labels, pixels)
    image = step.views['view'].image[:, 0]
    known = moved['cls'] != 255
    assert torch.equal(known, moved['valid'])
    # Off by interpolation at the edges of blocks alone.
    agree = (image - moved['cls']).abs()[known] < 1e-9
    assert .7 < agree.float().mean()
    torch.testing.assert_close(moved['conf'][known], image[known] / 7)
    assert not torch.equal(moved['cls'], cls)


def test_target_mask_moves_along():
    target = torch.ones(B, H, W, dtype=torch.bool)
    target[::2, :, :10] = False
    before, _, after, _ = augmented(flip_prob=1., target=target)
    assert torch.equal(after.target, target.flip(-1))
    assert augmented(flip_prob=1.)[2].target is None


def _each_pixel(image, change):
    """``change`` of (hue, saturation, value) at every pixel."""
    changed = np.empty_like(image)
    for y, x in np.ndindex(*image.shape[1:]):
        hsv = change(*colorsys.rgb_to_hsv(*image[:, y, x]))
        changed[:, y, x] = colorsys.hsv_to_rgb(*hsv)
    return changed


def _slow_jitter(raw, factors, order, law):
    """One image (3, H, W), raw RGB, pixel by pixel."""
    image = raw.numpy() / 255
    luma = np.array([.299, .587, .114])
    for name in order:
        amount = factors[name]
        if law == 'kornia' and name == 'brightness':
            image = image + (amount - 1)
        elif law == 'kornia' and name == 'contrast':
            image = amount * image
        elif law == 'kornia' and name == 'saturation':
            image = _each_pixel(image, lambda h, s, v:
                                (h, min(amount * s, 1), v))
        elif name == 'brightness':
            image = amount * image
        elif name == 'contrast':
            mean = (luma[:, None, None] * image).sum(0).mean()
            image = mean + amount * (image - mean)
        elif name == 'saturation':
            gray = (luma[:, None, None] * image).sum(0)
            image = gray + amount * (image - gray)
        else:
            image = _each_pixel(image, lambda h, s, v:
                                ((h + amount) % 1, s, v))
        image = image.clip(0, 1)
    return 255 * image


@pytest.mark.parametrize('law', ['kornia', 'pil'])
@pytest.mark.parametrize('rgb', [True, False])
def test_jitter_equals_a_slow_reference(rgb, law, monkeypatch):
    """With the amounts and the order that were drawn, on raw colours."""
    used = []
    for name, adjust in list(COLOR_LAWS[law].items()):

        def spy(image, amount, name=name, adjust=adjust):
            used.append((name, amount))
            return adjust(image, amount)

        monkeypatch.setitem(COLOR_LAWS[law], name, spy)
    pixels = pixel_format(rgb)
    step, labels = make_step(batch=2)
    before = raw_of(step.views['view'], pixels)
    limits = dict(brightness=.3, contrast=.3, saturation=.15, hue=.1)
    ViewAugment(**{
        **NOTHING,
        **limits, 'jitter_prob': 1.,
        'color_law': law
    })(step, 'view', labels, pixels)
    after = raw_of(step.views['view'], pixels)
    channels = slice(None) if rgb else [2, 1, 0]
    order = [name for name, _ in used]
    assert sorted(order) == ['brightness', 'contrast', 'hue', 'saturation']
    for i in range(2):
        factors = {name: amount[i].item() for name, amount in used}
        expected = _slow_jitter(before[i, channels].clamp(0, 255), factors,
                                order, law)
        np.testing.assert_allclose(
            after[i, channels].numpy(), expected, atol=1e-6)
        for name, limit in limits.items():
            neutral = 0 if name == 'hue' else 1
            assert 0 < abs(factors[name] - neutral) <= limit
    assert used[0][1][0] != used[0][1][1]  # an amount per image


def test_the_law_of_the_official_code_is_the_default():
    kwargs = dict(jitter_prob=1., brightness=.3, contrast=.3)
    default, kornia, pil = (
        augmented(2, **kwargs, **law)[2].image
        for law in ({}, dict(color_law='kornia'), dict(color_law='pil')))
    assert torch.equal(default, kornia) and not torch.equal(default, pil)


def test_each_image_draws_for_itself():
    share = {'jitter_prob': 0., 'blur_prob': 0., 'flip_prob': 0.}
    for name in share:
        for seed in range(60):
            before, _, after, _ = augmented(seed, **{name: .3})
            changed = (after.image != before.image).flatten(1).any(1)
            share[name] += changed.float().mean().item() / 60
    assert all(.22 < value < .38 for value in share.values()), share


def test_images_that_were_not_drawn_are_untouched():
    before, _, after, _ = augmented(seed=1, jitter_prob=.5)
    changed = (after.image != before.image).flatten(1).any(1)
    assert changed.any() and not changed.all()


def test_batch_level_draws():
    seen = set()
    for seed in range(40):
        before, labels, after, moved = augmented(
            seed, jitter_prob=.5, batch_level=True)
        changed = (after.image != before.image).flatten(1).any(1)
        assert changed.all() or not changed.any()
        seen.add(bool(changed.any()))
        before, labels, after, moved = augmented(
            seed, flip_prob=.5, scale_prob=.5, batch_level=True)
        first = {tuple(map(tuple, v.tolist())) for v in moved['valid']}
        assert len(first) == 1
        for image in range(B):
            flipped = torch.equal(moved['cls'][image],
                                  labels['cls'][image].flip(-1))
            assert flipped == torch.equal(moved['cls'][0],
                                          labels['cls'][0].flip(-1))
    assert seen == {True, False}


def test_blur_is_isotropic_or_along_one_axis():
    step, labels = make_step()
    dot = torch.zeros(B, 3, H, W, dtype=torch.float64)
    dot[:, :, 15, 15] = 1
    pixels = pixel_format()

    def blurred(**kwargs):
        step.views['view'].image = dot
        ViewAugment(**{
            **NOTHING, 'blur_prob': 1.,
            **kwargs
        })(step, 'view', labels, pixels)
        image = step.views['view'].image
        rows = image.sum(3).var(2).mean()
        cols = image.sum(2).var(2).mean()
        return image, rows, cols

    image, rows, cols = blurred()
    torch.testing.assert_close(rows, cols)
    assert len(set(image[:, 0, 15, 15].tolist())) == B  # sigma per image
    image, rows, cols = blurred(one_axis_blur=True)
    torch.testing.assert_close(image.sum(3), dot.sum(3))
    assert image[0, 0, 15].max() < .3
    torch.testing.assert_close(image[0], image[1])


def test_same_seed_same_views():
    every = dict(scale_prob=.8, flip_prob=.5, jitter_prob=.8, blur_prob=.5)
    first, again = (augmented(3, **every)[2].image for _ in range(2))
    assert torch.equal(first, again)
    step, labels = make_step(3)
    step.generator.manual_seed(4)
    ViewAugment(**every)(step, 'view', labels, pixel_format())
    assert not torch.equal(step.views['view'].image, first)


def test_no_gradient_is_recorded():
    step, labels = make_step()
    step.views['view'].image.requires_grad_()
    ViewAugment(
        jitter_prob=1., blur_prob=1.)(step, 'view', labels, pixel_format())
    assert not step.views['view'].image.requires_grad


def test_pixels_without_normalisation():
    preprocessor = MODELS.build(dict(type='SemiDataPreProcessor', size=(H, W)))
    pixels = PixelFormat.of(preprocessor, torch.zeros(1, 3, 1, 1))
    assert not pixels.rgb
    raw = torch.rand(1, 3, 2, 2) * 255
    torch.testing.assert_close(pixels.from_colors(pixels.colors(raw)), raw)
    torch.testing.assert_close(pixels.colors(raw)[:, 0], raw[:, 2] / 255)


@pytest.mark.parametrize('wrong, message',
                         [(dict(flip_prob=2.), 'probabilities'),
                          (dict(hue=.6), 'hue'),
                          (dict(contrast=-.1), 'contrast'),
                          (dict(color_law='PIL'), "color_law='PIL'"),
                          (dict(brightness=1.2), 'at most 1'),
                          (dict(scale=(1.5, .5)), 'scale'),
                          (dict(blur_sigma=(0., 1.)), 'blur_sigma')])
def test_bad_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        ViewAugment(**wrong)


@pytest.mark.parametrize('law', ['kornia', 'pil'])
@pytest.mark.parametrize('bands', [1, 2, 4, 6])
def test_bands_that_are_no_colours(bands, law):
    """Brightness and contrast of each band as of one by itself, and blur."""
    torch.manual_seed(0)
    mean, std = 100 + 10 * torch.rand(bands), 40 + torch.rand(bands)

    def changed(image, mean, std):
        preprocessor = MODELS.build(
            dict(
                type='SemiDataPreProcessor',
                mean=mean.tolist(),
                std=std.tolist()))
        pixels = PixelFormat.of(preprocessor, image)
        step, labels = make_step(3)
        view = step.views['view']
        step.views['view'] = View(
            image=pixels.normalized(image),
            samples=view.samples,
            valid=view.valid,
            labels=view.labels,
            target=None)
        ViewAugment(
            scale_prob=0.,
            flip_prob=0.,
            jitter_prob=1.,
            blur_prob=1.,
            color_law=law)(step, 'view', labels, pixels)
        return raw_of(step.views['view'], pixels)

    image = 255 * torch.rand(B, bands, H, W, dtype=torch.float64)
    whole = changed(image, mean, std)
    assert whole.shape == image.shape and (whole - image).abs().mean() > 1
    last = changed(image[:, -1:], mean[-1:], std[-1:])
    torch.testing.assert_close(whole[:, -1:], last, atol=1e-3, rtol=0)
