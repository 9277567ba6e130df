# Copyright (c) mmseg_semi authors.
import runpy
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset, PascalVOCDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.datasets import GTA5Dataset
from mmseg_semi.datasets.gta5_labels import CLASS_IDS
from mmseg_semi.datasets.miniatures import (FOLDERS, MiniatureRecipe,
                                            class_color, write_miniature)
from mmseg_semi.datasets.splits import known_splits
from mmseg_semi.datasets.written_trees import ForeignTreeError, verify_tree

PREFIXES = dict(voc='voc12-', city='city-', coco='coco-')


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    out = tmp_path_factory.mktemp('mini')
    for kind, folder in FOLDERS.items():
        write_miniature(kind, out / folder)
    return {kind: out / folder for kind, folder in FOLDERS.items()}


def read(path):
    return path.read_text().split()


def array(path):
    return np.asarray(Image.open(path))


def ids_in(paths):
    return set(np.unique(np.concatenate([array(p).ravel() for p in paths])))


@pytest.mark.parametrize('kind', PREFIXES)
def test_every_published_name_has_a_list(trees, kind):
    names = {n for n in known_splits() if n.startswith(PREFIXES[kind])}
    lists = {p.stem: read(p) for p in trees[kind].glob('ImageSets/Semi/*')}
    assert names and set(lists) == names
    for name, entries in lists.items():
        assert len(entries) == len(set(entries)) >= 4, name


def test_voc_layout(trees):
    root = trees['voc']
    lists = {p.stem: set(read(p)) for p in root.glob('ImageSets/S*n/*')}
    train, val, aug = lists['train'], lists['val'], lists['aug']
    assert not train & val and not train & aug and not aug & val
    assert lists['trainval'] == train | val
    assert lists['trainaug'] == lists['train_aug'] == train | aug
    assert (len(lists['trainaug']), len(val)) == (24, 8)

    def stems(folder):
        return {p.stem for p in (root / folder).iterdir()}

    assert stems('JPEGImages') == stems('SegmentationClassAug')
    assert stems('JPEGImages') == train | aug | val
    assert stems('SegmentationClass') == train | val
    for name in known_splits():
        if name.startswith(('voc12-classic', 'voc12-pseudoseg')):
            assert set(read(root / f'ImageSets/Semi/{name}.txt')) <= train
        elif name.startswith('voc12-blended'):
            part = set(read(root / f'ImageSets/Semi/{name}.txt'))
            assert part < lists['trainaug']
    nested = [
        set(read(root / f'ImageSets/Semi/voc12-classic-{n}.txt'))
        for n in (366, 732, 1464)
    ]
    assert nested[0] < nested[1] < nested[2] == train


def test_voc_content(trees):
    root = trees['voc']
    sizes = set()
    for path in sorted((root / 'SegmentationClassAug').iterdir()):
        mask = array(path)
        image = Image.open(root / f'JPEGImages/{path.stem}.jpg')
        assert image.size == mask.shape[::-1]
        assert 50 <= min(image.size) and 100 <= max(image.size) <= 125
        sizes.add(image.size)
        # A border of 255 separates every object from its surroundings.
        for axis in (0, 1):
            a, b = (
                mask.take(r, axis).astype(int)
                for r in (range(mask.shape[axis] - 1),
                          range(1, mask.shape[axis])))
            assert ((a == b) | (a == 255) | (b == 255)).all()
    assert len(sizes) > 10
    own = root / 'SegmentationClass'
    for path in own.iterdir():
        assert Image.open(path).mode == 'P'
        np.testing.assert_array_equal(
            array(path), array(root / f'SegmentationClassAug/{path.name}'))
    train = read(root / 'ImageSets/Segmentation/trainaug.txt')
    present = ids_in(root / f'SegmentationClassAug/{s}.png' for s in train)
    assert present == {*range(21), 255}


def test_city_content(trees):
    root = trees['city']
    for split in ('train', 'val'):
        entries = read(root / f'ImageSets/Semi/city-{split}.txt')
        images = sorted((root / f'leftImg8bit/{split}').glob('*/*'))
        assert sorted(f'{p.parent.name}/{p.name}' for p in images) == [
            f'{e}_leftImg8bit.png' for e in entries
        ]
        masks = [
            root / f'gtFine/{split}/{e}_gtFine_labelTrainIds.png'
            for e in entries
        ]
        assert all(array(p).shape == (64, 128) for p in masks + images[:0])
        assert ids_in(masks) <= {*range(19), 255}
    assert ids_in((root / 'gtFine/train').glob('*/*')) == {*range(19), 255}


