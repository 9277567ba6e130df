# Copyright (c) mmseg_semi authors.
import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads.mask2former_query_head import (
    blocked, deformable_layer)
from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from .given_queries import GN, WIDTHS, B, C, D, Q, maps, samples, truth
from .toys import NUM_CLASSES, batch, brpg_cfg, mean_teacher, segmentor, total

LAYERS = 3


def head(**kwargs):
    """A tiny head whose encoder attends to two of the three maps."""
    torch.manual_seed(0)
    cfg = dict(
        type='Mask2FormerQueryHead',
        in_channels=WIDTHS,
        num_classes=C,
        feat_channels=D,
        out_channels=D,
        num_queries=Q,
        pixel_decoder=dict(
            norm_cfg=GN,
            encoder=dict(num_layers=1, layer_cfg=deformable_layer(D, 2))),
        transformer_decoder=dict(
            num_layers=LAYERS, layer_cfg=decoder_layer(D, 2, 16, 0.)),
        train_cfg=dict(num_points=32))
    cfg.update(kwargs)
    module = MODELS.build(copy.deepcopy(cfg))
    module.init_weights()
    return module.eval()


def test_outputs():
    module = head()
    out = module(maps())
    assert len(out.class_logits) == len(out.mask_embed) == LAYERS + 1
    assert out.class_logits[0].shape == (B, Q, C + 1)
    assert out.mask_embed[0].shape == (B, Q, D)
    assert out.pixel_embed.shape == (B, D, 8, 8)
    assert module.dense_logits(out).shape == (B, C, 8, 8)
    assert module.dense_logits_at(out, (9, 7)).shape == (B, C, 9, 7)


def test_the_queries_say_something_before_the_decoder():
    module = head()
    first = module(maps()).mask_embed[0]
    assert torch.equal(first, module(maps(seed=1)).mask_embed[0])
    state = module.transformer_decoder.post_norm(module.query_feat.weight)
    torch.testing.assert_close(first[0], module.mask_embed(state))


def test_a_query_looks_at_its_mask_alone():
    """And at all there is where its mask is empty."""
    pixels = torch.tensor([[[1., -1., 2.]]])  # D = 1, three positions
    embeds = torch.tensor([[[1.], [-1.], [0.]]])
    off = blocked(embeds, pixels)
    assert off[0, 0].tolist() == [False, True, False]
    assert off[0, 1].tolist() == [True, False, True]
    assert not off[0, 2].any()
    assert not blocked(embeds[:, :1], -pixels.abs()).any()


def test_masks_of_the_layer_before_block_the_next():
    module = head()
    seen, masks = [], []
    for layer in module.transformer_decoder.layers:
        layer.register_forward_pre_hook(lambda m, args: seen.append(
            (args[2].shape[1], args[4])))
    out = module(maps())
    sizes = [(2, 2), (4, 4), (2, 2)]  # of the maps, the coarsest first
    for i, ((positions, off), size) in enumerate(zip(seen, sizes)):
        assert positions == size[0] * size[1]
        masks = torch.nn.functional.interpolate(
            out.mask_logits(i), size, mode='bilinear')
        wanted = masks.flatten(2) < 0
        wanted &= ~wanted.all(-1, keepdim=True)
        assert torch.equal(off, wanted)
    assert any(off.any() for _, off in seen)


@pytest.mark.parametrize('class_head', [True, False])
def test_every_parameter_learns(class_head):
    module = head(class_head=class_head).train()
    with torch.no_grad():  # at first no position looks anywhere by itself
        for p in module.pixel_decoder.parameters():
            p.add_(.02 * torch.randn_like(p))
    losses = module.loss_by_feat(module(maps()), samples(truth()))
    assert len(losses) == (3 * (LAYERS + 1) if class_head else 1)
    sum(losses.values()).backward()
    for name, p in module.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize('class_head', [True, False])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision(class_head, dtype):
    """Losses as in full precision, up to the rounding of the layers."""
    module = head(class_head=class_head).train()

    def step():
        torch.manual_seed(1)
        module.zero_grad()
        losses = module.loss_by_feat(module(maps()), samples(truth()))
        sum(losses.values()).backward()
        return losses, {n: p.grad for n, p in module.named_parameters()}

    wanted, _ = step()
    with torch.autocast('cpu', dtype):
        found, grads = step()
    for name, value in wanted.items():
        assert found[name].dtype == torch.float32, name
        torch.testing.assert_close(
            found[name], value, rtol=.05, atol=.02, msg=name)
    assert all(grad.isfinite().all() for grad in grads.values())


