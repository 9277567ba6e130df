# Copyright (c) mmseg_semi authors.
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mmseg_semi.engine import (CheckpointError, SemiCheckpointHook,
                               UnsafeCheckpointError, atomic)
from mmseg_semi.engine.norm_stats import average_norm_stats
from .engine_toys import make_runner
from .test_checkpoint import foreign, truncate


class Hub(Hook):
    """Put awkward things where other hooks put theirs."""

    def before_train(self, runner):
        runner.message_hub.update_info('array', np.arange(3.))
        runner.message_hub.update_info('object', object())


def train(*args, **kwargs):
    runner = make_runner(*args, **kwargs)
    runner.train()
    return runner


def checkpoints(folder):
    """File names but the configuration that the runner dumps."""
    return sorted(
        p.name for p in Path(folder).iterdir()
        if p.is_file() and p.suffix != '.py')


def test_real_checkpoint_loads_safely(tmp_path):
    train(
        tmp_path,
        val_interval=2,
        scores=(10., 20.),
        hooks=[Hub()],
        checkpoint=dict(save_best='mIoU'))
    for path in tmp_path.glob('*.pth'):
        content = torch.load(path, weights_only=True)
        assert content['meta']['iter'] == int(path.stem.split('_')[-1])
    assert checkpoints(tmp_path) == [
        'best_mIoU_iter_4.pth', 'iter_2.pth', 'iter_4.pth', 'last_checkpoint'
    ]
    hub = torch.load(tmp_path / 'iter_4.pth')['message_hub']
    assert hub['runtime_info']['best_score'] == 20.
    assert 'object' not in hub['runtime_info']


def test_record_is_in_the_meta_data(tmp_path):
    train(tmp_path, seed=5)
    record = torch.load(tmp_path / 'iter_4.pth')['meta']['mmseg_semi']
    version = record.pop('version')
    assert version.count('.') >= 1
    assert record == dict(
        total_batch=[1, 2],
        world_size=1,
        accumulate=1,
        batch_size=3,
        sampler_seed=5,
        split_info=dict(name='toy-4', sha256='0' * 64),
        schedule=dict(max_iters=4))


def test_resume_restores_the_message_hub_exactly(tmp_path):
    hooks = [Hub()]
    before = train(tmp_path, val_interval=2, hooks=hooks).message_hub
    resumed = make_runner(tmp_path, max_iters=4, resume=True)
    resumed._train_loop = resumed.build_train_loop(resumed._train_loop)
    resumed.call_hook('before_run')
    resumed.load_or_resume()
    after = resumed.message_hub
    # The validation of iteration 4 came after its checkpoint.
    late = {'val/mIoU', 'val/aAcc', 'val/time', 'val/data_time'}
    assert set(after.log_scalars) == set(before.log_scalars)
    for name in set(after.log_scalars) - late:
        for old, new in zip(before.log_scalars[name].data,
                            after.log_scalars[name].data):
            assert old.dtype == new.dtype, name
            assert old.tobytes() == new.tobytes(), name
    array = after.runtime_info['array']
    assert array.dtype == float and array.tolist() == [0, 1, 2]
    assert after.runtime_info['last_val_iter'] == 2


@pytest.mark.parametrize('max_keep', [1, 2])
def test_only_the_newest_are_kept(tmp_path, max_keep):
    train(tmp_path, max_iters=8, checkpoint=dict(max_keep_ckpts=max_keep))
    kept = [f'iter_{i}.pth' for i in (2, 4, 6, 8)][-max_keep:]
    assert checkpoints(tmp_path) == kept + ['last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path /
                                                             'iter_8.pth')


@pytest.mark.parametrize('interval,max_iters,expected', [
    (2, 5, [2, 4, 5]),
    (3, 6, [3, 6]),
    (10, 4, [4]),
])
def test_intervals_count_finished_iterations(tmp_path, interval, max_iters,
                                             expected):
    train(tmp_path, interval=interval, max_iters=max_iters)
    found = [torch.load(p)['meta']['iter'] for p in tmp_path.glob('*.pth')]
    assert sorted(found) == expected


class CrashOnWrite:
    """Die in the middle of the n-th write of a file of a kind."""

    def __init__(self, kind, number):
        self.kind, self.number = kind, number

    def __call__(self, descriptor):
        if self.kind in os.readlink(f'/proc/self/fd/{descriptor}'):
            self.number -= 1
            if self.number == 0:
                raise KeyboardInterrupt


@pytest.mark.skipif(not Path('/proc/self/fd').exists(), reason='needs /proc')
@pytest.mark.parametrize('kind', ['iter_4.pth', 'last_checkpoint'])
def test_crash_in_the_middle_of_a_write(tmp_path, monkeypatch, kind):
    number = 1 if 'iter' in kind else 2
    monkeypatch.setattr(atomic.os, 'fsync', CrashOnWrite(kind, number))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, checkpoint=dict(max_keep_ckpts=1))
    monkeypatch.undo()
    # Had the old one been deleted first, nothing would be left.
    assert (tmp_path / 'iter_2.pth').exists()
    runner = train(
        tmp_path, max_iters=6, checkpoint=dict(max_keep_ckpts=1), resume=True)
    first_read = 2 * 3
    assert len(runner.train_dataloader.dataset.read) == 6 * 3 - first_read
    assert checkpoints(tmp_path) == ['iter_6.pth', 'last_checkpoint']


def test_crash_before_deleting_leaves_it_to_the_next_run(
        tmp_path, monkeypatch):
    options = dict(checkpoint=dict(max_keep_ckpts=1))

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(SemiCheckpointHook, '_remove', crash)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, **options)
    monkeypatch.undo()
    assert checkpoints(tmp_path)[:2] == ['iter_2.pth', 'iter_4.pth']
    train(tmp_path, max_iters=6, resume=True, **options)
    assert checkpoints(tmp_path) == ['iter_6.pth', 'last_checkpoint']


def test_unfinished_files_are_removed(tmp_path):
    (tmp_path / 'iter_2.pth.tmp').write_bytes(b'half')
    (tmp_path / 'notes.tmp').write_bytes(b'')
    train(tmp_path, max_iters=1)
    assert checkpoints(tmp_path) == [
        'iter_1.pth', 'last_checkpoint', 'notes.tmp'
    ]


@pytest.mark.parametrize('save_best', ['mIoU', ['mIoU', 'aAcc']])
def test_best_checkpoint_replaces_the_previous_one(tmp_path, save_best):
    train(
        tmp_path,
        max_iters=6,
        val_interval=2,
        scores=(20., 10., 30.),
        checkpoint=dict(save_best=save_best, max_keep_ckpts=1))
    keys = [save_best] if isinstance(save_best, str) else save_best
    best = sorted(p.name for p in tmp_path.glob('best_*'))
    assert best == sorted(f'best_{key}_iter_6.pth' for key in keys)


@pytest.mark.parametrize('save_best', ['mIoU', ['mIoU', 'aAcc']])
def test_best_checkpoint_of_another_folder_stays(tmp_path, save_best):
    options = dict(val_interval=2, checkpoint=dict(save_best=save_best))
    train(tmp_path / 'a', scores=(10., 20.), **options)
    before = checkpoints(tmp_path / 'a')
    assert 'best_mIoU_iter_4.pth' in before
    train(
        tmp_path / 'b',
        max_iters=8,
        scores=(30., 40.),
        load_from=str(tmp_path / 'a/iter_4.pth'),
        resume=True,
        **options)
    assert checkpoints(tmp_path / 'a') == before
    assert [p.name for p in (tmp_path / 'b').glob('best_mIoU_*')
            ] == ['best_mIoU_iter_8.pth']


@pytest.mark.parametrize('save_best', ['mIoU', ['mIoU', 'aAcc']])
def test_crash_while_saving_the_best(tmp_path, monkeypatch, save_best):
    options = dict(save_best=save_best, max_keep_ckpts=1)
    train(
        tmp_path,
        max_iters=2,
        val_interval=2,
        scores=(20., ),
        checkpoint=options)
    old = tmp_path / 'best_mIoU_iter_2.pth'
    replace = os.replace

    def crash(source, target):
        if 'best_mIoU_iter_4' in str(target):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(atomic.os, 'replace', crash)
    more = dict(
        max_iters=4,
        val_interval=2,
        scores=(30., ),
        checkpoint=options,
        resume=True)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, **more)
    assert old.exists()
    monkeypatch.undo()
    # The validation is pending; running it saves the new best one.
    train(tmp_path, **more)
    assert not old.exists()
    assert (tmp_path / 'best_mIoU_iter_4.pth').exists()


def test_equal_score_keeps_the_best_file_and_knows_it(tmp_path):
    runner = train(
        tmp_path,
        max_iters=6,
        val_interval=2,
        scores=(20., 20., 30.),
        checkpoint=dict(save_best='mIoU'))
    assert [p.name
            for p in tmp_path.glob('best_*')] == ['best_mIoU_iter_6.pth']
    hook, = (h for h in runner.hooks if hasattr(h, 'best_ckpt_path'))
    assert hook.best_ckpt_path == str(tmp_path / 'best_mIoU_iter_6.pth')


