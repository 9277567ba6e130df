# Copyright (c) mmseg_semi authors.
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.data_check import check_sets
from .trees import Tree, kinds, only, scene


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def copy(tree, source, name, how):
    """Bring a photo of one set into another one, with its mask if any."""
    image = tree.photos(source)[0]
    target = tree.root / name / 'photos' / f'copy{image.suffix}'
    if how == 'pixels':
        target = target.with_suffix('.bmp')
        Image.open(image).save(target)
    else:
        dict(
            link=os.symlink, hard=os.link, content=shutil.copy)[how](image,
                                                                     target)
    if name != 'unlabelled':
        mask = tree.root / source / 'masks' / f'{image.stem}.png'
        shutil.copy(mask, tree.root / name / 'masks/copy.png')
    return target, image


@pytest.mark.parametrize('how', ['link', 'hard', 'content', 'pixels'])
@pytest.mark.parametrize('name', ['labelled', 'unlabelled'])
def test_validation_images_that_are_trained_on(tree, how, name):
    target, image = copy(tree, 'validation', name, how)
    finding = only(tree.check(), 'shared-image', 'error', name)
    assert finding.path == str(target) and str(image) in finding.value
    assert ('a link to' in finding.value) is (how in ('link', 'hard'))
    assert ('val_ann_file' in finding.remedy) is (name == 'unlabelled')


@pytest.mark.parametrize('how,number,severity', [
    ('pixels', 100, 'warning'),
    ('pixels', 99, 'error'),
    ('link', 100, 'error'),
])
def test_a_few_copies_in_a_large_set_stop_nothing(tree, how, number, severity):
    copy(tree, 'validation', 'unlabelled', how)
    report = tree.check('unlabelled', 'validation')
    only(report, 'shared-image', 'error', 'unlabelled')
    images = tree.set('validation')
    # More of the others: they are repeated, which is a finding of its own.
    images.images += images.images[1:2] * (number - len(images.images))
    images.masks += images.masks[1:2] * (number - len(images.masks))
    report = check_sets([tree.set('unlabelled'), images])
    assert [f.severity for f in report.findings
            if f.kind == 'shared-image'] == [severity]


def test_the_same_files_in_two_sets(tree):
    labelled = tree.set('labelled')
    validation = tree.set('labelled')
    validation.name = 'validation'
    finding = only(check_sets([labelled, validation]), 'shared-image', 'error')
    assert finding.value.startswith('6 images are also in the validation set')
    assert len(finding.files) == 6
    validation.name = 'test'
    only(check_sets([labelled, validation]), 'shared-image', 'error')
    labelled.name = 'validation'
    only(
        check_sets([labelled, validation]), 'shared-image', 'warning',
        'validation')


def test_labelled_images_are_unlabelled_ones_too(tree):
    copy(tree, 'labelled', 'unlabelled', 'content')
    assert tree.check().findings == []


def test_blank_images_are_all_alike_and_no_leak(tree):
    blank = np.full((32, 32, 3), 7, np.uint8)
    for name in ('labelled', 'validation'):
        tree.add(name, 'blank')
        tree.save(f'{name}/photos/blank.png', blank)
    tree.save('unlabelled/photos/blank.png', blank)
    assert tree.check().findings == []


def test_accepted_overlap_is_a_warning(tree):
    copy(tree, 'validation', 'unlabelled', 'content')
    report = tree.check().accept(['shared-image'])
    only(report, 'shared-image', 'warning', 'unlabelled')
    report.raise_errors()


def test_copies_within_a_set(tree):
    target, image = copy(tree, 'labelled', 'labelled', 'content')
    finding = only(tree.check(), 'repeated-image', 'warning')
    assert {finding.path,
            finding.value.split()[-1]} == {str(target),
                                           str(image)}


def test_one_image_with_two_masks(tree):
    copy(tree, 'labelled', 'labelled', 'pixels')
    shutil.copy(tree.masks()[3], tree.root / 'labelled/masks/copy.png')
    assert kinds(tree.check()) == [('warning', 'masks-contradict', 'labelled')]


def test_masks_in_the_folder_of_images(tree):
    mask = tree.masks()[0]
    (tree.root / 'unlabelled/photos/more.png').symlink_to(mask)
    report = tree.check()
    assert ('error', 'mask-as-image', 'unlabelled') in kinds(report)


@pytest.mark.parametrize('palette', [True, False])
def test_label_maps_of_others_among_the_images(tree, palette):
    ids = Image.fromarray(scene(tree.rng)[1])
    if palette:
        ids.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    ids.save(tree.root / 'unlabelled/photos/mask.png')
    found = tree.check().findings
    assert [f.kind for f in found if 'mask.png' in f.path
            ] == ['mask-as-image'] + ['pixel-format'] * (not palette)
    assert found[0].value.startswith('1 of 6 images hold a few flat colours')


def test_classes_differ(tree):
    labelled = tree.set('labelled')
    for classes, remedy in ((('ground', 'box', 'disc'), 'one order'),
                            (('ground', 'box', 'x'), 'same `metainfo`')):
        validation = tree.set('validation', classes=classes)
        finding = only(
            check_sets([labelled, validation]), 'classes-differ', 'error',
            'validation')
        assert "'disc', 'box'" in finding.value and remedy in finding.remedy
