# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

import mmseg_semi  # noqa: F401  (before any test imports mmseg)


class Tree:
    """A small dataset in PASCAL VOC layout: 20 images, all with masks."""

    def __init__(self, root, num=20):
        self.root = root
        self.stems = [f'i{i:03d}' for i in range(num)]
        for folder in ('JPEGImages', 'SegmentationClass', 'lists'):
            (root / folder).mkdir(parents=True)
        for i, stem in enumerate(self.stems):
            self.image(f'JPEGImages/{stem}.jpg', 10 * i)
            self.mask(f'SegmentationClass/{stem}.png', i % 3)
        self.list('labeled', self.stems[:5])
        self.list('val', self.stems[15:])

    def image(self, name, value=0):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 10, 3), value, np.uint8)).save(path)
        return str(path)

    def mask(self, name, *ids):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.resize(np.array(ids, np.uint8), (8, 10))
        Image.fromarray(mask).save(path)
        return str(path)

    def list(self, name, entries):
        path = self.root / 'lists' / f'{name}.txt'
        path.write_text(''.join(f'{entry}\n' for entry in entries))
        return str(path)

    def labeled(self, **kwargs):
        cfg = dict(
            type='BaseSegDataset',
            data_root=str(self.root),
            serialize_data=False,  # it collects garbage: slow
            ann_file='lists/labeled.txt',
            data_prefix=dict(
                img_path='JPEGImages', seg_map_path='SegmentationClass'),
            metainfo=dict(
                classes=('a', 'b', 'c'),
                palette=[[0, 0, 0], [1, 1, 1], [2, 2, 2]]),
            pipeline=[
                dict(type='LoadStrictImage'),
                dict(type='LoadStrictAnnotations'),
                dict(type='RandomFlip', prob=.5),
                dict(type='PackSegInputs')
            ])
        return {**cfg, **kwargs}

    def unlabeled(self, **kwargs):
        cfg = dict(
            data_root=str(self.root),
            serialize_data=False,  # it collects garbage: slow
            data_prefix=dict(img_path='JPEGImages'),
            pipeline=[
                dict(type='LoadStrictImage'),
                dict(type='RandomFlip', prob=.5),
                dict(type='PackSegInputs')
            ])
        return {**cfg, **kwargs}


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / 'voc')


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield
