# Copyright (c) mmseg_semi authors.
import itertools
import json
import math
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mmseg_semi.engine.run_records import config_hash, read_records
from mmseg_semi.evaluation import PerImageAreas, PerImageIoUMetric
from .engine_toys import CountingDataset, NumpyMetric, make_runner


class FixedAreas(PerImageIoUMetric):
    """Three images, whatever is predicted."""

    def process(self, data_batch, data_samples):
        row = torch.tensor([4., 6.])
        self.results += [(row, row + 4, row, row, f'i{i}') for i in range(3)]

    def compute_metrics(self, results):
        return {**super().compute_metrics(results), 'mIoU': 50.}


class StopAt(Hook):
    """Ends the training after an iteration, as a kill or early stopping."""

    def __init__(self, iteration, kill):
        self.iteration, self.kill = iteration, kill

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if runner.iter + 1 == self.iteration:
            if self.kill:
                raise KeyboardInterrupt
            runner.train_loop.stop_training = True


def run(work_dir, hooks=(), record_file=None, **kwargs):
    hook = dict(type='RunRecordHook', method='toy')
    if record_file is not None:
        hook['record_file'] = str(record_file)
    kwargs.setdefault('val_interval', 2)
    runner = make_runner(work_dir, hooks=[hook, *hooks], **kwargs)
    runner.train()
    return runner


def read(work_dir):
    return json.loads((work_dir / 'record.json').read_text())


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The hook's clock: a second passes between any two looks at it."""
    clock = SimpleNamespace(perf_counter=itertools.count().__next__)
    monkeypatch.setattr('mmseg_semi.engine.hooks.run_record_hook.time', clock)


def test_record_of_a_complete_run(tmp_path):
    runner = run(tmp_path, max_iters=6, scores=(30., 60., 45.), seed=3)
    record = read(tmp_path)
    assert record['curve'] == [[2, 30], [4, 60], [6, 45]]
    assert (record['last'], record['best'],
            record['best_iteration']) == (45, 60, 4)
    assert (record['method'], record['seed'], record['iterations']) == ('toy',
                                                                        3, 6)
    assert record['config'] is None
    assert record['config_hash'] == config_hash(runner.cfg)
    assert (record['split'], record['split_sha256']) == ('toy-4', '0' * 64)
    assert record['batch_size'] == 3 and record['world_size'] == 1
    assert record['versions']['torch'] == torch.__version__
    assert record['host']['threads'] == torch.get_num_threads()
    assert 0 < record['seconds'] < 60
    assert record['peak_memory_mb']['host'] > 50
    assert datetime.fromisoformat(record['date']).tzinfo is not None


@pytest.mark.parametrize(
    'filename, config, method',
    [('/a/configs/brpg/brpg-cpg_r18_digits_50.py',
      'configs/brpg/brpg-cpg_r18_digits_50.py', 'brpg-cpg'),
     ('mine/some_config.py', 'mine/some_config.py', 'some')])
def test_config_and_method_come_from_the_file_name(tmp_path, filename, config,
                                                   method):
    runner = make_runner(tmp_path, hooks=[dict(type='RunRecordHook')])
    object.__setattr__(runner.cfg, '_filename', filename)
    runner.train()
    record = read(tmp_path)
    assert (record['config'], record['method']) == (config, method)


@pytest.mark.parametrize('kill', [True, False])
def test_no_record_of_a_run_that_stopped(tmp_path, kill):
    try:
        run(tmp_path, [StopAt(3, kill)], tmp_path / 'all.jsonl')
    except KeyboardInterrupt:
        pass
    assert not (tmp_path / 'record.json').exists()
    assert not (tmp_path / 'all.jsonl').exists()


def test_resumed_run_is_one_run(tmp_path, monkeypatch):
    records = tmp_path / 'all.jsonl'
    hook = 'mmseg_semi.engine.hooks.run_record_hook.'
    monkeypatch.setattr(hook + 'source_commit', lambda: 'first')
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [StopAt(5, True)],
            records,
            max_iters=6,
            scores=(30., 60.))
    stored = torch.load(tmp_path / 'iter_4.pth')['meta']['run_record']
    assert stored['curve'] == [[2, 30]]  # saved before its own validation
    stored = dict(stored, seconds=1000., memory=dict(host=10**6))
    content = torch.load(tmp_path / 'iter_4.pth')
    content['meta']['run_record'] = stored
    torch.save(content, tmp_path / 'iter_4.pth')

    monkeypatch.setattr(hook + 'source_commit', lambda: 'second')
    # The first score is of the validation that the kill left pending.
    run(tmp_path, (), records, max_iters=6, scores=(60., 45.), resume=True)
    record = read(tmp_path)
    assert record['curve'] == [[2, 30], [4, 60], [6, 45]]
    assert record['run'] == stored['run']
    assert 1000 < record['seconds'] < 1060
    assert record['peak_memory_mb']['host'] == 10**6
    assert record['commit'] == 'first+second'
    (line, ) = read_records(records)
    assert line['run'] == record['run'] and line['last'] == 45


def test_resuming_a_finished_run_adds_no_line(tmp_path):
    records = tmp_path / 'all.jsonl'
    run(tmp_path, (), records)
    before = read(tmp_path)
    run(tmp_path, (), records, resume=True)
    assert len(read_records(records)) == 1
    assert read(tmp_path)['curve'] == before['curve']


def test_loaded_weights_do_not_bring_a_record(tmp_path):
    run(tmp_path / 'a')
    run(tmp_path / 'b', load_from=str(tmp_path / 'a' / 'iter_4.pth'))
    one, other = read(tmp_path / 'a'), read(tmp_path / 'b')
    assert one['run'] != other['run']
    assert len(other['curve']) == 2


