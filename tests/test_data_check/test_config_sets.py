# Copyright (c) mmseg_semi authors.
from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS as REGISTRY
from torch.utils.data import DataLoader

from mmseg_semi.data_check import DataError, check_config, sets_from_config
from mmseg_semi.data_check.sets import BANDS
from mmseg_semi.datasets import digit_scenes
from mmseg_semi.datasets.miniatures import FOLDERS, write_miniature
from .trees import CLASSES, Tree, kinds, only, scene

DATASETS = Path(__file__).parents[2] / 'configs/_base_/datasets'
PALETTE = [[0, 0, 0], [9, 9, 9], [99, 9, 9]]
PIPELINE = [
    dict(type='LoadStrictImage'),
    dict(type='LoadStrictAnnotations'),
    dict(type='PackSegInputs')
]
VIEWS = [
    dict(type='LoadStrictImage'),
    dict(type='InitValidMap'),
    dict(
        type='MultiBranch',
        branch_field=['sup', 'unsup_teacher'],
        unsup_teacher=[dict(type='PackSemiInputs')])
]
NEVER_BUILT = [dict(type='LoadStrictImage'), dict(type='NeverBuiltTransform')]


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    for name in ('labelled', 'validation'):
        (tmp_path / f'{name}.txt').write_text(''.join(
            f'{path.stem}\n' for path in tree.photos(name)))
    return tree


def stock(tree, name, **kwargs):
    """A labelled dataset over a folder of the tree."""
    return dict(
        dict(
            type='BaseSegDataset',
            data_root=str(tree.root / name),
            data_prefix=dict(img_path='photos', seg_map_path='masks'),
            img_suffix='.png',
            metainfo=dict(classes=CLASSES, palette=PALETTE),
            pipeline=PIPELINE), **kwargs)


def config(tree, labelled=None, unlabelled=None, validation=None, **semi):
    """A training config; None is a sound set."""
    return Config(
        dict(
            train_dataloader=dict(
                dataset=dict(
                    type='SemiSegDataset',
                    labeled=labelled or stock(tree, 'labelled'),
                    unlabeled=dict(
                        dict(pipeline=VIEWS),
                        **(unlabelled or dict(
                            data_root=str(tree.root / 'unlabelled'),
                            data_prefix=dict(img_path='photos')))),
                    **semi)),
            val_dataloader=dict(
                dataset=validation or stock(tree, 'validation'))))


def test_sets_of_a_config(tree):
    cfg = config(tree)
    for dataset in (*cfg.train_dataloader.dataset.values(),
                    cfg.val_dataloader.dataset):
        if isinstance(dataset, dict):
            dataset.pipeline = NEVER_BUILT
    cfg.test_dataloader = cfg.val_dataloader
    before = cfg.pretty_text
    sets, findings = sets_from_config(cfg)
    assert findings == [] and cfg.pretty_text == before
    assert [s.name for s in sets] == ['labelled', 'unlabelled', 'validation']
    for images in sets:
        assert images.images == list(map(str, tree.photos(images.name)))
        if images.name != 'unlabelled':
            assert images.masks == list(map(str, tree.masks(images.name)))
            assert images.classes == CLASSES
        assert images.searched and images.color_type == 'color'
    assert check_config(config(tree)).findings == []


def test_lists_indices_and_wrappers(tree):
    leaf = stock(tree, 'labelled', ann_file='../labelled.txt', indices=2)
    cfg = config(tree, dict(type='RepeatDataset', times=3, dataset=leaf))
    images = sets_from_config(cfg)[0][0]
    assert images.images == list(map(str, tree.photos()[:2]))
    assert not images.searched
    parts = [leaf, stock(tree, 'labelled', indices=[3, 4])]
    sets = sets_from_config(config(tree, parts))[0]
    assert [len(s.images) for s in sets[:2]] == [2, 2]
    assert check_config(config(tree, parts)).images['labelled'] == 4


def test_ids_are_changed_as_by_the_dataset(tree):
    tree.change(lambda x: x + 1)
    leaf = stock(tree, 'labelled', reduce_zero_label=True)
    only(
        check_config(config(tree, leaf)), 'classes-differ', 'warning',
        'validation')
    only(check_config(config(tree)), 'mask-ids', 'error')


