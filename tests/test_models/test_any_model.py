# Copyright (c) mmseg_semi authors.
"""What a user need not say about a model, and what is refused."""
import copy

import mmseg_semi  # isort: skip
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DefaultScope
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.data_preprocessor import (SemiDataPreProcessor,
                                                 build_preprocessor)
from mmseg_semi.models.mixing import BatchMixer
from mmseg_semi.models.probe import Probe, input_channels, input_size
from mmseg_semi.models.regularizers.training_plan import TrainingPlan
from mmseg_semi.models.segmentors.wrapped import (drop_pretrained,
                                                  resolve_segmentor,
                                                  settings_of)
from .given import build_stock
from .given_families import config
from .toys import NUM_CLASSES as C
from .toys import SIZE, batch, mean_teacher, sample, segmentor, total

OHEM = dict(type='OhemCrossEntropy', class_weight=[1.] * C)


@pytest.fixture(autouse=True)
def in_mmseg():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def build(**kwargs):
    return mean_teacher(**kwargs)


class TestClasses:

    def test_reach_every_head_but_that_of_boundaries(self):
        net = build(segmentor=config('stdc'), num_classes=7).student
        assert net.num_classes == net.decode_head.conv_seg.out_channels == 7
        first, boundaries = net.auxiliary_head
        assert first.conv_seg.out_channels == 7
        assert boundaries.conv_seg.out_channels == 2

    def test_reach_the_parts_of_a_head(self):
        net = build(segmentor=config('knet'), num_classes=7).student
        assert net.decode_head.kernel_generate_head.num_classes == 7
        main, aux = build(
            segmentor=config('ocrnet'), num_classes=7).adapter.scores(
                *_look(build(segmentor=config('ocrnet'), num_classes=7)))
        assert main.shape[1] == aux[0].shape[1] == 7

    @pytest.mark.parametrize('weights, fits', [([1.] * 7, True),
                                               ([1.] * C, False),
                                               ([1.] * 8, False),
                                               (None, True)])
    def test_weights_must_be_as_many(self, weights, fits):
        cfg = segmentor('fcn')
        cfg['decode_head']['loss_decode'] = dict(OHEM, class_weight=weights)
        if fits:
            resolve_segmentor(cfg, 7)
            return
        with pytest.raises(
                ValueError,
                match='FCNHead.*OhemCross.* [48] classes.*model 7'):
            resolve_segmentor(cfg, 7)

    @pytest.mark.parametrize('where', ['decode_head', 'auxiliary_head'])
    def test_no_other_id_is_ignored(self, where):
        """The terms would ignore 255 all the same."""
        cfg = segmentor('fcn')
        cfg[where] = dict(cfg['decode_head'], ignore_index=255)
        resolve_segmentor(cfg)
        cfg[where]['ignore_index'] = 0
        with pytest.raises(
                ValueError, match='FCNHead: ignore_index=0.*255 in the masks'):
            resolve_segmentor(cfg)

    def test_one_channel_stays_one(self):
        cfg = segmentor('fcn')
        cfg['decode_head'].update(num_classes=2, out_channels=1)
        assert resolve_segmentor(cfg, 2).decode_head.out_channels == 1
        cfg['decode_head'].update(num_classes=C, out_channels=C)
        assert resolve_segmentor(cfg, 7).decode_head.out_channels == 7


def _look(model):
    net = model.student.eval()
    return net, net.extract_feat(torch.zeros(1, 3, SIZE, SIZE))


