# Copyright (c) mmseg_semi authors.
"""MaskQueryHead around dense models of unlike families."""
import copy

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from mmseg_semi.models.decode_heads.with_queries import with_queries
from mmseg_semi.models.probe import Probe
from mmseg_semi.models.taps import TapRecorder
from .given_families import FAMILIES, SIDE, D, config, fcn, images, knet
from .given_queries import samples
from .toys import NUM_CLASSES as C
from .toys import segmentor


@pytest.fixture(autouse=True)
def in_mmseg():
    """Parts of heads are built in the default scope."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def wrapped(cfg, class_head=True, width=D, **kwargs):
    torch.manual_seed(0)
    dense = MODELS.build(copy.deepcopy(cfg))
    layers = dict(num_layers=1, layer_cfg=decoder_layer(width, 2, 8, 0.))
    new = with_queries(
        cfg,
        Probe(dense, (SIDE, SIDE)),
        C,
        class_head,
        width=width,
        transformer_decoder=layers,
        **kwargs)
    return dense, MODELS.build(copy.deepcopy(new))


@pytest.mark.parametrize('family', FAMILIES)
def test_what_the_classifier_reads_embeds_the_pixels(family):
    """Given the dense model's weights, and every parameter is reached."""
    dense, model = wrapped(config(family), num_queries=6)
    state = dense.state_dict()
    if family == 'pointrend':
        prefix = 'decode_head.0.'
    elif family == 'knet':
        prefix = 'decode_head.kernel_generate_head.'
    else:
        prefix = 'decode_head.'
    given = {n: v for n, v in state.items() if n.startswith('backbone.')}
    given.update({
        n.replace(prefix, 'decode_head.pixel_decoder.head.', 1): v
        for n, v in state.items() if n.startswith(prefix)
    })
    missing, _ = model.load_state_dict(given, strict=False)
    assert not [n for n in missing if n.startswith('backbone.')]
    assert not [n for n in missing if '.pixel_decoder.head.' in n]
    dense.eval(), model.eval()
    probe = Probe(dense, (SIDE, SIDE))
    recorder = TapRecorder(dense, ['pre_cls'])
    with torch.no_grad(), recorder.capture(['pre_cls'], grad=False) as tapped:
        feats = dense.extract_feat(images())
        raw = probe.adapter.decode(dense, feats)
    with torch.no_grad():
        out = model.decode_head(model.extract_feat(images()))
    wanted = tapped['pre_cls']
    if family == 'segmenter':
        wanted = wanted[:, :16].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(out.pixel_embed, wanted)
    assert raw and out.mask_logits().shape[1] == 6

    model.train()
    out = model.decode_head(model.extract_feat(images()))
    labels = torch.arange(2 * SIDE * SIDE).view(2, SIDE, SIDE) % C
    losses = model.decode_head.loss_by_feat(out, samples(labels))
    sum(losses.values()).backward()
    for name, p in model.named_parameters():
        if p.requires_grad and not name.startswith('auxiliary_head.'):
            assert p.grad is not None, name
    assert any(p.grad.abs().sum() > 0 for p in model.backbone.parameters())


def test_pidnets_memory_is_the_branch_that_predicts():
    """In train mode the encoder gives three maps, in eval mode one."""
    _, model = wrapped(config('pidnet'))
    decoder = model.decode_head.pixel_decoder
    model.train()
    feats = model.extract_feat(images())
    assert len(feats) == 3
    assert decoder(feats)[1] is feats[1]
    model.eval()
    feats = model.extract_feat(images())
    assert decoder(feats)[1] is feats


def test_another_width_is_projected():
    _, model = wrapped(segmentor(decode_head=fcn()), width=16)
    embed = model.decode_head.pixel_decoder.embed
    assert embed.weight.shape == (16, D, 1, 1)
    out = model.decode_head(model.extract_feat(images()))
    assert out.pixel_embed.shape[1] == 16
    out.pixel_embed.sum().backward()
    assert embed.weight.grad.abs().sum() > 0


