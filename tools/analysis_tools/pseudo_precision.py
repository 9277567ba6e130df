# Copyright (c) mmseg_semi authors.
"""How well a training can state the precision of its pseudo-labels.

    pseudo_precision.py CONFIG CHECKPOINT --thresholds 0.8 0.9 0.95

compares, class by class, the precision of confident pixels on the labelled
images that the training held out (``train_dataloader.dataset.held_out``; where
there are none, on the validation images), which it can state, with that on its
unlabelled images, which it cannot know.
It is for benchmarks: the masks of the unlabelled images must lie where the
labelled ones have theirs. The network that labels is measured, the teacher
for instance, in evaluation mode.
"""
import argparse
import json
from pathlib import Path

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip
from mmengine.logging import MMLogger
from rich.table import Table

from mmseg_semi.analysis import load_for_analysis
from mmseg_semi.analysis.pseudo_precision import stated_and_true
from mmseg_semi.benchmarking import make_console
from mmseg_semi.cli.arguments import OptionsAction
from mmseg_semi.engine.atomic import write_atomically
from mmseg_semi.engine.readable_errors import readable_errors

_KIND = dict(held_out='held-out', validation='validation')


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Stated against true precision of pseudo-labels')
    parser.add_argument('config', help='path of the config file')
    parser.add_argument('checkpoint', help='path of the trained model')
    parser.add_argument(
        '--thresholds',
        nargs='+',
        type=float,
        default=[0.8, 0.9, 0.95],
        help='confidences (default: 0.8 0.9 0.95)')
    parser.add_argument(
        '--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    parser.add_argument('--out', help='also write a JSON file')
    parser.add_argument(
        '--force', action='store_true', help='replace an existing file')
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> dict:
    """Stated and true precision; written to ``--out``."""
    if args.out and Path(args.out).exists() and not args.force:
        raise FileExistsError(f'--out: {args.out} exists. Choose another '
                              'file, or replace it with --force.')
    cfg, model = load_for_analysis(args.config, args.checkpoint,
                                   args.cfg_options)
    result = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        **stated_and_true(model.to(args.device), cfg, args.thresholds))
    if args.out:
        write_atomically((json.dumps(result, indent=1) + '\n').encode(),
                         args.out)
    return result


def table(result: dict) -> Table:
    stated, true = result['stated'], result['true']
    edges = list(enumerate(stated['thresholds']))[1:]
    found = Table(
        title=f'Right of what the {result["network"]} predicts, %: stated by '
        f'{stated["images"]} {_KIND[result["source"]]} images / true of '
        f'{true["images"]} '
        'unlabelled ones')
    found.add_column('class')
    for _, edge in edges:
        found.add_column(f'from {edge:g} on', justify='right')
    found.add_column('images that say so', justify='right')
    for name in stated['precision']:
        found.add_row(
            name,
            *(f'{percent(stated["precision"][name][i])} / '
              f'{percent(true["precision"][name][i])}' for i, _ in edges),
            f'{stated["images_per_class"][name][edges[0][0]]:g}')
    for title, key in (('all', 'precision_of_all'), ('kept', 'kept')):
        found.add_row(
            title,
            *(f'{percent(stated[key][i])} / {percent(true[key][i])}'
              for i, _ in edges), '')
    return found


def percent(value) -> str:
    return '-' if value is None else f'{100 * value:.1f}'


def main(argv=None) -> dict:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with readable_errors(__name__):
        result = measure(args)
    console = make_console()
    console.print(table(result))
    if args.out:
        console.print(f'-> {args.out}', markup=False)
    return result


if __name__ == '__main__':
    main()
