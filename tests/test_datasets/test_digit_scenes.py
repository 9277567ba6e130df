# Copyright (c) mmseg_semi authors.
import runpy
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.datasets import digit_scenes as ds
from mmseg_semi.datasets import written_trees
from mmseg_semi.datasets.digit_scenes import DigitScenesRecipe
from mmseg_semi.datasets.scene_drawing import (load_digit_images, paste_digit,
                                               split_instances)
from mmseg_semi.datasets.splits import known_splits, split_hash, verify_split
from mmseg_semi.datasets.written_trees import ForeignTreeError, verify_tree

SMALL = DigitScenesRecipe(num_train=120, num_val=12, labeled=(60, 80))


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('digits') / 'deep' / 'DigitScenes'
    ds.write_digit_scenes(root, SMALL)
    return root


def read(path):
    return path.read_text().split()


def files(root):
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in Path(root).rglob('*') if p.is_file()
    }


def test_layout(tree):
    train = read(tree / 'ImageSets/Segmentation/train.txt')
    val = read(tree / 'ImageSets/Segmentation/val.txt')
    assert (len(train), len(val)) == (120, 12)
    images = {p.stem for p in (tree / 'JPEGImages').glob('*.jpg')}
    masks = {p.stem for p in (tree / 'SegmentationClass').glob('*.png')}
    assert images == masks == set(train + val)
    with Image.open(tree / f'JPEGImages/{val[3]}.jpg') as image:
        assert image.size == (64, 64) and image.mode == 'RGB'
        # 4:4:4: every component has the sampling factors 1x1.
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
    with Image.open(tree / f'SegmentationClass/{val[3]}.png') as mask:
        assert mask.mode == 'P'
        assert mask.getpalette()[:33] == sum(ds.PALETTE, [])
        assert set(np.unique(np.asarray(mask))) <= set(range(11))


def test_labelled_lists_are_nested_and_show_every_class(tree):
    train = set(read(tree / 'ImageSets/Segmentation/train.txt'))
    small, large = (
        read(tree / f'ImageSets/Semi/digits-{n}.txt') for n in (60, 80))
    assert (len(small), len(large)) == (60, 80)
    assert set(small) < set(large) < train
    images_with = np.zeros(11, int)
    for stem in small:
        mask = Image.open(tree / f'SegmentationClass/{stem}.png')
        images_with[np.unique(np.asarray(mask))] += 1
    assert images_with.min() >= ds.MIN_IMAGES_PER_CLASS


def test_published_lists():
    """The default recipe's lists are those in known_splits.json."""
    recipe = DigitScenesRecipe()
    train, val = ds.plan_scenes(recipe)
    assert (len(train), len(val)) == (1600, 1000)
    lists = ds.labeled_lists(train, recipe)
    assert list(lists) == [f'digits-{n}' for n in (50, 100, 200, 400, 800)]
    for name, indices in lists.items():
        stems = [f'train_{i:05d}' for i in indices]
        verify_split(f'{name}.txt', stems)
        assert known_splits()[name]['count'] == len(stems)
    seen = sum(
        np.isin(np.arange(10), list(train[i].visible())).astype(int)
        for i in lists['digits-50'])
    assert seen.min() >= 4


def test_no_digit_is_shared_between_train_and_val():
    train, val = ds.plan_scenes(
        DigitScenesRecipe(num_train=400, num_val=400, labeled=()))
    used = [{d.instance
             for plan in plans
             for d in plan.digits} for plans in (train, val)]
    assert not used[0] & used[1]
    digits = load_digit_images()[1]
    for plan in train + val:
        assert all(digits[d.instance] == d.digit for d in plan.digits)


def test_every_digit_image_is_on_one_side():
    digits = load_digit_images()[1]
    train, val = split_instances(digits, 2 / 3, np.random.default_rng(0))
    assert sorted(np.concatenate(train + val)) == list(range(1797))
    for digit in range(10):
        assert set(digits[train[digit]]) == set(digits[val[digit]]) == {digit}