def test_labelled_and_excluded_images_are_not_unlabelled(tree):
    everything = dict(
        data_root=str(tree.root),
        data_prefix=dict(img_path=[
            'labelled/photos', 'validation/photos', 'unlabelled/photos'
        ]))
    cfg = config(tree, unlabelled=everything)
    finding = only(check_config(cfg), 'shared-image', 'error', 'unlabelled')
    assert len(finding.files) == 4
    cfg = config(tree, unlabelled=everything, val_ann_file='../validation.txt')
    report = check_config(cfg)
    assert report.findings == [] and report.images['unlabelled'] == 5


def test_all_faults_at_once(tree):
    tree.change(lambda x: x + 5, 'validation')
    missing = stock(
        tree,
        'labelled',
        data_prefix=dict(img_path='photo', seg_map_path='mask'))
    cfg = config(tree, missing, dict(data_prefix=dict(img_path='none')))
    report = check_config(cfg)
    assert kinds(report) == [('error', 'mask-ids', 'validation'),
                             ('error', 'set-not-built', 'labelled'),
                             ('error', 'set-not-built', 'labelled'),
                             ('error', 'set-not-built', 'unlabelled')]
    with pytest.raises(DataError, match='(?s)data_prefix.img_path.*photos'):
        report.raise_errors()


@pytest.mark.parametrize('change,text', [
    (dict(metainfo=dict(classes='ground')), 'is the string'),
    (dict(data_prefix=dict(img_path='photos')), 'has no masks'),
    (dict(ann_file='../bad.txt'), 'line 2'),
    (dict(ann_file='../blank.txt'), 'blank.txt, line 2'),
])
def test_sets_that_cannot_be_built(tree, change, text):
    (tree.root / 'bad.txt').write_text('l00\n/l01\n')
    (tree.root / 'blank.txt').write_text('l00\n\n\n')
    report = check_config(config(tree, stock(tree, 'labelled', **change)))
    found = [f for f in report.findings if f.kind == 'set-not-built']
    assert [f.set for f in found] == ['labelled'] and text in found[0].value
    assert report.errors == found


def test_labelled_images_of_the_validation_list(tree):
    report = check_config(config(tree, val_ann_file='../labelled.txt'))
    assert 'labelled image(s) are also in' in only(report, 'shared-image',
                                                   'error').value


@pytest.mark.parametrize('name,severity', [('unlabelled', 'warning'),
                                           ('labelled', 'error')])
def test_link_loop(tree, name, severity):
    """MMSegmentation's search ends at a loop, ours goes round it."""
    link = tree.root / name / 'photos/again'
    link.symlink_to('.')
    finding = only(check_config(config(tree)), 'link-loop', severity, name)
    assert finding.path == str(link)


def test_datasets_that_are_built_are_said(tree):
    built = REGISTRY.build(stock(tree, 'validation', pipeline=[]))
    only(
        check_config(Config(dict(val_dataloader=dict(dataset=built)))),
        'not-checked', 'warning', 'validation')
    loader = DataLoader(built, collate_fn=list)
    only(
        check_config(Config(dict(train_dataloader=loader))), 'not-checked',
        'warning')


def test_unknown_datasets_are_said(tree):
    cfg = config(tree, validation=dict(type='BaseCDDataset'))
    only(check_config(cfg), 'not-checked', 'warning', 'validation')
    remote = stock(tree, 'validation', backend_args=dict(backend='http'))
    cfg = config(tree, validation=remote)
    only(check_config(cfg), 'not-checked', 'warning', 'validation')


def test_supervised_and_test_only_configs(tree):
    cfg = Config(dict(train_dataloader=dict(dataset=stock(tree, 'labelled'))))
    assert check_config(cfg).images == dict(labelled=6)
    cfg = Config(dict(test_dataloader=dict(dataset=stock(tree, 'validation'))))
    assert check_config(cfg).images == dict(test=4)


