# Copyright (c) mmseg_semi authors.
"""Whole and padded evaluation, from config to score."""
import copy

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, METRICS, MODELS

from mmseg_semi.evaluation import evaluation_protocol
from ..test_models.toys import NUM_CLASSES, mean_teacher

NAMES = ['whole', 'padded-513', 'padded-641']
SIDE = 24
CLASSES = tuple('abcd')
# Grey levels that the model below recognises; the border has that of 0.
GREYS = (116, 30, 180, 250)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def config(tmp_path, name):
    """VOC with one of the protocols, as a leaf would write it."""
    bases = [
        f'{__file__.rsplit("/tests/", 1)[0]}/configs/_base_/{base}.py'
        for base in ('datasets/voc12', f'protocols/eval_{name}')
    ]
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f'''_base_ = {bases}
val_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_dataloader = val_dataloader
tta_pipeline = _base_.eval_tta_pipeline
''')
    return Config.fromfile(leaf)


@pytest.mark.parametrize('name', NAMES)
def test_configs_name_their_protocol(tmp_path, name):
    cfg = config(tmp_path, name)
    assert cfg.eval_protocol == name
    for loader in ('val_dataloader', 'test_dataloader'):
        assert evaluation_protocol(cfg, loader) == name
    tta = copy.deepcopy(cfg)
    tta.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    assert evaluation_protocol(tta, 'test_dataloader') == name


def test_a_config_without_a_name():
    crop = dict(type='PadCenterCrop', crop_size=(300, 400))
    cfg = dict(val_dataloader=dict(dataset=dict(pipeline=[crop])))
    assert evaluation_protocol(cfg) == 'padded-300x400'
    assert evaluation_protocol(dict()) == 'whole'


def test_a_wrong_name_is_refused(tmp_path):
    cfg = config(tmp_path, 'padded-513')
    cfg.val_dataloader.dataset.pipeline.pop(2)
    with pytest.raises(ValueError, match="'padded-513' but .* is 'whole'"):
        evaluation_protocol(cfg)
    crops = [dict(type='PadCenterCrop', crop_size=size) for size in (5, 6)]
    cfg.val_dataloader.dataset.pipeline = crops
    with pytest.raises(ValueError, match='keep one of them'):
        evaluation_protocol(cfg)


def tree(folder):
    """Images of the four greys, whose labels are wrong now and then."""
    rng = np.random.default_rng(0)
    labels = []
    for part in ('images', 'masks'):
        (folder / part).mkdir()
    for i, shape in enumerate([(15, 20), (24, 11), (24, 24), (9, 23)]):
        truth = rng.integers(0, NUM_CLASSES, shape)
        label = np.where(
            rng.random(shape) < .3, rng.integers(0, NUM_CLASSES, shape), truth)
        label[rng.random(shape) < .1] = 255
        image = np.array(GREYS, np.uint8)[truth]
        cv2.imwrite(str(folder / f'images/{i}.png'), np.stack([image] * 3, -1))
        cv2.imwrite(str(folder / f'masks/{i}.png'), label.astype(np.uint8))
        labels.append((truth, label))
    return labels


def dataset(folder, pipeline):
    return DATASETS.build(
        dict(
            type='BaseSegDataset',
            data_root=str(folder),
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            img_suffix='.png',
            seg_map_suffix='.png',
            metainfo=dict(classes=CLASSES, palette=[[0] * 3] * NUM_CLASSES),
            pipeline=pipeline))


def model():
    """Sees each pixel alone, so that the border changes nothing inside."""
    built = mean_teacher(
        data_preprocessor=dict(
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True)).eval()

    def encode_decode(inputs, metas):
        grey = (torch.tensor(GREYS) - 116.28) / 57.12
        return -(inputs[:, 1:2] - grey.view(1, -1, 1, 1)).abs()

    built.encode_decode = encode_decode
    return built


def score(folder, pipeline, batch_size, tta=False):
    """Through data set, model and metric, as a validation loop."""
    data = dataset(folder, pipeline)
    segmentor = model()
    if tta:
        segmentor = MODELS.build(dict(type='SegTTAModel', module=segmentor))
    metric = METRICS.build(dict(type='IoUMetric', iou_metrics=['mIoU']))
    metric.dataset_meta = data.metainfo
    for start in range(0, len(data), batch_size):
        batch = pseudo_collate([
            data[i] for i in range(start, min(start + batch_size, len(data)))
        ])
        for sample in segmentor.test_step(batch):
            metric.process(None, [sample.to_dict()])
    return metric.evaluate(len(data))['mIoU']


def slow_miou(labels, side=None):
    """Counts of every pixel; with a side also of those around the image."""
    intersect, union = np.zeros(NUM_CLASSES), np.zeros(NUM_CLASSES)
    for predicted, label in labels:
        for y, x in np.ndindex(*label.shape):
            if label[y, x] == 255:
                continue
            for c in range(NUM_CLASSES):
                hits = predicted[y, x] == c, label[y, x] == c
                intersect[c] += all(hits)
                union[c] += any(hits)
        if side:
            border = side**2 - label.size
            intersect[0] += border
            union[0] += border
    return 100 * (intersect / union).mean()


@pytest.mark.parametrize('tta', [False, True])
def test_padding_counts_as_background(tmp_path, tta):
    """The score of the border is in the score, and nothing else differs."""
    labels = tree(tmp_path)
    key = 'eval_tta_pipeline' if tta else 'eval_pipeline'
    steps = {}
    for name in ('whole', 'padded-513'):
        cfg = Config.fromfile(f'configs/_base_/protocols/eval_{name}.py')
        if tta:  # the flip alone: other sizes invent greys
            cfg.eval_tta_pipeline[-1].transforms.pop(0)
        steps[name] = cfg[key]
    steps['padded-513'][2].crop_size = SIDE
    whole = score(tmp_path, steps['whole'], 1, tta)
    padded = score(tmp_path, steps['padded-513'], 1 if tta else 3, tta)
    assert whole == pytest.approx(slow_miou(labels), abs=.005)  # 2 decimals
    assert padded == pytest.approx(slow_miou(labels, SIDE), abs=.005)
    assert padded - whole > 1


def test_padded_views_of_other_sizes_keep_the_label(tmp_path):
    tree(tmp_path)
    cfg = Config.fromfile('configs/_base_/protocols/eval_padded-513.py')
    plain, tta = cfg.eval_pipeline, cfg.eval_tta_pipeline
    for pipeline in (plain, tta):
        pipeline[2].crop_size = SIDE
    one = dataset(tmp_path, plain)[0]['data_samples']
    views = dataset(tmp_path, tta)[0]
    assert len(views['inputs']) == 12
    assert torch.equal(views['data_samples'][0].gt_sem_seg.data,
                       one.gt_sem_seg.data)
    assert all(view.ori_shape == (SIDE, SIDE)
               for view in views['data_samples'])