def test_plans_follow_the_recipe():
    recipe = DigitScenesRecipe(num_train=400, num_val=1, labeled=())
    plans = ds.plan_scenes(recipe)[0]
    sides = [d.box[2] for p in plans for d in p.digits]
    assert (min(sides), max(sides)) == (34, 57)
    assert {len(p.digits) for p in plans} == {1, 2}
    assert min(p.side for p in plans) >= 128
    assert max(p.side for p in plans) <= 427
    for plan in plans:
        for one in plan.digits:
            top, left, side = one.box
            assert 0 <= min(top, left) and max(top, left) + side <= 64
            assert 150 <= one.color.min() and one.color.max() <= 255


def test_pasting_against_a_loop():
    """alpha = min(1.6 g, 1) over the scene; label where g > 0.3."""
    rng = np.random.default_rng(0)
    ink = rng.uniform(0, 1, (8, 8)).astype(np.float32)
    image = rng.uniform(0, 90, (12, 14, 3)).astype(np.float32)
    label = np.full((12, 14), 3, np.uint8)
    color = np.array([150., 200., 250.])
    ours, ours_label = image.copy(), label.copy()
    # Side 8 leaves the ink as it is, whatever the interpolation.
    paste_digit(ours, ours_label, ink, (2, 5, 8), color, 7)
    for row in range(8):
        for col in range(8):
            g = ink[row, col]
            alpha = min(1.6 * g, 1)
            place = (2 + row, 5 + col)
            image[place] = alpha * color + (1 - alpha) * image[place]
            if g > 0.3:
                label[place] = 7
    np.testing.assert_allclose(ours, image, atol=1e-3)
    np.testing.assert_array_equal(ours_label, label)


def test_background_is_a_dimmed_photo():
    recipe = DigitScenesRecipe(num_train=1, num_val=1, labeled=())
    plan = ds.plan_scenes(recipe)[0][0]
    image, label = ds.draw_scene(plan, recipe)
    assert image[label == 0].mean() < 0.35 * 255
    assert image[label > 0].mean() > 90


def test_later_digit_hides_the_earlier_one():
    one = ds.PlacedDigit(0, 3, (0, 0, 40), np.full(3, 200.))
    over = ds.PlacedDigit(1, 5, (0, 5, 40), np.full(3, 200.))
    aside = ds.PlacedDigit(1, 5, (20, 24, 40), np.full(3, 200.))
    base = dict(photo=0, side=128, corner=(0., 0.))
    assert ds.ScenePlan(digits=(one, over), **base).visible() == {5}
    assert ds.ScenePlan(digits=(one, aside), **base).visible() == {3, 5}


def test_same_seed_same_bytes(tree, tmp_path):
    ds.write_digit_scenes(tmp_path / 'again', SMALL)
    assert files(tmp_path / 'again') == files(tree)
    other = DigitScenesRecipe(
        num_train=120, num_val=12, labeled=(60, ), seed=1)
    ds.write_digit_scenes(tmp_path / 'other', other)
    changed = files(tmp_path / 'other')
    assert 'ImageSets/Semi/digits-seed1-60.txt' in changed
    assert changed['JPEGImages/val_00000.jpg'] != files(
        tree)['JPEGImages/val_00000.jpg']


def test_number_of_val_scenes_leaves_train_as_it_is():
    few, many = (
        ds.plan_scenes(DigitScenesRecipe(num_train=60, num_val=n,
                                         labeled=()))[0] for n in (1, 50))
    assert repr(few) == repr(many)


def test_second_run_verifies_and_reuses(tree, monkeypatch):
    monkeypatch.setattr(ds, '_write', lambda *args: pytest.fail('rewritten'))
    before = files(tree)
    (tree / 'ImageSets/Semi/mine.txt').write_text('train_00001\n')
    manifest = ds.write_digit_scenes(tree, SMALL)
    (tree / 'ImageSets/Semi/mine.txt').unlink()
    assert files(tree) == before
    assert manifest['lists']['digits-60'] == dict(
        count=60,
        sha256=split_hash(read(tree / 'ImageSets/Semi/digits-60.txt')))


