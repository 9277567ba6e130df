# Copyright (c) mmseg_semi authors.
"""A work directory belongs to one training."""
import json
import os
import signal
import subprocess
import sys

import pytest

from mmseg_semi.engine.work_dir import LOCK_NAME, WorkDirError, check_unused
from .engine_toys import make_runner

HOLD = '''
import sys
from mmseg_semi.engine.work_dir import claim

class Runner:
    _resume, cfg = True, {}

runner = Runner()
claim(runner, sys.argv[1])
print('held', flush=True)
sys.stdin.read()
'''
EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=1)
STOCK = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=100)


@pytest.fixture
def holder(tmp_path):
    """Another process that trains in the folder."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.communicate()


def with_loop(runner, loop):
    """The runner with another training loop."""
    runner._train_loop = dict(loop or runner._train_loop)
    return runner


@pytest.mark.parametrize('loop', [None, STOCK], ids=['ours', 'stock'])
def test_checkpoints_of_another_training_are_left_alone(tmp_path, loop):
    with_loop(make_runner(tmp_path), loop).train()
    assert not (tmp_path / LOCK_NAME).exists()
    before = {p: p.read_bytes() for p in tmp_path.glob('*.pth')}
    assert len(before) == 2
    with pytest.raises(WorkDirError, match='has checkpoints.*iter_2.pth.*--r'):
        with_loop(make_runner(tmp_path, max_iters=3, seed=1), loop).train()
    assert before == {p: p.read_bytes() for p in tmp_path.glob('*.pth')}
    with_loop(make_runner(tmp_path, resume=True), loop).train()
    anew = make_runner(tmp_path, seed=1, cfg=dict(reuse_work_dir=True))
    with_loop(anew, loop).train()
    again = {p: p.read_bytes() for p in tmp_path.glob('*.pth')}
    assert again.keys() == before.keys() and again != before


def test_weights_of_ones_own_are_no_checkpoints(tmp_path):
    (tmp_path / 'resnet18.pth').touch()
    check_unused(tmp_path)
    check_unused(tmp_path / 'absent')
    (tmp_path / 'best_mIoU_iter_7.pth').touch()
    with pytest.raises(WorkDirError, match='best_mIoU_iter_7.pth'):
        check_unused(tmp_path)


@pytest.mark.parametrize('loop', [None, STOCK], ids=['ours', 'stock'])
@pytest.mark.parametrize('resume', [False, True])
def test_a_second_training_at_the_same_time_is_refused(tmp_path, holder, loop,
                                                       resume):
    runner = with_loop(make_runner(tmp_path, resume=resume), loop)
    with pytest.raises(
            WorkDirError, match=f'writes into .*process {holder.pid} on'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))
    assert json.loads((tmp_path / LOCK_NAME).read_text())['pid'] == holder.pid


def test_a_killed_training_leaves_no_lock(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_NAME).exists()
    make_runner(tmp_path).train()
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_training_that_fails_gives_the_folder_back(tmp_path):
    runner = make_runner(tmp_path)
    runner.model.forward = None
    with pytest.raises(TypeError):
        runner.train()
    assert not (tmp_path / LOCK_NAME).exists()


def test_checkpoints_elsewhere_are_guarded_too(tmp_path):
    """``out_dir`` gets a folder of the work directory's name."""
    elsewhere = dict(out_dir=str(tmp_path / 'out'))
    make_runner(tmp_path / 'work', checkpoint=elsewhere).train()
    (tmp_path / 'work/last_checkpoint').unlink()
    with pytest.raises(WorkDirError, match='out/work has checkpoints'):
        make_runner(tmp_path / 'work', checkpoint=elsewhere).train()


@pytest.mark.parametrize('hooks', [(), [dict(type='EMATeacherHook')]])
def test_epochs_of_an_endless_stream_are_refused(tmp_path, hooks):
    runner = with_loop(make_runner(tmp_path, hooks=hooks), EPOCHS)
    with pytest.raises(ValueError, match='type is EpochBased.*SemiIterBased'):
        runner.train()


def test_epochs_of_a_sampler_that_ends_are_not(tmp_path):
    sampler = dict(type='DefaultSampler', shuffle=True)
    runner = with_loop(
        make_runner(tmp_path, sampler=sampler, interval=1), EPOCHS)
    runner.train()
    assert runner.iter == 4
