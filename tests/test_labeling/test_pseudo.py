# Copyright (c) mmseg_semi authors.
import csv
import json

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.importing.options import parse_classes
from mmseg_semi.labeling import PseudoOptions, label_images
from mmseg_semi.labeling.confident import keep_confident
from .given import NAMES, loaded, project


@pytest.fixture
def given(tmp_path):
    return loaded(project(tmp_path))


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*') if path.is_file()
    }


def test_masks_classes_and_order(given, tmp_path):
    predictor, pool = given
    out = tmp_path / 'new'
    options = PseudoOptions(.4, dict(leaf=.3), 3, sheet=True)
    report = label_images(predictor, pool, str(out), options)
    assert set(content(out)) == {
        'classes.json', 'review.csv', 'review.png',
        *(f'masks/free {n % 2}/{n}.png' for n in range(4))
    }
    limits, pixels, sure = np.array([.4, .3, .4, .4]), np.zeros(256), {}
    for source in pool.sources:
        found = predictor(source.path)
        with Image.open(out / f'masks/{source.name}.png') as mask:
            assert mask.mode == 'P'
            assert mask.getpalette()[3:6] == list(predictor.palette[1])
            mask = np.asarray(mask)
        np.testing.assert_array_equal(mask, keep_confident(found, limits, 3))
        pixels += np.bincount(mask.ravel(), minlength=256)
        sure[source.path] = found.confidence.mean()
    assert 0 < pixels[255] < pixels.sum()
    classes = json.loads((out / 'classes.json').read_text())
    assert list(classes['pixels'].values()) == pixels[:4].tolist()
    assert classes['ignored_pixels'] == pixels[255]
    assert (out / classes['photos']).resolve() == (tmp_path /
                                                   'photos').resolve()
    assert parse_classes(str(out / 'classes.json')) == NAMES
    with open(out / 'review.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['path'] for row in rows] == sorted(sure, key=sure.get)
    assert list(
        rows[0]) == ['path', 'mean_confidence', 'kept_share', 'classes']
    assert report.kept == pytest.approx(pixels[:4].sum() / pixels.sum())
    assert [one.path for one in report.images] == [r['path'] for r in rows]


def test_nothing_is_replaced_without_force(given, tmp_path):
    predictor, pool = given
    out = tmp_path / 'new'
    options = PseudoOptions(forms=('labelme', 'cvat'))
    label_images(predictor, pool, str(out), options)
    (out / 'notes.txt').write_text('mine')
    mine = out / 'labelme/free 0/0.json'
    mine.write_text('edited')
    before = content(out)
    with pytest.raises(FileExistsError, match='classes.json.*--force'):
        label_images(predictor, pool, str(out), options)
    assert content(out) == before
    label_images(predictor, pool, str(out), options, force=True)
    assert mine.read_text() != 'edited'
    assert (out / 'notes.txt').read_text() == 'mine'


def test_broken_images_are_skipped_and_listed(given, tmp_path):
    predictor, pool = given
    with open(pool.sources[1].path, 'wb') as file:
        file.write(b'')
    out = tmp_path / 'new'
    report = label_images(predictor, pool, str(out),
                          PseudoOptions(forms=('coco', )))
    assert [one.image for one in report.skipped] == [pool.sources[1].path]
    assert len(report.images) == 3
    assert len(json.loads((out / 'coco.json').read_text())['images']) == 3


def test_wrong_settings(given, tmp_path):
    predictor, pool = given
    out = tmp_path / 'new'
    for options, text in ((PseudoOptions(2), 'threshold 2'),
                          (PseudoOptions(.5,
                                         dict(leav=.5)), "'leaf' is near")):
        with pytest.raises(ValueError, match=text):
            label_images(predictor, pool, str(out), options)
    predictor.classes = tuple(map(str, range(256)))
    with pytest.raises(ValueError, match='256 classes'):
        label_images(predictor, pool, str(out))
    assert not out.exists()
