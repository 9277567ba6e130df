# Copyright (c) mmseg_semi authors.
"""Evaluate a checkpoint, with the arguments of MMSegmentation's test.py.

example:
  mmseg-semi test leaves.py work_dirs/leaves/iter_2000.pth --out predicted
"""
import argparse
from pathlib import Path

from .arguments import add_json
from .output import print_json
from .run_arguments import add_test_arguments, test_settings

NAME = 'test'
HELP = 'evaluate a checkpoint'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi test``."""
    add_test_arguments(parser)
    parser.add_argument(
        '--force',
        action='store_true',
        help='write into --out and --show-dir though they hold files; those '
        'of the same names are replaced')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Test, and print the scores."""
    from mmengine.dist import is_main_process

    from ..apis import test, test_config
    if not args.force:
        _check_empty('--out', args.out)
        _check_empty('--show-dir', args.show_dir)
    cfg = test_config(args.config, args.checkpoint, **test_settings(args))
    scores = test(cfg)
    if args.json and is_main_process():
        scores = {name: float(score) for name, score in scores.items()}
        print_json(dict(work_dir=cfg.work_dir, scores=scores))
    return 0


def _check_empty(option: str, folder: str | None) -> None:
    if folder and Path(folder).is_dir() and any(Path(folder).iterdir()):
        raise FileExistsError(f'{option}: {folder} holds files. Choose '
                              'another folder, or write into it with --force.')
