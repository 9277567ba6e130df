# Copyright (c) mmseg_semi authors.
"""RC²L through tools/train.py in two processes."""
import pytest
import torch

from .harness import MAX_ITERS, ROOT, add_hook, run_ranks, write_config
from .states import differing

pytestmark = [pytest.mark.slow, pytest.mark.dist]


def test_two_processes_have_the_same_weights(tmp_path, digits):
    config = write_config(
        tmp_path / 'config.py',
        digits,
        'rc2l',
        images=4,
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
