# Copyright (c) mmseg_semi authors.
import itertools
import logging
import os.path as osp
import pickle

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_semi.datasets import SemiSampler, SemiSegDataset, StreamIndex, audit
from mmseg_semi.datasets.splits import known_splits, split_hash


def build(tree, labeled=None, unlabeled=None, **kwargs):
    return SemiSegDataset(
        tree.labeled(**(labeled or {})), tree.unlabeled(**(unlabeled or {})),
        **kwargs)


def stem(sample):
    return osp.basename(sample['data_samples'].img_path)[:-4]


def test_labelled_come_first_and_leave_the_unlabelled(tree):
    dataset = build(tree, unlabeled=dict(exclude='lists/val.txt'))
    assert dataset.source_lengths == (5, 10) and len(dataset) == 15
    assert [stem(dataset[i]) for i in range(15)] == tree.stems[:15]
    for i in range(15):
        assert ('gt_sem_seg' in dataset[i]['data_samples']) == (i < 5)
    assert dataset.unlabeled.dropped == dict(labeled=5, excluded=5)
    assert stem(dataset[-1]) == 'i014'
    assert dataset.get_data_info(7)['sample_idx'] == 7
    for i in (15, -16):
        with pytest.raises(IndexError, match='15 images'):
            dataset[i]


def test_split_info(tree):
    dataset = build(tree)
    assert dataset.split_info == dict(
        name='labeled',
        labeled=5,
        unlabeled=15,
        sha256=split_hash(tree.stems[:5]))


def test_whole_folder_as_labelled_set(tree):
    for i in range(3):
        tree.image(f'more/m{i}.jpg')
    dataset = build(tree, dict(ann_file=''),
                    dict(data_prefix=dict(img_path='more')))
    assert dataset.source_lengths == (20, 3)
    assert dataset.split_info['name'] == 'all images of the folder'
    assert dataset.split_info['sha256'] == split_hash(tree.stems)


def test_supervised_only(tree):
    dataset = SemiSegDataset(tree.labeled())
    assert dataset.source_lengths == (5, 0) and len(dataset) == 5
    assert dataset.split_info['unlabeled'] == 0
    dataset.set_work_dir('unused')
    assert len(list(itertools.islice(SemiSampler(dataset, (2, 0)), 6))) == 6


@pytest.mark.parametrize('last', ['PackSegInputs', 'PackSemiInputs'])
def test_a_stock_pipeline_makes_the_labelled_branch(tree, last):
    """Its samples collate with those of an unlabelled pipeline."""
    branches = ['sup', 'unsup_teacher']
    load = [dict(type='LoadStrictImage'), dict(type='LoadAnnotations')]
    views = dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='PackSemiInputs')])
    dataset = build(tree, dict(pipeline=[*load, dict(type=last)]),
                    dict(pipeline=[load[0], views]))
    labelled, unlabelled = dataset[0], dataset[5]
    for sample in (labelled, unlabelled):
        assert list(sample['inputs']) == branches
    assert labelled['inputs']['unsup_teacher'] is None
    assert 'gt_sem_seg' in labelled['data_samples']['sup']
    assert unlabelled['data_samples']['sup'] is None
    alone = SemiSegDataset(tree.labeled(pipeline=[*load, dict(type=last)]))
    assert list(alone[0]['inputs']) == ['sup']


def test_several_labelled_sets(tree):
    tree.list('second', tree.stems[5:8])
    labeled = [tree.labeled(), tree.labeled(ann_file='lists/second.txt')]
    dataset = SemiSegDataset(labeled, tree.unlabeled())
    assert dataset.source_lengths == (8, 12)
    assert dataset.split_info['name'] == 'labeled+second'
    assert dataset.split_info['sha256'] == split_hash(tree.stems[:8])
    assert [stem(dataset[i]) for i in range(8)] == tree.stems[:8]


def test_wrapped_labelled_set(tree):
    labeled = dict(type='RepeatDataset', times=3, dataset=tree.labeled())
    dataset = SemiSegDataset(labeled, tree.unlabeled())
    assert dataset.source_lengths == (15, 15)
    tree.list('broken', ['a', ''])
    labeled['dataset']['ann_file'] = 'lists/broken.txt'
    with pytest.raises(ValueError, match='line 2'):
        SemiSegDataset(labeled)


