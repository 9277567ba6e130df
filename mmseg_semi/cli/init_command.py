# Copyright (c) mmseg_semi authors.
"""Write the config of a training, and that of its supervised twin.

Data, model, method, crop, batch and length are chosen by the number of
labels, the size of the photographs and the memory of this machine, and every
choice is printed with its reason. The files are yours to change; stock mmseg
tools run them, too, from the folder in which you call this.

example:
  mmseg-semi init data/leaves --method unimatch --out leaves.py
"""
import argparse

from .arguments import add_json, positive, seed
from .output import print_json

NAME = 'init'
HELP = 'write a config for imported data'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi init``."""
    parser.add_argument(
        'data', metavar='DATA', help='folder that `mmseg-semi import` wrote')
    parser.add_argument(
        '--out', help='file to write (default: NAME.py, NAME that of DATA)')
    add_recipe(parser)
    parser.add_argument(
        '--seed', type=seed, default=0, help='of the training (default: 0)')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace files that have other content')
    add_json(parser)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add what a recipe may be told, but for the seed."""
    parser.add_argument(
        '--method',
        help='brpg, cmb, cps, mean_teacher, unimatch, ... (default: '
        'mean_teacher where there are unlabelled photos)')
    parser.add_argument(
        '--model',
        help='lite0, a config of MMSegmentation as mmseg::FAMILY/NAME.py, or '
        'a file (default: lite0 on a CPU, SegFormer-B0 on a GPU)')
    parser.add_argument(
        '--iters',
        type=positive,
        metavar='N',
        help='length of the training in iterations')
    parser.add_argument(
        '--crop',
        type=positive,
        metavar='PIXELS',
        help='side of the crops that are trained on')
    parser.add_argument(
        '--patience',
        type=positive,
        metavar='N',
        help='stop after N validations without a better mIoU')


def recipe_arguments(args: argparse.Namespace) -> dict:
    """What of :func:`mmseg_semi.starting.choose_recipe` is given."""
    names = 'method', 'model', 'iters', 'crop'
    return {name: getattr(args, name) for name in names}


def run(args: argparse.Namespace) -> int:
    """Write the files, and tell what was chosen and why."""
    from dataclasses import asdict
    from pathlib import Path

    from ..starting import recipe_for, twin_path, write_configs
    from .progress import show_progress
    config = args.out or f'{Path(args.data).resolve().name}.py'
    recipe = recipe_for(args.data, show_progress, **recipe_arguments(args))
    written = write_configs(
        args.data,
        recipe,
        config,
        str(twin_path(config)),
        seed=args.seed,
        patience=args.patience,
        force=args.force)
    if args.json:
        print_json(
            dict(
                recipe=asdict(recipe),
                **asdict(written),
                files=list(written.states),
                findings=[]))
        return 0
    print(recipe.describe())
    for path, state in written.states.items():
        print(f'{path} ({state})')
    print(f'Train with: mmseg-semi train {written.config}')
    return 0