def test_best_checkpoint_knows_its_score(tmp_path):
    run(tmp_path, scores=(30., 20.), checkpoint=dict(save_best='mIoU'))
    (best, ) = tmp_path.glob('best_*.pth')
    state = torch.load(best)['meta']['run_record']
    assert state['curve'] == [[2, 30]]


def test_undefined_score_is_null(tmp_path):
    run(tmp_path, scores=(30., math.nan))
    record = read(tmp_path)
    assert record['last'] is None and record['best'] == 30
    assert record['curve'] == [[2, 30], [4, None]]


def test_training_without_validation_has_no_score(tmp_path):
    runner = make_runner(tmp_path, hooks=[dict(type='RunRecordHook')])
    runner._val_loop = None
    runner.train()
    record = read(tmp_path)
    assert record['last'] is record['best'] is None
    assert record['curve'] == []


def test_areas_of_the_last_validation(tmp_path):
    records = tmp_path / 'bench' / 'all.jsonl'
    runner = make_runner(
        tmp_path / 'w',
        val_interval=2,
        hooks=[dict(type='RunRecordHook', record_file=str(records))])
    runner._val_evaluator = [FixedAreas()]
    runner.train()
    areas, iteration = PerImageAreas.load(tmp_path / 'w/per_image/last.npz')
    assert iteration == 4 and areas.ids.tolist() == ['i0', 'i1', 'i2']
    assert areas.union.tolist() == [[8, 10]] * 3
    (line, ) = read_records(records)
    kept, iteration = PerImageAreas.load(records.parent / line['per_image'])
    assert iteration == 4 and np.array_equal(kept.union, areas.union)
    assert 'per_image' not in read(tmp_path / 'w')


def test_areas_of_another_iteration_are_not_kept(tmp_path):
    records = tmp_path / 'all.jsonl'
    stale = tmp_path / 'w/per_image/last.npz'
    stale.parent.mkdir(parents=True)
    ones = np.ones((1, 2), int)
    stale.write_bytes(PerImageAreas(np.array(['x']), ones, ones).to_bytes(3))
    run(tmp_path / 'w', (), records)  # its metric gives no areas
    (line, ) = read_records(records)
    assert line['per_image'] is None


def test_record_says_how_it_was_measured(tmp_path):
    run(tmp_path)
    assert read(tmp_path)['evaluation'] is None  # a runner without config


def test_validation_alone_writes_nothing(tmp_path):
    runner = make_runner(tmp_path, hooks=[dict(type='RunRecordHook')])
    runner._val_evaluator = [FixedAreas()]
    runner.val()
    assert not (tmp_path / 'per_image').exists()


@pytest.fixture
def tester(tmp_path):
    """A runner that tests a checkpoint of four iterations, seed 3."""
    run(tmp_path / 'train', seed=3)
    runner = make_runner(
        tmp_path / 'test',
        hooks=[dict(type='RunRecordHook', method='toy')],
        load_from=str(tmp_path / 'train/iter_4.pth'),
        seed=0,
        test_dataloader=dict(
            dataset=CountingDataset(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=12,
            num_workers=0),
        test_cfg=dict(),
        test_evaluator=[FixedAreas()])
    return runner


def read_test(work_dir):
    (path, ) = work_dir.glob('test_*.json')
    return json.loads(path.read_text())


def test_record_of_a_test(tester, tmp_path):
    tester.test()
    record, trained = read_test(tmp_path / 'test'), read(tmp_path / 'train')
    assert record['kind'] == 'test' and record['last'] == 50.
    assert record['scores']['mIoU'] == 50. and 'aAcc' in record['scores']
    assert record['checkpoint'].endswith('train/iter_4.pth')
    assert record['iterations'] == record['max_iterations'] == 4
    assert record['trained'] == trained['run'] != record['run']
    for key in ('seed', 'config_hash', 'method', 'split_sha256', 'world_size',
                'commit'):
        assert record[key] == trained[key], key
    assert record['seed'] == 3 and record['seconds_per_iteration'] > 0
    areas, iteration = PerImageAreas.load(tmp_path / 'test' /
                                          record['per_image'])
    assert iteration == 4 and areas.ids.tolist() == ['i0', 'i1', 'i2']
    assert not (tmp_path / 'test/record.json').exists()


def test_checkpoint_of_others_is_known_by_the_config_alone(tester, tmp_path):
    path = tmp_path / 'train/iter_4.pth'
    content = torch.load(path)
    torch.save(dict(state_dict=content['state_dict']), path)
    tester.test()
    record = read_test(tmp_path / 'test')
    assert record['iterations'] is None and record['trained'] is None
    assert record['config_hash'] == config_hash(tester.cfg)
    assert record['last'] == 50.


def test_test_without_the_score_writes_nothing(tester, tmp_path):
    for hook in tester.hooks:
        if type(hook).__name__ == 'RunRecordHook':
            hook.metric = 'mDice'
    tester.test()
    assert not list((tmp_path / 'test').glob('test_*.json'))


def test_dataset_without_a_split(tmp_path):

    class Plain(CountingDataset):
        split_info = {}

    run(tmp_path, dataset=Plain())
    record = read(tmp_path)
    assert record['labels'] is None and record['split'] is None


def test_score_of_another_name(tmp_path):
    runner = make_runner(
        tmp_path, hooks=[dict(type='RunRecordHook', metric='aAcc')])
    runner._val_evaluator = [NumpyMetric((40., ))]
    runner.train()
    record = read(tmp_path)
    assert record['metric'] == 'aAcc' and record['last'] == 20