def test_metainfo_is_handed_down(tree):
    dataset = build(tree)
    assert dataset.metainfo['classes'] == ('a', 'b', 'c')
    for key in ('classes', 'palette'):
        assert dataset.unlabeled.metainfo[key] == dataset.metainfo[key]
    with pytest.raises(ValueError, match='Leave `metainfo` out'):
        build(tree, unlabeled=dict(metainfo=dict(classes=('x', ))))


def test_cityscapes_layout(tree):
    names = [
        f'{c}/{c}_00000{i}_000019' for c in ('ulm', 'jena') for i in range(3)
    ]
    for name in names:
        tree.image(f'city/leftImg8bit/{name}_leftImg8bit.png')
        tree.mask(f'city/gtFine/{name}_gtFine_labelTrainIds.png', 1)
    tree.list('city', names[:2])
    tree.list('city_val', names[-1:])
    dataset = SemiSegDataset(
        dict(
            type='CityscapesDataset',
            data_root=str(tree.root),
            ann_file='lists/city.txt',
            data_prefix=dict(
                img_path='city/leftImg8bit', seg_map_path='city/gtFine'),
            pipeline=[]),
        dict(
            data_root=str(tree.root),
            data_prefix=dict(img_path='city/leftImg8bit'),
            img_suffix='_leftImg8bit.png'),
        val_ann_file='lists/city_val.txt')
    assert dataset.source_lengths == (2, 3)
    assert dataset.split_info['sha256'] == split_hash(
        name.split('/')[1] for name in names[:2])


def test_other_suffixes_hash_to_the_list(tree):
    for i in range(2):
        tree.image(f'odd/s{i}_img.jpg')
        tree.mask(f'odd/s{i}_seg.png', 1)
    tree.list('odd', ['s0'])
    tree.list('odd_val', ['s0'])
    labeled = dict(
        ann_file='lists/odd.txt',
        data_prefix=dict(img_path='odd', seg_map_path='odd'),
        img_suffix='_img.jpg',
        seg_map_suffix='_seg.png')
    unlabeled = dict(data_prefix=dict(img_path='odd'), img_suffix='_img.jpg')
    dataset = build(tree, labeled, unlabeled)
    assert dataset.split_info['sha256'] == split_hash(['s0'])
    with pytest.raises(ValueError, match='also in .*odd_val'):
        build(tree, labeled, unlabeled, val_ann_file='lists/odd_val.txt')


def test_samples_are_a_function_of_seed_and_position(tree):
    for i in (6, 7, 11):
        path = tree.root / f'JPEGImages/i{i:03d}.jpg'
        path.write_bytes(b'<html>not found</html>')
    draws = []
    for workers, junk in ((0, 1), (0, 2), (1, 3), (2, 4)):
        np.random.seed(junk)
        torch.manual_seed(junk)
        loader = Runner.build_dataloader(
            dict(
                dataset=dict(
                    type='SemiSegDataset',
                    labeled=tree.labeled(serialize_data=True),
                    unlabeled=tree.unlabeled(serialize_data=True)),
                sampler=dict(type='SemiSampler', counts=(1, 3)),
                batch_size=4,
                num_workers=workers),
            seed=5)
        loader.sampler.skip(40)
        draws.append([(s.img_path, s.get('flip'))
                      for batch in itertools.islice(iter(loader), 12)
                      for s in batch['data_samples']])
    assert draws[0] == draws[1] == draws[2] == draws[3]
    assert len({flip for _, flip in draws[0]}) == 2
    paths = {osp.basename(path) for path, _ in draws[0]}
    assert not paths & {'i006.jpg', 'i007.jpg', 'i011.jpg'}


def test_positions_give_different_samples_of_one_image(tree):
    dataset = build(tree)
    flips = {
        dataset[StreamIndex(0, position, seed=0)]['data_samples'].flip
        for position in range(20)
    }
    assert flips == {True, False}