@pytest.mark.parametrize('damage', ['changed', 'missing', 'recipe', 'sums'])
def test_another_tree_is_refused_and_kept(tmp_path, damage):
    root = tmp_path / 'tree'
    recipe = DigitScenesRecipe(num_train=4, num_val=2, labeled=())
    ds.write_digit_scenes(root, recipe)
    victim = root / 'JPEGImages/train_00001.jpg'
    if damage == 'changed':
        victim.write_bytes(victim.read_bytes()[:-1])
    elif damage == 'missing':
        victim.unlink()
    elif damage == 'recipe':
        recipe = DigitScenesRecipe(num_train=5, num_val=2, labeled=())
    else:
        (root / written_trees.CHECKSUMS).write_text('')
    before = files(root)
    with pytest.raises(ForeignTreeError, match='tree'):
        ds.write_digit_scenes(root, recipe)
    assert files(root) == before


@pytest.mark.parametrize('manifest', [None, '{}', '[]', 'no json'])
def test_foreign_folder_is_refused_and_kept(tmp_path, manifest):
    (tmp_path / 'precious.txt').write_text('mine')
    if manifest is not None:
        (tmp_path / 'manifest.json').write_text(manifest)
    before = files(tmp_path)
    with pytest.raises(ForeignTreeError, match='left untouched'):
        ds.write_digit_scenes(tmp_path, SMALL)
    assert files(tmp_path) == before


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(ds, 'labeled_lists', stop)
    recipe = DigitScenesRecipe(num_train=2, num_val=1, labeled=())
    with pytest.raises(KeyboardInterrupt):
        ds.write_digit_scenes(tmp_path / 'tree', recipe)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_at_once(tmp_path):
    """The one who comes second finds an equal tree and takes it."""
    recipe = DigitScenesRecipe(num_train=2, num_val=1, labeled=())
    root = tmp_path / 'tree'

    def overtaken(part):
        ds.write_digit_scenes(root, recipe)
        return ds._write(part, recipe)

    description = ds.write_digit_scenes(tmp_path / 'copy', recipe)['recipe']
    manifest = written_trees.write_tree(root, description, overtaken)
    assert manifest == verify_tree(root)
    assert {p.name for p in tmp_path.iterdir()} == {'tree', 'copy'}


def test_empty_folder_is_used(tmp_path):
    recipe = DigitScenesRecipe(num_train=2, num_val=1, labeled=())
    (tmp_path / 'empty').mkdir()
    ds.write_digit_scenes(tmp_path / 'empty', recipe)
    verify_tree(tmp_path / 'empty')


@pytest.mark.parametrize('options', [
    dict(labeled=(100, 50)),
    dict(labeled=(50, 2000)),
    dict(digit_side=(34, 65)),
])
def test_senseless_recipes(options):
    with pytest.raises(ValueError):
        DigitScenesRecipe(**options)


def test_list_too_small_for_all_classes():
    recipe = DigitScenesRecipe(num_train=60, num_val=1, labeled=(8, ))
    with pytest.raises(ValueError, match='smallest list larger'):
        ds.labeled_lists(ds.plan_scenes(recipe)[0], recipe)


def test_dataset_reads_it(tree):
    dataset = DATASETS.build(
        dict(
            type='DigitScenesDataset',
            data_root=str(tree),
            ann_file='ImageSets/Semi/digits-60.txt',
            data_prefix=dict(
                img_path='JPEGImages', seg_map_path='SegmentationClass'),
            pipeline=[
                dict(type='LoadStrictImage'),
                dict(type='LoadStrictAnnotations', num_classes=11),
                dict(type='PackSemiInputs')
            ]))
    assert len(dataset) == 60
    assert len(dataset.metainfo['classes']) == 11
    sample = dataset[7]
    assert sample['inputs'].shape == (3, 64, 64)
    label = sample['data_samples'].gt_sem_seg.data
    assert 0 < label.max() <= 10


def test_command_line(tmp_path, monkeypatch, capsys):
    tool = Path(__file__).parents[2] / 'tools/dataset_converters'
    main = runpy.run_path(str(tool / 'digit_scenes.py'))['main']

    def call(labeled):
        monkeypatch.setattr('sys.argv', [
            'digit_scenes.py', '--out',
            str(tmp_path / 'out'), '--num-train', '90', '--num-val', '2',
            '--labeled', labeled
        ])
        main()

    call('70')
    entries = read(tmp_path / 'out/ImageSets/Semi/digits-70.txt')
    assert split_hash(entries) in capsys.readouterr().out
    with pytest.raises(SystemExit, match='error: .* another recipe'):
        call('71')
