# Copyright (c) mmseg_semi authors.
"""Train a segmentor. Same arguments as MMSegmentation's ``tools/train.py``."""
import argparse
import os
import os.path as osp

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from mmseg_semi.engine.accumulation import LOOP, accumulate_batches
from mmseg_semi.engine.checkpoint import (check_resumable,
                                          find_resumable_checkpoint)
from mmseg_semi.engine.readable_errors import readable_errors


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    parser.add_argument(
        'config', help='path of the config file, or mmseg_semi::NAME')
    parser.add_argument(
        '--work-dir',
        help='where logs and checkpoints go (default: work_dir of the config, '
        'else ./work_dirs/<config name>)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH|auto',
        help='go on from this checkpoint; without a path from the newest one '
        'in the work directory that is whole, or from the start if there is '
        'none')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in automatic mixed precision')
    parser.add_argument(
        '--accumulate',
        type=int,
        metavar='K',
        help='make an iteration of K batches per GPU, each with 1/K of its '
        'images: the same training on GPUs with less memory')
    parser.add_argument(
        '--no-check',
        action='store_true',
        help='do not look at the data before the first iteration')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'train_cfg.max_iters=100 model.test_cfg.crop_size="(512,512)"')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started')
    # Old launchers pass the rank as an argument instead of a variable.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply the arguments to it."""
    cfg = Config.fromfile(mmseg_semi.find_config(args.config))
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('./work_dirs', name)
    if args.amp:
        enable_amp(cfg)
    if args.accumulate is not None:
        accumulate_batches(cfg, args.accumulate)
    if args.no_check:
        leave_out_check(cfg)
    apply_resume(cfg, args.resume)
    return cfg


def leave_out_check(cfg: Config) -> None:
    """Let the training start without a look at the data."""
    loop = cfg.train_cfg.get('type')
    if str(loop).rpartition('.')[2] == LOOP:  # no other one looks
        cfg.train_cfg.check_data = False


def enable_amp(cfg: Config) -> None:
    """Exchange the plain optimizer wrapper for the mixed precision one."""
    if get_device() in ('cpu', 'mps'):
        raise ValueError(
            '--amp needs a CUDA, NPU, MLU or MUSA device and PyTorch finds '
            'none here. Leave --amp out.')
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper == 'AmpOptimWrapper':
        return
    if wrapper != 'OptimWrapper':
        raise ValueError(
            '--amp replaces an optim_wrapper of type OptimWrapper, but the '
            f'config has {wrapper}. Set up mixed precision in the config.')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def apply_resume(cfg: Config, resume: str | None) -> None:
    """Decide which checkpoint to go on from.

    Args:
        cfg (Config): ``resume`` and ``load_from`` are set in place. Without
            the argument they keep what the config file says.
        resume (str or None): The value of ``--resume``.
    """
    if resume is None and cfg.get('resume') and cfg.get('load_from') is None:
        resume = 'auto'
    if resume is None:
        return
    if resume != 'auto':
        check_resumable(resume)
        cfg.load_from, cfg.resume = resume, True
        return
    newest = find_resumable_checkpoint(cfg.work_dir)
    cfg.resume = newest is not None
    if newest is None:
        print_log(
            f'--resume: there is no checkpoint in {cfg.work_dir}, training '
            'starts from the beginning.',
            logger='current')
    else:
        cfg.load_from = newest


def main(argv=None) -> None:
    with readable_errors(__name__):
        cfg = load_config(parse_args(argv))
        if 'runner_type' in cfg:
            runner = RUNNERS.build(cfg)
        else:
            runner = Runner.from_cfg(cfg)
        runner.train()


if __name__ == '__main__':
    main()
