# Copyright (c) mmseg_semi authors.
"""With the same weights, MaskQueryHead is MMSegmentation's MaskFormerHead.

The stock head needs mmdet, an optional dependency (requirements/optional.txt)
that this package uses for nothing but this proof.
"""
import copy
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.structures import PixelData
from mmengine.utils import get_installed_path
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmseg_semi  # noqa: F401
from mmseg_semi.models.decode_heads import MaskQueryHead
from mmseg_semi.models.decode_heads.stock_query_heads import own_query_head

pytest.importorskip('mmdet.models.dense_heads', exc_type=ImportError)

ZOO = sorted(
    path for family in ('maskformer', 'mask2former') for path in Path(
        get_installed_path('mmseg'), '.mim/configs', family).glob('*.py'))
C, Q, SIZE = 5, 12, 64
NAME = 'mmseg::maskformer/maskformer_{}_8xb2-160k_ade20k-512x512.py'
ENCODER = dict(
    type='mmdet.TransformerEncoderPixelDecoder',
    norm_cfg=dict(type='GN', num_groups=32),
    act_cfg=dict(type='ReLU'),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=256, num_heads=8, dropout=0., batch_first=True),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=64, num_fcs=2))),
    positional_encoding=dict(num_feats=128, normalize=True))


def without_dropout(cfg):
    """Every dropout probability in a config set to 0."""
    for key, value in cfg.items():
        if isinstance(value, dict):
            without_dropout(value)
        elif key.endswith('_drop') or key == 'dropout':
            cfg[key] = 0.
    return cfg


def stock_config(variant):
    """The decode head of a model-zoo config, with few classes, queries."""
    backbone, decoder = variant
    head = get_config(NAME.format(backbone)).model.decode_head
    head = without_dropout(copy.deepcopy(head.to_dict()))
    head.update(num_classes=C, num_queries=Q)
    head['loss_cls']['class_weight'] = [1.] * C + [.1]
    if decoder == 'encoder':
        head['pixel_decoder'] = copy.deepcopy(ENCODER)
    return head


@pytest.fixture(
    scope='module',
    params=[('r50-d32', 'fpn'), ('r50-d32', 'encoder'),
            ('swin-t_upernet', 'fpn'), ('swin-t_upernet', 'encoder')],
    ids='-'.join)
def heads(request):
    """The stock head with random weights and ours with a copy of them."""
    torch.manual_seed(0)
    cfg = stock_config(request.param)
    stock = MODELS.build(ConfigDict(copy.deepcopy(cfg)))
    stock.init_weights()
    with torch.no_grad():  # biases and norms too
        for p in stock.parameters():
            p.add_(.02 * torch.randn_like(p))
    ours = MODELS.build(own_query_head(cfg))
    assert isinstance(ours, MaskQueryHead)
    ours.load_state_dict(stock.state_dict())  # strict: names and shapes
    return stock.train(), ours.train()


