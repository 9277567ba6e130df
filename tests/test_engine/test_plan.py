# Copyright (c) mmseg_semi authors.
"""The numbers of a training, from its config alone."""
import pytest
from mmengine.config import Config

from mmseg_semi.engine.plan import (batch_plan, config_plan, list_facts,
                                    listed_images, plan_text, trained_images)
from mmseg_semi.functional.schedules import iters_per_epoch


def config(
        counts=(16, 16),
        labeled='lists/voc12-classic-366.txt',
        pool='lists/voc12-trainaug.txt',
        **kwargs):
    return Config(
        dict(
            train_cfg=dict(max_iters=51_040),
            train_dataloader=dict(
                batch_size=sum(counts),
                batch_sampler=dict(type='SemiBatchSampler'),
                sampler=dict(type='SemiSampler', counts=counts),
                dataset=dict(
                    labeled=dict(ann_file=labeled),
                    unlabeled=pool if pool is None else dict(ann_file=pool))),
            **kwargs))


@pytest.mark.parametrize('gpus', [1, 2, 4, 8])
def test_a_config_means_the_same_on_every_number_of_gpus(gpus):
    plan = config_plan(config(epoch_iters=638), gpus)
    assert plan['total'] == dict(labeled=16, unlabeled=16)
    assert plan['per_gpu'] == dict(labeled=16 // gpus, unlabeled=16 // gpus)
    assert plan['images'] == dict(labeled=366, unlabeled=10_582 - 366)
    assert plan['iterations'] == 80 * 638
    assert plan['epochs_unlabeled'] == 80
    assert plan['epochs_labeled'] == round(51_040 * 16 / 366, 2)


def test_the_papers_epoch_on_four_gpus():
    assert iters_per_epoch(10_582 - 366, 4, 4) == 638


@pytest.mark.parametrize(
    'counts, images, epoch, expected',
    [
        ((16, 16), (366, 10_216), 638, 10),
        ((8, 16), (366, 10_216), 1277, 10),  # CPS' second batch
        ((16, 16), (10, 70), 638, round(6380 * 16 / 70, 2)),
        ((16, 16), (None, None), 638, 10),
    ])
def test_a_stated_epoch_holds_for_the_images_it_was_stated_of(
        counts, images, epoch, expected):
    plan = batch_plan(counts, 10 * epoch, images=images, epoch_iters=epoch)
    assert plan['epochs_unlabeled'] == expected


def test_epochs_without_a_stated_length_are_passes():
    plan = config_plan(config(), 2, 4)
    assert plan['per_gpu'] == dict(labeled=2, unlabeled=2)
    assert plan['epochs_unlabeled'] == round(51_040 * 16 / 10_216, 2)


def test_sources_that_take_turns_are_seen_half_as_often():
    plan = batch_plan((2, 2), 100, images=(10, 20, 30), alternate=True)
    assert plan['epochs_labeled'] == 10
    assert plan['epochs_unlabeled'] == 10


def test_supervised_trainings_have_no_epochs_of_unlabelled_images():
    cfg = config((16, 0), pool=None, epoch_iters=638)
    plan = config_plan(cfg)
    assert listed_images(cfg) == (366, 0)
    assert plan['epochs_unlabeled'] is None
    assert 'unlabelled' not in plan_text(plan, []).splitlines()[0]


@pytest.mark.parametrize('labeled, pool, images, expected', [
    ('mine.txt', 'lists/voc12-trainaug.txt', None, (None, None)),
    ('a/city-u2pl-372.txt', '', None, (372, None)),
    ('a/city-u2pl-372.txt', '', 2975, (372, 2603)),
])
def test_what_no_list_tells_is_not_known(labeled, pool, images, expected):
    cfg = config(
        labeled=labeled,
        pool=pool,
        protocol=dict(images=images) if images else {})
    assert listed_images(cfg) == expected
    if images is None:
        assert 'not known' in plan_text(config_plan(cfg), [])


@pytest.mark.parametrize('held_out, trained', [(.1, 329), (66, 300)])
def test_held_out_images_are_not_counted(held_out, trained):
    cfg = config()
    before = listed_images(cfg)
    cfg.train_dataloader.dataset.held_out = held_out
    assert listed_images(cfg) == (trained, before[1])
    assert trained_images(cfg, None) is None
    assert trained_images(cfg, 366) == trained
    assert config_plan(cfg)['images']['labeled'] == trained


def test_facts_of_lists():
    (role, name, count, digest), pool = list_facts(config())
    assert (role, name, count) == ('labeled', 'voc12-classic-366', 366)
    assert len(digest) == 64
    assert pool[:3] == ('unlabeled', 'voc12-trainaug', 10_582)


def test_another_sampler_is_refused():
    cfg = config()
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    with pytest.raises(ValueError, match='is InfiniteSampler, which does not'):
        config_plan(cfg)


def test_what_training_refuses_has_no_plan():
    cfg = config((8, 8))
    cfg.train_dataloader.batch_size = 32
    with pytest.raises(ValueError, match='batch_size is 32.*16 images in all'):
        config_plan(cfg)
    cfg.train_dataloader.update(batch_size=16, batch_sampler=None)
    assert config_plan(cfg)['per_gpu'] == dict(labeled=8, unlabeled=8)
    with pytest.raises(ValueError, match='batches of 16.* 8, [(]4, 4[)] of'):
        config_plan(cfg, 2)


def test_the_table_names_what_is_within_a_batch():
    text = plan_text(batch_plan((4, 4), 10, gpus=2), ['first', 'second'])
    assert 'on each of 2 process(es)' in text
    assert [line.split()[-1]
            for line in text.splitlines()[-2:]] == ['first', 'second']
    assert 'first' not in plan_text(batch_plan((4, 4), 10), ['first'])
