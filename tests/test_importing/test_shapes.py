# Copyright (c) mmseg_semi authors.
"""LabelMe, COCO and CVAT's XML against masks that numpy draws."""
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.importing.shapes import Shape
from .helpers import HEIGHT, WIDTH, add_photos, drawn, faults, load, run

# The boxes of `drawn`, with their last pixels.
FIRST, SECOND = [(3, 2), (10, 7)], [(8, 5), (15, 11)]


def corners(box):
    (left, top), (right, bottom) = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def labelme(tmp_path, *shapes, name='p0.jpg', size=(WIDTH, HEIGHT), **more):
    add_photos(tmp_path / 'photos', name)
    folder = tmp_path / 'masks'
    folder.mkdir(exist_ok=True)
    content = dict(
        version='5.0',
        imagePath=name,
        imageData='not looked at',
        imageWidth=size[0],
        imageHeight=size[1],
        shapes=[
            dict(label=label, shape_type=kind, points=points, **more)
            for label, kind, points in shapes
        ])
    path = folder / f'{name.rsplit(".", 1)[0]}.json'
    path.write_text(json.dumps(content))
    return path


def test_labelme_polygon_and_rectangle(tmp_path):
    labelme(tmp_path, ('leaf', 'polygon', corners(FIRST)),
            ('weed', 'rectangle', SECOND[::-1]))
    report = run(tmp_path)
    assert report.format == 'labelme'
    assert report.classes['names'] == ['background', 'leaf', 'weed']
    np.testing.assert_array_equal(load(tmp_path / 'out', 'p0.jpg'), drawn())
    assert any('--unlabelled ignore' in note for note in report.notes)


@pytest.mark.parametrize('overlap, wins', [('last', 2), ('first', 1),
                                           ('smallest', 1)])
def test_overlaps_and_pixels_outside(tmp_path, overlap, wins):
    labelme(tmp_path, ('leaf', 'rectangle', FIRST),
            ('weed', 'rectangle', SECOND))
    run(tmp_path, overlap=overlap, unlabelled='ignore')
    wanted = drawn()
    wanted[5:8, 8:11] = wins
    wanted = np.where(wanted == 0, 255, wanted - 1)
    np.testing.assert_array_equal(load(tmp_path / 'out', 'p0.jpg'), wanted)


def test_labelme_circle(tmp_path):
    labelme(tmp_path, ('leaf', 'circle', [(9, 6), (9, 2)]))
    run(tmp_path)
    mask = load(tmp_path / 'out', 'p0.jpg')
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - 9, y - 6)
    assert (mask[distance <= 3.5] == 1).all()
    assert (mask[distance >= 4.5] == 0).all()


def test_labelme_mask_is_pasted(tmp_path):
    bitmap = np.array([[True, False, True], [True, True, False]])
    buffer = io.BytesIO()
    Image.fromarray(bitmap).save(buffer, 'png')
    labelme(
        tmp_path, ('leaf', 'mask', [(4, 5), (6, 6)]),
        mask=base64.b64encode(buffer.getvalue()).decode())
    run(tmp_path)
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[5:7, 4:7] = bitmap
    np.testing.assert_array_equal(load(tmp_path / 'out', 'p0.jpg'), wanted)


def test_labels_are_merged_ignored_or_refused(tmp_path):
    shapes = [('Leaf', 'rectangle', FIRST), ('leaf ', 'rectangle', SECOND)]
    labelme(tmp_path, *shapes)
    text, _ = faults(run, tmp_path, classes=('background', 'leaf'))
    assert "'Leaf' is no class" in text and "'leaf' is near" in text
    assert 'differ in case' in text
    run(tmp_path, mapping={'Leaf': 'leaf'}, ignore=('leaf ', ))
    np.testing.assert_array_equal(
        load(tmp_path / 'out', 'p0.jpg'), drawn(1, 255))
    with pytest.raises(ValueError, match='no label tree.*Leaf'):
        run(tmp_path, ignore=('tree', ))


def test_bad_shapes_are_told_together(tmp_path):
    path = labelme(tmp_path, ('leaf', 'polygon', FIRST),
                   ('leaf', 'blob', FIRST), ('leaf', 'line', FIRST))
    (tmp_path / 'masks/p1.json').write_text('{"shapes": 3}')
    text, found = faults(run, tmp_path)
    assert len(found) == 4
    assert f'{path}: shape 1 (polygon' in text
    assert f'{path}: shape 2 (blob' in text
    assert 'warning: shape without an area' in text
    assert 'p1.json: TypeError' in text


def test_images_without_a_shape(tmp_path):
    labelme(tmp_path, ('leaf', 'rectangle', FIRST))
    labelme(tmp_path, name='p1.jpg')
    report = run(tmp_path)
    assert report.split['images'] == dict(train=1, val=0, unlabelled=1)
    assert any('--empty background' in note for note in report.notes)
    report = run(tmp_path, empty='background', force=True)
    assert report.split['images'] == dict(train=2, val=0, unlabelled=0)
    assert not load(tmp_path / 'out', 'p1.jpg').any()


def test_options_of_other_formats_are_refused(tmp_path):
    labelme(tmp_path, ('leaf', 'rectangle', FIRST))
    with pytest.raises(ValueError, match='--snap: of no use.*labelme'):
        run(tmp_path, snap=True)


