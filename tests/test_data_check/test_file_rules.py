# Copyright (c) mmseg_semi authors.
import os
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.data_check import check_sets, facts, folder_set
from mmseg_semi.data_check.sets import BANDS
from .trees import Tree, kinds, only, scene


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def as_tiff(path, array):
    path.unlink()
    Image.fromarray(array).save(path.with_suffix('.tif'))


def test_damaged_images(tree):
    first, second, third = tree.photos()[:3]
    first.write_bytes(first.read_bytes()[:200])
    second.write_text('<html>404</html>')
    third.write_bytes(b'')
    report = tree.check()
    assert kinds(report) == [('error', 'unreadable-image', 'labelled')] * 3
    text = report.as_table()
    for reason in ('truncated', 'web page', 'empty', str(first)):
        assert reason in text


@pytest.mark.parametrize('end', ['.jpg', '.bmp'])
def test_truncated_files(tree, end):
    image = Image.open(tree.photos()[0])
    path = tree.root / f'labelled/photos/l99{end}'
    image.save(path)
    Image.open(tree.masks()[0]).save(tree.root / 'labelled/masks/l99.png')
    assert [k[1]
            for k in kinds(tree.check('labelled'))] != ['unreadable-image']
    path.write_bytes(path.read_bytes()[:-40])
    only(tree.check('labelled'), 'unreadable-image', 'error')


def test_unlabelled_images_are_skipped_up_to_a_number(tree):
    tree.photos('unlabelled')[0].write_text('text')
    only(tree.check(), 'unreadable-image', 'error', 'unlabelled')
    only(
        tree.check('unlabelled', tolerated=1), 'unreadable-image', 'warning',
        'unlabelled')


def test_missing_mask(tree):
    path = tree.masks('validation')[1]
    path.unlink()
    finding = only(tree.check(), 'unreadable-mask', 'error', 'validation')
    assert finding.path == str(path)
    assert finding.value.startswith('does not exist. ')
    assert 'nearest names: ' in finding.value


@pytest.mark.parametrize('entry,words',
                         [('l00.png', 'write l00 instead of'),
                          ('l00 masks/l00', 'columns'),
                          ('l00.png masks/l00.png', 'has several columns'),
                          ('image,mask', 'has several columns')])
def test_lists_that_name_files_in_another_way(tree, entry, words):
    images = tree.set('labelled')
    folder = tree.root / 'labelled/photos'
    images.images = [f'{folder}/{entry}{i}.png' for i in '12']
    images.images[0] = f'{folder}/{entry}.png'
    images.masks = images.masks[:2]
    finding = only(check_sets([images]), 'unreadable-image', 'error')
    assert finding.value.startswith('2 of 2 do not exist. ')
    assert words in finding.remedy and len(finding.files) == 2


def test_test_set_without_masks(tree):
    photos = tree.root / 'unlabelled/photos'
    images = folder_set('test', str(photos), str(tree.root / 'labelled/masks'))
    only(check_sets([images]), 'no-masks', 'warning', 'test')


@pytest.mark.parametrize('name', ['labelled', 'validation'])
def test_sizes(tree, name):
    path = tree.masks(name)[1]
    Image.open(path).resize((24, 20), 0).save(path)
    finding = only(tree.check(), 'size-differs', 'error', name)
    assert 'mask 24 x 20, image 32 x 32' in finding.value
    assert 'EXIF' not in finding.value + finding.remedy


