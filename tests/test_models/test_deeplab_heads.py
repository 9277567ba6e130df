# Copyright (c) mmseg_semi authors.
"""DeepLabV2 and CMB's DeepLabV3+ against their descriptions."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models.taps import TapRecorder

NORM = dict(type='BN', requires_grad=False)


def v2(branches=2, num_classes=5, backbone=(), **head):
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=dict(
                type='CeilPoolResNet',
                depth=50,
                base_channels=2,
                stem_channels=4,
                strides=(1, 2, 1, 1),
                dilations=(1, 1, 2, 4),
                norm_cfg=NORM,
                style='caffe',
                **dict(backbone)),
            decode_head=dict(
                type='DeepLabV2Head',
                in_channels=64,
                in_index=3,
                aspp_branches=branches,
                num_classes=num_classes,
                **head),
            train_cfg=dict(),
            test_cfg=dict(mode='whole')))


def v3plus(**kwargs):
    net = MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=dict(
                type='ResNet',
                depth=50,
                base_channels=2,
                stem_channels=4,
                strides=(1, 2, 2, 1),
                dilations=(1, 1, 1, 2),
                norm_cfg=NORM,
                style='pytorch'),
            decode_head=dict(
                type='CMBDeepLabV3PlusHead',
                in_channels=64,
                in_index=3,
                channels=8,
                c1_in_channels=8,
                c1_channels=6,
                dropout_ratio=.1,
                num_classes=5,
                norm_cfg=dict(type='SyncBN'),
                **kwargs),
            train_cfg=dict(),
            test_cfg=dict(mode='whole')))
    return revert_sync_batchnorm(net)


@pytest.mark.parametrize('branches', [1, 2, 4])
def test_v2_sums_the_dilated_convolutions(branches):
    net = v2(branches)
    head = net.decode_head
    convs = list(head.conv2d_list)
    assert [c.dilation[0] for c in convs] == [6, 12, 18, 24][:branches]
    assert not hasattr(head, 'conv_seg')
    x = torch.randn(2, 64, 9, 9)
    expected = sum(
        F.conv2d(x, c.weight, c.bias, padding=d, dilation=d)
        for c, d in zip(convs, (6, 12, 18, 24)))
    torch.testing.assert_close(head([None, None, None, x]), expected)


@pytest.mark.parametrize('branches', [0, 5])
def test_v2_branches_that_are_not_there(branches):
    with pytest.raises(ValueError, match=f'aspp_branches={branches} must be'):
        v2(branches)


def test_v2_sizes_and_taps():
    """CMB spec 1.1: 65 x 65 for a crop of 512, 41 x 41 for one of 321."""
    net = v2().eval()
    net.taps = TapRecorder(net, ['pre_cls', 'decoder'])
    for crop, size in ((512, 65), (321, 41)):
        with torch.no_grad(), net.taps.capture(['pre_cls', 'decoder'],
                                               grad=False) as tapped:
            feats = net.extract_feat(torch.randn(1, 3, crop, crop))
            logits = net.decode_head(feats)
        assert logits.shape == (1, 5, size, size)
        for value in tapped.values():
            assert torch.equal(value, feats[3])
            assert value.shape == (1, 64, size, size)


def test_v2_starts_small_and_loads_the_published_names(tmp_path):
    net = v2()
    net.init_weights()
    weights = net.decode_head.conv2d_list[0].weight
    assert 0.008 < weights.std() < 0.012
    # A checkpoint as AdvSemiSeg's: one flat state dict, `layer5` on top.
    given = dict(v2().backbone.state_dict())
    for i in range(4):
        given[f'layer5.conv2d_list.{i}.weight'] = torch.full((5, 64, 3, 3),
                                                             float(i))
        given[f'layer5.conv2d_list.{i}.bias'] = torch.full((5, ), float(i))
    path = str(tmp_path / 'coco.pth')
    torch.save(given, path)
    cfg = dict(type='Pretrained', checkpoint=path)
    net = v2(backbone=dict(init_cfg=cfg), init_cfg=dict(cfg, prefix='layer5.'))
    net.init_weights()
    for name, value in net.backbone.state_dict().items():
        assert torch.equal(value, given[name]), name
    for i, conv in enumerate(net.decode_head.conv2d_list):
        assert (conv.weight == i).all() and (conv.bias == i).all()


def test_stride_and_frozen_affine_parameters():
    block = v2().backbone.layer2[0]
    assert block.conv1.stride == (2, 2) and block.conv2.stride == (1, 1)
    net = v2().train()
    norm = net.backbone.layer1[0].bn1
    before = norm.running_mean.clone()
    net.extract_feat(torch.randn(2, 3, 33, 33))
    assert not torch.equal(before, norm.running_mean)
    assert not any(p.requires_grad for m in net.backbone.modules()
                   if isinstance(m, nn.BatchNorm2d) for p in m.parameters())


def test_v3plus_is_what_the_paper_used():
    net = v3plus()
    net.init_weights()
    head = net.decode_head
    assert [type(m) for m in head.modules()
            if 'Dropout' in str(type(m))] == [nn.Dropout, nn.Dropout]
    assert head.bottleneck[1].p == .5 and head.dropout.p == .1
    for conv in (m for m in head.modules() if isinstance(m, nn.Conv2d)):
        assert conv.groups == 1
        if conv.weight.numel() > 500:
            assert 0.008 < conv.weight.std() < 0.012
    assert [c.conv.dilation[0] for c in head.aspp_modules] == [1, 6, 12, 18]
    assert head.classifier[0].conv.in_channels == 8 + 6


def test_v3plus_sizes_and_taps():
    """CMB spec 1.1: 128 x 128 for a crop of 512, 81 x 81 for one of 321."""
    net = v3plus().eval()
    net.taps = TapRecorder(net, ['pre_cls', 'decoder'])
    for crop, size in ((512, 128), (321, 81)):
        with torch.no_grad(), net.taps.capture(['pre_cls', 'decoder'],
                                               grad=False) as tapped:
            feats = net.extract_feat(torch.randn(1, 3, crop, crop))
            logits = net.decode_head(feats)
        assert feats[3].shape[-1] == -(-crop // 16)
        assert tapped['pre_cls'].shape == (1, 8, size, size)
        assert tapped['decoder'].shape == (1, 14, size, size)
        torch.testing.assert_close(
            net.decode_head.conv_seg(tapped['pre_cls']), logits)


def test_v3plus_features_come_before_the_dropout():
    net = v3plus().train()
    net.taps = TapRecorder(net, ['pre_cls'])
    net.decode_head.dropout.p = .9
    with net.taps.capture(['pre_cls'], grad=True) as tapped:
        net.decode_head(net.extract_feat(torch.randn(2, 3, 33, 33)))
    assert (tapped['pre_cls'] == 0).float().mean() < .75