class TestProbe:

    def test_leaves_everything_as_it_was(self):
        net = build_stock(segmentor('fcn')).train()
        before = copy.deepcopy(net.state_dict())
        torch.manual_seed(3)
        state = torch.get_rng_state()
        probe = Probe(net, (SIZE, SIZE))
        widths = probe('decoder'), probe('backbone.layer2:output')
        assert widths == (8, 8)
        assert probe.stages == [4, 8, 16, 32]
        assert torch.equal(torch.get_rng_state(), state)
        assert net.training
        for name, value in net.state_dict().items():
            assert torch.equal(value, before[name]), name
        assert not any(m._forward_hooks for m in net.modules())

    def test_operators_that_have_no_meta_form(self):
        net = build_stock(segmentor('fcn'))

        def read(module, args, out):
            out[0].sum().item()

        net.backbone.register_forward_hook(read)
        probe = Probe(net, (SIZE, SIZE))
        assert probe.device == 'cpu' and probe('decoder') == 8

    def test_what_cannot_run_is_told(self):
        cfg = segmentor('fcn')
        cfg['decode_head']['in_channels'] = 5
        with pytest.raises(
                TypeError,
                match=r'ResNet and FCNHead cannot run.*\(33, 33\).*channels'):
            mean_teacher(segmentor=cfg)

    def test_scores_must_be_a_map_of_the_classes(self):
        net = build_stock(segmentor('fcn'))
        net.decode_head.num_classes = 9
        with pytest.raises(TypeError, match=r'FCNHead.*9 classes.*add_a_head'):
            Probe(net, (SIZE, SIZE))

    def test_only_maps_have_a_width(self):
        net = build_stock(segmentor('fcn'))
        net.decode_head.vector = nn.Identity()
        net.decode_head.register_forward_hook(
            lambda m, a, out: m.vector(out.mean((2, 3))) is None or None)
        with pytest.raises(ValueError, match='vector.*no map.*Choose'):
            Probe(net, (SIZE, SIZE))('decode_head.vector:output')

    def test_images_of_other_channels(self):
        """By the encoder, else by the mean colour."""
        assert input_channels(dict(backbone=dict(in_channels=6))) == 6
        assert input_channels(dict(data_preprocessor=dict(mean=[0.]))) == 1
        assert input_channels(dict()) == 3
        cfg = segmentor('fcn')
        cfg['backbone']['in_channels'] = 6
        first = build(segmentor=cfg).student.backbone.conv1
        assert first.in_channels == 6

    @pytest.mark.parametrize('cfg, size', [
        (dict(backbone=dict(img_size=8), test_cfg=dict(crop_size=(1, 1))),
         (8, 8)),
        (dict(data_preprocessor=dict(size=(3, 4))), (3, 4)),
        (dict(test_cfg=dict(crop_size=(5, 6))), (5, 6)),
        (dict(), (512, 512)),
    ])
    def test_size_of_the_input(self, cfg, size):
        assert input_size(cfg) == size


@MODELS.register_module()
class OwnLoss(EncoderDecoder):

    def loss(self, inputs, data_samples):
        return {}


@MODELS.register_module()
class OwnPrediction(EncoderDecoder):

    def postprocess_result(self, seg_logits, data_samples=None):
        self.was_asked = True
        return super().postprocess_result(seg_logits, data_samples)


@MODELS.register_module()
class OwnFeatures(EncoderDecoder):

    def extract_feat(self, inputs):
        return [f * 2 for f in super().extract_feat(inputs)]


class TestSegmentorClasses:

    def test_own_loss_is_refused(self):
        with pytest.raises(TypeError, match='OwnLoss has its own loss.*never'):
            build(segmentor=segmentor(type='OwnLoss'))

    def test_own_prediction_is_used(self):
        model = build(segmentor=segmentor(type='OwnPrediction')).eval()
        inputs, samples = batch()
        result = model.predict(inputs['sup'], samples['sup'])
        assert model.teacher.was_asked and len(result) == 2

    def test_own_features_are_used(self):
        own = build(segmentor=segmentor(type='OwnFeatures')).student.eval()
        stock = build(segmentor=segmentor()).student.eval()
        image = torch.rand(1, 3, SIZE, SIZE)
        assert torch.equal(
            own.extract_feat(image)[0], 2 * stock.extract_feat(image)[0])

    @pytest.mark.parametrize('kind', ['DepthEstimator', 'SegTTAModel'])
    def test_others_are_refused(self, kind):
        with pytest.raises(TypeError, match=f'{kind} cannot be wrapped'):
            resolve_segmentor(segmentor(type=kind))


@MODELS.register_module()
class Halved(BaseDataPreprocessor):
    """A preprocessor of a user."""

    def __init__(self, factor=.5):
        super().__init__()
        self.factor = factor

    def forward(self, data, training=False):
        return dict(
            inputs=torch.stack(data['inputs']) * self.factor,
            data_samples=data['data_samples'])


