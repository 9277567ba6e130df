# Copyright (c) mmseg_semi authors.
"""Models of the configs build: one for each method, network and data set."""
import copy
import json
import re
from collections import Counter

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from .cases import ALL, CLASSES, build, learning_rates, load, loaded, parse


def structure(path):
    """What decides how a model is built, but for numbers of the lists."""
    model = copy.deepcopy(loaded(path).model.to_dict())
    model.pop('burn_in', None)
    for term in model['terms'].values():
        for key in ('window', 'schedule_begin', 'epoch_iters', 'prototypes',
                    'num_labeled', 'windows', 'loss_weight'):
            (term or {}).pop(key, None)
    return json.dumps(model, sort_keys=True, default=str)


def _distinct():
    found = {}
    for path in ALL:
        found.setdefault(structure(path), path)
    return sorted(found.values())


DISTINCT = _distinct()


def kind(path):
    name = parse(path)
    part = path.rsplit('/', 1)[0]
    return part, name.method, name.network, name.data, name.official


def test_lists_do_not_change_the_model():
    """Configs that differ in their lists alone build one model."""
    numbers = Counter(map(kind, DISTINCT))
    assert len(numbers) > 100
    assert [k for k, number in numbers.items() if number > 1] == []


@pytest.mark.parametrize('path', DISTINCT)
def test_the_model_builds(path):
    cfg, name = load(path), parse(path)
    model = build(cfg)
    assert model.num_classes == CLASSES[name.data]
    terms = {n for n, term in cfg.model.terms.items() if term}
    assert {n.split('@')[0] for n in model.terms} == terms
    for net in map(model.net, model.learners):
        for term in ('brpg', 'pcr'):
            assert hasattr(net.semi_heads, term) == (term in terms)
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert ('EMATeacherHook' in hooks) == ('teacher' in model.networks)


def test_cmb_learns_at_one_rate():
    cfg = load('cmb/cmb-own_v2-r101_voc-cmb_212')
    rates = learning_rates(cfg)
    for part in ('backbone', 'decode_head', 'semi_heads'):
        assert {group.lr for group in rates[part]} == {2e-4}
    # Affine parameters of the encoder's BatchNorm are frozen.
    assert 'backbone' not in learning_rates(cfg, norms=True)


def test_rc2l_learns_slowly_in_the_encoder():
    rates = learning_rates(load('rc2l/rc2l-own_r101_voc-pseudoseg_732'))
    assert {g.lr for g in rates['backbone']} == {1e-5}
    assert {g.lr for g in rates['decode_head']} == {1e-4}


@pytest.mark.parametrize('path', [
    'pps/pps-own_r101_voc-blended-cps_662',
    'pps/pps_r101_voc_366',
])
def test_students_of_pps_share_their_prototypes(path):
    model = build(load(path))
    one, two = model.student1, model.student2
    for name in load(path).model.shared:
        assert one.get_submodule(name) is two.get_submodule(name)
    assert one.backbone is not two.backbone
    assert one.decode_head.pixel_decoder is not two.decode_head.pixel_decoder


def test_nothing_decays_in_pps_that_is_a_norm_or_a_bias():
    cfg = load('pps/pps-own_r101_voc-blended-cps_662')
    for groups in learning_rates(cfg, norms=True).values():
        assert {group.weight_decay for group in groups} == {0.}


def decoder_layer():
    attention = dict(embed_dims=256, num_heads=8, batch_first=True)
    return dict(
        self_attn_cfg=attention,
        cross_attn_cfg=attention,
        ffn_cfg=dict(embed_dims=256, feedforward_channels=16))


def test_coco_weights_fill_all_but_the_classes(tmp_path):
    cfg = load('rc2l/rc2l-own_r101-coco_voc-pseudoseg_366')
    segmentor = cfg.model.segmentor
    segmentor.backbone.update(depth=18, base_channels=8, stem_channels=8)
    segmentor.decode_head.update(
        in_channels=[8, 16, 32, 64],
        transformer_decoder=dict(num_layers=2, layer_cfg=decoder_layer()))
    path = str(tmp_path / 'coco.pth')
    for part, prefix in (('backbone', 'backbone.'), ('decode_head',
                                                     'panoptic_head.')):
        assert segmentor[part].init_cfg.prefix == prefix
        segmentor[part].init_cfg.checkpoint = path
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        given = {
            re.sub('^decode_head', 'panoptic_head', name):
            torch.rand_like(value)
            for name, value in MODELS.build(
                cfg.model).student.state_dict().items()
            if value.is_floating_point()
        }
        given['panoptic_head.cls_embed.weight'] = torch.rand(134, 256)
        given['panoptic_head.cls_embed.bias'] = torch.rand(134)
        given['panoptic_head.query_embed.weight'] = torch.rand(100, 256)
        torch.save(dict(state_dict=given), path)
        model = MODELS.build(cfg.model)
        model.init_weights()
    new = {
        name
        for net in (model.student, model.teacher)
        for name, value in net.state_dict().items()
        if value.is_floating_point() and not torch.equal(
            value, given[re.sub('^decode_head', 'panoptic_head', name)])
    }
    assert new == {
        f'decode_head.{name}'
        for name in ('cls_embed.weight', 'cls_embed.bias',
                     'query_embed.weight')
    }
