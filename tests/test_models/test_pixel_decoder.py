# Copyright (c) mmseg_semi authors.
"""Where the head gets its per-pixel embedding and its memory from."""
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


@pytest.mark.parametrize(
    'pixel_decoder, message',
    [(dict(FCN, channels=4), 'out_channels=8'),
     (dict(type='DeepLabV2Head', in_channels=10, in_index=2), 'conv_seg')])
def test_heads_that_do_not_fit(pixel_decoder, message):
    with pytest.raises((ValueError, TypeError), match=message):
        head(pixel_decoder=pixel_decoder)
