# Copyright (c) mmseg_semi authors.
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.datasets.split_make import classes_in_mask, nested_order
from mmseg_semi.datasets.splits import read_list

TOOLS = Path(__file__).resolve().parents[2] / 'tools/dataset_converters'


def run(tool, *args):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [tool, *map(str, args)])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')


def rare_classes(num=200, seed=0):
    """Class 0 everywhere; the others in 1, 2, 4, ... images."""
    rng = np.random.default_rng(seed)
    presence = np.zeros((num, 7), bool)
    presence[:, 0] = True
    for c in range(1, 7):
        presence[rng.choice(num, 2**(c - 1), replace=False), c] = True
    return presence


@pytest.mark.parametrize('seed', range(10))
def test_every_class_occurs_and_lists_are_nested(seed):
    presence = rare_classes()
    order = nested_order(presence, [20, 8, 60], seed, 2)
    assert len(order) == len(set(order.tolist())) == 60
    for size in (8, 20, 60):
        assert presence[order[:size]].any(0).all()
    # Two images of every class where the pool has them.
    assert (presence[order[:20]].sum(0) >= [2, 1, 2, 2, 2, 2, 2]).all()


def test_random_lists_would_miss_classes():
    presence = rare_classes()
    missed = [
        not presence[np.random.default_rng(seed).permutation(200)[:20]].any(
            0).all() for seed in range(10)
    ]
    assert all(missed)


def test_seeds():
    presence = rare_classes()
    one, again, other = (
        nested_order(presence, [30], seed, 1) for seed in (0, 0, 1))
    assert one.tolist() == again.tolist() != other.tolist()


def test_without_minimum_the_order_is_the_permutation():
    order = nested_order(rare_classes(), [30], 4, 0)
    expected = np.random.default_rng(4).permutation(200)[:30]
    assert order.tolist() == expected.tolist()


def test_too_small_sizes_take_the_rarest_classes_first():
    presence = np.eye(5, dtype=bool).repeat([1, 2, 3, 4, 5], axis=0)
    order = nested_order(presence, [3], 0, 1)
    assert presence[order].any(0).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize('size', [0, 201])
def test_impossible_sizes(size):
    with pytest.raises(ValueError, match=f'{size} .* pool of 200'):
        nested_order(rare_classes(), [5, size], 0, 1)


def test_classes_of_palette_and_grey_masks(tmp_path):
    ids = np.array([[0, 2], [255, 2]], np.uint8)
    for mode in 'LP':
        image = Image.fromarray(ids)
        if mode == 'P':
            image = image.convert('P')
            image.putdata(ids.ravel().tolist())
            image.putpalette([9, 8, 7] * 256)
        image.save(tmp_path / 'm.png')
        present = classes_in_mask(str(tmp_path / 'm.png'), 4, [255])
        assert present.tolist() == [True, False, True, False]


def test_bad_masks_are_named(tree):
    colour = tree.image('m/colour.png')
    with pytest.raises(ValueError, match='colour.png .* colours'):
        classes_in_mask(colour, 3, [255])
    with pytest.raises(ValueError, match=r'w.png .* ids \[7\].*0\.\.2'):
        classes_in_mask(tree.mask('m/w.png', 0, 7), 3, [255])
    (tree.root / 'm/x.png').write_bytes(b'')
    with pytest.raises(ValueError, match='x.png cannot be read'):
        classes_in_mask(str(tree.root / 'm/x.png'), 3, [255])


def make(tree, *args):
    run('make_splits.py', '--masks', tree.root / 'SegmentationClass',
        '--num-classes', 3, '--out', tree.root / 'out', '--name', 'my', *args)


def test_tool_writes_nested_lists(tree, capsys):
    make(tree, '--labels', 12, 4)
    small, large = (read_list(tree.root / f'out/my-{n}.txt') for n in (4, 12))
    assert len(small) == 4 and len(large) == 12
    assert set(small) < set(large) < set(tree.stems)
    assert {tree.stems.index(s) % 3 for s in small} == {0, 1, 2}
    assert 'warning' not in capsys.readouterr().out
    make(tree, '--labels', 4)
    assert 'unchanged' in capsys.readouterr().out


def test_tool_warns_of_missing_classes(tree, capsys):
    make(tree, '--labels', 2)
    out = capsys.readouterr().out
    assert 'warning: the classes' in out and 'do not occur' in out


def test_tool_draws_from_a_pool(tree):
    pool = tree.list('pool', tree.stems[:9])
    make(tree, '--labels', 6, '--pool', pool)
    assert set(read_list(tree.root / 'out/my-6.txt')) < set(tree.stems[:9])


@pytest.mark.parametrize('args, words', [
    (('--labels', 21), 'error: Cannot draw 21'),
    (('--labels', 2, '--mask-suffix', '.tif'), 'error: .*set --mask-suffix'),
    (('--labels', 2, '--pool', 'nope.txt'), 'error: --pool: there is no file'),
])
def test_tool_errors(tree, args, words):
    with pytest.raises(SystemExit, match=words):
        make(tree, *args)


def test_tool_does_not_overwrite(tree):
    make(tree, '--labels', 4)
    with pytest.raises(SystemExit, match='my-4.txt exists and differs'):
        make(tree, '--labels', 4, '--seed', 3)
    make(tree, '--labels', 4, '--seed', 3, '--force')


def test_tool_does_not_take_published_names(tree):
    for i in range(92):
        tree.mask(f'many/{i}.png', 0)
    with pytest.raises(SystemExit, match='published split voc12-classic-92'):
        make(tree, '--masks', tree.root / 'many', '--name', 'voc12-classic',
             '--labels', 92)


def test_import_tool(tree, capsys):
    source = tree.list('source', ['JPEGImages/b.jpg Masks/b.png', 'a.jpg x'])
    run('import_splits.py', source, '--data-root', tree.root, '--name', 'own')
    assert read_list(tree.root / 'ImageSets/Semi/own.txt') == ['a', 'b']
    run('import_splits.py', source, '--out', tree.root / 'o', '--name', 'own')
    assert read_list(tree.root / 'o/own.txt') == ['a', 'b']
    run('import_splits.py', '--known')
    assert 'voc12-blended-u2pl-662' in capsys.readouterr().out


@pytest.mark.parametrize('args, words', [
    (('{source}', ), 'either --data-root or --out'),
    (('{source}', '--out', 'o', '--data-root', 'd'), 'either --data-root'),
    (('{folder}', '--out', 'o', '--name', 'x'), 'exactly one source file'),
    (('{source}', '--out', 'o'), 'no published list'),
    (('{folder}', '--out', 'o'), 'holds no published list'),
    (('nope.txt', '--out', 'o'), 'no file .*nope.txt'),
])
def test_import_tool_errors(tree, args, words, capsys, monkeypatch):
    monkeypatch.chdir(tree.root)
    source = tree.list('source', ['a', 'b'])
    args = [a.format(source=source, folder=tree.root / 'lists') for a in args]
    with pytest.raises(SystemExit) as err:
        run('import_splits.py', *args)
    text = f'{err.value} {capsys.readouterr().err}'
    assert re.search(words, text)
    assert not (tree.root / 'o').exists()
