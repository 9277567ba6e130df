# Copyright (c) mmseg_semi authors.
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset
from PIL import Image

from mmseg_semi.datasets import GTA5Dataset
from mmseg_semi.datasets.gta5_labels import CLASS_IDS, train_ids
from mmseg_semi.datasets.miniatures import write_miniature

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters'
# The published table of Cityscapes: label id of each class.
LABEL_IDS = dict(
    road=7, sidewalk=8, building=11, wall=12, fence=13, pole=17, sky=23,
    vegetation=21, terrain=22, person=24, rider=25, car=26, truck=27, bus=28,
    train=31, motorcycle=32, bicycle=33) | {
        'traffic light': 19, 'traffic sign': 20}  # yapf: disable


def test_classes_are_those_of_cityscapes():
    classes = CityscapesDataset.METAINFO['classes']
    assert GTA5Dataset.METAINFO['classes'] == classes
    assert CLASS_IDS == tuple(LABEL_IDS[name] for name in classes)


def test_label_ids_become_train_ids():
    label = np.arange(36, dtype=np.uint8).reshape(6, 6)
    label[5, 5] = 255
    ids = train_ids(label)
    for label_id, train_id in zip(label.flat, ids.flat):
        expected = (
            CLASS_IDS.index(label_id) if label_id in CLASS_IDS else 255)
        assert train_id == expected and ids.dtype == np.uint8


def test_colours_become_train_ids():
    palette = CityscapesDataset.METAINFO['palette']
    colors = [*palette, [0, 0, 0], [111, 74, 0], [0, 0, 110]]
    label = np.array(colors * 2, np.uint8).reshape(2, 22, 3)
    expected = [*range(19), 255, 255, 255]
    np.testing.assert_array_equal(train_ids(label), [expected] * 2)


@pytest.mark.parametrize('label, words', [
    (np.full((2, 2), 40, np.uint8), 'ids 40 are none'),
    (np.full((2, 2, 3), 9, np.uint8), r'colours \(9, 9, 9\) are none'),
    (np.zeros((2, 2, 4), np.uint8), r'uint8 \(2, 2, 4\)'),
    (np.zeros((2, 2)), 'float64'),
])
def test_other_labels_are_refused(label, words):
    with pytest.raises(ValueError, match=words):
        train_ids(label)


def test_unknown_labels_can_be_ignored():
    for label in (np.full((2, 2), 40, np.uint8), np.full((2, 2, 3), 9,
                                                         np.uint8)):
        assert (train_ids(label, ignore_unknown=True) == 255).all()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The tool on a miniature without its converted files."""
    root = tmp_path / 'GTA5'
    write_miniature('gta5', tmp_path / 'whole')
    shutil.copytree(
        tmp_path / 'whole',
        root,
        ignore=shutil.ignore_patterns('*TrainIds.png', 'ImageSets'))
    main = runpy.run_path(str(TOOL / 'gta5_to_trainids.py'))['main']

    def call(*args):
        monkeypatch.setattr('sys.argv', ['gta5', str(root), *args])
        main()

    call.root, call.whole = root, tmp_path / 'whole'
    return call


def test_the_tool_converts_and_goes_on(command, capsys):
    command()
    assert '24 masks written, 0 were there' in capsys.readouterr().out
    for path in command.whole.rglob('*TrainIds.png'):
        other = command.root / path.relative_to(command.whole)
        assert other.read_bytes() == path.read_bytes()
    listed = 'ImageSets/Segmentation/train.txt'
    assert (command.root / listed).read_text() == (command.whole /
                                                   listed).read_text()
    (command.root / 'labels/00003_labelTrainIds.png').unlink()
    command()
    assert '1 masks written, 23 were there' in capsys.readouterr().out
    assert not list(command.root.rglob('*.part'))


def test_pairs_of_different_size_are_left_out(command, capsys):
    Image.new('RGB', (8, 9)).save(command.root / 'images/00002.png')
    (command.root / 'images/00005.png').unlink()
    command()
    out = capsys.readouterr().out
    assert 'left out   00002.png: image (8, 9), labels (120, 66)' in out
    assert 'left out   00005.png: there is no image' in out
    stems = (command.root /
             'ImageSets/Segmentation/train.txt').read_text().split()
    assert len(stems) == 22 and not {'00002', '00005'} & set(stems)


def test_colour_images_are_converted_alike(command):
    expected = command.whole / 'labels/00004_labelTrainIds.png'
    path = command.root / 'labels/00004.png'
    Image.open(path).convert('RGB').save(path)
    command()
    written = command.root / 'labels/00004_labelTrainIds.png'
    np.testing.assert_array_equal(
        np.asarray(Image.open(written)), np.asarray(Image.open(expected)))


@pytest.mark.parametrize('harm, words', [
    (lambda root:
     (root / 'labels/00001.png').write_bytes(b'x'), 'error: .*00001.png'),
    (lambda root: shutil.rmtree(root / 'labels'), 'error: .*label'),
    (lambda root: [p.unlink()
                   for p in root.glob('labels/*')], 'holds no .png file'),
    (lambda root: shutil.rmtree(root / 'images'), 'give --images'),
    (lambda root: Image.new('L', (4, 4), 77).save(root / 'labels/00001.png'),
     r'00001.png: the ids 77 .*--ignore-unknown'),
])
def test_faults_are_one_message(command, harm, words):
    harm(command.root)
    with pytest.raises(SystemExit, match=words):
        command()