def test_coco_content(trees):
    root = trees['coco']
    for split, count in (('train', 24), ('val', 8)):
        stems = read(root / f'ImageSets/Segmentation/{split}.txt')
        images = {p.stem for p in (root / f'{split}2017').glob('*.jpg')}
        assert images == set(stems) and len(stems) == count
        assert all(len(s) == 12 and s.isdigit() for s in stems)
        present = ids_in(root / f'masks/{s}.png' for s in stems)
        assert present <= set(range(81))
        if split == 'train':
            assert len(present) > 65


def test_gta5_content(trees):
    root = trees['gta5']
    stems = read(root / 'ImageSets/Segmentation/train.txt')
    assert len(stems) == 24 and stems[0] == '00001'
    for folder, suffix in (('images', '.png'), ('labels', '.png'),
                           ('labels', '_labelTrainIds.png')):
        assert all((root / f'{folder}/{s}{suffix}').is_file() for s in stems)
    assert ids_in(root.glob('labels/*TrainIds.png')) == {*range(19), 255}
    assert ids_in(root / f'labels/{s}.png' for s in stems) == {0, *CLASS_IDS}
    assert all(array(p).shape == (66, 120) for p in root.glob('labels/*.png'))


def build(dataset_type, root, ann_file, num_classes, **prefix):
    return DATASETS.build(
        dict(
            type=dataset_type.__name__,
            data_root=str(root),
            ann_file=ann_file,
            data_prefix=prefix,
            pipeline=[
                dict(type='LoadStrictImage'),
                dict(type='LoadStrictAnnotations', num_classes=num_classes),
                dict(type='PackSemiInputs')
            ]))


def test_stock_datasets_read_them(trees):
    voc = build(
        PascalVOCDataset,
        trees['voc'],
        'ImageSets/Semi/voc12-classic-366.txt',
        21,
        img_path='JPEGImages',
        seg_map_path='SegmentationClass')
    city = build(
        CityscapesDataset,
        trees['city'],
        'ImageSets/Semi/city-u2pl-372.txt',
        19,
        img_path='leftImg8bit/train',
        seg_map_path='gtFine/train')
    gta5 = build(
        GTA5Dataset,
        trees['gta5'],
        'ImageSets/Segmentation/train.txt',
        19,
        img_path='images',
        seg_map_path='labels')
    assert gta5.metainfo == city.metainfo
    for dataset in (voc, city, gta5):
        assert len(dataset) == (24 if dataset is gta5 else 4)
        for sample in dataset:
            shape = sample['inputs'].shape[1:]
            label = sample['data_samples'].gt_sem_seg.data
            assert label.shape[1:] == shape


@pytest.mark.parametrize('kind', FOLDERS)
def test_deterministic_and_scaled(trees, tmp_path, kind):
    again = write_miniature(kind, tmp_path / 'again')
    assert again == verify_tree(trees[kind])
    small = MiniatureRecipe(num_train=8, num_val=2, scale=0.5)
    manifest = write_miniature(kind, tmp_path / 'small', small)
    assert kind == 'gta5' or manifest['lists']['val']['count'] == 2
    assert manifest['lists']['train']['count'] in (4, 8)
    image = next((tmp_path / 'small').rglob('*0*.[jp]*g'))
    assert max(Image.open(image).size) <= 64


def test_real_dataset_is_never_touched(tmp_path):
    real = tmp_path / 'VOCdevkit/VOC2012'
    (real / 'JPEGImages').mkdir(parents=True)
    with pytest.raises(ForeignTreeError, match='left untouched'):
        write_miniature('voc', real)
    assert [p for p in Path(tmp_path).rglob('*') if p.is_file()] == []


def test_command_line(tmp_path, monkeypatch, capsys):
    tool = Path(__file__).parents[2] / 'tools/dataset_converters'
    main = runpy.run_path(str(tool / 'miniature_trees.py'))['main']
    command = ['miniature_trees.py', '--out', str(tmp_path)]
    monkeypatch.setattr('sys.argv', command + ['--which', 'city'])
    main()
    assert 'cityscapes: content sha256' in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ['cityscapes']
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco/annotations').mkdir()
    monkeypatch.setattr('sys.argv', command)
    with pytest.raises(SystemExit, match='error: .*coco .*untouched'):
        main()


def test_senseless_arguments(tmp_path):
    with pytest.raises(ValueError, match='kind'):
        write_miniature('ade', tmp_path / 'x')
    with pytest.raises(ValueError, match='num_train'):
        MiniatureRecipe(num_train=4)
    with pytest.raises(ValueError, match='scale'):
        MiniatureRecipe(scale=0.1)


def test_colours_of_similar_digits_differ():
    for digit in range(10):
        colors = np.array([class_color(c) for c in range(digit, 21, 10)],
                          dtype=float)
        for i in range(len(colors)):
            for j in range(i):
                assert np.abs(colors[i] - colors[j]).max() > 40
