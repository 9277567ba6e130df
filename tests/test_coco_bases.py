# Copyright (c) mmseg_semi authors.
"""What the configs for COCO are made of, on the miniature."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

from mmseg_semi.datasets.miniatures import write_miniature

BASES = Path(__file__).resolve().parents[1] / 'configs/_base_'
VIEWS = dict(
    strong={'sup', 'unsup_teacher', 'unsup_student'},
    fixmatch={'sup', 'unsup_teacher', 'unsup_student'},
    unimatch={'sup', 'unsup_teacher', 'unsup_student', 'unsup_student2'})
# Images of an iteration: BRPG 4.1.4; UniMatch's logs, 4 GPUs.
COUNTS = dict(strong=(16, 16), fixmatch=(8, 8), unimatch=(8, 8))


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('coco')
    write_miniature('coco', root)
    return root


def base(name):
    return Config.fromfile(BASES / f'{name}.py')


def moved(cfg, root):
    cfg.data_root = str(root)
    cfg.serialize_data = False  # it collects garbage: slow
    return cfg


@pytest.mark.parametrize('views', VIEWS)
def test_the_training_set(views, tree):
    loader = base(f'datasets/coco81_{views}').train_dataloader
    assert loader.sampler.counts == COUNTS[views]
    assert loader.batch_size == sum(COUNTS[views])
    cfg = loader.dataset
    cfg.verify_split = False
    cfg.labeled = moved(cfg.labeled, tree)
    cfg.labeled.ann_file = 'ImageSets/Semi/coco-brpg-1_64.txt'
    cfg.unlabeled = moved(cfg.unlabeled, tree)
    dataset = DATASETS.build(cfg)
    # All other images of train2017 are unlabelled.
    assert dataset.source_lengths == (4, 20)
    assert len(dataset.metainfo['classes']) == 81
    found = set()
    for sample in (dataset[0], dataset[23]):
        for branch, images in sample['inputs'].items():
            if images is not None:
                found.add(branch)
                assert images.shape == (3, 513, 513)
    assert found == VIEWS[views]
    label = dataset[0]['data_samples']['sup'].gt_sem_seg.data
    assert set(label.unique().tolist()) <= {*range(81), 255}


def test_the_validation_set(tree):
    cfg = base('datasets/coco81')
    dataset = DATASETS.build(moved(cfg.val_dataloader.dataset, tree))
    assert len(dataset) == 8 and len(dataset.metainfo['classes']) == 81
    assert cfg.num_classes == 81
    for sample in dataset:
        label = sample['data_samples'].gt_sem_seg.data
        assert label.shape[1:] == sample['inputs'].shape[1:]


def test_the_network_of_brpg():
    cfg = base('models/deeplabv3plus_xception65_coco').segmentor
    cfg.decode_head.num_classes = 81
    with torch.device('meta'):
        net = MODELS.build(cfg)
        feats = net.extract_feat(torch.empty(2, 3, 513, 513))
    assert [f.shape[1:] for f in feats] == [(256, 129, 129), (256, 65, 65),
                                            (728, 65, 65), (2048, 65, 65)]
    last = net.backbone.exit_convs[2].depthwise_conv.conv
    assert last.dilation == (2, 2)
    assert net.decode_head.low_conv.conv.in_channels == 256
    assert net.decode_head.num_classes == 81


def test_the_network_of_unimatch():
    """Its logs print 54.7 M parameters."""
    cfg = base('models/deeplabv3plus_xception65-unimatch_coco').segmentor
    cfg.decode_head.num_classes = 81
    with torch.device('meta'):
        net = MODELS.build(cfg)
        feats = net.extract_feat(torch.empty(2, 3, 513, 513))
    assert [f.shape[2] for f in feats] == [129, 65, 33, 33]
    last = net.backbone.exit_convs[2].depthwise_conv.conv
    assert last.dilation == (1, 1)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == 54.7


def test_the_schedule_of_unimatch():
    cfg = base('schedules/sgd_coco_unimatch').optim_wrapper
    assert cfg.optimizer.lr == 0.004 and cfg.optimizer.weight_decay == 1e-4
    assert cfg.paramwise_cfg.custom_keys.decode_head.lr_mult == 10
