# Copyright (c) mmseg_semi authors.
"""Train a config, with the arguments of MMSegmentation's tools/train.py.

A config is a file, or the name of one that comes with the package:
mmseg_semi::brpg/brpg_r18_digits_50.py. A work directory that holds
checkpoints of an earlier training is left alone unless --resume or --force
says otherwise.

example:
  mmseg-semi train leaves.py --work-dir work_dirs/leaves --resume \\
      --patience 5 --log tensorboard
"""
import argparse
from pathlib import Path

from .arguments import add_json
from .output import print_json
from .run_arguments import add_train_arguments, train_settings

NAME = 'train'
HELP = 'train a config'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi train``."""
    add_train_arguments(parser)
    parser.add_argument(
        '--force',
        action='store_true',
        help='start anew in a work directory that has checkpoints; files of '
        'the same names are replaced')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and tell where the result is."""
    from mmengine.dist import is_main_process

    from ..apis import train, train_config
    cfg = train_config(args.config, **train_settings(args))
    if args.force:
        cfg.reuse_work_dir = True
    runner = train(cfg)
    if not is_main_process():
        return 0
    result = _result(runner)
    if args.json:
        print_json(result)
    else:
        print('\n'.join(f'{key}: {value}' for key, value in result.items()
                        if value is not None))
    return 0


def _result(runner) -> dict:
    """What a training left."""
    folder = Path(runner.work_dir)
    last = folder / 'last_checkpoint'
    best = sorted(
        folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    return dict(
        work_dir=str(folder),
        iterations=runner.iter,
        checkpoint=last.read_text() if last.is_file() else None,
        best_checkpoint=str(best[-1]) if best else None)
