# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
from PIL import Image

from .trees import Tree, kinds, only


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_right_tree_has_no_findings(tree):
    report = tree.check()
    assert report.findings == []
    assert report.images == dict(labelled=6, unlabelled=5, validation=4)
    assert set(report.pixels) == {'labelled', 'validation'}
    ids = np.stack([np.asarray(Image.open(p)) for p in tree.masks()])
    assert list(report.pixels['labelled'].values()) == np.bincount(
        ids.ravel(), minlength=3).tolist()


@pytest.mark.parametrize('name', ['labelled', 'validation'])
def test_0_255(tree, name):
    for each in ('labelled', 'validation'):
        value = 255 if each == name else 1
        tree.change(lambda x: ((x > 0) * value).astype(np.uint8), each)
    finding = only(
        tree.check(classes=('background', 'object')), 'mask-0-255', 'error',
        name)
    assert len(finding.files) == len(tree.masks(name))
    assert '255 fills' in finding.value and 'Save the object as 1' in (
        finding.remedy)


def test_0_255_in_some_masks(tree):
    tree.change(lambda x: (x > 0).astype(np.uint8))
    tree.change(lambda x: x * 255, only=2)
    finding = only(
        tree.check('labelled', classes=('ground', 'object')), 'mask-0-255',
        'warning')
    assert finding.files == tuple(map(str, tree.masks()[:2]))


def test_ignored_borders_are_right(tree):
    border = np.zeros((32, 32), bool)
    border[:2] = True
    tree.change(lambda x: np.where(border, 255, x).astype(np.uint8))
    assert tree.check().findings == []


def test_ids_outside_of_the_classes(tree):
    tree.change(lambda x: np.where(x == 2, 7, x).astype(np.uint8), only=2)
    finding = only(tree.check(), 'mask-ids', 'error')
    assert '7 (in 2 masks); there are 3 classes' in finding.value
    assert finding.path == str(tree.masks()[0])


def test_ids_from_1_on(tree):
    tree.change(lambda x: x + 1)
    finding = only(tree.check('labelled'), 'mask-ids', 'error')
    assert 'reduce_zero_label=True' in finding.remedy
    assert tree.check('labelled', reduce_zero_label=True).findings == []
    report = tree.check('labelled', reduce_zero_label=True)
    tree.change(lambda x: x - 1)
    assert report.pixels == tree.check('labelled').pixels


def test_label_map(tree):
    report = tree.check('labelled', label_map={2: 1, 1: 2, 0: 0})
    plain = tree.check('labelled').pixels['labelled']
    assert report.pixels['labelled'] == dict(
        ground=plain['ground'], disc=plain['box'], box=plain['disc'])


def test_classes_without_a_pixel(tree):
    tree.change(lambda x: np.where(x == 2, 0, x).astype(np.uint8))
    finding = only(tree.check(), 'empty-class', 'warning')
    assert finding.value == '1 of 3 classes have no pixel: box'


def test_one_class_only(tree):
    tree.change(lambda x: x * 0)
    assert ('error', 'one-class', 'labelled') in kinds(tree.check())
    tree.change(lambda x: x * 0, 'validation')
    assert ('warning', 'empty-class', 'validation') in kinds(tree.check())


def test_all_ignored(tree):
    tree.change(lambda x: x * 0 + 255, only=2)
    finding = only(tree.check(), 'mask-all-ignored', 'warning')
    assert finding.value.startswith('2 of 6 masks')
    tree.change(lambda x: x * 0 + 255)
    only(tree.check(), 'mask-all-ignored', 'error')


def test_lossy_masks(tree):
    stem = tree.masks()[0].with_suffix('')
    Image.open(f'{stem}.png').save(f'{stem}.jpg')
    tree.masks()[1].unlink()  # the .png of the same image
    finding = only(tree.check(), 'mask-lossy', 'error')
    assert finding.path == f'{stem}.jpg'


