# Copyright (c) mmseg_semi authors.
"""The wrapper as stock tools see it, and its checkpoints."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.data_preprocessor import SemiDataPreProcessor
from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.segmentors.framework import make_view
from mmseg_semi.models.segmentors.wrapped import resolve_segmentor
from .given import build_stock
from .toys import (NUM_CLASSES, SIZE, batch, brpg_cfg, mean_teacher,
                   mean_teacher_cfg, sample, segmentor, total)

ROOT = 'configs/_base_/models/deeplabv3plus_r18_digits.py'


def images(count=1, side=SIZE):
    return torch.randn(
        count, 3, side, side, generator=torch.Generator().manual_seed(3))


class TestStockView:

    def test_attributes(self):
        """What tools/test.py and the inferencer read."""
        model = mean_teacher(predict_with='teacher')
        net = model.teacher
        assert model.backbone is net.backbone
        assert model.decode_head is net.decode_head
        assert not model.with_neck and not model.with_auxiliary_head
        assert model.num_classes == model.out_channels == NUM_CLASSES
        assert model.align_corners is True
        assert model.decode_head.threshold is None
        student = mean_teacher(predict_with='student')
        assert student.backbone is student.student.backbone

    def test_auxiliary_head_is_visible(self):
        aux = dict(
            type='FCNHead',
            in_channels=16,
            in_index=2,
            channels=4,
            num_convs=1,
            num_classes=NUM_CLASSES)
        model = mean_teacher(segmentor=segmentor(auxiliary_head=aux))
        assert model.with_auxiliary_head
        assert model.auxiliary_head is model.teacher.auxiliary_head

    @pytest.mark.parametrize('predict_with', ['teacher', 'student'])
    @pytest.mark.parametrize('test_cfg', [
        dict(mode='whole'),
        dict(mode='slide', crop_size=(SIZE, SIZE), stride=(20, 20))
    ])
    def test_predicts_as_the_wrapped_network(self, predict_with, test_cfg):
        model = mean_teacher(predict_with=predict_with, test_cfg=test_cfg)
        with torch.no_grad():
            model.student.decode_head.conv_seg.weight.normal_()
        model.eval()
        stock = build_stock(segmentor(test_cfg=test_cfg)).eval()
        stock.load_state_dict(model.net(predict_with).state_dict())
        metas = [sample() for _ in range(2)]
        for meta in metas:
            meta.set_metainfo(dict(img_shape=(49, 49), ori_shape=(60, 50)))
        ours, theirs = (
            net.predict(images(2, 49), copy.deepcopy(metas))
            for net in (model, stock))
        for a, b in zip(ours, theirs):
            assert a.seg_logits.shape == (60, 50)
            assert torch.equal(a.seg_logits.data, b.seg_logits.data)
            assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)

    def test_test_cfg_overrides_the_wrapped_one(self):
        slide = dict(mode='slide', crop_size=(9, 9), stride=(5, 5))
        model = mean_teacher(test_cfg=slide)
        assert model.test_cfg.mode == 'slide'
        assert model.student.test_cfg.mode == 'slide'
        assert mean_teacher().test_cfg.mode == 'whole'

    def test_segmentor_without_test_cfg(self):
        cfg = segmentor()
        del cfg['test_cfg']
        model = mean_teacher(segmentor=cfg).eval()
        assert model.test_cfg == model.student.test_cfg == dict(mode='whole')
        result, = model.predict(images(1))
        assert result.pred_sem_seg.shape == (SIZE, SIZE)

    def test_tensor_mode(self):
        model = mean_teacher().eval()
        assert model(images(2), mode='tensor').shape == (2, NUM_CLASSES, 9, 9)

    def test_pretrained_reaches_the_backbone(self):
        model = MODELS.build(mean_teacher_cfg(pretrained='there.pth'))
        assert model.student.backbone.init_cfg['checkpoint'] == 'there.pth'

    def test_term_heads_resize_as_the_network(self):
        model = mean_teacher(terms=dict(brpg=brpg_cfg()))
        assert model.student.semi_heads['brpg'].align_corners is True


def test_a_method_starts_from_the_network_of_its_baseline():
    """Rows of a table with one seed differ by the method alone."""
    plain = mean_teacher()
    after_plain = torch.rand(3)
    model = mean_teacher(terms=dict(brpg=brpg_cfg()))
    after = torch.rand(3)
    state = model.student.state_dict()
    for name, value in plain.student.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert torch.equal(after, after_plain)


class TestResolve:

    def test_dict_is_copied(self):
        cfg = segmentor()
        resolved = resolve_segmentor(cfg)
        resolved.backbone.depth = 50
        assert cfg['backbone']['depth'] == 18

    def test_stock_config_by_name(self):
        name = 'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'
        resolved = resolve_segmentor(name)
        assert resolved.type == 'EncoderDecoder'
        assert resolved.decode_head.type == 'FCNHead'
        changed = resolve_segmentor(
            dict(
                config=name,
                decode_head=dict(num_classes=3),
                auxiliary_head=None))
        assert changed.decode_head.num_classes == 3
        assert changed.decode_head.type == 'FCNHead'
        assert changed.auxiliary_head is None

    def test_stock_config_trains(self):
        small = dict(
            depth=18,
            stem_channels=4,
            base_channels=4,
            norm_cfg=dict(type='BN'))
        head = dict(
            in_channels=32,
            channels=4,
            num_classes=NUM_CLASSES,
            norm_cfg=dict(type='BN'))
        model = mean_teacher(
            segmentor=dict(
                config='mmseg::fcn/'
                'fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py',
                pretrained=None,
                backbone=small,
                decode_head=head,
                auxiliary_head=dict(head, in_channels=16)))
        assert not any(
            isinstance(m, nn.SyncBatchNorm) for m in model.modules())
        losses = model.loss(*batch())
        assert {'loss_sup', 'loss_aux', 'loss_unsup'} <= set(losses)
        total(losses).backward()

    def test_file(self, tmp_path):
        path = tmp_path / 'model.py'
        path.write_text(f'model = {segmentor()!r}')
        assert resolve_segmentor(str(path)).decode_head.channels == 8

    def test_file_without_model(self, tmp_path):
        path = tmp_path / 'data.py'
        path.write_text('dataset = dict()')
        with pytest.raises(KeyError, match='data.py defines no model'):
            resolve_segmentor(str(path))


def stock_load(model, state):
    """As load_from, init_model and tools/test.py load."""
    return _load_checkpoint_to_model(model, dict(state_dict=state))


class TestCheckpoints:

    @pytest.mark.parametrize(
        'load', [lambda m, s: m.load_state_dict(s, strict=False), stock_load])
    def test_plain_checkpoint_reaches_both_networks(self, load):
        plain = build_stock(segmentor())
        for p in plain.parameters():
            nn.init.normal_(p)
        model = mean_teacher()
        load(model, plain.state_dict())
        for name, value in plain.state_dict().items():
            for net in (model.student, model.teacher):
                assert torch.equal(net.state_dict()[name], value), name
        assert model.iteration == 0 and model.ema_steps == 0

    def test_plain_checkpoint_of_a_backbone(self):
        plain = build_stock(segmentor()).backbone.state_dict()
        plain = {f'backbone.{k}': v + 1 for k, v in plain.items()}
        model = mean_teacher()
        stock_load(model, dict(plain, **{'head.fc.weight': torch.ones(2)}))
        for net in (model.student, model.teacher):
            assert torch.equal(net.backbone.conv1.weight,
                               plain['backbone.conv1.weight'])

    @pytest.mark.parametrize(
        'load', [lambda m, s: m.load_state_dict(s, strict=False), stock_load])
    def test_own_checkpoint(self, load):
        model, other = mean_teacher(), mean_teacher()
        for _ in range(3):
            model.loss(*batch())
            model.update_teacher()
        with torch.no_grad():
            model.teacher.backbone.conv1.weight.add_(1)
        load(other, model.state_dict())
        for (name, a), b in zip(model.state_dict().items(),
                                other.state_dict().values()):
            assert torch.equal(a, b), name
        assert other.iteration == other.ema_steps == 3

    @pytest.mark.parametrize('wrapped', [True, False])
    def test_other_shapes(self, wrapped):
        cfg = segmentor()
        cfg['decode_head']['num_classes'] = 7
        state = (mean_teacher(
            segmentor=cfg) if wrapped else build_stock(cfg)).state_dict()
        with pytest.raises(
                RuntimeError,
                match=r'another number of classes.*\n.*conv_seg'
                r'.*checkpoint \(7, 8, 1, 1\), model \(4, 8'):
            stock_load(mean_teacher(), state)

    @pytest.mark.parametrize('wrapped', [True, False])
    def test_training_takes_those_of_other_classes(self, wrapped):
        cfg = segmentor()
        cfg['decode_head']['num_classes'] = 7
        source = mean_teacher(segmentor=cfg) if wrapped else build_stock(cfg)
        with torch.no_grad():
            for weight in source.parameters():
                weight.fill_(.25)
        model = mean_teacher()
        before = model.student.decode_head.conv_seg.weight.clone()
        model.takes_other_classes = True
        stock_load(model, source.state_dict())
        for net in (model.student, model.teacher):
            assert (net.backbone.conv1.weight == .25).all()
            assert torch.equal(net.decode_head.conv_seg.weight, before)

    def test_training_refuses_other_networks(self):
        cfg = segmentor()
        cfg['decode_head'].update(num_classes=7, c1_channels=5)
        model = mean_teacher()
        model.takes_other_classes = True
        with pytest.raises(RuntimeError, match='the backbone different'):
            stock_load(model, build_stock(cfg).state_dict())

    def test_unrelated_checkpoint(self):
        with pytest.raises(RuntimeError, match='fits neither MeanTeacher'):
            stock_load(mean_teacher(), nn.Linear(2, 2).state_dict())


class TestBatch:

    def preprocess(self, batch_, training=True):
        pre = SemiDataPreProcessor(
            mean=[1., 2., 3.],
            std=[2., 2., 2.],
            bgr_to_rgb=True,
            size=(64, 64),
            pad_val=0,
            seg_pad_val=255)
        return pre(batch_, training)

    def test_branches(self):
        """All are padded to the largest image, not to the size of a crop."""
        one = torch.full((3, 2, 4), 1, dtype=torch.uint8)
        two = torch.full((3, 4, 3), 2, dtype=torch.uint8)
        one[0] = 9  # blue, as loaded
        labels = [sample(torch.zeros(2, 4, dtype=torch.long)), sample()]
        out = self.preprocess(
            dict(
                inputs=dict(
                    sup=[one, None],
                    unsup_teacher=[None, two],
                    empty=[None, None]),
                data_samples=dict(
                    sup=[labels[0], None],
                    unsup_teacher=[None, labels[1]],
                    empty=[None, None])))
        assert set(out['inputs']) == {'sup', 'unsup_teacher'}
        image = out['inputs']['sup']
        assert image.shape == (1, 3, 4, 4)
        assert image[0, :, 0, 0].tolist() == [0, -.5, 3]
        assert (image[0, :, 2:] == 0).all()
        label = out['data_samples']['sup'][0].gt_sem_seg.data
        assert (label[0, 2:] == 255).all() and (label[0, :2] == 0).all()
        assert out['inputs']['unsup_teacher'][0, 2, 0, 0] == -.5

    def test_plain_batch(self):
        out = self.preprocess(
            dict(inputs=[torch.zeros(3, 4, 4)], data_samples=[sample()]),
            training=False)
        assert out['inputs'].shape == (1, 3, 4, 4)

    def test_view_knows_padding(self):
        """From the pipeline's valid map and from the preprocessor."""
        mapped = sample(
            valid=torch.tensor([[0, 0, 255]] * 2, dtype=torch.uint8))
        padded = sample()
        padded.set_metainfo(dict(padding_size=(0, 1, 0, 2)))
        view = make_view(torch.zeros(2, 3, 4, 4), [mapped] * 2)
        assert view.labels is None and view.size == (4, 4)
        nothing = [[0] * 4] * 2
        expected = [[1, 1, 0, 0]] * 2 + nothing
        assert view.valid.int().tolist() == [expected] * 2
        view = make_view(torch.zeros(2, 3, 4, 4), [padded, sample()])
        assert view.valid[0].int().tolist() == [[1, 1, 1, 0]] * 2 + nothing
        assert view.valid[1].all()

    def test_batch_without_branches(self):
        model = mean_teacher()
        with pytest.raises(ValueError, match='branch "sup"'):
            model.loss(images(2), [sample(), sample()])

    def test_length_of_training_must_be_known(self):
        model = mean_teacher(total_iters=None)
        MessageHub.get_instance('no runner')  # now the current one
        with pytest.raises(RuntimeError, match='total_iters'):
            model.loss(*batch())


def test_shipped_digits_model_is_a_stock_one():
    """The file of a shipped model can be wrapped by path, too."""
    cfg = Config.fromfile(ROOT)
    assert resolve_segmentor(cfg.segmentor).type == 'EncoderDecoder'


def test_a_misspelt_term_is_refused():
    with pytest.raises(ValueError, match='no type.*misspelt'):
        build_term(dict(capacity=3), 'student', 21, 'paper')
