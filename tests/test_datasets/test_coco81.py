# Copyright (c) mmseg_semi authors.
"""COCO with 81 classes, and its masks against a pixel-by-pixel statement."""
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.datasets import COCO81Dataset
from mmseg_semi.datasets.coco81 import CATEGORY_IDS, CLASSES, palette
from mmseg_semi.datasets.miniatures import write_miniature

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters'
CATEGORIES = [
    dict(id=i, name=name) for i, name in zip(CATEGORY_IDS, CLASSES[1:])
]
PERSON, CUP, TABLE, BRUSH = 1, 47, 67, 90  # category ids of COCO


def test_classes_and_category_ids():
    assert len(CLASSES) == 81 and len(set(CLASSES)) == 81
    assert len(CATEGORY_IDS) == 80 and CATEGORY_IDS[-1] == 90
    number = {name: i for i, name in enumerate(CLASSES)}
    # As UniMatch's logs number them.
    for name, index in dict(
            background=0, person=1, train=7, truck=8, zebra=23, cup=42,
            couch=58, tv=63, book=74, toothbrush=80).items():  # yapf: disable
        assert number[name] == index
    for category, name in {
            1: 'person', 13: 'stop sign', 27: 'backpack', 44: 'bottle',
            67: 'dining table', 70: 'toilet', 84: 'book',
            90: 'toothbrush'}.items():  # yapf: disable
        assert CATEGORY_IDS.index(category) + 1 == number[name]


def test_colours():
    colors = COCO81Dataset.METAINFO['palette']
    assert len(colors) == 81 == len({tuple(c) for c in colors})
    assert palette(21) == PascalVOCDataset.METAINFO['palette']
    assert all(0 <= value <= 255 for color in colors for value in color)


def test_the_miniature_is_read(tmp_path):
    write_miniature('coco', tmp_path)
    semi = 'ImageSets/Semi/coco-unimatch-1_512.txt'
    for split, listed, count in (('train', 'ImageSets/Segmentation/train.txt',
                                  24), ('train', semi, 4),
                                 ('val', 'ImageSets/Segmentation/val.txt', 8)):
        dataset = DATASETS.build(
            dict(
                type='COCO81Dataset',
                data_root=str(tmp_path),
                ann_file=listed,
                data_prefix=dict(
                    img_path=f'{split}2017', seg_map_path='masks'),
                pipeline=[
                    dict(type='LoadStrictImage'),
                    dict(type='LoadStrictAnnotations', num_classes=81),
                    dict(type='PackSemiInputs')
                ]))
        assert len(dataset) == count
        for sample in dataset:
            label = sample['data_samples'].gt_sem_seg.data
            assert label.shape[1:] == sample['inputs'].shape[1:]
            assert label.max() <= 80 and label.any()


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(mask):
    """Uncompressed, column by column, zeros first."""
    flat = mask.T.ravel().astype(int)
    counts, last = [0], 0
    for value in flat:
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return dict(size=list(mask.shape), counts=counts)


def crowd_region():
    mask = np.zeros((20, 30), bool)
    mask[2:18:3, 1:29] = True
    return mask


def scenes():
    """Three images: overlaps of all kinds, none at all, nothing."""
    annotations = [
        dict(image_id=9, category_id=TABLE, segmentation=[box(2, 8, 28, 18)]),
        dict(
            image_id=9,
            category_id=PERSON,
            segmentation=[[3.5, 1.2, 14.1, 2.7, 9.9, 16.4],
                          box(15, 3, 19, 12)]),
        dict(image_id=25, category_id=BRUSH, segmentation=[box(1, 1, 4, 3)]),
        dict(image_id=9, category_id=CUP, segmentation=[box(10, 10, 13, 13)]),
        dict(
            image_id=9,
            category_id=PERSON,
            iscrowd=1,
            segmentation=run_lengths(crowd_region())),
        # Equally large and a crossing; no other annotation is as small.
        dict(image_id=25, category_id=CUP, segmentation=[box(8, 4, 12, 8)]),
        dict(image_id=25, category_id=TABLE, segmentation=[box(9, 5, 13, 9)]),
    ]
    for number, annotation in enumerate(annotations, 100):
        annotation.setdefault('iscrowd', 0)
        annotation.update(id=number, bbox=[0, 0, 1, 1], area=1)
    images = [
        dict(id=number, file_name=f'{number:012d}.jpg', height=20, width=30)
        for number in (9, 25, 30)
    ]
    return dict(images=images, annotations=annotations, categories=CATEGORIES)


