# Copyright (c) mmseg_semi authors.
import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmseg_semi.models.adapters import build_adapter, network_mode
from mmseg_semi.models.decode_heads.prototype_head import BaseDecodeHead
from mmseg_semi.models.step import Pass
from .given import build_stock
from .toys import (NUM_CLASSES, SIZE, batch, brpg_cfg, mean_teacher, segmentor,
                   total)

FCN = dict(
    type='FCNHead',
    in_channels=32,
    in_index=3,
    channels=8,
    num_convs=1,
    norm_cfg=dict(type='BN'),
    num_classes=NUM_CLASSES)
AUX = dict(FCN, in_channels=16, in_index=2, channels=4)


def cascade():
    return segmentor(
        type='CascadeEncoderDecoder',
        num_stages=2,
        decode_head=[
            dict(AUX),
            dict(
                type='OCRHead',
                in_channels=32,
                in_index=3,
                channels=8,
                ocr_channels=4,
                norm_cfg=dict(type='BN'),
                num_classes=NUM_CLASSES)
        ])


@MODELS.register_module()
class TwoMapHead(BaseDecodeHead):
    """Returns (score, vector, auxiliary score) in train mode, as some do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.second = nn.Conv2d(self.channels, self.num_classes, 1)

    def forward(self, inputs):
        x = self._transform_inputs(inputs)
        score = self.cls_seg(x)
        if not self.training:
            return score
        return score, x.mean((2, 3))[:, :self.num_classes], self.second(x)


def two_maps():
    return segmentor(
        decode_head=dict(
            type='TwoMapHead',
            in_channels=32,
            in_index=3,
            channels=32,
            num_classes=NUM_CLASSES))


def learner_out(model):
    step = model.begin(*batch())
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    return step, step.learner('student', 'sup')


class TestFamilies:

    @pytest.mark.parametrize('cfg, aux', [
        (segmentor(), 0),
        (segmentor('fcn', auxiliary_head=AUX), 1),
        (segmentor('fcn', auxiliary_head=[AUX, AUX]), 2),
        (cascade(), 1),
        (two_maps(), 1),
    ])
    def test_one_step(self, cfg, aux):
        model = mean_teacher(segmentor=cfg)
        step, out = learner_out(model)
        assert len(out.aux) == aux
        for scores in (out.logits, *out.aux):
            assert scores.shape[:2] == (2, NUM_CLASSES)
        losses = model.loss(*batch())
        assert ('loss_aux' in losses) == bool(aux)
        total(losses).backward()
        for name, p in model.student.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), name
        model.eval()
        inputs, samples = batch()
        result = model.predict(inputs['sup'], samples['sup'])[0]
        assert result.pred_sem_seg.data.shape == (1, SIZE, SIZE)

    def test_cascade_scores_with_its_last_stage(self):
        model = mean_teacher(segmentor=cascade())
        net = model.student.eval()
        x = torch.randn(1, 3, SIZE, SIZE)
        feats = net.extract_feat(x)
        main, aux = model.adapter.scores(net, feats)
        first = net.decode_head[0](feats)
        assert torch.equal(aux[0], first)
        assert torch.equal(main, net.decode_head[1](feats, first))

    def test_brpg_on_a_cascade(self):
        brpg = brpg_cfg(window=(0, 1), head=dict(tap='decoder', in_channels=8))
        model = mean_teacher(segmentor=cascade(), terms=dict(brpg=brpg))
        model.loss(*batch())
        assert model.loss(*batch())['loss_proto'] > 0

    def test_stock_ddr_head(self):
        net = nn.Module()
        net.with_auxiliary_head = False
        net.decode_head = MODELS.build(
            dict(
                type='DDRHead',
                in_channels=8,
                channels=4,
                num_classes=NUM_CLASSES,
                loss_decode=[dict(type='CrossEntropyLoss')] * 2))
        adapter = build_adapter(net)
        c3, c5 = torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)
        main, aux = adapter.scores(net, (c3, c5))
        assert main.shape == (2, NUM_CLASSES, 4, 4)
        assert [a.shape for a in aux] == [(2, NUM_CLASSES, 8, 8)]

    def test_heads_that_do_not_score_pixels(self):
        net = nn.Module()
        net.decode_head = nn.Linear(2, 2)
        with pytest.raises(TypeError, match='Linear does not score'):
            build_adapter(net)

    def test_own_losses_of_a_tuple_head(self):
        model = mean_teacher(
            segmentor=two_maps(),
            terms=dict(supervised=dict(type='SupervisedLoss', criterion=None)))
        with pytest.raises(TypeError, match='TwoMapHead.*criterion'):
            model.loss(*batch())

    def test_own_losses_of_a_cascade(self):
        model = mean_teacher(
            segmentor=cascade(),
            terms=dict(
                consistency=None,
                supervised=dict(type='SupervisedLoss', criterion=None)))
        step, out = learner_out(model)
        losses = model.terms['supervised'].loss(step)
        labels = step.views['sup'].labels
        for name, scores in (('decode_0.loss_ce', out.aux[0]),
                             ('decode_1.loss_ce', out.logits)):
            values = F.cross_entropy(
                F.interpolate(scores, (SIZE, SIZE), mode='bilinear'),
                labels,
                ignore_index=255,
                reduction='none')
            assert losses[name].item() == pytest.approx(
                values.mean().item(), rel=1e-5)  # stock: over all pixels

    def test_auxiliary_heads_without_weight_stay_in_the_graph(self):
        """DDP wants a gradient for every parameter."""
        model = mean_teacher(
            segmentor=segmentor('fcn', auxiliary_head=AUX),
            terms=dict(supervised=dict(type='SupervisedLoss', aux_weight=0)))
        losses = model.loss(*batch())
        assert losses['loss_aux'] == 0
        total(losses).backward()
        grads = [p.grad for p in model.student.auxiliary_head.parameters()]
        assert all(g is not None and not g.any() for g in grads)


class TestPass:

    def test_views_share_one_forward(self):
        model = mean_teacher()
        step = model.begin(*batch(labeled=1, unlabeled=3))
        views = [step.views[v] for v in ('sup', 'unsup_student')]
        item = Pass('p', 'teacher', ('sup', 'unsup_student'), train=False)
        outs = model.adapter.forward(model.teacher, views, item)
        assert [len(o.logits) for o in outs] == [1, 3]
        for view, out in zip(views, outs):
            alone = model.teacher.decode_head(
                model.teacher.extract_feat(view.image))
            torch.testing.assert_close(out.logits, alone)

    def test_logits_are_full_precision_under_autocast(self):
        model = mean_teacher(terms=dict(brpg=brpg_cfg()))
        views = [model.begin(*batch()).views['sup']]
        item = Pass('p', 'teacher', ('sup', ), features=frozenset({'brpg'}))
        with torch.autocast('cpu', torch.bfloat16):
            out, = model.adapter.forward(model.teacher, views, item)
        assert out.logits.dtype == torch.float32
        assert out.features['brpg'].dtype == torch.bfloat16
        assert out.features['brpg'].shape == (2, 6, 9, 9)

    def test_graph_only_where_declared(self):
        model = mean_teacher()
        views = [model.begin(*batch()).views['sup']]
        for grad in (True, False):
            item = Pass('p', 'student', ('sup', ), grad=grad)
            out, = model.adapter.forward(model.student, views, item)
            assert out.logits.requires_grad == grad


class TestMode:

    @pytest.mark.parametrize('before', [True, False])
    @pytest.mark.parametrize('train', [True, False])
    @pytest.mark.parametrize('dropout', [True, False])
    def test_is_restored(self, before, train, dropout):
        net = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout2d()).train(before)
        with network_mode(net, train, dropout):
            assert net[0].training == train
            assert net[1].training == (train and dropout)
        assert all(m.training == before for m in net.modules())

    def test_is_restored_after_an_error(self):
        net = nn.Sequential(nn.Dropout2d())
        with pytest.raises(ZeroDivisionError):
            with network_mode(net, True, False):
                1 / 0
        assert net[0].training

    def test_without_dropout_nothing_is_random(self):
        net = MODELS.build(
            dict(
                type='MixVisionTransformer',
                embed_dims=8,
                num_stages=2,
                num_layers=[2, 2],
                num_heads=[1, 1],
                patch_sizes=[7, 3],
                strides=[4, 2],
                sr_ratios=[2, 1],
                out_indices=(0, 1),
                drop_rate=.5,
                attn_drop_rate=.5,
                drop_path_rate=.5))
        images = torch.rand(4, 3, 32, 32)
        for dropout in (False, True):
            with network_mode(net, True, dropout), torch.no_grad():
                first, second = net(images)[-1], net(images)[-1]
            assert torch.equal(first, second) is not dropout

    def test_respects_frozen_statistics(self):
        net = build_stock(segmentor()).backbone
        net.norm_eval = True
        net.eval()
        with network_mode(net, True, True):
            assert net.training and not net.bn1.training
