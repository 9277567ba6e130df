# Copyright (c) mmseg_semi authors.
"""The first weights of every layer against the law that ``init`` names."""
import copy
import math

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.decode_heads.initial_weights import law_std
from .toys import NUM_CLASSES, brpg_cfg, mean_teacher_cfg, segmentor

INITS = ['torch', 'kaiming_fan_in', 'kaiming_fan_out', 'normal']
HEAD = dict(
    type='PublishedDeepLabV3PlusHead',
    in_channels=64,
    in_index=3,
    channels=32,
    c1_in_channels=24,
    c1_channels=40,
    dilations=(1, 2, 3),
    num_classes=21,
    norm_cfg=dict(type='BN'))
PROJECTOR = dict(
    type='PrototypeHead',
    in_channels=24,
    channels=32,
    num_classes=5,
    num_prototypes=2,
    norm_cfg=dict(type='BN'))


def weighted(module):
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    }


def fan_in(layer):
    """Numbers that are multiplied and added up to one output."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]


def fan_out(layer):
    """Outputs that one number is part of, at stride 1."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]


def assert_normal(values, std):
    number = values.numel()
    assert abs(values.mean()) < 5 * std / number**.5
    assert abs(values.std() / std - 1) < 5 / (2 * number)**.5
    # A uniform distribution of this deviation would end at 1.73 of it.
    assert values.abs().max() > 2 * std


def assert_uniform(values, bound):
    number = values.numel()
    std = bound / math.sqrt(3)
    assert values.abs().max() <= bound
    assert abs(values.mean()) < 5 * std / number**.5
    # Its fourth moment is 1.8 of the squared variance.
    assert abs(values.std() / std - 1) < 5 * (.2 / number)**.5 + 1 / number
    if number > 100:
        assert values.abs().max() > .95 * bound


def assert_law(module, init, classifier=None):
    """Every layer of a module obeys; ``classifier`` is mmseg's conv_seg."""
    layers = weighted(module)
    assert layers
    for name, layer in layers.items():
        weight, bias = layer.weight.detach(), layer.bias
        bound = 1 / math.sqrt(fan_in(layer))
        if init == 'kaiming_fan_out' and layer is classifier:
            assert_normal(weight, .01)
        elif init == 'torch':
            assert_uniform(weight, bound)
        elif init == 'normal':
            assert_normal(weight, .01)
        else:
            fan = fan_in if init == 'kaiming_fan_in' else fan_out
            assert_normal(weight, math.sqrt(2 / fan(layer)))
        if bias is None:
            continue
        if init == 'kaiming_fan_out':
            assert (bias == 0).all(), name
        else:
            assert_uniform(bias.detach(), bound)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert (norm.weight == 1).all() and (norm.bias == 0).all()
            assert (norm.running_mean == 0).all()
            assert (norm.running_var == 1).all()
            assert (norm.eps, norm.momentum) == (1e-5, .1)


def built(cfg, seed=0):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmseg'):
        module = MODELS.build(copy.deepcopy(cfg))
    module.init_weights()
    return module


def wide(init, **kwargs):
    """The toy network under a decoder wide enough for statistics."""
    head = dict(
        HEAD, in_channels=32, c1_in_channels=4, num_classes=NUM_CLASSES)
    return segmentor(decode_head=dict(head, init=init, **kwargs))


