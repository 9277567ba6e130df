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
     '[2] (RandomFlop)', ['cannot be built', 'Check its name']),
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
