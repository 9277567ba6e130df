# Copyright (c) mmseg_semi authors.
"""Stock MaskFormer and Mask2Former configs become ours, without mmdet.

That outputs, losses and names of parameters are the stock heads' is proved
against mmdet in test_maskformer_parity.py and test_mask2former_parity.py.
"""
import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.utils import get_installed_path
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads import (Mask2FormerQueryHead,
                                            MaskQueryHead, stock_query_heads)
from mmseg_semi.models.decode_heads.stock_query_heads import (has_queries,
                                                              own_query_head,
                                                              with_num_classes)

ROOT = Path(get_installed_path('mmseg'), '.mim/configs')
ZOO = sorted(
    path for family in ('maskformer', 'mask2former')
    for path in (ROOT / family).glob('*.py'))
NAMES = dict(
    maskformer='maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py',
    mask2former='mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py')


def stock(path):
    """The decode head of a config, as plain dicts."""
    cfg = Config.fromfile(path, import_custom_modules=False)
    return cfg.model.decode_head.to_dict()


@pytest.mark.parametrize('path', ZOO, ids=lambda path: path.stem)
def test_every_config_of_the_zoo(path):
    cfg = stock(path)
    before = copy.deepcopy(cfg)
    assert has_queries(cfg)
    made = own_query_head(cfg)
    assert cfg == before  # a copy
    with torch.device('meta'):
        head = MODELS.build(made)
    second = 'mask2former' in path.stem
    assert isinstance(head, Mask2FormerQueryHead if second else MaskQueryHead)
    kept = dict(
        classes=head.num_classes,
        queries=head.num_queries,
        layers=len(head.transformer_decoder.layers),
        weights=head.criterion.weights)
    assert kept == dict(
        classes=cfg['num_classes'],
        queries=cfg['num_queries'],
        layers=cfg['transformer_decoder']['num_layers'],
        weights={
            name: cfg[f'loss_{name}']['loss_weight']
            for name in ('cls', 'mask', 'dice')
        })
    assert head.cls_embed.out_features == cfg['num_classes'] + 1
    assert own_query_head(made) is made


def test_mask2formers_settings_are_kept():
    cfg = stock(ROOT / NAMES['mask2former'])
    cfg['train_cfg'].update(
        num_points=7, oversample_ratio=2., importance_sample_ratio=.5)
    costs = cfg['train_cfg']['assigner']['match_costs']
    for weight, cost in zip((3., 4., 6.), costs):
        cost['weight'] = weight
    cfg['loss_dice']['eps'] = costs[2]['eps'] = 2.
    cfg['ignore_index'] = 9
    criterion = MODELS.build(own_query_head(cfg)).criterion
    assert criterion.num_points == 7 and criterion.oversample == 2.
    assert criterion.importance == .5 and criterion.ignore_index == 9
    assert criterion.costs == dict(
        weights=dict(cls=3., mask=4., dice=6.), eps=2.)


def change(cfg, path, value):
    *keys, last = path.split('.')
    for key in keys:
        cfg = cfg[int(key) if key.isdigit() else key]
    cfg[last] = value


