# Copyright (c) mmseg_semi authors.
import dataclasses
import shutil

import pytest

from mmseg_semi.data_check import check_sets, folder_set
from .trees import Tree, only


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_link_loop(tree):
    link = tree.root / 'unlabelled/photos/again'
    link.symlink_to('.')
    finding = only(tree.check(), 'link-loop', 'warning', 'unlabelled')
    assert finding.path == str(link)
    assert tree.check().images['unlabelled'] == 5


def test_images_of_hidden_folders(tree):
    path = tree.photos('unlabelled')[0]
    hidden = path.parent / '.ipynb_checkpoints'
    hidden.mkdir()
    path.rename(hidden / path.name)
    assert tree.check().findings == []  # a folder set leaves them out
    images = tree.set('unlabelled')
    images.images.append(str(hidden / path.name))
    finding = only(
        check_sets([images]), 'hidden-folder', 'warning', 'unlabelled')
    assert finding.path == str(hidden / path.name)


def test_suffixes_that_a_set_leaves_out(tree):
    for path, end in zip(tree.photos(), ('.PNG', '.tif')):
        path.rename(path.with_suffix(end))
    stock = dataclasses.replace(
        tree.set('labelled'), suffixes=('.png', ), any_case=False)
    stock.images = [p for p in stock.images if p.endswith('.png')]
    stock.masks = stock.masks[2:]
    report = check_sets([stock])
    assert [(f.kind, f.value.split(';')[0]) for f in report.findings
            ] == [('left-out', '1 with the suffix .PNG'),
                  ('left-out', '1 with the suffix .tif')]
    named = dataclasses.replace(stock, searched=False)
    assert check_sets([named]).findings == []


def test_pictures_that_no_loader_reads(tree):
    for name in ('IMG_1.HEIC', 'Thumbs.db', 'notes.txt'):
        (tree.root / 'unlabelled/photos' / name).write_text('x')
    finding = only(tree.check(), 'left-out', 'warning', 'unlabelled')
    assert finding.path.endswith('IMG_1.HEIC')


def test_masks_beside_the_images_are_not_left_out(tree):
    folder = tree.root / 'together'
    folder.mkdir()
    for photo, mask in zip(tree.photos(), tree.masks()):
        shutil.copy(photo, folder / photo.name)
        shutil.copy(mask, folder / f'{mask.stem}.bmp')
    images = dataclasses.replace(
        tree.set('labelled'),
        images=sorted(map(str, folder.glob('*.png'))),
        masks=sorted(map(str, folder.glob('*.bmp'))),
        folders=(str(folder), ),
        suffixes=('.png', ))
    assert check_sets([images]).findings == []


def test_equal_names(tree):
    for folder in ('a', 'b'):
        (tree.root / 'unlabelled/photos' / folder).mkdir()
        tree.add('unlabelled', f'{folder}/0001', with_mask=False)
    finding = only(tree.check(), 'equal-names', 'warning', 'unlabelled')
    assert len(finding.files) == 2
    images = tree.set('unlabelled')
    images.name = 'labelled'  # nothing is written for them
    assert check_sets([images]).findings == []


def test_empty_set(tree):
    shutil.rmtree(tree.root / 'unlabelled/photos')
    (tree.root / 'unlabelled/photos').mkdir()
    only(tree.check(), 'empty-set', 'error', 'unlabelled')


def test_folder_set_needs_its_folders(tree):
    with pytest.raises(FileNotFoundError, match='labelled images'):
        folder_set('labelled', str(tree.root / 'none'))
    with pytest.raises(FileNotFoundError, match='labelled masks'):
        folder_set('labelled', str(tree.root), str(tree.root / 'none'))
