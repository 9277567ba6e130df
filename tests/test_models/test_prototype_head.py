# Copyright (c) mmseg_semi authors.
import math

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.decode_heads import prototype_head
from .given import build_stock
from .toys import NUM_CLASSES, SIZE, batch, segmentor

CFG = dict(
    type='PrototypeHead',
    in_channels=6,
    channels=4,
    num_classes=3,
    num_prototypes=2,
    norm_cfg=dict(type='BN'))


def head(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(CFG, **kwargs))


def with_prototypes(module, absent=()):
    shape = module.prototypes.shape
    valid = torch.ones(shape[:2], dtype=torch.bool)
    valid[0, 1:] = False
    valid[list(absent)] = False
    module.set_prototypes(torch.randn(shape), valid)
    return module


class TestForward:

    def test_scores_equal_the_loop(self):
        module = with_prototypes(head(projector=None, in_channels=4))
        x = torch.randn(2, 4, 3, 5)
        logits = module(x)
        assert logits.shape == (2, 3, 3, 5)
        for b in range(2):
            for i in range(3):
                for j in range(5):
                    f = x[b, :, i, j]
                    for c in range(3):
                        best = max(
                            float(f @ p) /
                            math.sqrt(float(f @ f) * float(p @ p))
                            for p, ok in zip(module.prototypes[c],
                                             module.prototype_valid[c]) if ok)
                        assert logits[b, c, i, j].item() == pytest.approx(
                            best / .1, abs=1e-4)

    def test_temperature(self):
        cold = with_prototypes(head(projector=None, in_channels=4))
        warm = head(projector=None, in_channels=4, temperature=1.)
        warm.set_prototypes(cold.prototypes, cold.prototype_valid)
        x = torch.randn(1, 4, 2, 2)
        torch.testing.assert_close(cold(x), 10 * warm(x))

    def test_before_there_are_prototypes(self):
        with pytest.raises(RuntimeError, match='no prototypes yet'):
            head()(torch.randn(1, 6, 2, 2))

    def test_class_without_prototypes_is_never_predicted(self):
        """Not even after resizing twice, as prediction does."""
        module = with_prototypes(
            head(projector=None, in_channels=4), absent=[1])
        logits = module(torch.randn(1, 4, 5, 5))
        for size in ((17, 17), (40, 40)):
            logits = nn.functional.interpolate(
                logits, size, mode='bilinear', align_corners=True)
        assert logits.isfinite().all()
        assert (logits.argmax(1) != 1).all()
        assert (logits.softmax(1)[:, 1] == 0).all()

    def test_gradient_reaches_features_only(self):
        module = with_prototypes(head())
        x = torch.randn(2, 6, 5, 5, requires_grad=True)
        module(x).square().sum().backward()
        assert x.grad.any() and module.prototypes.grad is None
        assert not module.prototypes.requires_grad
        assert all(p.grad is not None for p in module.parameters())

    def test_features_are_not_normalised(self):
        module = head(projector=None, in_channels=4)
        x = torch.randn(1, 4, 2, 2)
        assert torch.equal(module.features(x), x)


class TestFullResolution:
    """PCR P1 and P12-1: upsample, then normalise, then compare."""

    @pytest.mark.parametrize('align_corners', [True, False])
    @pytest.mark.parametrize('pixels', [1, 200, 10_000])
    def test_equals_the_upsampled_map(self, monkeypatch, pixels,
                                      align_corners):
        monkeypatch.setattr(prototype_head, 'PIXELS', pixels)
        module = with_prototypes(
            head(
                projector=None,
                in_channels=4,
                full_resolution=True,
                align_corners=align_corners)).double()
        x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
        full = nn.functional.interpolate(
            x, (17, 26), mode='bilinear', align_corners=align_corners)
        expected = module(full)
        torch.testing.assert_close(
            module.classify_at(x, (17, 26)), expected, rtol=0, atol=1e-11)
        for metas in (dict(img_shape=(9, 9),
                           pad_shape=(17, 26)), dict(img_shape=(17, 26)),
                      dict(img_shape=torch.Size((17, 26)), pad_shape=(9, 9))):
            torch.testing.assert_close(
                module.predict(x, [metas] * 2, {}),
                expected,
                rtol=0,
                atol=1e-11)
        resized = nn.functional.interpolate(
            module(x), (17, 26), mode='bilinear', align_corners=align_corners)
        assert (resized - expected).abs().max() > .1
        module.full_resolution = False
        torch.testing.assert_close(
            module.predict(x, [dict(img_shape=(17, 26))] * 2, {}), resized)


class TestLayers:

    def test_conv_projector_is_the_published_one(self):
        """Spec S1: two Conv3x3-BN-ReLU-Dropout2d and a 1x1, with bias."""
        module = head()
        first, drop, second, _, last = module.projector
        assert (first.conv.kernel_size, first.conv.in_channels,
                first.conv.out_channels) == ((3, 3), 6, 4)
        assert second.conv.in_channels == second.conv.out_channels == 4
        assert first.conv.bias is not None and last.bias is not None
        assert drop.p == .1 and first.with_activation and first.with_norm
        assert (last.kernel_size, last.out_channels) == ((1, 1), 4)

    def test_no_unused_parameter(self):
        assert not hasattr(head(), 'conv_seg')
        assert head(linear=True).conv_seg.out_channels == 3
        assert not list(head(projector=None, in_channels=4).parameters())

    def test_init_weights(self):
        """The laws are those of test_initial_weights.py."""
        for linear in (False, True):
            module = head(linear=linear, init='kaiming_fan_out')
            module.init_weights()
        assert module.conv_seg.weight.std() < .05

    @pytest.mark.parametrize('wrong, message', [
        (dict(projector=None), 'in_channels=6 must equal'),
        (dict(projector='mlp'), 'mlp'),
    ])
    def test_bad_options(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            head(**wrong)


class TestStockSegmentor:

    def model(self):
        cfg = segmentor()
        cfg['decode_head'] = dict(
            type='PrototypeHead',
            in_channels=32,
            in_index=3,
            channels=6,
            num_prototypes=2,
            num_classes=NUM_CLASSES,
            norm_cfg=dict(type='BN'))
        return build_stock(cfg)

    def test_trains_and_predicts(self):
        model = self.model()
        with_prototypes(model.decode_head)
        inputs, samples = batch(unlabeled=0)
        before = model.decode_head.prototypes.clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=.05)
        losses = []
        for _ in range(8):
            loss = model.loss(inputs['sup'], samples['sup'])
            optimizer.zero_grad()
            loss['decode.loss_ce'].backward()
            optimizer.step()
            losses.append(loss['decode.loss_ce'].item())
        assert losses[-1] < losses[0]
        assert torch.equal(model.decode_head.prototypes, before)
        model.eval()
        result = model.predict(inputs['sup'], samples['sup'])[0]
        assert result.pred_sem_seg.data.shape == (1, SIZE, SIZE)

    def test_checkpoint_brings_the_prototypes(self):
        model, other = self.model(), self.model()
        with_prototypes(model.decode_head)
        other.load_state_dict(model.state_dict())
        assert torch.equal(model.decode_head.prototypes,
                           other.decode_head.prototypes)