@pytest.mark.parametrize('family, path, value, message', [
    ('maskformer', 'enforce_decoder_input_project', True,
     'enforce_decoder_input_project'),
    ('mask2former', 'enforce_decoder_input_project', True,
     'enforce_decoder_input_project'),
    ('mask2former', 'num_transformer_feat_level', 2,
     'num_transformer_feat_level'),
    ('mask2former', 'pixel_decoder.num_outs', 1, 'num_outs'),
    ('mask2former', 'pixel_decoder.type', 'mmdet.PixelDecoder',
     'mmdet.PixelDecoder'),
    ('maskformer', 'pixel_decoder.type', 'mmdet.MSDeformAttnPixelDecoder',
     'MSDeformAttnPixelDecoder'),
    ('mask2former', 'transformer_decoder.return_intermediate', False,
     'return_intermediate'),
    ('mask2former', 'pixel_decoder.encoder.num_cp', 3, 'num_cp'),
    ('maskformer', 'transformer_decoder.layer_cfg.pre_norm', True, 'pre_norm'),
    ('mask2former', 'loss_offset', 1., 'loss_offset'),
    ('mask2former', 'loss_mask.type', 'mmdet.FocalLoss', 'FocalLoss'),
    ('mask2former', 'loss_dice.naive_dice', False, 'naive_dice'),
    ('mask2former', 'train_cfg.assigner.match_costs.2.eps', .5, 'eps=0.5'),
    ('maskformer', 'train_cfg.assigner.match_costs.1.alpha', .5, 'alpha=0.5'),
])
def test_what_cannot_be_kept_is_refused_by_name(family, path, value, message):
    cfg = stock(ROOT / NAMES[family])
    change(cfg, path, value)
    with pytest.raises(ValueError, match=message), torch.device('meta'):
        MODELS.build(own_query_head(cfg))


def test_it_says_so(monkeypatch):
    lines = []
    monkeypatch.setattr(stock_query_heads, 'print_log',
                        lambda text, logger: lines.append(text))
    own_query_head(stock(ROOT / NAMES['mask2former']))
    (line, ) = lines
    assert 'Mask2FormerHead' in line and 'Mask2FormerQueryHead' in line


def test_a_stock_config_with_our_type():
    cfg = dict(stock(ROOT / NAMES['maskformer']), type='MaskQueryHead')
    made = own_query_head(cfg)
    assert cfg['enforce_decoder_input_project'] is False
    with torch.device('meta'):
        assert isinstance(MODELS.build(made), MaskQueryHead)
    with pytest.raises(ValueError, match='enforce_decoder_input_project'):
        own_query_head(dict(cfg, enforce_decoder_input_project=True))


def test_other_heads_stay_as_they_are():
    """A subclass may do anything: it is not taken for its parent."""
    fcn = dict(type='FCNHead', in_channels=4, channels=4, num_classes=3)
    assert own_query_head(fcn) is fcn and not has_queries(fcn)
    child = type('MyMaskFormerHead', (stock_query_heads.MaskFormerHead, ), {})
    cfg = dict(type=child, num_classes=3)
    assert own_query_head(cfg) is cfg and not has_queries(cfg)
    assert not has_queries([fcn, fcn])
    assert has_queries(dict(type='mmseg.MaskFormerHead'))


@pytest.mark.parametrize('family', NAMES)
def test_the_number_of_classes_reaches_everything(family):
    cfg = stock(ROOT / NAMES[family])
    cfg['loss_cls']['class_weight'] = [2.] * 150 + [.3]
    for first in (True, False):  # before or after the translation
        made = own_query_head(with_num_classes(cfg, 5)) if first else \
            with_num_classes(own_query_head(cfg), 5)
        head = MODELS.build(made)
        assert head.num_classes == head.out_channels == 5
        assert head.cls_embed.out_features == 6
        torch.testing.assert_close(head.criterion.class_weight,
                                   torch.tensor([2., 2., 2., 2., 2., .3]))
        assert head.criterion.num_classes == 5
    assert cfg['num_classes'] == 150


def test_weights_that_differ_are_not_guessed():
    cfg = stock(ROOT / NAMES['maskformer'])
    cfg['loss_cls']['class_weight'] = [1., 2.] * 75 + [.1]
    with pytest.raises(ValueError, match='151 numbers.*num_classes=5 needs 6'):
        with_num_classes(cfg, 5)
    assert with_num_classes(cfg, 150)['loss_cls'] == cfg['loss_cls']


def test_prototypes_stay_as_many_of_each_class():
    cfg = dict(
        type='MaskQueryHead', class_head=False, num_classes=4, num_queries=12)
    assert with_num_classes(cfg, 7)['num_queries'] == 21
    with pytest.raises(ValueError, match='num_queries=13'):
        with_num_classes(dict(cfg, num_queries=13), 7)
