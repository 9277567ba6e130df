# Copyright (c) mmseg_semi authors.
"""Pipelines that cannot work are named before training."""
import copy
import random

import numpy as np
import pytest
import torch

from mmseg_semi.data_check import check_config
from .test_config_sets import PIPELINE, VIEWS, config, stock
from .trees import Tree, kinds, only

CROP = dict(type='RandomCrop', crop_size=(16, 16), cat_max_ratio=.75)
STEPS = dict(
    labelled='train_dataloader.dataset.labeled.pipeline',
    unlabelled='train_dataloader.dataset.unlabeled.pipeline',
    validation='val_dataloader.dataset.pipeline')


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


class Unhappy:
    """A transform that fails on every image."""

    def __call__(self, results):
        raise ValueError('no such image')


def with_pipeline(tree, name, pipeline):
    """A config with this pipeline in one of its sets."""
    if name == 'unlabelled':
        return config(
            tree,
            unlabelled=dict(
                data_root=str(tree.root / 'unlabelled'),
                data_prefix=dict(img_path='photos'),
                pipeline=pipeline))
    return config(tree, **{name: stock(tree, name, pipeline=pipeline)})


def changed(pipeline, at, *steps):
    """A copy with other steps in the place of one."""
    return [*pipeline[:at], *steps, *pipeline[at + 1:]]


@pytest.mark.parametrize('name,pipeline,place,words', [
    ('unlabelled', changed(VIEWS, 1, dict(type='LoadAnnotations')),
     '[1] (LoadAnnotations)', ['have none', 'InitValidMap']),
    ('unlabelled', changed(VIEWS, 1, VIEWS[1], CROP), '[2] (RandomCrop)',
     ['cat_max_ratio=0.75', 'Leave cat_max_ratio out']),
    ('unlabelled',
     changed(VIEWS, 1, VIEWS[1],
             dict(type='RandomApply', prob=.001,
                  transforms=[CROP])), '[2] (RandomCrop)', ['cat_max_ratio']),
    ('unlabelled', [VIEWS[0], dict(type='PackSegInputs')
                    ], '[1] (PackSegInputs)', ['need views', 'unsup_student']),
    ('unlabelled', [], '', ['does not pack', 'MultiBranch']),
    ('labelled', PIPELINE[:2], '[1] (LoadStrictAnnotations)',
     ['does not pack']),
    ('labelled', changed(PIPELINE, 1), '', ['no mask is loaded']),
    ('labelled', changed(PIPELINE, 0, PIPELINE[0], CROP), '[1] (RandomCrop)',
     ["KeyError: 'gt_seg_map'", 'before it']),
    ('labelled', changed(PIPELINE, 2, dict(type='RandomFlop'), PIPELINE[2]),
     '[2] (RandomFlop)', ['no transform', 'Check its name', 'RandomFlip']),
    ('labelled',
     changed(PIPELINE, 0, PIPELINE[0], dict(type='Resize', scale=(24, 24))),
     '', ['24 x 24, its mask 32 x 32', 'before anything']),
    ('validation', changed(PIPELINE, 1), '', ['nothing is scored']),
    ('validation',
     changed(PIPELINE, 2, dict(type='Resize', scale=(24, 24)), PIPELINE[2]),
     '[2] (Resize)', ['24 x 24', '32 x 32', 'behind what changes']),
    ('validation',
     changed(PIPELINE, 2,
             dict(type='MultiBranch', branch_field=['sup'], sup=[
                 PIPELINE[2]
             ])), '[2] (MultiBranch)', ['branches of a training'])
])
def test_what_fails_is_named_with_the_remedy(tree, name, pipeline, place,
                                             words):
    cfg = with_pipeline(tree, name, pipeline)
    finding = only(check_config(cfg), 'pipeline-fails', 'error', name)
    assert finding.path == STEPS[name] + place
    for word in words:
        assert word in finding.value + finding.remedy


def test_a_transform_inside_a_branch(tree):
    views = copy.deepcopy(VIEWS)
    views[2]['unsup_teacher'].insert(0, dict(type=Unhappy))
    report = check_config(with_pipeline(tree, 'unlabelled', views))
    finding = report.errors[0]
    assert finding.path == (
        STEPS['unlabelled'] + '[2].unsup_teacher[0] (Unhappy)')
    assert 'no such image' in finding.value


@pytest.mark.parametrize('last', [
    dict(type='PackSegInputs'),
    dict(
        type='MultiBranch',
        branch_field=['sup', 'unsup_teacher'],
        sup=[dict(type='PackSemiInputs')])
])
def test_pipelines_that_work(tree, last):
    resize = dict(type='Resize', scale=(24, 24))
    cfg = with_pipeline(tree, 'labelled',
                        changed(PIPELINE, 2, resize, CROP, last))
    cfg.val_dataloader.dataset.pipeline.insert(1, resize)
    assert check_config(cfg).findings == []


def test_other_branches_than_those_of_the_labelled_set(tree):
    last = dict(type='MultiBranch', branch_field=['sup'], sup=[PIPELINE[2]])
    cfg = with_pipeline(tree, 'labelled', changed(PIPELINE, 2, last))
    finding = only(check_config(cfg), 'pipeline-fails', 'error', 'unlabelled')
    assert "['sup', 'unsup_teacher'], elsewhere ['sup']" in finding.value


def test_a_pipeline_of_the_test_set_stops_nothing(tree):
    cfg = config(tree)
    cfg.test_dataloader = dict(
        dataset=stock(tree, 'validation', pipeline=[dict(type='Unknown')]))
    report = check_config(cfg)
    assert ('warning', 'pipeline-fails', 'test') in kinds(report)
    assert report.errors == []


def test_files_that_are_reported_are_not_tried(tree):
    """One fault is one finding: the loader would stumble on these, too."""
    tree.change(lambda ids: ids + 5, only=1)
    tree.photos()[-1].write_bytes(b'no image')
    pipeline = changed(PIPELINE, 1,
                       dict(type='LoadStrictAnnotations', num_classes=3))
    report = check_config(with_pipeline(tree, 'labelled', pipeline))
    assert kinds(report) == [('error', 'mask-ids', 'labelled'),
                             ('error', 'unreadable-image', 'labelled')]


def test_a_loader_that_asks_for_other_classes_than_the_set(tree):
    pipeline = changed(PIPELINE, 1,
                       dict(type='LoadStrictAnnotations', num_classes=2))
    finding = only(
        check_config(with_pipeline(tree, 'labelled', pipeline)),
        'pipeline-fails', 'error')
    assert 'there are 2 classes' in finding.value


def test_random_numbers_of_the_caller_stay(tree):
    crop = dict(type='RandomCrop', crop_size=(16, 16))
    cfg = with_pipeline(tree, 'labelled',
                        changed(PIPELINE, 2, crop, PIPELINE[2]))
    drawn = []
    for work in (lambda: None, lambda: check_config(cfg)):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        work()
        drawn.append((random.random(), np.random.rand(), torch.rand(1)))
    assert drawn[0] == drawn[1]


def test_transforms_of_older_versions(tree):
    old = [PIPELINE[0], PIPELINE[1], dict(type='DefaultFormatBundle')]
    finding = only(
        check_config(with_pipeline(tree, 'validation', old)), 'pipeline-fails',
        'error', 'validation')
    assert 'PackSegInputs' in finding.remedy


@pytest.mark.parametrize('name', ['RandomFlip', 'PhotoMetricDistortion'])
@pytest.mark.parametrize('at', [1, 2])
def test_images_that_are_scored_do_not_change_by_chance(tree, name, at):
    prob = dict(prob=.5) if name == 'RandomFlip' else {}
    chance = dict(type=name, **prob)
    pipeline = [*PIPELINE[:at], chance, *PIPELINE[at:]]
    finding = only(
        check_config(with_pipeline(tree, 'validation', pipeline)),
        'pipeline-fails', 'error', 'validation')
    assert finding.path.endswith(f'[{at}] ({name})')
    assert 'from run to run' in finding.value