def rotated(tree, orientation, size):
    """A labelled photo with an EXIF orientation; mask as it is stored."""
    image, ids = scene(np.random.default_rng(9), size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(
        tree.path('labelled/photos/l99.jpg'), exif=exif)
    tree.save('labelled/masks/l99.png', ids)


def test_exif_rotation_explains_the_size(tree):
    rotated(tree, 6, (40, 32))
    finding = only(tree.check(), 'size-differs', 'error')
    assert 'image 40 x 32' in finding.value
    assert 'EXIF orientation 6' in finding.value
    assert tree.check(color_type='color_ignore_orientation').findings == []


@pytest.mark.parametrize('orientation,size', [(3, (40, 32)), (6, (32, 32))])
def test_exif_rotation_that_sizes_do_not_show(tree, orientation, size):
    rotated(tree, orientation, size)
    only(tree.check(), 'exif-orientation', 'warning')
    assert tree.check(color_type='unchanged').findings == []


def test_upright_exif_is_fine(tree):
    rotated(tree, 1, (40, 32))
    assert tree.check().findings == []


def test_16_bit_images(tree):
    for path in tree.photos():
        grey = np.asarray(Image.open(path).convert('L')).astype(np.uint16)
        Image.fromarray(grey * 257).save(path)
    finding = only(tree.check(), 'pixel-range', 'warning')
    assert '1 band of 16 bits: 6 of 6 images' in finding.value
    assert '6 of 6' in finding.value
    for path in tree.photos():
        deep = np.asarray(Image.open(path))
        Image.fromarray((deep // 16).astype(np.uint16)).save(path)
    finding = only(tree.check(), 'pixel-range', 'error')
    assert 'of 256 levels are left' in finding.value
    assert tree.check(color_type=None).findings == []


def test_float_images(tree):
    for path in tree.photos():
        grey = np.asarray(Image.open(path).convert('L'))
        as_tiff(path, grey.astype(np.float32) / 255)
    finding = only(tree.check(), 'pixel-range', 'error')
    assert 'float 32 bits' in finding.value and 'values 0.' in finding.value
    only(tree.check(color_type='unchanged'), 'pixel-range', 'warning')


@pytest.mark.parametrize('mode,alarm', [('L', True), ('RGBA', False),
                                        ('P', False), ('CMYK', False)])
def test_bands(tree, mode, alarm):
    for path in tree.photos():
        image = Image.open(path).convert(mode)
        path.unlink()
        image.save(path.with_suffix('.tif'))
    report = tree.check()
    if alarm:
        assert '1 band of 8 bits' in only(report, 'pixel-format',
                                          'warning').value
    else:
        assert report.findings == []


def test_alpha_that_hides_something(tree):
    for path in tree.photos():
        image = Image.open(path).convert('RGBA')
        image.putalpha(image.getchannel('R'))
        image.save(path)
    finding = only(tree.check(), 'pixel-format', 'warning')
    assert '4 bands of 8 bits' in finding.value
    assert tree.check(color_type='unchanged').findings == []


def test_several_pages(tree):
    path = tree.photos()[0]
    image = Image.open(path)
    image.load()
    path.unlink()
    image.save(
        path.with_suffix('.tif'), save_all=True, append_images=[image] * 2)
    only(tree.check(), 'several-pages', 'warning')


def test_huge_images_by_their_header(tree, monkeypatch):
    monkeypatch.setattr(facts, 'MAX_PIXELS', 1100)
    tree.add('labelled', 'l99', size=(64, 64))
    report = tree.check('labelled')
    assert kinds(report) == [('warning', 'huge-image', 'labelled')] * 2
    assert '64 x 64' in report.findings[0].value


def test_large_files_by_their_header(tree, monkeypatch):
    monkeypatch.setattr(facts, 'MAX_BYTES', 1000)
    report = tree.check('unlabelled')
    assert kinds(report) == [('warning', 'huge-image', 'unlabelled')] * 5
    shutil.copy(tree.photos('unlabelled')[0], tree.root / 'labelled/photos')
    shutil.copy(tree.masks()[0], tree.root / 'labelled/masks/u00.png')
    path = tree.root / 'validation/photos/v99.png'
    shutil.copy(tree.photos('unlabelled')[0], path)
    shutil.copy(tree.masks()[0], tree.root / 'validation/masks/v99.png')
    found = [f.kind for f in tree.check().findings]
    assert found.count('shared-image') == 2  # files are equal


def write_tiff(path, size, bands, data):
    """An uncompressed TIFF of 8 bits in one strip."""
    width, height = size
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, bands, 200),
               (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 300),
               (277, 3, 1, bands), (278, 4, 1, height), (279, 4, 1, len(data))]
    if bands == 1:
        entries[2] = (258, 3, 1, 8)
    head = b'II*\0' + struct.pack('<IH', 8, len(entries))
    head += b''.join(struct.pack('<HHII', *entry) for entry in entries)
    head = (head + bytes(4)).ljust(200, b'\0') + struct.pack(
        f'<{bands}H', *[8] * bands)
    path.write_bytes(head.ljust(300, b'\0') + data)


def test_tiff_of_five_bands(tree):
    """Pillow does not open it; its header is known all the same."""
    path = tree.photos('unlabelled')[0]
    path.unlink()
    path = path.with_suffix('.tif')
    write_tiff(path, (6, 4), 5, bytes(range(120)))
    found = facts.read_facts(str(path), 'image')
    assert (found.size, str(found.pixel_format)) == ((6, 4),
                                                     '5 bands of 8 bits')
    expected = 'pixel-format' if found.decoded else 'unreadable-image'
    assert [f.kind for f in tree.check('unlabelled').findings] == [expected]


def test_decompression_bomb(tree):
    path = tree.root / 'unlabelled/photos/huge.tif'
    write_tiff(path, (19000, 19000), 1, b'0')
    limit = Image.MAX_IMAGE_PIXELS
    finding = only(
        tree.check(tolerated=3), 'unreadable-image', 'warning', 'unlabelled')
    assert 'has 19000 x 19000 pixels' in finding.value
    assert Image.MAX_IMAGE_PIXELS == limit


def test_no_right_to_read(tree):
    path = tree.photos()[0]
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip('everything can be read here')
    finding = only(tree.check(), 'unreadable-image', 'error')
    assert 'Permission denied' in finding.value


def test_remedy_of_deep_images_is_their_loader(tree):
    for path in tree.photos():
        grey = np.asarray(Image.open(path).convert('L'))
        as_tiff(path, grey.astype(np.float32) / 255)
    finding = only(tree.check(), 'pixel-range', 'error')
    assert 'LoadBands bands=1' in finding.remedy
    assert 'measure_pixels' in finding.remedy
    assert tree.check(color_type=BANDS).findings == []


def test_that_loader_turns_photographs(tree):
    rotated(tree, 6, (40, 32))
    report = tree.check(color_type=BANDS)
    assert ('error', 'size-differs', 'labelled') in kinds(report)


def test_that_loader_has_one_range_for_all(tree):
    assert tree.check(color_type=BANDS).findings == []
    path = tree.photos()[2]
    deep = np.asarray(Image.open(path).convert('L')).astype(np.uint16) * 16
    Image.fromarray(deep).save(path)
    finding = only(tree.check(color_type=BANDS), 'pixel-format', 'warning')
    assert finding.path == str(path)
    assert '1 band of 16 bits: 1 of 6 images' in finding.value
    assert 'most have 3 bands of 8 bits' in finding.value


@pytest.mark.parametrize('content,words', [
    (b'version https://git-lfs.github.com/spec/v1\noid', 'git lfs pull'),
    (b'\0\0\0\x18ftypheic' + b'\0' * 99, 'HEIC'),
    (b'<?xml version="1.0"?><Error/>', 'XML'),
    (b'%PDF-1.7', 'PDF'),
    (b'PK\x03\x04' + b'\0' * 99, 'archive'),
])
def test_files_of_another_kind_are_named(tree, content, words):
    tree.photos('validation')[0].write_bytes(content)
    finding = only(tree.check(), 'unreadable-image', 'error', 'validation')
    assert words in finding.value


def test_a_link_that_leads_nowhere(tree):
    (tree.root / 'unlabelled/photos/x.png').symlink_to('gone.png')
    finding = only(
        tree.check('unlabelled'), 'unreadable-image', 'error', 'unlabelled')
    assert finding.value == 'is a link to gone.png, which does not exist'


@pytest.mark.parametrize('photos', [True, False])
def test_another_suffix_than_the_set_takes(tree, photos):
    images = tree.set('labelled')
    paths = tree.photos() if photos else tree.masks()
    paths[0].rename(paths[0].with_suffix('.PNG'))
    kind = 'unreadable-image' if photos else 'unreadable-mask'
    finding = only(check_sets([images]), kind, 'error')
    assert f"{paths[0].with_suffix('.PNG')}: let " in finding.remedy
    assert ('img_suffix' if photos else 'seg_map_suffix') in finding.remedy


@pytest.mark.parametrize('listed,there,words', [
    ('L00.png', 'l00.png', 'capital letters'),
    ('b\u00e4ume.png', 'ba\u0308ume.png', 'accents'),
    ('l00png', 'l00.png', "img_suffix begins with a dot, '.png'"),
])
def test_names_that_are_spelt_in_another_way(tree, listed, there, words):
    images = tree.set('labelled')
    photos = tree.root / 'labelled/photos'
    tree.photos()[0].rename(photos / there)
    images.images[0] = str(photos / listed)
    finding = only(check_sets([images]), 'unreadable-image', 'error')
    assert finding.remedy.startswith(f'There is {photos / there}')
    assert words in finding.remedy


def test_folders_of_windows_in_a_list(tree):
    (tree.root / 'labelled/photos/s').mkdir()
    path = tree.photos()[0]
    path.rename(tree.root / 'labelled/photos/s/l00.png')
    images = tree.set('labelled')
    images.images = [f'{tree.root}/labelled/photos/s\\l00.png']
    images.masks = images.masks[:1]
    images.masks = [str(tree.masks()[0])]
    finding = only(check_sets([images]), 'unreadable-image', 'error')
    assert finding.remedy == 'Separate folders by / instead of \\ in the list.'