def test_without_class_head_queries_are_prototypes():
    module = head(class_head=False)
    out = module(maps())
    assert out.class_logits == [] and len(out.mask_embed) == 1
    assert module.criterion is None and not module.has_classes
    scores = out.mask_logits()
    wanted = torch.stack(
        [scores[:, 2 * k:2 * k + 2].exp().sum(1).log() for k in range(C)], 1)
    torch.testing.assert_close(module.dense_logits(out), wanted)


def test_parts_to_share_make_masks_of_queries():
    """With them, and with the same pixel decoder, heads answer alike."""
    one, two = head(), head()
    with torch.no_grad():
        for p in two.parameters():
            p.add_(.3 * torch.randn_like(p))
    two.pixel_decoder.load_state_dict(one.pixel_decoder.state_dict())
    assert not torch.allclose(
        one(maps()).mask_embed[-1],
        two(maps()).mask_embed[-1])
    for part in one.shared_parts():
        setattr(two, part, getattr(one, part))
    assert torch.equal(one(maps()).mask_embed[-1], two(maps()).mask_embed[-1])


def model(class_head):
    """The toy network with a head of two layers."""
    cfg = segmentor()
    pixel_decoder = dict(
        norm_cfg=GN,
        encoder=dict(num_layers=1, layer_cfg=deformable_layer(D, 2)))
    return dict(
        cfg,
        decode_head=dict(
            type='Mask2FormerQueryHead',
            in_channels=[4, 8, 16, 32],
            num_classes=NUM_CLASSES,
            num_queries=2 * NUM_CLASSES,
            feat_channels=D,
            out_channels=D,
            class_head=class_head,
            pixel_decoder=pixel_decoder,
            transformer_decoder=dict(
                num_layers=2, layer_cfg=decoder_layer(D, 2, 16, 0.)),
            train_cfg=dict(num_points=32) if class_head else None))


def step(semi):
    losses = semi.loss(*batch())
    total(losses).backward()
    for name, p in semi.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.isfinite().all(), name
    return losses


TERMS = dict(
    rc2l=dict(type='RC2L', min_area=1),
    brpg=brpg_cfg(head=dict(in_channels=D), window=(0, 1)),
    cmb=dict(
        type='CMB',
        head=dict(channels=6),
        rows_per_image=3,
        capacity=10,
        memory_start=0,
        contrast_start=1,
        threshold=0.))


@pytest.mark.parametrize('name', TERMS)
def test_terms_train(name):
    terms = {name: TERMS[name]}
    if name == 'rc2l':
        terms['consistency'] = None
    losses = step(mean_teacher(segmentor=model(True), terms=terms))
    assert len({key for key in losses if key.startswith('loss_')}) > 1


def test_pps_trains():
    """Queries, their features and the decoder are one for both students."""
    torch.manual_seed(0)
    semi = MODELS.build(
        dict(
            type='CrossPseudo',
            segmentor=model(False),
            terms=dict(
                supervised=dict(type='SupervisedLoss'),
                pps=dict(type='PPS', head=dict(channels=4), samples=8)),
            halves=False))
    semi.init_weights()
    semi.total_iters = 100
    losses = step(semi.train())
    for part in ('decode.loss_ce', 'loss_sp', 'loss_contra', 'loss_r'):
        assert losses[f'student2.{part}'].isfinite()
    heads = [semi.student1.decode_head, semi.student2.decode_head]
    for part in heads[0].shared_parts():
        assert getattr(heads[0], part) is getattr(heads[1], part)
    assert heads[0].pixel_decoder is not heads[1].pixel_decoder


@pytest.mark.parametrize('kwargs, message', [
    (dict(class_head=False, num_queries=7), 'multiple of 3'),
    (dict(in_index=[0]), 'in_index'),
    (dict(pixel_decoder=dict(type='PixelDecoder')), 'PixelDecoder'),
    (dict(in_channels=[8], in_index=[1]), 'num_levels=2'),
    (dict(
        transformer_decoder=dict(num_layers=1, layer_cfg=decoder_layer(4, 2))),
     'wide'),
    (dict(
        pixel_decoder=dict(
            encoder=dict(num_layers=1, layer_cfg=deformable_layer(16, 2)))),
     'wide'),
])
def test_messages(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)
