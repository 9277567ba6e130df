# Copyright (c) mmseg_semi authors.
"""A run that is killed and resumed ends as if nothing had happened."""
import json
import signal

import pytest
import torch

from .harness import MAX_ITERS, ROOT, kill_at, run_tool, write_config
from .states import TIMES, differing, training_state

pytestmark = pytest.mark.slow


def train(folder,
          digits,
          name='run',
          method='brpg',
          workers=0,
          kill=None,
          resume=False):
    """Train in ``folder/name``; returns what the process left."""
    extra = kill_at(*kill) if kill else ''
    config = write_config(
        folder / f'{name}.py', digits, method, workers=workers, extra=extra)
    return run_tool(
        ROOT / 'tools/train.py',
        config,
        '--work-dir',
        folder / name,
        *(['--resume'] if resume else []),
        log=folder / 'log.txt')


@pytest.fixture(scope='module')
def whole(tmp_path_factory, digits):
    """The work directory of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    finished = train(folder, digits)
    assert finished.code == 0, finished.output
    return folder / 'run'


def load(work_dir, iteration):
    path = work_dir / f'iter_{iteration}.pth'
    return torch.load(path, weights_only=True)


def logged(work_dir):
    """The lines of the JSON logs by step and kind; later runs win."""
    lines = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for text in path.read_text().splitlines():
            line = {
                key: value
                for key, value in json.loads(text).items()
                if not key.endswith(TIMES)
            }
            lines[line['step'], 'mIoU' in line] = line
    return lines


def assert_same_run(one, other, since):
    """Compare every checkpoint from an iteration on, and all logs."""
    for iteration in range(since, MAX_ITERS + 1):
        if (one / f'iter_{iteration}.pth').exists():
            places = differing(*(training_state(load(folder, iteration))
                                 for folder in (one, other)))
            assert not places, (iteration, places)
    assert logged(one) == logged(other)
    best = [path.name for path in one.glob('best_*')]
    assert best == [path.name for path in other.glob('best_*')]
    places = differing(*(torch.load(folder /
                                    best[0], weights_only=True)['state_dict']
                         for folder in (one, other)))
    assert not places


def test_the_whole_run_goes_through_all_stages(whole):
    """Else the tests below would prove little."""
    state = load(whole, 6)['state_dict']
    rows = [v for k, v in state.items() if k.endswith('high.count')]
    assert len(rows) == 1 and rows[0].sum() > 0
    before, state = (load(whole, i)['state_dict'] for i in (9, 12))
    valid = 'student.semi_heads.brpg.prototype_valid'
    assert not before[valid].any() and state[valid].any()
    losses = [
        line['loss_proto'] for line in logged(whole).values()
        if 'loss_proto' in line
    ]
    assert losses[8] == 0 < losses[9]


@pytest.mark.parametrize('workers', [0, 2])
def test_kills_while_sampling_and_after_clustering(whole, tmp_path, digits,
                                                   workers):
    """One run is killed again and again: each resume continues another's.

    At 7 it is sampling; at 11 it has clustered, but the last checkpoint (9)
    holds the banks and they are clustered again; at 13 the checkpoint (12)
    holds prototypes. The reference always loads without workers.
    """
    resume = False
    for iteration in (7, 11, 13):
        kill = ('before_train_iter', iteration)
        finished = train(
            tmp_path, digits, workers=workers, kill=kill, resume=resume)
        assert finished.code == -signal.SIGKILL, finished.output
        resume = True
    finished = train(tmp_path, digits, workers=workers, resume=True)
    assert finished.code == 0, finished.output
    assert_same_run(whole, tmp_path / 'run', since=3)


def test_kill_while_a_checkpoint_is_written(whole, tmp_path, digits):
    work_dir = tmp_path / 'run'
    finished = train(tmp_path, digits, kill=('write', 5))
    assert finished.code == -signal.SIGKILL, finished.output
    assert (work_dir / 'iter_6.pth.tmp').exists()
    assert not (work_dir / 'iter_6.pth').exists()
    assert (work_dir / 'last_checkpoint').read_text().endswith('iter_3.pth')
    finished = train(tmp_path, digits, resume=True)
    assert finished.code == 0, finished.output
    assert not list(work_dir.glob('*.tmp'))
    assert_same_run(whole, work_dir, since=3)


def test_kill_between_checkpoint_and_validation(whole, tmp_path, digits):
    finished = train(tmp_path, digits, kill=('before_val', 12))
    assert finished.code == -signal.SIGKILL, finished.output
    finished = train(tmp_path, digits, resume=True)
    assert finished.code == 0, finished.output
    assert 'Running the validation of iteration 12' in finished.output
    assert_same_run(whole, tmp_path / 'run', since=14)


def rows_and_losses(work_dir, bank, loss):
    """Rows in the bank per checkpoint, values of a loss per step."""
    states = {i: load(work_dir, i)['state_dict'] for i in (3, 6, 9, 12)}
    rows = {i: int(state[bank].sum()) for i, state in states.items()}
    lines = sorted(logged(work_dir).items())
    return rows, [line[loss] for _, line in lines if loss in line]


def stages_of_pcr(work_dir):
    rows, losses = rows_and_losses(work_dir, 'terms.pcr.bank.count',
                                   'loss_proto')
    assert 0 < rows[3] < rows[6] and rows[9] == 0
    assert losses[6] == 0 < losses[7]
    for i in (6, 9):
        valid = load(work_dir,
                     i)['state_dict']['student.semi_heads.pcr.prototype_valid']
        assert valid.any() == (i == 9)


def stages_of_cmb(work_dir):
    rows, losses = rows_and_losses(work_dir, 'terms.cmb.bank.count',
                                   'loss_contrast')
    assert 0 < rows[3] < rows[6]
    assert losses[6] == 0 < losses[7]


def stages_after_burn_in(loss):
    """A check that the loss is there from the fifth step on."""

    def stages(work_dir):
        lines = logged(work_dir)
        there = [
            step for step, validated in lines
            if not validated and loss in lines[step, validated]
        ]
        assert sorted(there) == list(range(5, MAX_ITERS + 1))

    return stages


@pytest.mark.parametrize('method,kills,stages', [
    ('pcr', (8, 11), stages_of_pcr),
    ('cmb', (5, 11), stages_of_cmb),
    ('rc2l', (3, 8), stages_after_burn_in('loss_smc')),
    ('pps', (3, 8), stages_after_burn_in('student1.loss_sp')),
    ('cps', (3, 8), stages_after_burn_in('student1.loss_unsup')),
])
def test_kills_in_the_stages_of_a_method(method, kills, stages, tmp_path,
                                         digits):
    """Before the method has begun or while a bank fills, then later.

    Loads without workers, then with two, then without.
    """
    finished = train(tmp_path, digits, 'whole', method)
    assert finished.code == 0, finished.output
    stages(tmp_path / 'whole')
    for resume, iteration in enumerate(kills):
        finished = train(
            tmp_path,
            digits,
            method=method,
            workers=2 * resume,
            kill=('before_train_iter', iteration),
            resume=bool(resume))
        assert finished.code == -signal.SIGKILL, finished.output
    finished = train(tmp_path, digits, method=method, resume=True)
    assert finished.code == 0, finished.output
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', since=3)