@pytest.mark.parametrize('lossless', [True, False])
def test_webp_masks(tree, lossless):
    path = tree.masks()[0]
    ids = Image.open(path).convert('L')
    path.unlink()
    ids.save(path.with_suffix('.webp'), lossless=lossless)
    found = [kind for _, kind, _ in kinds(tree.check('labelled'))]
    assert ('mask-lossy' in found) is not lossless


def test_fractions_and_nan(tree):
    path = tree.masks()[0]
    ids = np.asarray(Image.open(path)).astype(np.float32)
    path.unlink()
    Image.fromarray(ids).save(path.with_suffix('.tif'))
    assert tree.check().findings == []  # whole numbers
    ids[0, :3], ids[1, 0] = np.nan, .6
    Image.fromarray(ids).save(path.with_suffix('.tif'))
    finding = only(tree.check(), 'mask-not-whole', 'error')
    assert finding.value.endswith(': 4 pixels')


@pytest.mark.parametrize('channels', [3, 4])
def test_colour_masks(tree, channels):
    colours = np.array([[0, 0, 0, 255], [128, 0, 0, 255], [0, 128, 0, 255]],
                       np.uint8)[:, :channels]
    tree.change(lambda x: colours[x], 'validation')
    finding = only(tree.check(), 'mask-colour', 'error', 'validation')
    assert 'RGB' in finding.value and '3 colours' in finding.value


def test_16_bit_masks(tree):
    tree.change(lambda x: x.astype(np.uint16))
    assert tree.check().findings == []
    tree.change(lambda x: (x * 1000).astype(np.uint16))
    finding = only(tree.check(), 'mask-ids-over-255', 'error')
    assert '2000' in finding.value


@pytest.mark.parametrize('mode', ['P', '1'])
def test_palette_and_bit_masks(tree, mode):
    tree.change(lambda x: (x > 0).astype(np.uint8))
    for path in tree.masks():
        ids = Image.open(path)
        if mode == 'P':
            ids.putpalette([0, 0, 0, 255, 0, 0])
        else:
            ids = Image.fromarray(np.asarray(ids) > 0)
        ids.save(path)
        assert Image.open(path).mode == mode
    assert tree.check('labelled', classes=('a', 'b')).findings == []


def test_without_classes_ids_are_free(tree):
    tree.change(lambda x: x + 40)
    report = tree.check('labelled', classes=None)
    assert report.findings == [] and report.pixels == {}


def test_a_set_of_one_class(tree):
    tree.change(lambda ids: ids * 0)
    report = tree.check('labelled', classes=('leaf', ))
    finding = only(report, 'one-class', 'error')
    assert "('background', 'leaf')" in finding.remedy


def test_one_value_outside_is_that_of_pixels_without_a_label(tree):
    tree.change(lambda x: np.where(x == 1, 65535, x.astype(np.uint16)).astype(
        np.uint16))
    finding = only(tree.check(), 'mask-ids-over-255', 'error')
    assert 'If 65535 means' in finding.remedy


@pytest.mark.parametrize('border', [True, False])
def test_some_masks_of_several_classes_hold_0_and_255(tree, border):
    tree.change(lambda x: (x > 0).astype(np.uint8) * 255, only=1)
    if border:  # 255 is usual in this set
        tree.change(
            lambda x: np.pad(x[1:], ((1, 0), (0, 0)), constant_values=255))
        assert tree.check('labelled').findings == []
        return
    finding = only(tree.check(), 'mask-0-255', 'warning')
    assert finding.path == str(tree.masks()[0])
    assert 'other masks of the set hold 0, 1, 2' in finding.value


def test_masks_of_several_pages(tree):
    path = tree.masks()[0]
    ids = Image.open(path).copy()
    path.unlink()
    ids.save(path.with_suffix('.tif'), save_all=True, append_images=[ids])
    finding = only(tree.check('labelled'), 'several-pages', 'warning')
    assert 'the first one is loaded' in finding.value
