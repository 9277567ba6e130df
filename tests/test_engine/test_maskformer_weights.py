# Copyright (c) mmseg_semi authors.
import pickle

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.engine.maskformer_weights import (convert_maskformer,
                                                  read_weights,
                                                  write_converted)

WIDTH = 32


def attention(prefix):
    return {
        f'{prefix}.in_proj_weight': (3 * WIDTH, WIDTH),
        f'{prefix}.in_proj_bias': (3 * WIDTH, ),
        f'{prefix}.out_proj.weight': (WIDTH, WIDTH),
        f'{prefix}.out_proj.bias': (WIDTH, )
    }


def affine(prefix, *shape):
    return {f'{prefix}.weight': shape, f'{prefix}.bias': shape[:1]}


def layer(prefix, attentions):
    shapes = dict(
        affine(f'{prefix}.linear1', 64, WIDTH),
        **affine(f'{prefix}.linear2', WIDTH, 64))
    for name in attentions:
        shapes.update(attention(f'{prefix}.{name}'))
    for number in range(len(attentions) + 1):
        shapes.update(affine(f'{prefix}.norm{number + 1}', WIDTH))
    return shapes


def official_head(encoder):
    """Shapes by the names that the official modules register."""
    pixel, predictor = 'sem_seg_head.pixel_decoder', 'sem_seg_head.predictor'
    shapes = {}
    for number, width in enumerate((8, 16, 32), start=1):
        shapes[f'{pixel}.adapter_{number}.weight'] = (WIDTH, width, 1, 1)
        shapes.update(affine(f'{pixel}.adapter_{number}.norm', WIDTH))
    for number in (1, 2, 3, 4):
        width = 64 if number == 4 and not encoder else WIDTH
        shapes[f'{pixel}.layer_{number}.weight'] = (WIDTH, width, 3, 3)
        shapes.update(affine(f'{pixel}.layer_{number}.norm', WIDTH))
    shapes.update(affine(f'{pixel}.mask_features', WIDTH, WIDTH, 3, 3))
    if encoder:
        shapes.update(affine(f'{pixel}.input_proj', WIDTH, 64, 1, 1))
        shapes.update(
            layer(f'{pixel}.transformer.encoder.layers.0', ['self_attn']))
    else:
        shapes.update(affine(f'{predictor}.input_proj', WIDTH, 64, 1, 1))
    for number in (0, 1):
        shapes.update(
            layer(f'{predictor}.transformer.decoder.layers.{number}',
                  ['self_attn', 'multihead_attn']))
    shapes.update(affine(f'{predictor}.transformer.decoder.norm', WIDTH))
    shapes[f'{predictor}.query_embed.weight'] = (7, WIDTH)
    shapes.update(affine(f'{predictor}.class_embed', 6, WIDTH))
    for number in (0, 1, 2):
        shapes.update(
            affine(f'{predictor}.mask_embed.layers.{number}', WIDTH, WIDTH))
    return shapes


def filled(shapes):
    """Every weight differs from all others."""
    return {
        name: torch.full(shape, float(number))
        for number, (name, shape) in enumerate(shapes.items())
    }


def our_head(encoder):
    attend = dict(embed_dims=WIDTH, num_heads=4)
    feed = dict(embed_dims=WIDTH, feedforward_channels=64)
    pixel_decoder = dict(type='PixelDecoder')
    if encoder:
        pixel_decoder = dict(
            type='TransformerEncoderPixelDecoder',
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(self_attn_cfg=attend, ffn_cfg=feed)))
    return MODELS.build(
        dict(
            type='mmseg.MaskQueryHead',
            in_channels=[8, 16, 32, 64],
            feat_channels=WIDTH,
            out_channels=WIDTH,
            num_queries=7,
            num_classes=5,
            pixel_decoder=pixel_decoder,
            transformer_decoder=dict(
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=attend, cross_attn_cfg=attend,
                    ffn_cfg=feed))))


