# Copyright (c) mmseg_semi authors.
from pathlib import Path

import pytest
from mmengine.config import Config
from rich.console import Console

from mmseg_semi.benchmarking import quickstart
from mmseg_semi.benchmarking.quickstart import (QuickstartError, plan,
                                                prepare_data, shortened,
                                                summarize)

ROOT = Path(__file__).resolve().parents[2]


def make_config():
    return Config(
        dict(
            model=dict(
                burn_in=300,
                terms=dict(
                    a=dict(type='A'), b=dict(window=(600, 1200)), c=None)),
            param_scheduler=[
                dict(type='LinearLR', begin=0, end=100),
                dict(type='PolyLR', begin=100, end=4000)
            ],
            train_cfg=dict(max_iters=4000, val_interval=500)))


def test_every_stage_takes_its_share_of_a_short_training():
    assert shortened(make_config(), 400) == {
        'train_cfg.max_iters': 400,
        'train_cfg.val_interval': 100,
        'model.burn_in': 30,
        'model.terms.b.window': [60, 120],
        'param_scheduler.0.end': 10,
        'param_scheduler.1.begin': 10,
        'param_scheduler.1.end': 400
    }


def test_full_training_is_that_of_the_configs():
    for run in plan(ROOT, 50, 3, None):
        plain = Config.fromfile(str(ROOT / run.config))
        assert run.cfg.model == plain.model
        assert run.cfg.train_cfg == plain.train_cfg
        assert run.cfg.param_scheduler == plain.param_scheduler
        assert run.seed == 3


def test_both_trainings_use_the_same_labels():
    for labels in (50, 100, 400):
        lists = {
            run.cfg.train_dataloader.dataset.labeled.ann_file
            for run in plan(ROOT, labels, 0, None)
        }
        assert lists == {f'ImageSets/Semi/digits-{labels}.txt'}


def test_short_configs_build_their_stages():
    supervised, ours = plan(ROOT, 50, 0, 40)
    begin, end = ours.cfg.model.terms.brpg.window
    assert 0 < ours.cfg.model.burn_in < begin < end < 40
    assert max(s.end for s in ours.cfg.param_scheduler) == 40
    assert ours.iterations == supervised.iterations == 40


def test_folders_are_keyed_by_labels_seed_and_length():
    plans = [(50, 0, None), (100, 0, None), (50, 1, None), (50, 0, 40)]
    folders = [run.folder(Path('w')) for p in plans for run in plan(ROOT, *p)]
    assert len(set(folders)) == 8
    assert folders[2].name.startswith('supervised_100labels_seed0_')


def test_size_without_a_list_names_those_there_are(tmp_path, monkeypatch):
    folder = tmp_path / 'data/DigitScenes/ImageSets/Semi'

    def write(root):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ('digits-50', 'digits-100', 'digits-seed1-70'):
            (folder / f'{name}.txt').touch()

    monkeypatch.setattr(quickstart, 'write_digit_scenes', write)
    console = Console(quiet=True)
    prepare_data(tmp_path, 100, console)
    with pytest.raises(QuickstartError, match='70 labelled.*one of 50, 100'):
        prepare_data(tmp_path, 70, console)


def test_summary_has_exactly_the_promised_keys():
    record = dict(
        last=40., best=41., iterations=10, seconds=5., commit='abc', seed=0)
    records = dict(
        supervised=dict(record, unlabeled=0),
        BRPG=dict(record, unlabeled=1550, last=50.))
    assert summarize(records, 50, 0) == dict(
        benchmark='DigitScenes',
        labels=50,
        unlabeled=1550,
        seed=0,
        commit='abc',
        results=[
            dict(
                method='supervised',
                miou_last=40.,
                miou_best=41.,
                iters=10,
                seconds=5.),
            dict(
                method='BRPG',
                miou_last=50.,
                miou_best=41.,
                iters=10,
                seconds=5.)
        ])
