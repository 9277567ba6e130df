# Copyright (c) mmseg_semi authors.
"""Configs train on miniatures, from labels alone to prototypes and banks.

A sample; ``MMSEG_SEMI_ALL_CONFIGS=1`` takes one of every model and pipeline.
"""
import json
import os
import re

import pytest
import torch
from mmengine.runner import Runner

from mmseg_semi.datasets.miniatures import (FOLDERS, MiniatureRecipe,
                                            write_miniature)
from .cases import load, parse
from .shrink import ITERATIONS, shrink
from .test_builds import DISTINCT, structure

SAMPLE = [
    'brpg/brpg_r101_voc_366',
    'brpg/brpg_r101_city_372_official',
    'brpg/brpg_segformer-b4_voc_366',
    'brpg/brpg_xception65_coco_1849',
    'brpg/brpg-cps_r101_voc_366',
    'brpg/ablation/cls-features_r101_voc_366',
    'cmb/cmb-own_v2-r101-coco_voc-cmb_212_official',
    'cmb/cmb-ssda-own_v2-r101_city-cmb_100',
    'cmb/cmb_r101_city_372',
    'cps/cps-own_r101_city-cps_186',
    'cutmix_seg/cutmix-seg_r101_voc_366',
    'fixmatch/fixmatch-own_r101_voc_92',
    'mean_teacher/mean-teacher-mse_r101_voc_366',
    'pcr/pcr_r101_voc_366_official',
    'pps/pps_r101_voc_366',
    'rc2l/rc2l_r101_voc_366',
    'supervised/supervised-u2pl-own_r101_city_372',
    'u2pl/u2pl_r101_voc_366',
    'unimatch/unimatch-own_r101_city-cps_372',
]


def every_combination():
    """One config of every model and pipeline, but DigitScenes' own."""
    found = {}
    for path in DISTINCT:
        if parse(path).data != 'digits':
            data = load(path).train_dataloader.dataset.to_dict()
            text = re.sub(r'"ann_file": "[^"]*"', '', json.dumps(data))
            found.setdefault(structure(path) + text, path)
    return sorted(found.values())


ALL = os.environ.get('MMSEG_SEMI_ALL_CONFIGS') == '1'


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mini')
    kinds = ('voc', 'city', 'coco', 'gta5')
    recipe = MiniatureRecipe(num_val=2)
    for kind in kinds:
        write_miniature(kind, folder / FOLDERS[kind], recipe)
    return {kind: str(folder / FOLDERS[kind]) for kind in kinds}


@pytest.mark.slow
@pytest.mark.parametrize('path', every_combination() if ALL else SAMPLE)
def test_it_trains_on_a_miniature(path, trees, tmp_path):
    cfg = shrink(load(path), path, trees)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = path.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    assert model.iteration == ITERATIONS
    scalars = runner.message_hub.log_scalars
    assert 'mIoU' in ' '.join(scalars)
    losses = {n: v for n, v in scalars.items() if 'loss' in n}
    assert losses
    for values in losses.values():
        assert torch.isfinite(torch.as_tensor(values.data[0])).all()
    for net in map(model.net, model.learners):
        for term in ('brpg', 'pcr'):
            if hasattr(net.semi_heads, term):
                head = getattr(net.semi_heads, term)
                assert head.prototype_valid.any()
    official = parse(path).official and parse(path).folder == 'cmb'
    assert (tmp_path / 'selected.pth').is_file() == official
