# Copyright (c) mmseg_semi authors.
"""RC²L through tools/train.py: killed and resumed, and in two processes."""
import signal

import pytest
import torch

from .harness import MAX_ITERS, ROOT, add_hook, run_ranks, write_config
from .states import differing
from .test_resume import assert_same_run, logged, train

pytestmark = pytest.mark.slow


def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path, digits):
    finished = train(tmp_path, digits, 'whole', 'rc2l')
    assert finished.code == 0, finished.output
    rows = {
        step: row
        for (step, validated), row in logged(tmp_path / 'whole').items()
        if not validated
    }
    assert all(('loss_smc' in row) == (step > 4) for step, row in rows.items())
    for resume, iteration in enumerate((3, 8)):
        finished = train(
            tmp_path,
            digits,
            method='rc2l',
            kill=('before_train_iter', iteration),
            resume=bool(resume))
        assert finished.code == -signal.SIGKILL, finished.output
    finished = train(tmp_path, digits, method='rc2l', resume=True)
    assert finished.code == 0, finished.output
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', since=3)


@pytest.mark.dist
def test_two_processes_have_the_same_weights(tmp_path, digits):
    config = write_config(
        tmp_path / 'config.py',
        digits,
        'rc2l',
        extra=add_hook(type='DumpRanks', iterations=(MAX_ITERS, )))
    finished = run_ranks(
        ROOT / 'tools/train.py',
        config,
        '--work-dir',
        tmp_path / 'run',
        log=tmp_path / 'log.txt')
    assert finished.code == 0, finished.output
    one, other = (
        torch.load(
            tmp_path / f'run/rank{rank}_{MAX_ITERS}.pt', weights_only=True)
        for rank in range(2))
    assert not differing(one, other)