def test_a_flip_that_never_happens(tree):
    pipeline = changed(PIPELINE, 2, dict(type='RandomFlip', prob=0.),
                       PIPELINE[2])
    assert check_config(with_pipeline(tree, 'validation',
                                      pipeline)).findings == []


GREY = dict(type='LoadStrictImage', color_type='grayscale')


@pytest.mark.parametrize('name', ['labelled', 'unlabelled', 'validation'])
@pytest.mark.parametrize('mean', [None, [1., 2., 3.]])
def test_sets_of_other_bands(tree, name, mean):
    pipeline = VIEWS if name == 'unlabelled' else PIPELINE
    cfg = with_pipeline(tree, name, changed(pipeline, 0, GREY))
    report = check_config(cfg, mean=mean)
    # Without a mean nobody knows which of the sets is the odd one.
    odd = [name
           ] if mean or name != 'labelled' else ['unlabelled', 'validation']
    assert kinds(report) == [('error', 'pipeline-fails', n) for n in odd]
    words = 'data_preprocessor.mean has' if mean else 'the labelled set has'
    assert words in report.findings[0].value


def test_sets_on_another_scale(tree):
    floats = dict(PIPELINE[0], to_float32=True)
    pipeline = changed(PIPELINE, 0, floats)
    assert check_config(with_pipeline(tree, 'validation',
                                      pipeline)).findings == []
    pipeline.insert(1, dict(type='Normalize', mean=[0.] * 3, std=[255.] * 3))
    finding = only(
        check_config(with_pipeline(tree, 'validation', pipeline)),
        'pipeline-fails', 'warning', 'validation')
    assert 'values up to 0.' in finding.value


@pytest.mark.parametrize('where', ['model', 'segmentor'])
def test_images_are_normalised_once(tree, where):
    normalise = dict(type='Normalize', mean=[0.] * 3, std=[1.] * 3)
    cfg = with_pipeline(tree, 'labelled',
                        changed(PIPELINE, 2, normalise, PIPELINE[2]))
    for name in ('unlabelled', 'validation'):
        step = cfg.train_dataloader.dataset.unlabeled if (
            name == 'unlabelled') else cfg.val_dataloader.dataset
        step.pipeline = changed(step.pipeline, 1, step.pipeline[1], normalise)
    preprocessor = dict(data_preprocessor=dict(mean=[9., 9., 9.]))
    assert check_config(cfg).findings == []  # the pipelines alone do it
    cfg.model = preprocessor if where == 'model' else dict(
        segmentor=preprocessor)
    report = check_config(cfg)
    assert kinds(report) == [('error', 'pipeline-fails', name)
                             for name in STEPS]
    assert 'once more (mean=[9.0, 9.0, 9.0])' in report.findings[0].value


@pytest.mark.parametrize('resize', [True, False])
@pytest.mark.parametrize('batch_size', [1, 2])
def test_images_of_several_sizes_in_a_batch_that_is_scored(
        tree, batch_size, resize):
    tree.add('validation', 'v99', size=(32, 48))
    cfg = config(tree)
    cfg.val_dataloader.batch_size = batch_size
    if resize:
        cfg.val_dataloader.dataset.pipeline.insert(
            1, dict(type='Resize', scale=(24, 24), keep_ratio=False))
    report = check_config(cfg)
    if batch_size == 1 or resize:
        assert report.findings == []
        return
    finding = only(report, 'pipeline-fails', 'error', 'validation')
    assert '32 x 32' in finding.value and '48 x 32' in finding.value
    assert finding.remedy == 'Set batch_size=1 of val_dataloader.'


@pytest.mark.parametrize('model', [
    None,
    torch.nn.Identity(),
    dict(segmentor='mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'),
    dict(segmentor=None, data_preprocessor=None),
    dict(data_preprocessor=dict(mean=None))
])
def test_models_that_do_not_say_how_they_normalise(tree, model):
    cfg = config(tree)
    cfg._cfg_dict['model'] = model
    assert check_config(cfg).findings == []
