# Copyright (c) mmseg_semi authors.
import pytest
from mmengine.config import Config

from mmseg_semi.engine.evaluation_protocol import describe_evaluation

SLIDE = dict(mode='slide', crop_size=(769, 769), stride=(513, 513))
PADDED = dict(test_cfg=dict(size=(513, 513)))
HALF = [dict(type='LoadImageFromFile'), dict(type='Resize', scale_factor=.5)]


def describe(model, pipeline=(), **kwargs):
    loader = dict(dataset=dict(pipeline=list(pipeline)))
    return describe_evaluation(
        Config(dict(model=model, test_dataloader=loader)), **kwargs)


@pytest.mark.parametrize('model, words', [
    (dict(type='S', segmentor=dict(test_cfg=dict(mode='whole'))),
     'whole images'),
    (dict(type='S', segmentor=dict(test_cfg=dict(mode='whole')),
          test_cfg=SLIDE), 'windows of 769, stride 513'),
    (dict(segmentor=dict(test_cfg=dict(SLIDE, stride=(342, 341)))),
     'windows of 769, stride 342 x 341'),
    (dict(test_cfg=dict(SLIDE, pad_small=True)),
     'windows of 769, stride 513, pad_small=True'),
    (dict(data_preprocessor=PADDED),
     'whole images, inputs padded to 513 x 513'),
    (dict(segmentor=dict(data_preprocessor=PADDED)),
     'whole images, inputs padded to 513 x 513'),
    (dict(type='SegTTAModel', module=dict(test_cfg=SLIDE)),
     'windows of 769, stride 513, flips and scales'),
])  # yapf: disable
def test_words(model, words):
    assert describe(model) == words


def test_resizing_belongs_to_it():
    model = dict(test_cfg=dict(mode='whole'))
    assert describe(model, HALF) == 'whole images, resized by 0.5'
    scaled = [dict(type='Resize', scale=(1024, 512), keep_ratio=True)]
    assert describe(model, scaled) == 'whole images, resized to 1024 x 512'
    assert describe(model, HALF, stage='val') == 'whole images'


@pytest.mark.parametrize('size', [513, (513, 513)])
def test_padding_that_is_scored(size):
    model = dict(test_cfg=dict(mode='whole'))
    pipeline = [dict(type='PadCenterCrop', crop_size=size)]
    assert describe(model, pipeline) == 'whole images, padded to 513 x 513'


def test_config_without_a_model():
    assert describe_evaluation(Config(dict())) is None
