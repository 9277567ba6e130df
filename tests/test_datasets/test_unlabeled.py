# Copyright (c) mmseg_semi authors.
import builtins
import multiprocessing
import os.path as osp

import numpy as np
import pytest

from mmseg_semi.datasets import BadImageLog, UnlabeledSegDataset


def names(dataset):
    return [
        osp.basename(dataset.get_data_info(i)['img_path'])
        for i in range(len(dataset))
    ]


def build(tree, **kwargs):
    return UnlabeledSegDataset(**tree.unlabeled(**kwargs))


def test_a_folder_is_enough(tree):
    dataset = build(tree)
    assert names(dataset) == [f'{stem}.jpg' for stem in tree.stems]
    info = dataset.get_data_info(0)
    assert info == dict(
        img_path=str(tree.root / 'JPEGImages/i000.jpg'),
        label_map=None,
        reduce_zero_label=False,
        seg_fields=[],
        sample_idx=0)
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 8, 10)
    assert 'gt_sem_seg' not in sample['data_samples']


def test_folders_suffixes_and_subfolders(tree):
    tree.image('more/b/x.PNG')
    tree.image('more/a/y.Jpeg')
    (tree.root / 'more/notes.txt').write_text('no image')
    (tree.root / 'more/.hidden.jpg').write_text('no image')
    dataset = build(tree, data_prefix=dict(img_path=['more', 'JPEGImages']))
    assert names(dataset)[:3] == ['y.Jpeg', 'x.PNG', 'i000.jpg']
    only = build(tree, data_prefix=dict(img_path='more'), img_suffix='.png')
    assert names(only) == ['x.PNG']


def test_hidden_folders_and_circles_of_links_are_left_out(tree):
    count = len(build(tree))
    tree.image('JPEGImages/.ipynb_checkpoints/copy.jpg')
    (tree.root / 'JPEGImages/again').symlink_to('.')
    assert len(build(tree)) == count
    # Named by the user, it counts.
    prefix = dict(img_path='JPEGImages/.ipynb_checkpoints')
    assert names(build(tree, data_prefix=prefix)) == ['copy.jpg']


def test_a_folder_of_hidden_images_only_says_so(tree):
    hidden = tree.root / 'empty/.x'
    hidden.mkdir(parents=True)
    (hidden / 'a.jpg').write_text('')
    with pytest.raises(ValueError, match='1 hidden ones, such as .x/a.jpg'):
        build(tree, data_prefix=dict(img_path='empty'))


def test_overlapping_folders_count_once(tree):
    tree.image('JPEGImages/sub/z.jpg')
    dataset = build(
        tree, data_prefix=dict(img_path=['JPEGImages', 'JPEGImages/sub']))
    assert len(dataset) == 21


def test_lists_of_stems_and_paths(tree):
    tree.image('JPEGImages/sub/z.png')
    tree.image('JPEGImages/w.JPG')
    tree.list('u', ['i003', 'i001.jpg', 'sub/z', 'w'])
    dataset = build(tree, ann_file='lists/u.txt')
    assert names(dataset) == ['i001.jpg', 'i003.jpg', 'z.png', 'w.JPG']


def test_several_lists_are_united(tree):
    tree.list('u1', ['i003', 'i001'])
    tree.list('u2', ['i003', 'i007'])
    dataset = build(tree, ann_file=['lists/u1.txt', 'lists/u2.txt'])
    assert names(dataset) == ['i001.jpg', 'i003.jpg', 'i007.jpg']


def test_exclude_lists(tree):
    dataset = build(tree, exclude='lists/val.txt')
    assert names(dataset) == [f'{stem}.jpg' for stem in tree.stems[:15]]
    assert dataset.dropped == dict(labeled=0, excluded=5)


def test_exclude_matches_ends_of_paths_on_folder_boundaries(tree):
    for name in ('train/aachen/aachen_000000_000019_leftImg8bit.png',
                 'val/munster/munster_000000_000019_leftImg8bit.png',
                 'val/munster/munster_000001_000019_leftImg8bit.png'):
        tree.image(f'leftImg8bit/{name}')
    tree.list('city', ['munster/munster_000000_000019', 'en_000000_000019'])
    dataset = build(
        tree,
        data_prefix=dict(img_path='leftImg8bit'),
        img_suffix='_leftImg8bit.png',
        exclude=['lists/city.txt'])
    assert names(dataset) == [
        'aachen_000000_000019_leftImg8bit.png',
        'munster_000001_000019_leftImg8bit.png'
    ]


def test_masks_are_never_opened(tree, monkeypatch):
    opened = []
    real = builtins.open

    def spy(file, *args, **kwargs):
        opened.append(str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, 'open', spy)
    dataset = build(tree)
    for i in range(len(dataset)):
        dataset[i]
    assert any('JPEGImages' in path for path in opened)
    assert not any('SegmentationClass' in path for path in opened)


@pytest.mark.parametrize('change, error, words', [
    (dict(data_prefix=dict(img_path='JPEGImage')), FileNotFoundError,
     r'no folder .*JPEGImage\. .*nearest names: JPEGImages'),
    (dict(data_prefix=dict(img_path='lists/val.txt')), FileNotFoundError,
     'is a file, but a folder is needed'),
    (dict(ann_file='lists/vall.txt'), FileNotFoundError,
     r'no file .*vall\.txt.* nearest names: val\.txt'),
    (dict(ann_file='lists'), FileNotFoundError, 'is a folder, but a file'),
    (dict(exclude='lists/none.txt'), FileNotFoundError, 'no file .*none.txt'),
    (dict(data_prefix=dict(img_path='JPEGImages', seg_map_path='x')),
     ValueError, 'no masks, but got the keys'),
    (dict(img_suffix='.bmp'), ValueError,
     r'no file that ends with \.bmp; its 20 files end with \.jpg'),
    (dict(max_bad_images=-1), ValueError, 'number of images'),
    (dict(max_bad_images=1.5), ValueError, 'number of images'),
])
def test_errors_name_what_is_wrong(tree, change, error, words):
    with pytest.raises(error, match=words):
        build(tree, **change)