def given(head, seed=0, labels='random'):
    """Maps of a backbone at strides 4 to 32, and labelled samples."""
    gen = torch.Generator().manual_seed(seed)
    widths = [
        conv.conv.in_channels for conv in head.pixel_decoder.lateral_convs
    ] + [
        head.decoder_input_proj.in_channels
        if hasattr(head.decoder_input_proj, 'in_channels') else
        head.pixel_decoder.encoder_in_proj.in_channels
    ]
    maps = [
        torch.randn(3, width, SIZE // stride, SIZE // stride, generator=gen)
        for width, stride in zip(widths, (4, 8, 16, 32))
    ]
    blocks = torch.randint(0, C, (3, 4, 4), generator=gen)
    blocks[0, :2] = 255
    blocks[1] = 2  # one class
    blocks[2, 1:] = blocks[2, :1]
    if labels == 'ignored':
        blocks[:] = 255
    truth = blocks.repeat_interleave(SIZE // 4,
                                     1).repeat_interleave(SIZE // 4, 2)
    samples = []
    for label in truth:
        samples.append(
            SegDataSample(
                metainfo=dict(img_shape=(SIZE, SIZE)),
                gt_sem_seg=PixelData(data=label[None])))
    return maps, samples


def metas():
    return [dict(img_shape=(SIZE, SIZE)) for _ in range(3)]


def test_logits(heads):
    stock, ours = heads
    maps, samples = given(stock)
    for sample in samples:
        sample.set_metainfo(dict(batch_input_shape=(SIZE, SIZE)))
    with torch.no_grad():
        classes, masks = stock(maps, samples)
        queries = ours(maps)
    for i in range(6):
        torch.testing.assert_close(
            queries.class_logits[i], classes[i], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            queries.mask_logits(i), masks[i], rtol=0, atol=1e-5)


def test_prediction(heads):
    stock, ours = heads
    maps, _ = given(stock)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.predict(maps, metas(), {}),
            stock.predict(maps, metas(), {}),
            rtol=0,
            atol=1e-5)


@pytest.mark.parametrize('labels', ['random', 'ignored'])
def test_losses_and_gradients(heads, labels):
    stock, ours = heads
    maps, samples = given(stock, labels=labels)
    wanted = stock.loss(maps, samples, None)
    losses = ours.loss(maps, samples, None)
    assert losses.keys() == wanted.keys() and len(losses) == 18
    for name, value in wanted.items():
        assert losses[name].item() == pytest.approx(
            value.item(), abs=1e-5), name
    for head, values in ((stock, wanted), (ours, losses)):
        head.zero_grad()
        sum(values.values()).backward()
    theirs = torch.cat([p.grad.flatten() for p in parameters(stock)])
    grads = torch.cat([p.grad.flatten() for p in parameters(ours)])
    assert (grads - theirs).norm() < 1e-4 * theirs.norm()


def parameters(head):
    """In the order of their names, which the heads have in common."""
    return [p for _, p in sorted(head.named_parameters())]


def backward_in_fp64(heads):
    """Copies of the heads in fp64, with gradients.

    mmdet's matcher calls ``float()`` on the masks.
    """
    pair = [copy.deepcopy(head).double() for head in heads]
    maps, samples = given(pair[0])
    with mock.patch.object(torch.Tensor, 'float', torch.Tensor.double):
        for head in pair:
            head.zero_grad()
            losses = head.loss([m.double() for m in maps], samples, None)
            sum(losses.values()).backward()
    return pair


def test_gradient_of_every_parameter(heads):
    """In fp64: where a gradient is zero, fp32 compares rounding errors."""
    pair = backward_in_fp64(heads)
    for (name, _), stock, ours in zip(
            sorted(pair[0].named_parameters()), *map(parameters, pair)):
        scale = stock.grad.norm().clamp_min(1e-9)
        assert (ours.grad - stock.grad).norm() < 1e-4 * scale, name


def test_one_training_step(heads):
    """The parameters after AdamW and clipping, as the zoo trains."""
    pair = backward_in_fp64(heads)
    for head in pair:
        optimizer = torch.optim.AdamW(
            head.parameters(), lr=1e-4, weight_decay=1e-4)
        torch.nn.utils.clip_grad_norm_(head.parameters(), .01)
        optimizer.step()
    theirs = pair[0].state_dict()
    for name, value in pair[1].state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize('path', ZOO, ids=lambda path: path.stem)
def test_every_config_of_the_zoo_names_the_same_parameters(path):
    """On the meta device: names and shapes, no numbers."""
    cfg = Config.fromfile(path, import_custom_modules=False)
    cfg = cfg.model.decode_head
    with torch.device('meta'):
        pair = MODELS.build(cfg), MODELS.build(own_query_head(cfg))
    shapes = [{
        n: p.shape
        for n, p in head.state_dict().items()
    } for head in pair]
    assert shapes[0] == shapes[1]
