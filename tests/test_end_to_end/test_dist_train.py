# Copyright (c) mmseg_semi authors.
"""tools/dist_train.sh with two processes on the CPU."""
import os
import subprocess
import sys

import pytest
import torch

from mmseg_semi.datasets.miniatures import MiniatureRecipe, write_miniature
from .harness import (MAX_ITERS, ROOT, STOCK, add_hook, kill_at, run_ranks,
                      run_tool, write_config)
from .states import differing, training_state

pytestmark = [pytest.mark.slow, pytest.mark.dist]

BANKED, CLUSTERED = 6, MAX_ITERS


def dist_train(config, *arguments):
    env = dict(os.environ, MMSEG_SEMI_PYTHON=sys.executable)
    return subprocess.run([
        'bash',
        str(ROOT / 'tools/dist_train.sh'), config, '2', *map(str, arguments)
    ],
                          env=env,
                          text=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          timeout=400)


def assert_ranks_agree(work_dir):
    """In every bit, and on something: banks first, then prototypes."""
    for iteration in (BANKED, CLUSTERED):
        one, other = (
            torch.load(
                work_dir / f'rank{rank}_{iteration}.pt', weights_only=True)
            for rank in range(2))
        assert not differing(one, other)
        counts = [v for k, v in one.items() if k.endswith('.count')]
        (valid, ) = (v for k, v in one.items()
                     if k.startswith('student') and k.endswith('_valid'))
        assert any(count.any() for count in counts) == (iteration == BANKED)
        assert valid.any() == (iteration == CLUSTERED)


VOC = '''
_base_ = {base!r}
root = {root!r}
model = dict(
    burn_in=2,
    segmentor=dict(
        backbone=dict(
            depth=18, stem_channels=8, base_channels=8, init_cfg=None),
        decode_head=dict(
            in_channels=64, c1_in_channels=8, channels=16, c1_channels=16)),
    terms=dict(
        brpg=dict(
            head=dict(in_channels=32, channels=16),
            window=(4, 9),
            capacity=60,
            samples_per_image=64,
            threshold=0.06,
            confidence=(0.04, 0.06))))
train_cfg = dict(max_iters={max_iters}, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=100))
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(counts=(4, 4)),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(
        verify_split=False,  # the miniature's lists only look like VOC's
        labeled=dict(data_root=root),
        unlabeled=dict(data_root=root)),
    **loader)
val_dataloader = dict(dataset=dict(data_root=root), **loader)
test_dataloader = val_dataloader
'''


def test_published_voc_config_on_a_miniature(tmp_path):
    root = tmp_path / 'VOC2012'
    write_miniature('voc', root, MiniatureRecipe(num_val=2))
    config = tmp_path / 'voc.py'
    text = VOC.format(
        base=str(ROOT / 'configs/brpg/brpg_r101_voc_366.py'),
        root=str(root),
        max_iters=MAX_ITERS)
    config.write_text(
        text + add_hook(type='DumpRanks', iterations=(BANKED, CLUSTERED)))
    pipeline = 'train_dataloader.dataset.{}.pipeline.{}.crop_size=65'
    options = ('--cfg-options', pipeline.format('labeled', 4),
               pipeline.format('unlabeled',
                               3), 'custom_hooks.1.check_interval=1')
    finished = dist_train(config, '--work-dir', tmp_path / 'run', *options)
    assert finished.returncode == 0, finished.stdout
    assert_ranks_agree(tmp_path / 'run')
    checkpoint = tmp_path / f'run/iter_{MAX_ITERS}.pth'
    for tool, arguments in (('test', [checkpoint]), ('train', [
            '--resume', '--cfg-options',
            f'train_cfg.max_iters={MAX_ITERS + 1}', *options[1:]
    ])):
        finished = run_tool(
            STOCK / f'{tool}.py',
            config,
            *arguments,
            '--work-dir',
            tmp_path / 'run',
            log=tmp_path / f'{tool}.txt')
        assert finished.code == 0, finished.output
        assert 'mIoU: ' in finished.output


def test_resume_over_processes(tmp_path, digits):
    """Two processes that are killed end as two that are not."""
    killed = write_config(
        tmp_path / 'killed.py',
        digits,
        images=4,
        extra=kill_at('before_train_iter', 7))
    assert dist_train(killed, '--work-dir', tmp_path / 'cut').returncode
    assert (tmp_path / 'cut/iter_6.pth').exists()
    config = write_config(
        tmp_path / 'whole.py',
        digits,
        images=4,
        extra=add_hook(type='DumpRanks', iterations=(BANKED, CLUSTERED)))
    checkpoints = []
    for name in ('cut', 'whole'):
        finished = dist_train(config, '--work-dir', tmp_path / name,
                              *(['--resume'] if name == 'cut' else []))
        assert finished.returncode == 0, finished.stdout
        path = tmp_path / name / f'iter_{MAX_ITERS}.pth'
        checkpoints.append(training_state(torch.load(path, weights_only=True)))
    assert not differing(*checkpoints)
    assert_ranks_agree(tmp_path / 'whole')


@pytest.mark.parametrize('method', ['pcr', 'cmb'])
def test_processes_share_what_they_learn(method, tmp_path, digits):
    """Weights, banks, prototypes, class statistics: equal in every bit."""
    config = write_config(
        tmp_path / 'config.py',
        digits,
        method,
        images=4,
        extra=add_hook(type='DumpRanks', iterations=(BANKED, CLUSTERED)))
    finished = run_ranks(
        ROOT / 'tools/train.py',
        config,
        '--work-dir',
        tmp_path / 'run',
        log=tmp_path / 'log.txt')
    assert finished.code == 0, finished.output
    states = {}
    for iteration in (BANKED, CLUSTERED):
        states[iteration], other = (
            torch.load(
                tmp_path / f'run/rank{rank}_{iteration}.pt', weights_only=True)
            for rank in range(2))
        assert not differing(states[iteration], other)
    assert states[BANKED][f'terms.{method}.bank.count'].any()
    last = states[CLUSTERED]
    if method == 'pcr':
        assert last['student.semi_heads.pcr.prototype_valid'].any()
    else:
        assert last['terms.cmb.bank.count'].any()
        assert last['terms.class_balance.labeled'].any()
        assert last['terms.class_balance.unlabeled_batches'].any()
