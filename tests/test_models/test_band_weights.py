# Copyright (c) mmseg_semi authors.
"""Weights for RGB in networks for images of other bands."""
import pytest
import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.models.band_weights import fit_channels
from .toys import (batch, brpg_cfg, mean_teacher, mean_teacher_cfg, segmentor,
                   total)

NUMBERS = [1, 2, 4, 7]
WEAK = dict(consistency=dict(type='PixelConsistency', entropy_view='weak'))


def preprocessor(bands, **kwargs):
    return dict(
        mean=[float(i) for i in range(bands)],
        std=[1.] * bands,
        bgr_to_rgb=False,
        **kwargs)


def banded(bands, **kwargs):
    return mean_teacher(data_preprocessor=preprocessor(bands), **kwargs)


@pytest.mark.parametrize('bands', [3, *NUMBERS])
def test_a_grey_image_gives_what_it_gave(bands):
    torch.manual_seed(0)
    rgb = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    weight = fit_channels(rgb, bands)
    assert weight.shape == (5, bands, 3, 3)
    grey = torch.randn(2, 1, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(
        torch.conv2d(grey.repeat(1, bands, 1, 1), weight),
        torch.conv2d(grey.repeat(1, 3, 1, 1), rgb))
    if bands >= 3:  # the colours keep their filters, up to the factor
        torch.testing.assert_close(weight[:, :3], rgb * 3 / bands)


@pytest.mark.parametrize('bands', NUMBERS)
def test_the_backbone_learns_the_number_from_the_mean(bands):
    model = banded(bands)
    first = model.student.backbone.conv1
    assert first.in_channels == bands == model.in_channels
    image = torch.randn(1, bands, 33, 33)
    assert model.eval()._forward(image).shape[1] == 4


@pytest.mark.parametrize('bands', NUMBERS)
def test_pretrained_backbone(tmp_path, bands):
    """init_cfg, as mmengine loads it: others stay, the first is fitted."""
    rgb = MODELS.build(segmentor()['backbone']).state_dict()
    torch.save(dict(state_dict=rgb), tmp_path / 'rgb.pth')
    cfg = segmentor()
    cfg['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth'))
    model = banded(bands, segmentor=cfg)
    for net in (model.student, model.teacher):
        ours = net.backbone.state_dict()
        for name, weight in rgb.items():
            if name == 'conv1.weight':
                weight = fit_channels(weight, bands)
            assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize('wrapper', [False, True])
def test_checkpoint_of_a_whole_network(wrapper):
    """load_from: of a stock segmentor for RGB, or of this wrapper for RGB."""
    source = mean_teacher()
    rgb = source.student if not wrapper else source
    model = banded(4)
    model.load_state_dict(rgb.state_dict(), strict=wrapper)
    for net in (model.student, model.teacher):
        torch.testing.assert_close(
            net.backbone.conv1.weight,
            fit_channels(source.student.backbone.conv1.weight, 4))
    # What was saved with four bands loads as it is.
    again = banded(4)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.student.backbone.conv1.weight,
                       model.student.backbone.conv1.weight)


def test_other_shapes_are_refused_as_before():
    model = banded(4)
    state = mean_teacher().state_dict()
    name = 'student.backbone.conv1.weight'
    state[name] = torch.randn(9, 3, 3, 3)
    with pytest.raises(RuntimeError, match='another shape'):
        model.load_state_dict(state)


@pytest.mark.parametrize('width, kind, first', [
    (64,
     dict(
         type='SwinTransformer',
         embed_dims=8,
         depths=(1, 1, 1, 1),
         num_heads=(1, 1, 1, 1)), 'patch_embed.projection'),
    (8,
     dict(
         type='MixVisionTransformer',
         embed_dims=8,
         num_layers=[1, 1, 1, 1],
         num_heads=[1, 1, 1, 1]), 'layers.0.0.projection'),
    (112, dict(type='EfficientNetLite',
               out_indices=(0, 1, 2, 3)), 'stem.conv'),
])
def test_backbones_that_load_by_themselves(tmp_path, width, kind, first):
    torch.manual_seed(0)
    rgb = MODELS.build(kind).state_dict()
    torch.save(dict(state_dict=rgb), tmp_path / 'rgb.pth')
    cfg = segmentor('fcn')
    cfg['backbone'] = dict(
        kind,
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth')))
    cfg['decode_head']['in_channels'] = width
    model = banded(4, segmentor=cfg)
    torch.testing.assert_close(
        model.student.backbone.state_dict()[f'{first}.weight'],
        fit_channels(rgb[f'{first}.weight'], 4))


def test_numbers_that_do_not_fit():
    stated = segmentor()
    stated['backbone']['in_channels'] = 3
    with pytest.raises(ValueError, match='4 bands, but .*in_channels is 3'):
        banded(4, segmentor=stated)
    bare = segmentor('fcn')
    bare['backbone'] = dict(type=type('BareBackbone', (torch.nn.Module, ), {}))
    with pytest.raises(ValueError, match='BareBackbone.* has no in_channels'):
        banded(4, segmentor=bare)


@pytest.mark.parametrize('options, named', [
    (dict(mean=[0.] * 4, std=[1.] * 3, bgr_to_rgb=False), '4 numbers, std 3'),
    (dict(mean=[0.] * 4, bgr_to_rgb=False), 'std none'),
    (dict(mean=[0.] * 4, std=[1.] * 4,
          bgr_to_rgb=True), 'bgr_to_rgb=True swaps .* set bgr_to_rgb=False'),
])
def test_options_of_the_preprocessor(options, named):
    with pytest.raises(ValueError, match=named):
        MODELS.build(mean_teacher_cfg(data_preprocessor=options))


@pytest.mark.parametrize('bands, means', [(4, 3), (1, 3), (3, 1)])
def test_images_of_other_bands_are_refused(bands, means):
    model = banded(means) if means != 3 else mean_teacher(
        data_preprocessor=preprocessor(3))
    sample = SegDataSample(metainfo=dict(img_path='data/scene.tif'))
    image = torch.zeros(bands, 33, 33)
    for data in (dict(inputs=[image], data_samples=[sample]),
                 dict(
                     inputs=dict(sup=[None, image]),
                     data_samples=dict(sup=[None, sample]))):
        with pytest.raises(
                ValueError, match=f'scene.tif has {bands} bands.*{means} num'):
            model.data_preprocessor(data)


@pytest.mark.parametrize('bands', [1, 4])
@pytest.mark.parametrize('framework, options', [
    ('MeanTeacher', dict(mixing=dict(kind='classmix', prob=1.))),
    ('MeanTeacher',
     dict(
         augment=dict(sup=dict(jitter_prob=1.), strong=dict(jitter_prob=1.)),
         terms=dict(brpg=brpg_cfg(window=(0, 1))))),
    ('FixMatch', dict(mixing=dict(prob=1.), terms=WEAK)),
    ('CrossPseudo', dict(terms=WEAK)),
])
def test_a_step(framework, options, bands):
    torch.manual_seed(0)
    cfg = mean_teacher_cfg(data_preprocessor=preprocessor(bands), **options)
    model = MODELS.build(dict(cfg, type=framework))
    model.init_weights()
    model.total_iters = 10
    inputs, samples = batch(4, 4)
    inputs = {
        name: image[:, :1].repeat(1, bands, 1, 1)
        for name, image in inputs.items()
    }
    for _ in range(2):
        losses = model.train().loss(inputs, samples)
    total(losses).backward()
    grad = model.net(model.learners[0]).backbone.conv1.weight.grad
    assert grad.shape[1] == bands and grad.isfinite().all() and grad.any()
