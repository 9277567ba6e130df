# Copyright (c) mmseg_semi authors.
import shutil

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.data_check import pair_rules
from .trees import Tree, only


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path, labelled=20, validation=6)


def test_one_mask_for_many_images(tree):
    for path in tree.masks()[1:3]:
        shutil.copy(tree.masks()[0], path)
    finding = only(tree.check(), 'mask-repeated', 'warning')
    assert finding.value.startswith('3 different images')


def test_empty_masks_may_repeat(tree):
    tree.change(lambda x: x * 0, only=5)
    assert tree.check().findings == []


@pytest.mark.parametrize('name', ['labelled', 'validation'])
@pytest.mark.parametrize('fault', ['swapped', 'mirrored'])
def test_masks_of_other_images(tree, name, fault):
    masks = [np.asarray(Image.open(p)) for p in tree.masks(name)]
    assert tree.check().findings == []
    for i, path in enumerate(tree.masks(name)):
        ids = masks[i - 1] if fault == 'swapped' else masks[i].T
        Image.fromarray(ids).save(path)
    found = tree.check().findings
    # Six masks are few: by chance they may fit others better.
    assert [f.kind
            for f in found] == ['mask-of-another'] or name == 'validation'


def test_border_against_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2, (128, 128)).astype(np.uint8)
    ids[:, 40:] = 0
    Image.fromarray(ids).save(tmp_path / 'mask.png')
    expected = np.zeros((128, 128), bool)
    for y in range(128):
        for x in range(128):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                if 0 <= y + dy < 128 and 0 <= x + dx < 128:
                    expected[y, x] |= ids[y, x] != ids[y + dy, x + dx]
    np.testing.assert_array_equal(
        pair_rules._border(str(tmp_path / 'mask.png')), expected)


def test_evidence():
    no_evidence = pair_rules._no_evidence
    assert not no_evidence(np.array([-1., -1, -1]))  # too few
    assert no_evidence(np.array([-1., -2, .5, -1]))
    assert not no_evidence(np.array([1., 2, .5, -1]))
    # Many: the mean must exceed its standard error, here 1 / sqrt(39).
    spread = np.tile([1., -1.], 20)
    assert not no_evidence(spread + .2)
    assert no_evidence(spread + .1)
