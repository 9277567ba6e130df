# Copyright (c) mmseg_semi authors.
"""Masks come back from every form as they were."""
import json

import cv2
import numpy as np
import pytest

from mmseg_semi.importing import ImportOptions, import_labels
from mmseg_semi.labeling.confident import Region
from mmseg_semi.labeling.forms import (IGNORE, LabelClasses, Labelled,
                                       make_forms, outline)
from ..test_importing.helpers import add_photos, load

CLASSES = LabelClasses(('road', 'car', 'ä b'),
                       [[9, 9, 9], [200, 0, 0], [0, 0, 250]])
PLACES = dict(
    png='masks', coco='coco.json', labelme='labelme', cvat='cvat.xml')


def noisy(seed, height, width, cell):
    """Blots of all classes in each other, with 255 and single pixels."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 4, (height // cell, width // cell), np.uint8)
    mask = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    mask[rng.random(mask.shape) < .01] = 1
    mask[mask == 3] = 255
    return mask


def nested():
    """Rings in rings, closed through corners, one at the border."""
    mask = np.zeros((40, 60), np.uint8)
    for number, label in enumerate((1, 255, 2, 0, 1, 255)):
        cv2.ellipse(mask, (30, 20), (28 - 4 * number, 19 - 3 * number), 20, 0,
                    360, label, -1)
    mask[:, 0] = 2
    mask[0, :5] = 255
    return mask


MASKS = {
    'a/1.jpg': noisy(0, 48, 60, 4),
    'a/2 é.png': nested(),
    'b/1.jpg': noisy(1, 30, 20, 1),
    'b/rest.tif': np.full((5, 7), 255, np.uint8),
}


def written(folder, form, simplify=0.):
    """Write all masks; returns where they are."""
    (writer, ) = make_forms([form], folder / 'new', CLASSES, simplify)
    for name, mask in MASKS.items():
        add_photos(folder / 'photos', name, size=mask.shape[::-1])
        stem = name.rsplit('.', 1)[0]
        writer.add(Labelled(str(folder / 'photos' / name), stem, name, mask))
    assert [path.name for path in writer.close()] == [PLACES[form]]
    return folder / 'new' / PLACES[form]


def back(folder, labels, **options):
    options.setdefault('classes', CLASSES.names)
    import_labels(
        str(folder / 'photos'), str(labels), str(folder / 'out'),
        ImportOptions(val=0, **options))
    return {name: load(folder / 'out', name) for name in MASKS}


@pytest.mark.parametrize('form', list(PLACES))
def test_round_trip_is_exact(form, tmp_path):
    if form == 'coco':
        pytest.importorskip('pycocotools')
    options = {} if form == 'png' else dict(unlabelled='ignore')
    found = back(tmp_path, written(tmp_path, form), **options)
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


def test_simplified_polygons_are_near(tmp_path):
    """A corner may be off by a pixel: large regions change little."""
    exact = json.loads((written(tmp_path / 'exact', 'labelme') /
                        'a/2 é.json').read_text('utf-8'))
    mask = cv2.resize(nested(), (600, 400), interpolation=cv2.INTER_NEAREST)
    (writer, ) = make_forms(['labelme'], tmp_path, CLASSES, 1.)
    writer.add(Labelled(str(tmp_path / 'x.png'), 'x', 'x.png', mask))
    add_photos(tmp_path / 'photos', 'x.png', size=(600, 400))
    near = json.loads((tmp_path / 'labelme/x.json').read_text())
    import_labels(
        str(tmp_path / 'photos'), str(tmp_path / 'labelme'),
        str(tmp_path / 'out'),
        ImportOptions(val=0, classes=CLASSES.names, unlabelled='ignore'))
    found = load(tmp_path / 'out', 'x.png')
    for label in (0, 1, 2, 255):
        one, other = mask == label, found == label
        assert (one & other).sum() / (one | other).sum() > .98, label
    assert len(near['shapes']) == len(exact['shapes'])


def test_labelme_opens_the_photo_and_shapes_say_what_is_ignored(tmp_path):
    path = written(tmp_path, 'labelme') / 'a/2 é.json'
    content = json.loads(path.read_text('utf-8'))
    photo = path.parent / content['imagePath']
    assert photo.resolve() == (tmp_path / 'photos/a/2 é.png').resolve()
    labels = [shape['label'] for shape in content['shapes']]
    assert set(labels) == {*CLASSES.names, IGNORE}
    assert all(len(shape['points']) > 2 for shape in content['shapes'])


def test_a_pixel_and_a_line_have_three_corners():
    for bitmap in (np.ones((1, 1), bool), np.ones((1, 4), bool)):
        points = outline(Region(1, 5, 6, bitmap), simplify=2.)
        assert len(points) == 3
        assert set(map(tuple, points)) == {(5, 6), (4 + bitmap.size, 6)}


def test_coco_is_what_pycocotools_reads(tmp_path):
    coco_mask = pytest.importorskip('pycocotools.mask')
    data = json.loads(written(tmp_path, 'coco').read_text('utf-8'))
    assert [c['name'] for c in data['categories']] == [*CLASSES.names, IGNORE]
    for one in data['annotations']:
        assert coco_mask.area(one['segmentation']) == one['area']
        assert coco_mask.toBbox(one['segmentation']).tolist() == one['bbox']