def test_loading_leaves_the_global_generators_alone(tree):
    dataset = build(tree)
    state = torch.get_rng_state()
    np.random.seed(3)
    dataset[StreamIndex(0, 0, 0)]
    assert np.random.rand() == np.random.RandomState(3).rand()
    assert torch.equal(torch.get_rng_state(), state)


def test_pickling(tree, tmp_path):
    dataset = build(tree)
    dataset.set_work_dir(str(tmp_path))
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.source_lengths == dataset.source_lengths
    index = StreamIndex(9, 2, 1)
    assert torch.equal(copy[index]['inputs'], dataset[index]['inputs'])


def test_bad_unlabelled_images_are_listed_in_the_work_dir(tree, tmp_path):
    (tree.root / 'JPEGImages/i009.jpg').write_bytes(b'')
    dataset = build(tree)
    dataset.set_work_dir(str(tmp_path))
    for i in range(5, 20):
        assert stem(dataset[i]) != 'i009'
    assert 'i009.jpg' in (tmp_path / 'bad_images.txt').read_text()


@pytest.mark.parametrize('name',
                         ['JPEGImages/i002.jpg', 'SegmentationClass/i002.png'])
def test_bad_labelled_samples_stop_with_the_path(tree, name):
    path = tree.root / name
    path.write_bytes(path.read_bytes()[:60])
    dataset = build(tree)
    with pytest.raises(RuntimeError, match=f'{name}.*cannot be loaded'):
        dataset[2]


def test_it_logs_what_it_trains_on(tree, caplog):
    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO):
            build(tree, unlabeled=dict(exclude='lists/val.txt'))
    finally:
        logger.removeHandler(caplog.handler)
    text = caplog.text
    assert text.count('Labelled: 5 images, labeled, SHA-256 ') == 1
    assert split_hash(tree.stems[:5]) in text
    assert 'Unlabelled: 10 images' in text
    assert '5 labelled, 5 excluded' in text


@pytest.mark.parametrize('labeled, words', [
    (dict(data_root='/nowhere'), 'labelled data_root: there is no folder'),
    (dict(data_prefix=dict(img_path='JPGImages')),
     r'labelled data_prefix\.img_path: .*nearest names: JPEGImages'),
    (dict(data_prefix=dict(img_path='JPEGImages', seg_map_path='Seg')),
     r'labelled data_prefix\.seg_map_path: .*Seg'),
    (dict(ann_file='lists/labelled.txt'),
     r'labelled ann_file: .*nearest names: labeled\.txt'),
    (dict(ann_file='lists'), 'lists is a folder, but a file is needed'),
    (dict(img_suffix='.png'),
     r'5 of the 5 labelled images that .*labeled\.txt.*i000\.png.*img_suffix'),
    (dict(seg_map_suffix='.tif'), r'labelled masks .*i000\.tif'),
])
def test_missing_things_are_named(tree, labeled, words):
    with pytest.raises(FileNotFoundError, match=words):
        build(tree, labeled)


def test_checks_come_before_building(tree, monkeypatch):

    def build_nothing(*args, **kwargs):
        raise AssertionError('built')

    monkeypatch.setattr(DATASETS, 'build', build_nothing)
    with pytest.raises(FileNotFoundError, match='labelled ann_file'):
        build(tree, dict(ann_file='lists/none.txt'))
    with pytest.raises(AssertionError, match='built'):
        build(tree)


@pytest.mark.parametrize('entries, words', [
    ([], 'is empty'),
    (['i000', '', 'i001'], 'line 2 .*blank'),
    (['i000', 'i000'], 'line 2 .*repeats line 1'),
    (['../x'], 'leaves the image folder'),
    (['/etc/passwd'], 'absolute path'),
    (['http://x/y'], 'URL'),
])
def test_malformed_labelled_lists(tree, entries, words):
    tree.list('labeled', entries)
    with pytest.raises(ValueError, match=words) as err:
        build(tree)
    assert 'labeled.txt' in str(err.value)


def test_listed_images_must_exist(tree):
    tree.list('labeled', ['i000'] + [f'x{i}' for i in range(7)])
    with pytest.raises(
            FileNotFoundError,
            match=r'7 of the 8 .*x0\.jpg.*x4\.jpg, \.\.\. \(7 in all\)'):
        build(tree)


