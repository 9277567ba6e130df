# Copyright (c) mmseg_semi authors.
"""Pictures of a test, `--show-dir`."""
import os
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from mmseg_semi.apis import test as run_test
from mmseg_semi.apis import test_config as read_test_config
from mmseg_semi.apis.configs import enable_drawing
from mmseg_semi.engine.hooks import PictureHook
from ..test_predicting.given import files, picture, save

# After ours, which lets mmseg import without compiled operators.
from mmseg.structures import SegDataSample  # isort: skip
from mmseg.visualization import SegLocalVisualizer  # isort: skip

TEST = '''
_base_ = {base!r}
work_dir = {work!r}
default_scope = 'mmseg'
test_cfg = dict(type='TestLoop')
test_evaluator = dict(type='IoUMetric')
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_prefix=dict(img_path={images!r}, seg_map_path={masks!r}),
        metainfo=dict(
            classes=('a', 'b', 'c', 'd'),
            palette=[[200, 0, 0], [0, 200, 0], [0, 0, 200], [9, 9, 9]]),
        img_suffix='.tif',
        pipeline={pipeline!r}))
visualizer = dict(
    type='SegLocalVisualizer',
    alpha=0.1,
    vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(visualization=dict(type='SegVisualizationHook'))
'''
PIPELINE = [
    dict(type='LoadBands', bands=(0, 1, 2), range=(0, 4095)),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]

LOADED = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


@pytest.fixture
def tested(tmp_path):
    """A test of three images of 12 bits, two of which are called alike."""
    base, weights = files(tmp_path / 'model', 'plain', PIPELINE)
    for i, name in enumerate(('x/a', 'y/a', 'y/b')):
        image = picture(seed=i).astype(np.uint16) * 16
        save(tmp_path / f'images/{name}.tif', image)
        save(tmp_path / f'masks/{name}.png', image[..., 0] % 4)

    def run():
        config = tmp_path / 'test.py'
        config.write_text(
            TEST.format(
                base=base,
                work=str(tmp_path / 'work'),
                images=str(tmp_path / 'images'),
                masks=str(tmp_path / 'masks'),
                pipeline=PIPELINE))
        out = tmp_path / 'shown'
        scores = run_test(
            read_test_config(str(config), weights, show_dir=str(out)))
        assert 'mIoU' in scores
        return out

    return run


def test_every_image_under_its_own_name_and_as_bright_as_it_is(tested):
    out = tested()
    found = sorted(
        os.path.relpath(os.path.join(root, name), out)
        for root, _, names in os.walk(out) for name in names)
    assert found == ['x/a.png', 'y/a.png', 'y/b.png']
    for i, name in enumerate(found):
        drawn = cv2.imread(str(out / name)).astype(float)
        expected = picture(seed=i).astype(float)
        height, width = expected.shape[:2]
        assert drawn.shape == (height, 2 * width, 3)  # label and prediction
        for half in (drawn[:, :width], drawn[:, width:]):
            # A tenth of it is the colour of the class.
            assert np.median(abs(half - .9 * expected)) < 21


class FakeImages(list):
    metainfo = dict(classes=['a'], palette=[[1, 2, 3]])
    get_data_info = list.__getitem__


def test_every_process_draws_its_images(tmp_path, monkeypatch):
    """mmengine lets the first process alone draw."""
    hook = PictureHook(draw=True, interval=1, out_dir=str(tmp_path / 'out'))
    hook._visualizer = SegLocalVisualizer()
    image = save(tmp_path / 'p.png')
    images = FakeImages([dict(img_path=image)])
    runner = SimpleNamespace(
        iter=0,
        cfg=Config(dict(test_pipeline=LOADED)),
        test_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=images)))
    sample = SegDataSample(
        metainfo=dict(img_path=image),
        pred_sem_seg=PixelData(data=torch.zeros(1, 45, 60, dtype=torch.long)))
    monkeypatch.setattr('mmengine.dist.utils.get_rank', lambda group=None: 1)
    hook.after_test_iter(runner, 0, None, [sample])
    assert (tmp_path / 'out/p.png').is_file()


def test_a_hook_of_the_users_own_stays():
    cfg = Config(
        dict(
            default_hooks=dict(visualization=dict(type='Mine')),
            visualizer=dict()))
    enable_drawing(cfg, False, 'shown', 2)
    assert cfg.default_hooks.visualization.type == 'Mine'
    assert cfg.visualizer.save_dir == 'shown'
