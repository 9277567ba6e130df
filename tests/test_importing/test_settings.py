# Copyright (c) mmseg_semi authors.
"""The data sets of this package read what an import wrote."""
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_semi.importing import config_lines, dataset_settings
from .helpers import add_photos, drawn, run, save

NAMES = ('a.jpg', 'b.JPG', 'c d.jpeg', 'e/f.png', 'e/g.tif', 'e/h.jpg')


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def test_training_reads_it(tmp_path):
    add_photos(tmp_path / 'photos', *NAMES, 'free/x.JPG')
    for name in NAMES:
        save(drawn(), tmp_path / 'masks' / f'{name.split(".")[0]}.png')
    run(tmp_path, val=.2)
    out = str(tmp_path / 'out')
    settings = dataset_settings(out)
    pipeline = [
        dict(type='LoadStrictImage'),
        dict(
            type='LoadStrictAnnotations', num_classes=len(settings['classes']))
    ]
    cfg = Config.fromstring(
        f'train_pipeline = {pipeline}\n' + '\n'.join(config_lines(out)), '.py')
    data = cfg.train_dataloader.dataset
    dataset = DATASETS.build(
        dict(
            data,
            type='SemiSegDataset',
            unlabeled=dict(data.unlabeled, pipeline=[])))
    assert dataset.source_lengths == (5, 1)
    assert tuple(dataset.metainfo['classes']) == settings['classes']
    for index in range(5):
        sample = dataset[index]
        assert sample['img'].shape[:2] == drawn().shape
        np.testing.assert_array_equal(sample['gt_seg_map'], drawn())
    val = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[]))
    assert len(val) == 1
    info = val.get_data_info(0)
    load = TRANSFORMS.build(pipeline[1])
    np.testing.assert_array_equal(load(info)['gt_seg_map'], drawn())