def test_two_column_lists_get_a_hint(tree):
    tree.list('labeled', ['JPEGImages/i000.jpg SegmentationClass/i000.png'])
    with pytest.raises(FileNotFoundError, match='import_splits.py'):
        build(tree)


def test_labelled_set_without_masks(tree):
    with pytest.raises(ValueError, match='seg_map_path'):
        build(tree, dict(data_prefix=dict(img_path='JPEGImages')))


def test_labelled_images_in_the_validation_list(tree):
    tree.list('val', tree.stems[3:8])
    for kwargs in (dict(unlabeled=dict(exclude='lists/val.txt')),
                   dict(val_ann_file='lists/val.txt')):
        with pytest.raises(
                ValueError, match=r'2 labelled .*val\.txt: i003, i004'):
            build(tree, **kwargs)
        with pytest.raises(ValueError, match='2 labelled'):
            build(tree, verify_split=False, **kwargs)


def test_what_was_checked_is_not_checked_again(tree, monkeypatch):
    tree.list('val', [*tree.stems[15:], tree.stems[0]])
    with pytest.raises(ValueError, match='also in'):
        build(tree, val_ann_file='lists/val.txt')
    monkeypatch.setattr(audit, '_require_all', None)
    dataset = build(tree, val_ann_file='lists/val.txt', checked=True)
    assert dataset.source_lengths == (5, 10)


def test_training_lists_may_be_excluded_but_not_validated_on(tree):
    tree.list('train', tree.stems[:9])
    dataset = build(tree, unlabeled=dict(exclude='lists/train.txt'))
    assert dataset.source_lengths == (5, 11)
    with pytest.raises(ValueError, match='5 labelled'):
        build(tree, val_ann_file=['lists/train.txt'])


def test_val_list_leaves_the_unlabelled(tree):
    dataset = build(tree, val_ann_file='lists/val.txt')
    assert dataset.source_lengths == (5, 10)


def test_nothing_unlabelled_left(tree):
    tree.list('labeled', tree.stems)
    with pytest.raises(ValueError, match='20 of them labelled'):
        build(tree)


def test_known_names_are_verified(tree):
    tree.list('voc12-classic-92', tree.stems[:5])
    labeled = dict(ann_file='lists/voc12-classic-92.txt')
    digest = known_splits()['voc12-classic-92']['sha256']
    with pytest.raises(ValueError, match=f'holds 5 images .*{digest}'):
        build(tree, labeled)
    dataset = build(tree, labeled, verify_split=False)
    assert dataset.split_info['name'] == 'voc12-classic-92'
    assert dataset.split_info['sha256'] != digest


@pytest.mark.parametrize('where', ['ann_file', 'exclude'])
def test_lists_of_the_unlabelled_set_are_verified_too(tree, where):
    tree.list('voc12-val', tree.stems[10:])
    unlabeled = {where: 'lists/voc12-val.txt'}
    with pytest.raises(ValueError, match='published split voc12-val'):
        build(tree, unlabeled=unlabeled)
    build(tree, unlabeled=unlabeled, verify_split=False)


def test_masks_are_not_taken_for_unlabelled_images(tree):
    with pytest.raises(ValueError, match='is a mask of the labelled set'):
        build(
            tree,
            unlabeled=dict(data_prefix=dict(img_path='SegmentationClass')))


def test_unlabelled_sets_that_may_open_masks_are_refused(tree):
    with pytest.raises(TypeError, match='may open masks'):
        build(
            tree,
            unlabeled=dict(type='BaseSegDataset', ann_file='lists/val.txt'))
    with pytest.raises(TypeError, match='must be one config'):
        SemiSegDataset(tree.labeled(), [tree.unlabeled()])


def test_a_missing_package_is_not_the_fault_of_a_file(tree):

    def needs_it(results):
        raise ModuleNotFoundError('pip install tifffile')

    dataset = build(tree, dict(pipeline=[needs_it]))
    with pytest.raises(ModuleNotFoundError, match='^pip install tifffile$'):
        dataset[0]