def test_truncated_newest_file_is_passed_over(tmp_path):
    train(tmp_path)
    truncate(tmp_path / 'iter_4.pth')
    runner = train(tmp_path, resume=True)
    assert len(runner.train_dataloader.dataset.read) == 2 * 3
    assert torch.load(tmp_path / 'iter_4.pth')['meta']['iter'] == 4


def test_resume_in_an_empty_folder_starts_from_scratch(tmp_path):
    runner = train(tmp_path, resume=True)
    assert len(runner.train_dataloader.dataset.read) == 4 * 3


@pytest.mark.parametrize('resume', [True, False])
@pytest.mark.parametrize('stage', ['train', 'val'])
def test_unusable_load_from_is_refused(tmp_path, resume, stage):
    path = tmp_path / 'other.pth'
    foreign(path)
    options = dict(load_from=str(path), resume=resume)
    with pytest.raises(UnsafeCheckpointError, match='other.pth'):
        getattr(make_runner(tmp_path, **options), stage)()
    truncate(path)
    with pytest.raises(CheckpointError, match='other.pth is truncated'):
        getattr(make_runner(tmp_path, **options), stage)()


def test_load_from_does_not_resume(tmp_path):
    train(tmp_path / 'a')
    runner = train(
        tmp_path / 'b', load_from=str(tmp_path / 'a' / 'iter_4.pth'))
    assert len(runner.train_dataloader.dataset.read) == 4 * 3
    assert len(runner.message_hub.log_scalars['train/loss'].data[0]) == 4


def test_interval_between_optimizer_steps_is_reported(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr('mmseg_semi.engine.hooks.checkpoint_hook.print_log',
                        lambda message, **kwargs: messages.append(message))
    optim = dict(accumulative_counts=4, optimizer=dict(type='SGD', lr=.1))
    train(tmp_path / '8', interval=8, optim=optim)
    assert messages == []
    train(tmp_path / '6', interval=6, optim=optim)
    assert 'accumulative_counts=4' in messages[0]


def two_norms(rank):
    """Statistics (1, 3) on rank 0 and (5, 7) on rank 1."""
    model = nn.Sequential(
        nn.BatchNorm1d(2), nn.InstanceNorm1d(2, track_running_stats=True),
        nn.BatchNorm1d(2, track_running_stats=False), nn.LayerNorm(2))
    model.register_buffer('bank', torch.tensor(float(rank)))
    for norm in model[:2]:
        norm.running_mean += 1. + 4 * rank
        norm.running_var += 2. + 4 * rank
        norm.num_batches_tracked += 2 * rank
    return model


def averaged(rank):
    model = two_norms(rank)
    average_norm_stats(model)
    return model.state_dict()


@pytest.mark.dist
def test_norm_statistics_are_averaged_over_processes(gloo_pool):
    for rank, state in enumerate(gloo_pool(averaged)):
        for i in (0, 1):
            assert state[f'{i}.running_mean'].tolist() == [3, 3]
            assert state[f'{i}.running_var'].tolist() == [5, 5]
            assert state[f'{i}.num_batches_tracked'] == 2 * rank
            assert torch.equal(state[f'{0}.weight'], torch.ones(2))
        assert state['bank'] == rank


def saved_by_two(rank, folder):
    """What each process has after training, and what was saved."""
    runner = make_runner(
        folder,
        max_iters=2,
        counts=(2, 4),
        batch_size=6,
        env_cfg=dict(mp_start_method=None))
    runner.model.train()
    runner.train()
    return runner.model.state_dict(), runner.train_dataloader.dataset.read


@pytest.mark.dist
def test_saved_statistics_are_those_of_all_processes(gloo_pool, tmp_path):
    (first, read_0), (second, read_1) = gloo_pool(saved_by_two, str(tmp_path))
    assert not set(read_0) & set(read_1)
    saved = torch.load(tmp_path / 'iter_2.pth')
    assert saved['meta']['mmseg_semi']['world_size'] == 2
    for state in (first, second):
        for name in ('student.1.running_mean', 'student.1.running_var'):
            assert torch.equal(state[name], saved['state_dict'][name])


def refused_by_two(rank, path):
    with pytest.raises(CheckpointError, match='truncated'):
        make_runner(
            Path(path).parent,
            load_from=path,
            counts=(2, 4),
            batch_size=6,
            env_cfg=dict(mp_start_method=None)).train()
    return True


@pytest.mark.dist
def test_refusal_reaches_every_process(gloo_pool, tmp_path):
    path = foreign(tmp_path / 'iter_2.pth')
    truncate(path)
    assert gloo_pool(refused_by_two, str(path)) == [True, True]