def test_error_on_an_empty_folder(tree):
    (tree.root / 'empty').mkdir()
    with pytest.raises(ValueError, match='its 0 files end with nothing'):
        build(tree, data_prefix=dict(img_path='empty'))


def test_error_on_listed_images_that_do_not_exist(tree):
    tree.list('u', ['i000', 'nope', 'i001'])
    with pytest.raises(FileNotFoundError, match=r'u\.txt.*: nope\. Check'):
        build(tree, ann_file='lists/u.txt')


def test_error_on_malformed_list(tree):
    tree.list('u', ['i000', '../secret'])
    with pytest.raises(ValueError, match='line 2 .*leaves the image folder'):
        build(tree, ann_file='lists/u.txt')


def test_error_when_nothing_is_left(tree):
    tree.list('all', tree.stems)
    with pytest.raises(ValueError, match='20 excluded'):
        build(tree, exclude='lists/all.txt')


def test_error_on_masks_beside_images(tree):
    tree.mask('JPEGImages/i004.png', 1)
    with pytest.raises(ValueError, match='i004.jpg and i004.png.*img_suffix'):
        build(tree)
    assert len(build(tree, img_suffix='.jpg')) == 20


def test_drop_labeled_compares_files_not_names(tree):
    tree.image('other/i001.jpg')
    dataset = build(
        tree,
        data_prefix=dict(img_path=['JPEGImages', 'other']),
        lazy_init=True)
    dataset.drop_labeled([str(tree.root / 'lists/../JPEGImages/i001.jpg')])
    dataset.full_init()
    assert len(dataset) == 20 and 'i001.jpg' in names(dataset)
    assert dataset.dropped['labeled'] == 1 and dataset.namesakes == 1
    with pytest.raises(RuntimeError, match='lazy_init=True'):
        dataset.drop_labeled([])


def damage(tree, *indices):
    for i in indices:
        path = tree.root / 'JPEGImages' / f'{tree.stems[i]}.jpg'
        path.write_bytes(path.read_bytes()[:100])


def test_unreadable_images_are_replaced_and_recorded_once(tree, tmp_path):
    damage(tree, 3, 4)
    dataset = build(tree)
    dataset.set_work_dir(str(tmp_path / 'work'))
    for _ in range(3):
        for i in (3, 4, 5):
            path = dataset[i]['data_samples'].img_path
            assert osp.basename(path) not in ('i003.jpg', 'i004.jpg')
    lines = (tmp_path / 'work/bad_images.txt').read_text().splitlines()
    assert len(lines) == 2
    for line, stem in zip(sorted(lines), ('i003', 'i004')):
        path, reason = line.split('\t')
        assert path == str(tree.root / f'JPEGImages/{stem}.jpg') and reason


def test_replacement_follows_the_seeded_generator(tree):
    damage(tree, 3, 4, 5, 6, 7)
    dataset = build(tree)
    picks = []
    for _ in range(2):
        np.random.seed(0)
        picks.append([dataset[3]['data_samples'].img_path for _ in range(20)])
    assert picks[0] == picks[1] and len(set(picks[0])) > 5


@pytest.mark.parametrize('limit', [1, .05])
def test_too_many_unreadable_images_stop(tree, tmp_path, limit):
    damage(tree, 3, 4)
    dataset = build(tree, max_bad_images=limit)
    dataset.set_work_dir(str(tmp_path))
    dataset[3]
    with pytest.raises(
            RuntimeError,
            match=r'2 unlabelled images .*max_bad_images=1.*bad_images\.txt'):
        dataset[4]


def test_the_limit_counts_what_other_processes_recorded(tree, tmp_path):
    damage(tree, 3, 4)
    datasets = [build(tree, max_bad_images=1) for _ in range(2)]
    for dataset in datasets:
        dataset.set_work_dir(str(tmp_path))
    datasets[0][3]
    datasets[1][3]  # the same image: still one
    with pytest.raises(RuntimeError, match='2 unlabelled images'):
        datasets[1][4]


def test_a_set_of_unreadable_images_does_not_hang(tree):
    damage(tree, *range(20))
    with pytest.raises(RuntimeError, match='None of the 20 unlabelled'):
        build(tree)[0]


def test_a_pipeline_that_drops_everything_does_not_hang(tree):
    dataset = build(tree, pipeline=[lambda results: None], max_refetch=3)
    with pytest.raises(RuntimeError, match='in 4 draws'):
        dataset[0]


def record(path, worker):
    log = BadImageLog(limit=1000)
    log.open(path)
    for i in range(20):
        log.add(f'/images/{i}.jpg', f'reason\nof worker {worker}')


def test_many_processes_record_every_image_once(tmp_path):
    context = multiprocessing.get_context('fork')
    workers = [
        context.Process(target=record, args=(str(tmp_path), i))
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = (tmp_path / 'bad_images.txt').read_text().splitlines()
    assert sorted(line.split('\t')[0]
                  for line in lines) == sorted(f'/images/{i}.jpg'
                                               for i in range(20))