def slow_mask(content, number, overlap):
    """Pixel by pixel from pycocotools' own mask of every annotation."""
    from pycocotools import mask as masks
    regions = []
    for annotation in content['annotations']:
        if annotation['image_id'] != number:
            continue
        pixels = np.zeros((20, 30), int)
        parts = annotation['segmentation']
        for part in parts if isinstance(parts, list) else [parts]:
            part = [part] if isinstance(part, list) else part
            rle = masks.frPyObjects(part, 20, 30)
            pixels |= masks.decode(rle).reshape(20, 30)
        regions.append((annotation['category_id'], pixels))
    areas = [pixels.sum() for _, pixels in regions]
    label = np.zeros((20, 30), np.uint8)
    for y in range(20):
        for x in range(30):
            here = [i for i, (_, p) in enumerate(regions) if p[y, x]]
            if here:
                winner = dict(
                    last=here[-1],
                    first=here[0],
                    smallest=min(here[::-1], key=lambda i: areas[i]))[overlap]
                label[y, x] = CATEGORY_IDS.index(regions[winner][0]) + 1
    return label


@pytest.fixture
def command(tmp_path, capsys):
    """The tool on a made-up file; call it with the content and options."""
    pytest.importorskip('pycocotools')
    path = tmp_path / 'annotations/instances_train2017.json'
    path.parent.mkdir()
    main = runpy.run_path(str(TOOL / 'coco_instances_to_masks.py'))['main']

    def call(content, *options):
        if content is not None:
            path.write_text(
                content if isinstance(content, str) else json.dumps(content))
        main([str(tmp_path), '--annotations', str(path), *options])
        return capsys.readouterr().out

    call.root, call.path = tmp_path, path
    return call


def pixels(path):
    image = Image.open(path)
    assert image.mode == 'L'
    return np.asarray(image)


@pytest.mark.parametrize('overlap', ['last', 'first', 'smallest'])
def test_masks_are_those_of_the_slow_statement(command, overlap):
    content = scenes()
    out = command(content, '--overlap', overlap)
    assert '3 masks written, 0 were there' in out
    for number in (9, 25, 30):
        np.testing.assert_array_equal(
            pixels(command.root / f'masks/{number:012d}.png'),
            slow_mask(content, number, overlap))
    found = np.unique(pixels(command.root / 'masks/000000000009.png'))
    assert set(found) <= {0, 1, 42, 61} and len(found) > 2
    listed = command.root / 'ImageSets/Segmentation/train.txt'
    assert listed.read_text().split() == [
        f'{number:012d}' for number in (9, 25, 30)
    ]


def test_known_pixels(command):
    """Boxes on whole pixels, run lengths and their overlap, by hand."""
    command(scenes())
    boxes = np.zeros((20, 30), int)
    boxes[1:3, 1:4], boxes[4:8, 8:12], boxes[5:9, 9:13] = 80, 42, 61
    np.testing.assert_array_equal(
        pixels(command.root / 'masks/000000000025.png'), boxes)
    assert not pixels(command.root / 'masks/000000000030.png').any()
    mask = pixels(command.root / 'masks/000000000009.png')
    assert (mask[crowd_region()] == 1).all()  # the crowd comes last
    assert (mask[10, 10:13] == 42).all() and mask[17, 27] == 1
    assert mask[16, 27] == 61 and mask[0].max() == 0


def test_compressed_run_lengths(command):
    from pycocotools import mask as masks
    content = scenes()
    rle = masks.encode(np.asfortranarray(crowd_region().astype(np.uint8)))
    rle = dict(size=rle['size'], counts=rle['counts'].decode())
    expected = slow_mask(content, 9, 'last')
    content['annotations'][4]['segmentation'] = rle
    command(content)
    np.testing.assert_array_equal(
        pixels(command.root / 'masks/000000000009.png'), expected)


