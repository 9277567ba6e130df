# Copyright (c) mmseg_semi authors.
import os

import pytest
from mmengine.config import Config

from mmseg_semi.labeling import find_pool
from ..test_importing.helpers import add_photos, lines
from .given import model, project


@pytest.fixture
def config(tmp_path):
    return Config.fromfile(model(project(tmp_path))[0])


def entries(pool):
    return [pool.list_entry(source) for source in pool.sources]


def test_unlabelled_images_of_the_config(config, tmp_path):
    pool = find_pool(config, 'c.py')
    assert entries(pool) == lines(tmp_path / 'out', 'unlabelled')
    assert [s.name for s in pool.sources
            ] == [entry.removesuffix('.jpg') for entry in entries(pool)]
    assert len(pool.labelled) == 4
    # 4 masks, 4 x 280 pixels.
    assert pool.label_pixels(4).sum() == 4 * 280
    with pytest.raises(ValueError, match='4 classes, the model 7'):
        pool.label_pixels(7)


def test_labelled_and_validation_images_are_left_out(config, tmp_path):
    """Through links and other spellings of their folder, too."""
    os.symlink(tmp_path / 'photos', tmp_path / 'link')
    add_photos(tmp_path / 'photos', 'late.png')
    (tmp_path / 'photos/notes.pdf').write_text('x')
    pool = find_pool(config, 'c.py', [f'{tmp_path}/link/../link'])
    assert pool.left_out == dict(labelled=4, validation=1)
    assert entries(pool) == [
        *lines(tmp_path / 'out', 'unlabelled'), 'late.png'
    ]
    assert [s.image.rsplit('/')[-1] for s in pool.skipped] == ['notes.pdf']


def test_nothing_is_left(config, tmp_path):
    with pytest.raises(ValueError, match='all 5 .*4 labelled, 1 validation'):
        find_pool(config, 'c.py', [f'{tmp_path}/photos/a'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='no image in .*empty'):
        find_pool(config, 'c.py', [f'{tmp_path}/empty'])


def test_lists_leave_out_the_suffix_of_labelled_images(config, tmp_path):
    labeled = config.train_dataloader.dataset.labeled
    train = lines(tmp_path / 'out', 'train')[:2]
    (tmp_path / 'stems.txt').write_text('\n'.join(train).replace('.jpg', ''))
    labeled.img_suffix, labeled.seg_map_suffix = '.jpg', '.jpg.png'
    labeled.ann_file = f'{tmp_path}/stems.txt'
    config.train_dataloader.dataset.val_ann_file = ()
    pool = find_pool(config, 'c.py', [f'{tmp_path}/photos'])
    assert pool.left_out == dict(labelled=2, validation=1)
    assert 'free 0/0' in entries(pool)


def test_two_images_of_one_name(config, tmp_path):
    add_photos(tmp_path / 'more', 'x.jpg', 'x.png')
    with pytest.raises(ValueError, match='x.jpg and .*--keep-suffix'):
        find_pool(config, 'c.py', [f'{tmp_path}/more'])
    pool = find_pool(config, 'c.py', [f'{tmp_path}/more'], keep_suffix=True)
    assert [source.name for source in pool.sources] == ['x.jpg', 'x.png']


def test_what_is_labelled_must_be_known(config, tmp_path):
    config.train_dataloader.dataset.unlabeled = None
    with pytest.raises(ValueError, match='c.py has no unlabelled images'):
        find_pool(config, 'c.py')
    config.train_dataloader.dataset.labeled.data_root = f'{tmp_path}/gone'
    with pytest.raises(ValueError, match='c.py, labelled images: .*gone'):
        find_pool(config, 'c.py', [f'{tmp_path}/photos'])