def coco(tmp_path, *annotations, names=('leaf', 'weed')):
    add_photos(tmp_path / 'photos', 'a/p0.jpg')
    content = dict(
        images=[dict(id=7, file_name='a/p0.jpg', width=WIDTH, height=HEIGHT)],
        categories=[dict(id=3 + i, name=name) for i, name in enumerate(names)],
        annotations=[
            dict(annotation, id=i, image_id=7)
            for i, annotation in enumerate(annotations)
        ])
    path = tmp_path / 'masks/all.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def runs(mask):
    """COCO's uncompressed run lengths, column by column."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=~flat[-1] & 1))
    return dict(
        size=list(mask.shape), counts=np.diff(edges, prepend=0).tolist())


def test_coco_polygons_and_run_lengths(tmp_path):
    pytest.importorskip('pycocotools')
    # pycocotools: a polygon ends where its edge is.
    polygon = [3, 2, 11, 2, 11, 8, 3, 8]
    second = (drawn(0, 1) == 1).astype(np.uint8)
    coco(tmp_path, dict(category_id=3, segmentation=[polygon]),
         dict(category_id=4, segmentation=runs(second)))
    report = run(tmp_path)
    assert report.format == 'coco'
    assert report.classes['names'] == ['background', 'leaf', 'weed']
    np.testing.assert_array_equal(load(tmp_path / 'out', 'a/p0.jpg'), drawn())
    run(tmp_path, overlap='first', ignore=('weed', ), force=True)
    wanted = drawn(1, 255)
    wanted[5:8, 8:11] = 1
    np.testing.assert_array_equal(load(tmp_path / 'out', 'a/p0.jpg'), wanted)


def test_coco_faults_name_file_and_annotation(tmp_path):
    pytest.importorskip('pycocotools')
    coco(tmp_path, dict(category_id=3, segmentation=[[1, 2, 3]]))
    text, _ = faults(run, tmp_path)
    assert 'all.json, image 7' in text and 'polygons of [3] numbers' in text
    assert not (tmp_path / 'out').exists()
    coco(tmp_path, dict(category_id=9, segmentation=[[1, 2, 3]]))
    text, _ = faults(run, tmp_path)
    assert 'unknown category' in text and ': 9' in text


def cvat(tmp_path, *shapes):
    add_photos(tmp_path / 'photos', 'p0.jpg')
    path = tmp_path / 'masks/annotations.xml'
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'''<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job><labels>
<label><name>leaf</name><color>#ff0000</color></label>
<label><name>weed</name><color>#00ff00</color></label>
</labels></job></meta>
<image id="0" name="p0.jpg" width="{WIDTH}" height="{HEIGHT}">
{"".join(shapes)}</image></annotations>''')


def cvat_runs(mask):
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    return ', '.join(
        map(str,
            np.diff(edges, prepend=0, append=flat.size).tolist()))


def test_cvat_polygon_box_and_mask(tmp_path):
    points = ';'.join(f'{x},{y}' for x, y in corners(FIRST))
    second = drawn(0, 1)[4:13, 6:17]
    cvat(
        tmp_path, f'<mask label="weed" source="manual" rle="'
        f'{cvat_runs(second)}" left="6" top="4" width="11" height="9" '
        'z_order="1"></mask>',
        f'<polygon label="leaf" points="{points}" z_order="0"></polygon>',
        '<box label="weed" xtl="17.2" ytl="1.0" xbr="19.1" ybr="3.0" '
        'z_order="0"></box>')
    report = run(tmp_path)
    wanted = drawn()
    wanted[1:3, 17:19] = 2
    np.testing.assert_array_equal(load(tmp_path / 'out', 'p0.jpg'), wanted)
    assert report.format == 'cvat-xml'
    assert report.classes['names'] == ['background', 'leaf', 'weed']
    assert report.classes['palette'][1] == [255, 0, 0]


def test_cvat_turned_box(tmp_path):
    box = ('<box label="leaf" xtl="2" ytl="5" xbr="12" ybr="9" '
           'rotation="90"></box>')
    cvat(tmp_path, box)
    run(tmp_path)
    rows, columns = np.nonzero(load(tmp_path / 'out', 'p0.jpg'))
    assert (rows.min(), rows.max()) == (2, 12)
    assert (columns.min(), columns.max()) == (5, 9)


def test_cvat_bad_mask(tmp_path):
    cvat(
        tmp_path, '<mask label="leaf" rle="3, 4" left="0" top="0" width="3" '
        'height="3"></mask>', '<polyline label="leaf" points="1,1;2,2"/>')
    text, _ = faults(run, tmp_path)
    assert 'annotations.xml, image p0.jpg' in text
    assert '7 pixels in its runs, its window has 9' in text
    assert 'polyline' in text


@pytest.mark.parametrize('left, top', [(-2, -1), (17, 12), (0, 0)])
def test_bitmaps_are_cut_at_the_borders(left, top):
    bitmap = np.random.default_rng(0).random((4, 5)) < .5
    shape = Shape('a', 'bitmap', [(left, top), (left + 5, top + 4)], bitmap)
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    for row in range(4):
        for column in range(5):
            y, x = top + row, left + column
            if 0 <= y < HEIGHT and 0 <= x < WIDTH:
                wanted[y, x] = bitmap[row, column]
    np.testing.assert_array_equal(shape.region((WIDTH, HEIGHT)), wanted)