def test_a_conversion_goes_on_and_repeats(command):
    command(scenes())
    before = {
        p: p.read_bytes()
        for p in command.root.rglob('*') if p.is_file()
    }
    (command.root / 'masks/000000000009.png').unlink()
    out = command(None)
    assert '1 masks written, 2 were there' in out and 'unchanged' in out
    after = {p: p.read_bytes() for p in command.root.rglob('*') if p.is_file()}
    assert after == before


@pytest.mark.parametrize('foreign', ['mask', 'colours', 'text'])
def test_foreign_masks_are_kept(command, foreign):
    path = command.root / 'masks/000000000025.png'
    path.parent.mkdir()
    if foreign == 'text':
        path.write_text('notes')
    else:
        image = Image.new('L', (30, 20), 3)
        (image.convert('RGB') if foreign == 'colours' else image).save(path)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match='25.png exists and differs.*--force'):
        command(scenes())
    assert path.read_bytes() == before
    assert not (command.root / 'ImageSets').exists()
    command(scenes(), '--force')
    np.testing.assert_array_equal(
        pixels(path), slow_mask(scenes(), 25, 'last'))


def test_equal_palette_masks_are_taken(command):
    path = command.root / 'masks/000000000025.png'
    path.parent.mkdir()
    image = Image.fromarray(slow_mask(scenes(), 25, 'last'), 'P')
    image.putpalette(sum(palette(81), []))
    image.save(path)
    assert '2 masks written, 1 were there' in command(scenes())


def test_another_rule_is_another_mask(command):
    command(scenes())
    with pytest.raises(SystemExit, match='another --overlap'):
        command(None, '--overlap', 'first')


def changed(change):
    content = scenes()
    change(content)
    return content


def setter(number, key, value):
    """A change of one annotation."""
    return changed(lambda c: c['annotations'][number].update({key: value}))


BAD = {
    'json': ('{"images"', 'no file of instance annotations'),
    'a list': ('[]', 'no file of instance annotations'),
    'captions': (dict(images=[dict(id=1)]), "has no 'annotations'"),
    'categories': (changed(lambda c: c.update(categories=[
        dict(id=1, name='cat'), *CATEGORIES[1:]
    ])), "category 1 is 'cat', in COCO it is 'person'"),
    'a category': (changed(lambda c: c.update(categories=CATEGORIES[1:])),
                   'annotation 101 has the unknown category 1'),
    'another category': (setter(2, 'category_id', 12),
                         'annotation 102 has the unknown category 12'),
    'no height': (changed(lambda c: c['images'][2].pop('height')),
                  r'image 30 has the height and width \(None, 30\)'),
    'no image': (setter(0, 'image_id', 77), 'images 77 have annotations'),
    'a path': (changed(lambda c: c['images'][0].update(file_name='../9.jpg')),
               "image 9 has the file name '../9.jpg'"),
    'one name': (changed(lambda c: c['images'][0].update(
        file_name='000000000025.png')), 'images 9 and 25 would have one mask'),
    'a line': (setter(2, 'segmentation', [[1, 1, 4, 4]]),
               r'annotation 102 has polygons of \[4\] numbers'),
    'half a point': (setter(2, 'segmentation', [[1, 1, 4, 4, 5, 5, 6]]),
                     r'polygons of \[7\] numbers'),
    'no polygon': (setter(2, 'segmentation', []), 'annotation 102 has polyg'),
    'nothing': (setter(2, 'segmentation', None), 'neither polygons nor run'),
    'another size': (setter(
        4, 'segmentation', run_lengths(np.ones((4, 5)))),
                     r'annotation 104 has run lengths of .* \[4, 5\], its '
                     r'image has \[20, 30\]'),
}  # yapf: disable


@pytest.mark.parametrize('kind', BAD)
def test_bad_files_are_one_message(command, kind):
    content, words = BAD[kind]
    with pytest.raises(SystemExit, match=f'error: .*2017.json.*{words}'):
        command(content)
    assert not list(command.root.rglob('*.tmp'))


def test_a_missing_file(command):
    shutil.rmtree(command.path.parent)
    with pytest.raises(SystemExit, match='there is no file .*2017.json'):
        command(None)


def test_without_pycocotools(command, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools.coco', None)
    with pytest.raises(SystemExit, match='pip install pycocotools'):
        command(scenes())


def test_names_of_lists(command):
    with pytest.raises(SystemExit, match='must be named instances_<name>'):
        command(scenes(), '--annotations', str(command.root / 'my.json'))
