# Copyright (c) mmseg_semi authors.
"""Where the head gets its per-pixel embedding and its memory from."""
import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from .given_queries import GN, WIDTHS, B, C, D, head, maps, samples, truth

ENCODER = dict(
    type='TransformerEncoderPixelDecoder',
    norm_cfg=GN,
    encoder=dict(
        num_layers=2,
        layer_cfg={
            k: v
            for k, v in decoder_layer(D, 2, 16).items()
            if k != 'cross_attn_cfg'
        }))
FCN = dict(
    type='FCNHead',
    in_channels=WIDTHS[1],
    in_index=1,
    channels=D,
    num_convs=1,
    norm_cfg=dict(type='BN'))
ASPP = dict(
    type='DepthwiseSeparableASPPHead',
    in_channels=WIDTHS[2],
    in_index=2,
    channels=D,
    dilations=(1, 2),
    c1_in_channels=WIDTHS[0],
    c1_channels=4,
    norm_cfg=dict(type='BN'))
SEGFORMER = dict(
    type='SegformerHead',
    in_channels=list(WIDTHS),
    in_index=[0, 1, 2],
    channels=D,
    norm_cfg=dict(type='BN'))


def test_transformer_encoder_gives_the_memory():
    module = head(pixel_decoder=ENCODER)
    embed, memory = module.pixel_decoder(maps())
    assert embed.shape == (B, D, 8, 8) and memory.shape == (B, D, 2, 2)
    assert not list(module.decoder_input_proj.parameters())
    losses = module.loss_by_feat(module(maps()), samples(truth()))
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize('stock, side', [(FCN, 4), (ASPP, 8), (SEGFORMER, 8)])
def test_a_stock_head_cut_at_its_feature(stock, side):
    module = head(pixel_decoder=stock)
    whole = MODELS.build(dict(stock, num_classes=C)).eval()
    state = {
        k: v
        for k, v in whole.state_dict().items() if 'conv_seg' not in k
    }
    module.pixel_decoder.head.load_state_dict(state)
    seen = []
    whole.conv_seg.register_forward_hook(
        lambda m, args, out: seen.append(*args))
    whole(maps())
    out = module(maps())
    assert torch.equal(out.pixel_embed, seen[0])
    assert out.pixel_embed.shape == (B, D, side, side)
    x = maps()
    memory = module.pixel_decoder(x)[1]
    assert memory is x[-1]
    losses = module.train().loss_by_feat(module(x), samples(truth()))
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_a_choice_of_maps():
    module = head(in_index=[0, 2], in_channels=[WIDTHS[0], WIDTHS[2]])
    assert module(maps()).pixel_embed.shape == (B, D, 8, 8)


def test_another_width_is_projected():
    module = head(pixel_decoder=dict(FCN, channels=4))
    assert module(maps()).pixel_embed.shape == (B, D, 4, 4)
    names = {n for n, _ in module.pixel_decoder.named_parameters()}
    assert {'embed.weight', 'embed.bias'} <= names


def test_names_of_a_head_cut_at_its_feature():
    """Checkpoints hold the head's parameters without the classifier's."""
    whole = MODELS.build(dict(FCN, num_classes=C))
    names = set(head(pixel_decoder=FCN).pixel_decoder.state_dict())
    assert names == {
        f'head.{n}'
        for n in whole.state_dict() if 'conv_seg' not in n
    }


def test_a_head_whose_classifier_is_not_known():
    cfg = dict(type='DeepLabV2Head', in_channels=10, in_index=2)
    with pytest.raises(TypeError, match='embed_channels'):
        head(pixel_decoder=cfg)
    given = dict(type='StockPixelDecoder', head=cfg, embed_channels=10)
    module = head(pixel_decoder=given)
    losses = module.train().loss_by_feat(module(maps()), samples(truth()))
    sum(losses.values()).backward()
    # Its classifiers say nothing, but DDP finds their gradient.
    found = module.pixel_decoder.head.conv2d_list[0].weight.grad
    assert found is not None and not found.any()


def test_a_cascade_ends_with_the_head_that_scores():
    stages = [
        dict(FCN),
        dict(
            FCN,
            type='PointHead',
            num_fcs=1,
            in_index=[1],
            in_channels=[WIDTHS[1]])
    ]
    del stages[1]['num_convs']
    with pytest.raises(ValueError, match='number 0 scores every pixel last'):
        head(pixel_decoder=dict(type='StockPixelDecoder', head=stages))


def test_a_copy_records_for_itself():
    """The teacher is a copy of the student."""
    module = head(pixel_decoder=FCN)
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(.1)
    wanted = module(maps()).pixel_embed
    other = twin(maps()).pixel_embed
    assert not torch.equal(other, wanted)
    assert torch.equal(module(maps()).pixel_embed, wanted)