class TestPreprocessor:

    def test_the_named_one_is_used(self):
        pre = build_preprocessor(None, dict(type='Halved', factor=.25))
        assert isinstance(pre, Halved)
        one = torch.ones(3, 2, 2)
        out = pre(
            dict(
                inputs=dict(sup=[one, None], unsup_teacher=[None, one * 2]),
                data_samples=dict(sup=[1, None], unsup_teacher=[None, 2])),
            True)
        assert out['inputs']['sup'].tolist() == (one * .25)[None].tolist()
        assert out['inputs']['unsup_teacher'].max() == .5
        assert out['data_samples'] == dict(sup=[1], unsup_teacher=[2])
        assert pre(dict(inputs=[one], data_samples=[1]))['inputs'].max() == .25

    def test_stock_ones_become_ours_with_their_settings(self):
        wrapped = dict(
            type='SegDataPreProcessor',
            mean=[1., 2., 3.],
            std=[1., 1., 1.],
            size=(8, 8))
        pre = build_preprocessor(wrapped, dict(std=[2., 2., 2.]))
        assert type(pre) is SemiDataPreProcessor
        assert pre.mean.flatten().tolist() == [1, 2, 3]
        assert pre.std.flatten().tolist() == [2, 2, 2]
        # With a type of its own it is another one.
        assert not build_preprocessor(
            wrapped, dict(type='SemiDataPreProcessor'))._enable_normalize

    @pytest.mark.parametrize('options, side', [
        (dict(), 24),
        (dict(size=(32, 32)), 24),
        (dict(size_divisor=16), 32),
    ])
    def test_images_are_padded_to_the_largest(self, options, side):
        pre = build_preprocessor(
            dict(type='SegDataPreProcessor', **options), None)
        images = [torch.rand(3, 24, 20), torch.rand(3, 17, 24)]
        samples = [sample(torch.zeros(i.shape[1:]).long()) for i in images]
        out = pre(
            dict(inputs=dict(sup=images), data_samples=dict(sup=samples)),
            True)
        assert out['inputs']['sup'].shape == (2, 3, side, side)

    def test_none_is_refused(self):
        cfg = segmentor()
        del cfg['data_preprocessor']
        with pytest.raises(
                ValueError,
                match='data_preprocessor is missing.*'
                'mean=.*pretrained on'):
            build(segmentor=cfg)
        build(
            segmentor=cfg, data_preprocessor=dict(type='SegDataPreProcessor'))

    def test_colours_need_one_that_says_how_it_normalises(self):
        with pytest.raises(TypeError, match='augment.*Halved does not say'):
            build(
                data_preprocessor=dict(type='Halved'),
                augment=dict(strong=dict()))
        build(data_preprocessor=dict(type='Halved'))

    @pytest.mark.parametrize('kind', ['BEiT', 'MAE', 'VisionTransformer'])
    def test_encoders_of_one_size_get_it(self, kind):
        options = dict(init_values=.1) if kind != 'VisionTransformer' else {}
        cfg = dict(
            config('setr'),
            data_preprocessor=dict(type='SegDataPreProcessor', size=(48, 48)))
        cfg['backbone'].update(type=kind, out_indices=[3], **options)
        model = build(segmentor=cfg, terms=dict(consistency=None))
        crop, item = torch.rand(3, 24, 24), sample(torch.zeros(24, 24).long())
        data = dict(
            inputs=dict(sup=[crop, crop]),
            data_samples=dict(sup=[item, copy.deepcopy(item)]))
        out = model.data_preprocessor(data, True)
        side = 24 if kind == 'VisionTransformer' else 32
        assert out['inputs']['sup'].shape == (2, 3, side, side)
        assert model.loss(**out)['loss_sup'] > 0
        if kind != 'VisionTransformer':
            data['inputs']['sup'] = [torch.rand(3, 33, 20)]
            data['data_samples']['sup'] = [item]
            with pytest.raises(ValueError, match='33 x 20.*one size.*32 x 32'):
                model.data_preprocessor(data, True)

    def test_anything_else_is_refused(self):
        with pytest.raises(TypeError, match="'FCNHead' is no registered pre"):
            build_preprocessor(None, dict(type='FCNHead'))


class TestNames:

    def test_a_framework_by_an_option(self):
        kwargs = dict(segmentor=segmentor(), terms=dict())
        model = MODELS.build(dict(type='SemiSegmentor', **kwargs))
        assert type(model).__name__ == 'MeanTeacher'
        model = MODELS.build(
            dict(type='SemiSegmentor', framework='FixMatch', **kwargs))
        assert type(model).__name__ == 'FixMatch'
        with pytest.raises(TypeError, match="framework='FCNHead' is none"):
            MODELS.build(
                dict(type='SemiSegmentor', framework='FCNHead', **kwargs))

    def test_the_named_mixer_is_used(self):

        @MODELS.register_module(force=True)
        class OwnMixer(BatchMixer):
            pass

        model = build(mixing=dict(type='OwnMixer', kind='cutmix'))
        assert type(model.mixer) is OwnMixer

    def test_bases(self):
        path = mmseg_semi.base('methods/brpg.py')
        assert 'brpg' in Config.fromfile(path).model.terms
        with pytest.raises(FileNotFoundError, match='methods/brpg.py'):
            mmseg_semi.base('methods/brgp.py')

    def test_own_configs_by_name(self):
        name = 'mmseg_semi::supervised/supervised_r18_digits_50.py'
        cfg = Config.fromfile(mmseg_semi.find_config(name))
        assert cfg.model.type == 'MeanTeacher'
        assert mmseg_semi.find_config('a/b.py') == 'a/b.py'
        with pytest.raises(FileNotFoundError, match='supervised_r18'):
            mmseg_semi.find_config(name.replace('_50', '_5O'))