@pytest.mark.parametrize('init', INITS)
class TestEveryLayer:

    @pytest.mark.parametrize('options', [
        dict(),
        dict(fusion_kernel=1, conv_bias=False),
    ])
    def test_decoder(self, init, options):
        head = built(dict(HEAD, init=init, **options))
        # image_pool, three branches, bottleneck, low_conv, two convolutions,
        # conv_seg
        assert len(weighted(head)) == 9
        assert_law(head, init, head.conv_seg)

    @pytest.mark.parametrize('projector', ['conv', 'linear'])
    @pytest.mark.parametrize('linear', [False, True])
    def test_projector(self, init, projector, linear):
        head = built(
            dict(PROJECTOR, init=init, projector=projector, linear=linear))
        number = dict(conv=3, linear=2)[projector] + linear
        assert len(weighted(head)) == number
        assert_law(head, init, getattr(head, 'conv_seg', None))

    def test_decoders_of_cmb(self, init):
        head = built(dict(HEAD, type='CMBDeepLabV3PlusHead', init=init))
        assert len(weighted(head)) == 9
        assert_law(head, init, head.conv_seg)
        head = built(
            dict(
                type='DeepLabV2Head',
                in_channels=64,
                num_classes=21,
                init=init))
        assert len(weighted(head)) == 2
        assert_law(head, init)

    @pytest.mark.parametrize('concat', [False, True])
    def test_auxiliary_head(self, init, concat):
        head = built(
            dict(
                type='PublishedFCNHead',
                in_channels=32,
                channels=24,
                num_convs=1,
                concat_input=concat,
                num_classes=19,
                norm_cfg=dict(type='BN'),
                init=init))
        assert len(weighted(head)) == 2 + concat
        assert_law(head, init, head.conv_seg)

    def test_projection_of_pps(self, init):
        head = built(
            dict(
                type='ProjectionHead',
                in_channels=48,
                num_classes=5,
                channels=64,
                init=init))
        assert len(weighted(head)) == 2
        assert_law(head, init)

    def test_inside_a_segmentor(self, init):
        net = built(wide(init))
        assert_law(net.decode_head, init, net.decode_head.conv_seg)

    def test_as_pixel_decoder(self, init):
        """It has no classifier there, and the queries keep their law."""
        cfg = segmentor(
            decode_head=dict(
                type='MaskQueryHead',
                in_channels=[4, 8, 16, 32],
                num_classes=NUM_CLASSES,
                feat_channels=32,
                out_channels=32,
                num_queries=2 * NUM_CLASSES,
                class_head=False,
                transformer_decoder=dict(
                    num_layers=1,
                    layer_cfg=dict(
                        self_attn_cfg=dict(embed_dims=32, num_heads=4),
                        cross_attn_cfg=dict(embed_dims=32, num_heads=4),
                        ffn_cfg=dict(embed_dims=32, feedforward_channels=16))),
                pixel_decoder=dict(
                    HEAD, in_channels=32, c1_in_channels=4, init=init)))
        head = built(cfg).decode_head
        assert len(weighted(head.pixel_decoder)) == 8
        assert_law(head.pixel_decoder, init)
        other = built(cfg | dict(decode_head=cfg['decode_head'] | dict(
            pixel_decoder=cfg['decode_head']['pixel_decoder']
            | dict(init='torch'))))
        for name, layer in weighted(head.transformer_decoder).items():
            again = weighted(other.decode_head.transformer_decoder)[name]
            assert layer.weight.std().item() == pytest.approx(
                again.weight.std().item(), rel=.2), name

    def test_teacher_and_heads_of_terms(self, init):
        term = brpg_cfg(
            head=dict(in_channels=72, channels=32, init=init), window=(0, 1))
        model = built(
            mean_teacher_cfg(segmentor=wide(init), terms=dict(brpg=term)))
        for net in (model.student, model.teacher):
            head = net.decode_head
            assert_law(head, init, head.conv_seg)
            assert_law(net.semi_heads['brpg'], init)
        teacher = model.teacher.state_dict()
        for name, value in model.student.state_dict().items():
            assert torch.equal(value, teacher[name]), name

    def test_both_students(self, init):
        cfg = mean_teacher_cfg(
            segmentor=wide(init),
            init_seeds=(3, 4),
            terms=dict(
                consistency=dict(type='PixelConsistency',
                                 entropy_view='weak')))
        model = built(dict(cfg, type='CrossPseudo'))
        heads = [net.decode_head for net in (model.student1, model.student2)]
        for head in heads:
            assert_law(head, init, head.conv_seg)
        for first, second in zip(*(weighted(h).values() for h in heads)):
            assert not torch.equal(first.weight, second.weight)


CMB_HEAD = dict(HEAD, type='CMBDeepLabV3PlusHead')
V2_HEAD = dict(type='DeepLabV2Head', in_channels=64, num_classes=21)


@pytest.mark.parametrize('cfg, init', [
    (HEAD, 'torch'),
    (PROJECTOR, 'torch'),
    (CMB_HEAD, 'normal'),
    (V2_HEAD, 'normal'),
])
def test_defaults(cfg, init):
    """Two heads of one seed, one of them with the law by name."""
    named = built(dict(cfg, init=init)).state_dict()
    for name, value in built(cfg).state_dict().items():
        assert torch.equal(value, named[name]), name


@pytest.mark.parametrize('cfg', [
    HEAD, PROJECTOR, CMB_HEAD, V2_HEAD,
    dict(type='ProjectionHead', in_channels=4, num_classes=5)
])
def test_unknown_law(cfg):
    with pytest.raises(ValueError, match="init='xavier' is no law") as error:
        MODELS.build(dict(cfg, init='xavier'))
    assert all(init in str(error.value) for init in INITS)


@pytest.mark.parametrize('cfg', [HEAD, CMB_HEAD, V2_HEAD])
@pytest.mark.parametrize('init', INITS)
def test_pretrained_weights_stay(init, cfg, tmp_path):
    given = built(dict(cfg, init=init), seed=5).state_dict()
    path = str(tmp_path / 'head.pth')
    torch.save(given, path)
    pretrained = dict(type='Pretrained', checkpoint=path)
    head = built(dict(cfg, init=init, init_cfg=pretrained))
    for name, value in head.state_dict().items():
        assert torch.equal(value, given[name]), name


def test_weights_are_drawn_once():
    head = built(HEAD)
    with torch.no_grad():
        head.conv_seg.weight.fill_(7.)
        head.low_conv.conv.weight.fill_(7.)
    head.init_weights()
    assert (head.conv_seg.weight == 7).all()
    assert (head.low_conv.conv.weight == 7).all()


def test_names_of_the_parameters_do_not_depend_on_the_law():
    names = [
        'image_pool.1', *(f'aspp_modules.{i}' for i in range(3)),
        'bottleneck.0', 'low_conv', 'classifier.0', 'classifier.2'
    ]
    expected = {'conv_seg.weight', 'conv_seg.bias'}
    for name in names:
        expected |= {f'{name}.conv.weight', f'{name}.bn.weight'}
        expected |= {f'{name}.bn.bias'}
        if name in ('low_conv', 'classifier.0', 'classifier.2'):
            expected.add(f'{name}.conv.bias')
    for init in INITS:
        head = built(dict(HEAD, init=init))
        assert {name for name, _ in head.named_parameters()} == expected


@pytest.mark.parametrize('init, weight, bias', [
    ('torch', (3 * 18)**-.5, (3 * 18)**-.5),
    ('kaiming_fan_in', (2 / 18)**.5, (3 * 18)**-.5),
    ('kaiming_fan_out', (2 / 45)**.5, 0),
    ('normal', .01, (3 * 18)**-.5),
])
def test_law_in_numbers(init, weight, bias):
    assert law_std(nn.Conv2d(2, 5, 3), init) == pytest.approx((weight, bias))
