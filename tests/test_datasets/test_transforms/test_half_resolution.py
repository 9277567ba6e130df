# Copyright (c) mmseg_semi authors.
"""Halving of images and labels, in training and in tests."""
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import TRANSFORMS

HEIGHT, WIDTH = 14, 22


def _slow_half_rows(image):
    """Triangle filter of radius 2 input pixels around each output pixel."""
    result = np.zeros((len(image) // 2, *image.shape[1:]))
    for i in range(len(result)):
        total = 0.
        for j in range(len(image)):
            weight = max(0., 1 - abs(j + .5 - 2 * (i + .5)) / 2)
            result[i] += weight * image[j]
            total += weight
        result[i] = np.floor(result[i] / total + .5)
    return result


def _slow_half(image):
    """Columns first, each pass rounded to 8 bits."""
    columns = _slow_half_rows(image.astype(float).swapaxes(0, 1))
    return _slow_half_rows(columns.swapaxes(0, 1)).astype(np.uint8)


def _resize_steps(pipeline):
    return [step for step in pipeline if step['type'] == 'Resize']


@pytest.mark.parametrize('name', ['cityscapes', 'gta5_cityscapes'])
def test_equals_a_slow_triangle_filter(name):
    cfg = Config.fromfile(f'configs/_base_/datasets/{name}_cmb-half.py')
    train = cfg.train_dataloader.dataset
    pipelines = [train[part].pipeline for part in train if part != 'type']
    pipelines += [
        cfg.val_dataloader.dataset.pipeline,
        cfg.test_dataloader.dataset.pipeline
    ]
    assert len(pipelines) == (4 if name == 'cityscapes' else 5)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    label = rng.integers(0, 19, (HEIGHT, WIDTH), dtype=np.uint8)
    for pipeline in pipelines:
        half, = _resize_steps(pipeline)
        results = TRANSFORMS.build(half)(
            dict(
                img=image,
                img_shape=image.shape[:2],
                gt_seg_map=label,
                seg_fields=['gt_seg_map']))
        np.testing.assert_array_equal(results['img'], _slow_half(image))
        np.testing.assert_array_equal(results['gt_seg_map'], label[1::2, 1::2])


def test_tests_compare_with_the_whole_label():
    cfg = Config.fromfile('configs/_base_/datasets/cityscapes_cmb-half.py')
    names = [step.type for step in cfg.test_dataloader.dataset.pipeline]
    assert names.index('Resize') < names.index('LoadAnnotations')


def test_augmented_tests_shrink_by_the_same_filter():
    cfg = Config.fromfile('configs/_base_/datasets/cityscapes_cmb-half.py')
    sizes = cfg.tta_pipeline[1].transforms[0]
    assert .5 in [step.scale_factor for step in sizes]
    assert all(step.backend == 'pillow' for step in sizes)