@pytest.mark.parametrize('encoder', [False, True])
def test_every_weight_of_the_head_finds_its_place(encoder):
    weights = filled(official_head(encoder))
    converted = convert_maskformer(weights)
    prefix = 'panoptic_head.'
    assert all(name.startswith(prefix) for name in converted)
    head = our_head(encoder)
    head.load_state_dict({
        name.removeprefix(prefix): w
        for name, w in converted.items()
    })
    place = {
        'predictor.transformer.decoder.layers.1.multihead_attn.in_proj_bias':
        head.transformer_decoder.layers[1].cross_attn.attn.in_proj_bias,
        'predictor.transformer.decoder.layers.0.norm3.weight':
        head.transformer_decoder.layers[0].norms[2].weight,
        'predictor.transformer.decoder.layers.1.linear2.weight':
        head.transformer_decoder.layers[1].ffn.layers[1].weight,
        'predictor.mask_embed.layers.1.weight':
        head.mask_embed[2].weight,
        'predictor.class_embed.bias':
        head.cls_embed.bias,
        'pixel_decoder.adapter_2.norm.weight':
        head.pixel_decoder.lateral_convs[1].gn.weight,
        'pixel_decoder.layer_3.weight':
        head.pixel_decoder.output_convs[2].conv.weight,
    }
    for name, parameter in place.items():
        value = weights[f'sem_seg_head.{name}']
        torch.testing.assert_close(parameter.detach(), value, msg=name)


def test_every_weight_of_the_backbone_finds_its_place():
    backbone = MODELS.build(dict(type='mmseg.ResNet', depth=18))
    shapes = {}
    for name, value in backbone.state_dict().items():
        if name.endswith('num_batches_tracked') or name.startswith('fc'):
            continue
        for new, old in (('conv1.norm', 'bn1'), ('conv2.norm', 'bn2'),
                         ('shortcut.norm', 'downsample.1'),
                         ('shortcut', 'downsample.0'), ('res5', 'layer4'),
                         ('res4', 'layer3'), ('res3', 'layer2'), ('res2',
                                                                  'layer1')):
            name = name.replace(old, new)
        stem = '' if name.startswith('res') else 'stem.'
        shapes[f'backbone.{stem}{name}'] = tuple(value.shape)
    assert 'backbone.stem.conv1.norm.running_var' in shapes
    assert 'backbone.res3.0.shortcut.norm.weight' in shapes
    converted = convert_maskformer(filled(shapes))
    missing, unexpected = backbone.load_state_dict(
        {
            name.removeprefix('backbone.'): w
            for name, w in converted.items()
        },
        strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)


@pytest.mark.parametrize('name', [
    'backbone.stem.conv1_1.weight', 'backbone.patch_embed.proj.weight',
    'sem_seg_head.predictor.transformer.decoder.layers.0.other.weight'
])
def test_other_models_are_named(name):
    with pytest.raises(ValueError, match=name.replace('.', r'\.')):
        convert_maskformer({name: torch.zeros(1)})


def test_what_is_no_weight_is_left_out():
    assert convert_maskformer({'criterion.empty_weight': torch.ones(3)}) == {}


def test_pickle_of_detectron2_is_read_and_written(tmp_path):
    weights = {
        name: w.numpy()
        for name, w in filled(official_head(False)).items()
    }
    content = dict(model=weights, __author__='third party')
    (tmp_path / 'in.pkl').write_bytes(pickle.dumps(content, protocol=2))
    number = write_converted(str(tmp_path / 'in.pkl'), tmp_path / 'out.pth')
    assert number == len(weights)
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    np.testing.assert_array_equal(
        saved['panoptic_head.query_embed.weight'],
        weights['sem_seg_head.predictor.query_embed.weight'])
    with pytest.raises(FileExistsError, match='out.pth exists: remove it'):
        write_converted(str(tmp_path / 'in.pkl'), tmp_path / 'out.pth')


class Harm:

    def __reduce__(self):
        return print, ('harmed', )


def test_pickled_objects_are_refused(tmp_path, capsys):
    path = tmp_path / 'in.pkl'
    path.write_bytes(pickle.dumps(dict(model=Harm())))
    with pytest.raises(ValueError, match='it wants builtins.print'):
        read_weights(str(path))
    assert 'harmed' not in capsys.readouterr().out


@pytest.mark.parametrize('content', [[1], {}, dict(model=dict(a='b'))])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / 'in.pkl'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match='no "model" of named arrays'):
        read_weights(str(path))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='weights: there is no file'):
        read_weights(str(tmp_path / 'none.pkl'))
