# Copyright (c) mmseg_semi authors.
"""The bases for any model and data: complete, and built on a foreign model."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

import mmseg_semi
from mmseg_semi.models.regularizers.training_plan import TrainingPlan
from .cases import CONFIGS

BASES = sorted(p.stem for p in Path(CONFIGS, '_base_/methods').glob('*.py'))
STOCK = 'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'


def test_every_method_has_one():
    assert {
        'brpg', 'brpg_cps', 'brpg_fixmatch', 'cmb', 'cps', 'fixmatch',
        'mean_teacher', 'pcr', 'pps', 'rc2l', 'supervised', 'u2pl', 'unimatch'
    } <= set(BASES)


@pytest.mark.parametrize('name', BASES)
def test_it_needs_a_model_and_data_alone(name):
    cfg = Config.fromfile(mmseg_semi.base(f'methods/{name}.py'))
    assert not any('dataloader' in key for key in cfg)
    assert cfg.train_cfg.max_iters and cfg.optim_wrapper and cfg.val_cfg
    assert cfg.custom_imports.imports == ['mmseg_semi']
    cfg.merge_from_dict(
        dict(model=dict(segmentor=STOCK, num_classes=5, pretrained=False)))
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    assert model.terms['supervised' if 'supervised' in model.
                       terms else 'supervised@student1'].criterion is None
    model.plan_training(TrainingPlan(1000, 40, 300, 8, 8))
    ends = [
        first for term in model.terms.values()
        for first in term.stages().values()
    ]
    assert all(0 <= first < 1000 for first in ends)
    assert 0 <= model.burn_in < 100
    assert model.num_classes == 5