def test_a_sigmoid_classifier_is_cut_off_too():
    cfg = segmentor(decode_head=fcn(num_classes=2, out_channels=1))
    head = fcn(num_classes=2)
    probe = Probe(MODELS.build(segmentor(decode_head=head)), (SIDE, SIDE))
    made = with_queries(cfg, probe, 2, True, num_queries=4)['decode_head']
    inner = made['pixel_decoder']['head']
    assert inner['num_classes'] == 2 and 'out_channels' not in inner


def test_prototypes():
    _, model = wrapped(segmentor(), class_head=False, prototypes=3)
    head = model.decode_head
    assert head.num_queries == 3 * C and not head.has_classes
    assert head.initial_target == 'queries'
    assert head.align_corners is model.align_corners


def test_defaults_and_what_stays():
    cfg = segmentor(
        decode_head=fcn(align_corners=True, ignore_index=7),
        auxiliary_head=fcn(in_index=2, in_channels=16))
    dense = MODELS.build(copy.deepcopy(cfg))
    new = with_queries(cfg, Probe(dense, (SIDE, SIDE)), C, True)
    head = new['decode_head']
    assert head['num_queries'] == 100 and head['initial_target'] == 'zeros'
    assert head['feat_channels'] == head['out_channels'] == 256
    assert head['in_channels'] == [32] and head['ignore_index'] == 7
    assert head['align_corners'] is True
    assert {k: v for k, v in new.items() if k != 'decode_head'} == \
        {k: v for k, v in cfg.items() if k != 'decode_head'}


def test_a_cascade_becomes_one_head():
    dense, model = wrapped(config('pointrend'))
    assert type(model).__name__ == 'EncoderDecoder'
    kinds = [type(m).__name__ for m in model.modules()]
    assert 'PointHead' not in kinds and kinds.count('FCNHead') == 1


def test_subclasses_are_treated_as_their_parents():
    from mmseg.models.decode_heads import IterativeDecodeHead
    MODELS.register_module(
        'MyKNetHead', force=True)(
            type('MyKNetHead', (IterativeDecodeHead, ), {}))
    _, model = wrapped(segmentor(decode_head=knet('MyKNetHead')))
    assert type(model.decode_head.pixel_decoder.head).__name__ == 'FCNHead'


def test_a_fine_memory_is_averaged():
    decoder = wrapped(segmentor())[1].decode_head.pixel_decoder
    decoder.memory_positions = 6
    fine = torch.arange(2 * 32 * 5 * 4.).view(2, 32, 5, 4)
    coarse = decoder._thinned(fine)
    assert coarse.shape == (2, 32, 3, 2)
    torch.testing.assert_close(coarse[:, :, 0, 0], fine[:, :, :2, :2].mean(
        (2, 3)))
    # The last row has one line of pixels only.
    torch.testing.assert_close(coarse[:, :, 2, 1], fine[:, :, 4, 2:].mean(2))
    decoder.memory_positions = 20
    assert decoder._thinned(fine) is fine


def test_heads_with_queries_are_kept():
    """Unless a method wants prototypes and the config does not say."""
    head = dict(
        type='MaskQueryHead',
        in_channels=[4, 8, 16, 32],
        num_classes=C,
        num_queries=7,
        loss_cls=dict(class_weight=[1.] * C + [.2]))
    cfg = segmentor(decode_head=head)
    kept = with_queries(cfg, None, C, True)['decode_head']
    assert kept == head
    made = with_queries(cfg, None, C, False, prototypes=2)['decode_head']
    assert made['class_head'] is False and made['num_queries'] == 2 * C
    assert 'loss_cls' not in made and made['initial_target'] == 'queries'
    said = segmentor(decode_head=dict(head, class_head=True))
    assert with_queries(said, None, C, False)['decode_head']['class_head']


def test_a_head_that_does_not_say_what_classifies():

    class Silent:
        stages = [4, 8]

        def __call__(self, tap):
            raise KeyError(f'{tap} is not known for OddHead')

    cfg = segmentor(decode_head=fcn())
    with pytest.raises(TypeError, match='FCNHead cannot be.*OddHead'):
        with_queries(cfg, Silent(), C, True)


def test_it_says_what_it_made(monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log',
                        lambda level, text: lines.append(text))
    wrapped(segmentor(decode_head=fcn()))
    assert any('FCNHead' in x and '100 queries' in x for x in lines)