def test_unlabelled_images_as_the_test_set(tree):
    """Predictions are written, nothing is scored."""
    cfg = config(tree)
    photos = dict(
        data_root=str(tree.root),
        data_prefix=dict(img_path=['more', 'unlabelled/photos']))
    tree.save('more/photo.PNG', scene(tree.rng)[0])
    pipeline = [PIPELINE[0], PIPELINE[2]]
    cfg.test_dataloader = dict(
        dataset=dict(type='UnlabeledSegDataset', pipeline=pipeline, **photos))
    report = check_config(cfg)
    assert report.errors == [] and report.images['test'] == 6
    # They are trained on, too.
    assert {f.kind for f in report.findings} == {'shared-image'}


def test_missing_test_set_stops_nothing(tree):
    """A config that changes two of three sets still trains."""
    cfg = config(tree)
    cfg.test_dataloader = dict(
        dataset=stock(tree, 'test', data_root=str(tree.root / 'none')))
    report = check_config(cfg)
    assert report.errors == [] and {(f.kind, f.set)
                                    for f in report.findings
                                    } == {('set-not-built', 'test')}


def test_other_loaders_are_not_judged(tree):
    own = stock(tree, 'labelled', pipeline=[dict(type='LoadTiffOfMine')])
    assert sets_from_config(config(tree, own))[0][0].color_type is None


def test_the_loader_of_bands_is_known(tree):
    own = stock(
        tree,
        'labelled',
        pipeline=[
            dict(type='LoadBands', bands=3),
            dict(type='LoadStrictAnnotations'),
            dict(type='PackSemiInputs')
        ])
    assert sets_from_config(config(tree, own))[0][0].color_type == BANDS
    assert check_config(config(tree, own)).findings == []


def test_source_domain(tree):
    cfg = config(tree, labeled_source=stock(tree, 'validation'))
    only(check_config(cfg), 'shared-image', 'error', 'source')


def test_digit_scenes_have_no_findings(tmp_path):
    recipe = digit_scenes.DigitScenesRecipe(
        num_train=70, num_val=40, labeled=(60, ))
    digit_scenes.write_digit_scenes(tmp_path / 'digits', recipe)
    cfg = Config.fromfile(DATASETS / 'digits.py')
    for dataset in (cfg.train_dataloader.dataset.labeled,
                    cfg.train_dataloader.dataset.unlabeled,
                    cfg.val_dataloader.dataset):
        dataset.data_root = str(tmp_path / 'digits')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_dataloader.dataset.labeled.ann_file = (
        'ImageSets/Semi/digits-60.txt')
    report = check_config(cfg)
    assert report.findings == [], report.as_table()
    assert report.images == dict(labelled=60, unlabelled=10, validation=40)


@pytest.mark.parametrize('kind,file,split', [
    ('voc', 'voc12_weak.py', 'voc12-classic-366'),
    ('city', 'cityscapes_weak.py', 'city-u2pl-372'),
    ('coco', 'coco81.py', 'coco-brpg-1_32'),
])
def test_miniatures_have_no_errors(tmp_path, kind, file, split):
    root = tmp_path / FOLDERS[kind]
    write_miniature(kind, root)
    cfg = Config.fromfile(DATASETS / file)
    train = cfg.train_dataloader.dataset
    for dataset in (train.labeled, train.unlabeled,
                    cfg.val_dataloader.dataset):
        dataset.data_root = str(root)
    cfg.test_dataloader = cfg.val_dataloader
    train.verify_split = False
    train.labeled.ann_file = f'ImageSets/Semi/{split}.txt'
    if kind == 'coco':  # its methods bring the pipelines
        train.labeled.pipeline, train.unlabeled.pipeline = PIPELINE, VIEWS
    report = check_config(cfg)
    assert report.errors == [], report.as_table()
    assert {f.kind for f in report.findings} <= {'empty-class'}


@pytest.mark.parametrize('key', ['img_suffix', 'seg_map_suffix'])
def test_several_suffixes_of_one_set(tree, key):
    cfg = config(tree, stock(tree, 'labelled', **{key: ['.png', '.jpg']}))
    finding = only(check_config(cfg), 'set-not-built', 'error')
    assert 'must be one string' in finding.value


def test_a_home_folder_that_nobody_replaces(tree):
    cfg = config(tree, stock(tree, 'labelled', data_root='~/photos'))
    finding = only(check_config(cfg), 'set-not-built', 'error')
    assert 'begins with ~' in finding.value
    assert finding.value.endswith('/photos.')
