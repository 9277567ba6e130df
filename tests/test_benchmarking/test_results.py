# Copyright (c) mmseg_semi authors.
import json
from pathlib import Path

import numpy as np
import pytest

from mmseg_semi.benchmarking import (BrokenRecordError, Result, find_results,
                                     read_results)
from mmseg_semi.evaluation import PerImageAreas

RECORD = dict(
    run='a',
    config_hash='h',
    seed=0,
    iterations=10,
    last=40.,
    best=41.,
    date='2026-01-02')


def result(**keys):
    return Result(dict(RECORD, **keys), Path())


@pytest.mark.parametrize('keys, total', [
    (dict(total_batch=[16, 16], world_size=4), (16, 16)),
    (dict(total_batch=[8, 0], world_size=1, accumulate=2), (8, 0)),
    (dict(total_batch=32), (32, )),
    (dict(batch_size=8, world_size=4), (32, )),
    (dict(batch_size=16), (16, )),
    (dict(), None),
])  # yapf: disable
def test_batch_is_that_of_all_processes(keys, total):
    assert result(**keys).total_batch == total


def test_seconds_of_old_records_contain_validation():
    assert result(seconds=30.).seconds_per_iteration == 3.
    assert result(
        seconds=30., seconds_per_iteration=2.).seconds_per_iteration == 2.
    assert result().seconds_per_iteration is None


def write(path, **keys):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(RECORD, **keys)))


def test_records_below_folders(tmp_path):
    write(tmp_path / 'a/record.json', date='2026-01-05')
    write(tmp_path / 'a/deep/test_1.json', run='b', kind='test')
    write(tmp_path / 'b/record.json', run='c', date='2026-01-01')
    write(tmp_path / 'b/other.json', run='d')
    found = find_results([tmp_path / 'a', tmp_path])
    assert [one['run'] for one in found] == ['c', 'b', 'a']
    assert [one.is_test for one in found] == [False, True, False]


@pytest.mark.parametrize('iteration, found', [(10, True), (8, False)])
def test_areas_beside_a_record(tmp_path, iteration, found):
    write(tmp_path / 'record.json')
    ones = np.ones((1, 2), int)
    (tmp_path / 'per_image').mkdir()
    (tmp_path / 'per_image/last.npz').write_bytes(
        PerImageAreas(np.array(['x']), ones, ones).to_bytes(iteration))
    (one, ) = find_results([tmp_path])
    path = tmp_path / 'per_image/last.npz'
    assert one.areas == (path if found else None)


@pytest.mark.parametrize('text, words', [
    ('{', 'is no record'),
    ('[1]', 'holds a list'),
    ('{"run": "a", "seed": 1}', 'lacks config_hash, iterations, last'),
])  # yapf: disable
def test_broken_records_are_named(tmp_path, text, words):
    path = tmp_path / 'x/record.json'
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(BrokenRecordError, match=words) as error:
        find_results([tmp_path])
    assert str(path) in str(error.value) and 'Remove it' in str(error.value)


def test_lines_of_a_file(tmp_path):
    path = tmp_path / 'all.jsonl'
    assert read_results(path) == []
    path.write_text(json.dumps(dict(RECORD, per_image='per_image/a.npz')))
    (one, ) = read_results(path)
    assert one.areas == tmp_path / 'per_image/a.npz'
    path.write_text('{"run": "a"}\n')
    with pytest.raises(BrokenRecordError, match='lacks'):
        read_results(path)
    path.write_text('{"run": \n')
    with pytest.raises(BrokenRecordError, match='line 1'):
        read_results(path)


def test_missing_folder(tmp_path):
    with pytest.raises(BrokenRecordError, match='no work directory'):
        find_results([tmp_path / 'nowhere'])