class TestWrongInput:

    @pytest.mark.parametrize('name, near', [
        ('mmseg::segformer/segformer_mit-b9.py', 'segformer_mit-b'),
        ('configs/none_here.py', 'none_here'),
    ])
    def test_a_config_that_is_not_there(self, name, near):
        with pytest.raises(FileNotFoundError, match=f'no config.*{near}'):
            resolve_segmentor(name)

    @pytest.mark.parametrize('kind',
                             ['MeanTeacher', 'FixMatch', 'CrossPseudo'])
    def test_parts_that_are_missing_or_of_something_else(self, kind):
        with pytest.raises(TypeError, match=f'{kind} needs model.segmentor'):
            MODELS.build(dict(type=kind, terms=dict()))
        with pytest.raises(TypeError, match=f'{kind} needs model.terms'):
            MODELS.build(dict(type=kind, segmentor=segmentor()))
        with pytest.raises(
                TypeError, match=rf"{kind} has no option \['speed'"):
            MODELS.build(
                dict(type=kind, segmentor=segmentor(), terms={}, speed=1))


class TestLength:

    def test_a_share_of_burn_in(self):
        model = build(burn_in=.1, total_iters=None)
        model.plan_training(TrainingPlan(200, 10, 20, 2, 2))
        assert model.burn_in == 20 and model.total_iters == 200
        model.iteration = 19
        assert not model.begin(*batch()).semi
        model.iteration = 20
        assert model.begin(*batch()).semi

    @pytest.mark.parametrize('value', [-1, 1.5])
    def test_no_other_fractions(self, value):
        with pytest.raises(ValueError, match=f'burn_in={value}'):
            build(burn_in=value)

    def test_a_share_of_mixing(self):
        model = build(mixing=dict(kind='cutmix', prob=1., begin=.5))
        for iteration, mixes in ((49, False), (50, True)):
            model.iteration = iteration
            step = model.begin(*batch())
            labels = dict(
                cls=torch.zeros(2, SIZE, SIZE).long(),
                valid=torch.ones(2, SIZE, SIZE).bool())
            mask = model.mixer.draw(step, labels, C)
            assert (mask is not None) == mixes


class TestViews:

    def without_strong(self):
        inputs, samples = batch()
        for part in (inputs, samples):
            part.pop('unsup_student')
        return inputs, samples

    def test_a_copy_where_the_data_brings_none(self):
        model = build()
        step = model.begin(*self.without_strong())
        assert model.strong_views(step) == ['unsup_student']
        assert model.loss(*self.without_strong())['loss_unsup'] > 0
        assert model.strong_views(model.begin(*batch())) == ['unsup_student']

    def test_strong_alone(self):
        terms = dict(consistency=dict(type='PixelConsistency', views='strong'))
        assert build(terms=terms).loss(*batch())['loss_unsup'] > 0


def test_own_losses_can_be_weighed():
    losses = {}
    for weight in (1., .25):
        terms = dict(
            supervised=dict(type='SupervisedLoss', loss_weight=weight),
            consistency=None)
        losses[weight] = build(
            segmentor=config('knet'), terms=terms,
            buffers='copy').loss(*_small_batch())
    for name, value in losses[1.].items():
        if 'loss' in name:
            torch.testing.assert_close(losses[.25][name], value * .25)
    assert total(losses[1.]) > 0


def _small_batch():
    inputs, samples = batch()
    return dict(sup=inputs['sup']), dict(sup=samples['sup'])


def test_pretrained_weights_can_be_left_out():
    cfg = resolve_segmentor(
        segmentor('fcn', pretrained='open-mmlab://resnet18'))
    cfg.backbone.init_cfg = [
        dict(type='Pretrained', checkpoint='x.pth'),
        dict(type='Kaiming', layer='Conv2d')
    ]
    drop_pretrained(cfg)
    assert cfg.pretrained is None
    assert [i.type for i in cfg.backbone.init_cfg] == ['Kaiming']
    model = build(
        segmentor=segmentor('fcn', pretrained='missing.pth'), pretrained=False)
    assert model.student.backbone.init_cfg is None or 'missing' not in str(
        model.student.backbone.init_cfg)


def test_settings_of_the_wrapper_win():
    cfg = dict(
        segmentor=segmentor(test_cfg=dict(mode='whole', extra=1)),
        test_cfg=dict(mode='slide'))
    assert settings_of(cfg, 'test_cfg') == dict(mode='slide', extra=1)
    assert settings_of(segmentor(), 'test_cfg') == dict(mode='whole')
    model = build(
        segmentor=segmentor(test_cfg=dict(mode='whole', extra=1)),
        test_cfg=dict(mode='whole', other=2))
    assert model.test_cfg == dict(mode='whole', extra=1, other=2)
