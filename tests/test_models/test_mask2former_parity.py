# Copyright (c) mmseg_semi authors.
"""With the same weights, Mask2FormerQueryHead is MMSegmentation's head.

The stock head needs mmdet, see test_maskformer_parity.py.
"""
import copy
from unittest import mock

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmseg.registry import MODELS

import mmseg_semi  # noqa: F401
from mmseg_semi.models.decode_heads import Mask2FormerQueryHead
from mmseg_semi.models.decode_heads.stock_query_heads import own_query_head
from .test_maskformer_parity import (C, Q, given, metas, parameters,
                                     without_dropout)

pytest.importorskip('mmdet.models.dense_heads', exc_type=ImportError)

NAME = 'mmseg::mask2former/mask2former_{}_8xb2-{}.py'
LAYERS = 4  # one more than there are maps
POINTS = 96
RAND = torch.rand


def stock_config(backbone, data):
    """The decode head of a model-zoo config, small."""
    head = get_config(NAME.format(backbone, data)).model.decode_head
    head = without_dropout(copy.deepcopy(head.to_dict()))
    head.update(num_classes=C, num_queries=Q)
    head['loss_cls']['class_weight'] = [1.] * C + [.1]
    head['transformer_decoder']['num_layers'] = LAYERS
    head['pixel_decoder']['encoder']['num_layers'] = 2
    head['train_cfg']['num_points'] = POINTS
    return head


@pytest.fixture(
    scope='module',
    params=[('r50', '160k_ade20k-512x512'),
            ('swin-t', '90k_cityscapes-512x1024')],
    ids='-'.join)
def heads(request):
    """The stock head with random weights and ours with a copy, in fp64.

    In fp32 rounding decides where a query whose mask is at 0 may look.
    """
    torch.manual_seed(0)
    cfg = stock_config(*request.param)
    stock = MODELS.build(ConfigDict(copy.deepcopy(cfg)))
    stock.init_weights()
    with torch.no_grad():  # biases and norms, offsets and weights of points
        for p in stock.parameters():
            p.add_(.02 * torch.randn_like(p))
    ours = MODELS.build(own_query_head(cfg))
    assert isinstance(ours, Mask2FormerQueryHead)
    ours.load_state_dict(stock.state_dict())  # strict: names and shapes
    ours.double().criterion.class_weight[-1] = .1  # not that of fp32
    return stock.double().train(), ours.train()


def inputs(head, labels='random'):
    """As :func:`given`, with maps of the widths that this head takes."""
    decoder = head.pixel_decoder
    convs = [*decoder.lateral_convs, *reversed(decoder.input_convs)]
    stub = mock.Mock()
    stub.pixel_decoder.lateral_convs = convs[:-1]
    stub.decoder_input_proj.in_channels = convs[-1].conv.in_channels
    maps, samples = given(stub, labels=labels)
    return [m.double() for m in maps], samples


def same_points(*shape, **kwargs):
    """A number of points stands for the same points in every call.

    The stock head draws layer by layer and image by image.
    """
    shape = shape if len(shape) > 1 else shape[0]
    gen = torch.Generator().manual_seed(shape[-2])
    points = RAND(*shape[-2:], generator=gen, dtype=torch.double)
    return points.expand(*shape).clone()


@pytest.fixture(autouse=True)
def in_fp64():
    """mmdet turns masks and encodings into ``float()``."""
    double = torch.Tensor.double
    with mock.patch.object(torch.Tensor, 'float', double), \
            mock.patch.object(torch, 'rand', same_points), \
            mock.patch.object(torch, 'float32', torch.float64):
        yield


def test_logits(heads):
    stock, ours = heads
    maps, samples = inputs(stock)
    with torch.no_grad():
        classes, masks = stock(maps, samples)
        queries = ours(maps)
    assert len(classes) == len(queries.mask_embed) == LAYERS + 1
    for i in range(LAYERS + 1):
        torch.testing.assert_close(
            queries.class_logits[i], classes[i], rtol=0, atol=1e-9)
        torch.testing.assert_close(
            queries.mask_logits(i), masks[i], rtol=0, atol=1e-9)


def test_some_queries_see_a_part_and_some_see_all(heads):
    """Else the comparison would say nothing about the blocked positions."""
    _, ours = heads
    maps, _ = inputs(ours)
    seen = []
    for layer in ours.transformer_decoder.layers:
        layer.register_forward_pre_hook(
            lambda m, args: seen.append(args[-1].double().mean(-1)))
    with torch.no_grad():
        ours(maps)
    shares = torch.cat([s.flatten() for s in seen])
    assert ((shares > 0) & (shares < 1)).double().mean() > .2


def test_prediction(heads):
    stock, ours = heads
    maps, _ = inputs(stock)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.predict(maps, metas(), {}),
            stock.predict(maps, metas(), {}),
            rtol=0,
            atol=1e-9)


@pytest.mark.parametrize('labels', ['random', 'ignored'])
def test_losses_and_gradients(heads, labels):
    """Every loss and the gradient of every parameter."""
    stock, ours = heads
    maps, samples = inputs(stock, labels)
    wanted = stock.loss(maps, samples, None)
    losses = ours.loss(maps, samples, None)
    assert losses.keys() == wanted.keys()
    assert len(losses) == 3 * (LAYERS + 1)
    for name, value in wanted.items():
        assert losses[name].item() == pytest.approx(
            value.item(), abs=1e-9), name
    for head, values in ((stock, wanted), (ours, losses)):
        head.zero_grad()
        sum(values.values()).backward()
    names = [name for name, _ in sorted(stock.named_parameters())]
    for name, theirs, own in zip(names, parameters(stock), parameters(ours)):
        scale = theirs.grad.norm().clamp_min(1e-6)
        assert (own.grad - theirs.grad).norm() < 1e-6 * scale, name


def test_initial_weights_have_the_same_laws(heads):
    """The spread of every matrix that is drawn, the offsets exactly."""
    pair = [copy.deepcopy(head) for head in heads]
    for head in pair:
        head.init_weights()
    theirs = dict(pair[0].named_parameters())
    for name, p in pair[1].named_parameters():
        if not name.startswith(('pixel_decoder', 'transformer_decoder')):
            continue
        want = theirs[name]
        if 'sampling_offsets' in name:
            torch.testing.assert_close(p, want, rtol=0, atol=1e-5)
        elif p.numel() > 2000:
            assert p.std().item() == pytest.approx(
                want.std().item(), rel=.1, abs=1e-9), name
