# Copyright (c) mmseg_semi authors.
import json
import multiprocessing
import subprocess

import pytest
from mmengine.config import Config

from mmseg_semi.engine import run_records
from mmseg_semi.engine.run_records import (append_record, config_hash,
                                           read_records, source_commit)


def make_config(**changes):
    cfg = Config(
        dict(
            model=dict(type='M', size=(2, 3), terms=dict(a=dict(w=1.))),
            train_dataloader=dict(
                batch_size=4,
                num_workers=2,
                dataset=dict(data_root='here', ann_file='l.txt')),
            val_dataloader=dict(
                batch_size=9, dataset=dict(data_root='here', ann_file='v')),
            optim_wrapper=dict(optimizer=dict(lr=.1)),
            param_scheduler=[dict(type='PolyLR', end=10)],
            train_cfg=dict(max_iters=10, val_interval=5),
            randomness=dict(seed=0),
            work_dir='w'))
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize('key, value',
                         [('model.terms.a.w', 2.),
                          ('train_dataloader.batch_size', 8),
                          ('train_dataloader.dataset.ann_file', 'other.txt'),
                          ('optim_wrapper.optimizer.lr', .2),
                          ('param_scheduler.0.end', 20),
                          ('train_cfg.max_iters', 20),
                          ('val_dataloader.dataset.ann_file', 'w')])
def test_hash_knows_what_decides_the_result(key, value):
    assert config_hash(make_config(**{key: value})) != config_hash(
        make_config())


@pytest.mark.parametrize('key, value',
                         [('train_dataloader.num_workers', 0),
                          ('randomness.seed', 7),
                          ('train_dataloader.dataset.data_root', '/there'),
                          ('train_cfg.val_interval', 1),
                          ('train_cfg.accumulate', 4),
                          ('work_dir', 'elsewhere'),
                          ('val_dataloader.batch_size', 1),
                          ('model.size', [2, 3])])
def test_hash_ignores_the_rest(key, value):
    assert config_hash(make_config(**{key: value})) == config_hash(
        make_config())


def test_hash_of_an_empty_config():
    assert len(config_hash(Config())) == 12


def test_records_are_read_in_order(tmp_path):
    path = tmp_path / 'folder' / 'r.jsonl'
    assert read_records(path) == []
    assert append_record(path, dict(run='a', last=1.5))
    assert append_record(path, dict(run='b', last=None))
    assert read_records(path) == [
        dict(run='a', last=1.5),
        dict(run='b', last=None)
    ]


def test_a_run_is_recorded_once(tmp_path):
    path = tmp_path / 'r.jsonl'
    assert append_record(path, dict(run='a', last=1))
    assert not append_record(path, dict(run='a', last=2))
    assert read_records(path) == [dict(run='a', last=1)]


def test_file_without_final_newline_is_mended(tmp_path):
    path = tmp_path / 'r.jsonl'
    path.write_text('{"run": "a"}')
    append_record(path, dict(run='b'))
    assert [record['run'] for record in read_records(path)] == ['a', 'b']


def test_nothing_is_written_of_a_record_that_json_cannot_say(tmp_path):
    path = tmp_path / 'r.jsonl'
    append_record(path, dict(run='a'))
    for bad in (float('nan'), {1, 2}):
        with pytest.raises((ValueError, TypeError)):
            append_record(path, dict(run='b', last=bad))
    assert read_records(path) == [dict(run='a')]


@pytest.mark.parametrize('line', ['{"run": "a"', '[1]', '{"last": 3}', '5'])
def test_malformed_line_is_named(tmp_path, line):
    path = tmp_path / 'r.jsonl'
    path.write_text(f'{json.dumps(dict(run="x"))}\n\n{line}\n')
    with pytest.raises(ValueError, match='r.jsonl, line 3'):
        read_records(path)


def _append_some(path, start):
    for i in range(start, start + 20):
        append_record(path, dict(run=str(i)))


@pytest.mark.dist
def test_processes_do_not_lose_each_others_records(tmp_path):
    path, context = tmp_path / 'r.jsonl', multiprocessing.get_context('fork')
    processes = [
        context.Process(target=_append_some, args=(path, start))
        for start in (0, 20, 40)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    runs = {record['run'] for record in read_records(path)}
    assert runs == {str(i) for i in range(60)}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    root = tmp_path / 'checkout'
    (root / 'mmseg_semi').mkdir(parents=True)
    (root / 'mmseg_semi' / 'a.py').write_text('1')
    for name in ('GIT_AUTHOR', 'GIT_COMMITTER'):
        monkeypatch.setenv(f'{name}_NAME', 'x')
        monkeypatch.setenv(f'{name}_EMAIL', 'x@example.org')

    def git(*arguments):
        return subprocess.run(['git', *arguments],
                              cwd=root,
                              check=True,
                              capture_output=True,
                              text=True).stdout.strip()

    git('init')
    git('add', '.')
    git('commit', '-m', 'first')
    monkeypatch.setattr(run_records, '_ROOT', root.resolve())
    return root, git


def test_commit_and_whether_code_differs_from_it(checkout):
    root, git = checkout
    commit = git('rev-parse', 'HEAD')[:12]
    assert source_commit() == commit
    # Results of other runs are no change of the code.
    (root / 'benchmarks').mkdir()
    (root / 'benchmarks' / 'r.jsonl').write_text('{}')
    assert source_commit() == commit
    (root / 'mmseg_semi' / 'a.py').write_text('2')
    assert source_commit() == f'{commit}-dirty'


def test_commit_of_a_project_around_the_package_is_not_ours(
        checkout, monkeypatch):
    root, _ = checkout
    monkeypatch.setattr(run_records, '_ROOT', root / 'mmseg_semi')
    assert source_commit() is None


def test_no_commit_without_git(tmp_path, monkeypatch):
    monkeypatch.setattr(run_records, '_ROOT', tmp_path)
    monkeypatch.setenv('PATH', '')
    assert source_commit() is None
