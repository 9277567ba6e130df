# Copyright (c) mmseg_semi authors.
"""Write one HTML page about trainings: how they went, what they see.

Scores with intervals, a verdict for each method whose supervised twin is
among the runs, curves, IoU of every class, confusion, pseudo-labels, the
worst images, settings. The page is one file and needs no network. A run that
was killed, has no weights or no validation images is shown as far as it came;
the page says what is missing.

example:
  mmseg-semi report work_dirs/leaves work_dirs/leaves_supervised
"""
import argparse

from .arguments import add_json, count
from .output import print_json

NAME = 'report'
HELP = 'one page about trainings: curves, scores, images'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi report``."""
    parser.add_argument(
        'runs', nargs='+', metavar='RUN', help='work directory of a training')
    parser.add_argument(
        '--out',
        default='report.html',
        help='the file; an earlier report is replaced (default: report.html)')
    parser.add_argument(
        '--with',
        dest='others',
        action='append',
        default=[],
        metavar='RUN_OR_METHOD',
        help='draw the curves over those of an earlier run, or over the '
        'published ones of a recipe or of its method; may be repeated '
        '(default: the published ones of the same recipe, if there are any)')
    parser.add_argument(
        '--weights',
        choices=('last', 'best'),
        default='last',
        help='which checkpoint of a work directory. The best one was chosen '
        'on the images that it is scored on, so it flatters (default: last)')
    parser.add_argument(
        '--images',
        type=count,
        metavar='N',
        help='predict N validation images at most, evenly spaced over their '
        'list; 0 predicts none (default: all)')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace a file that is no '
        'report')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page, and print what is in it."""
    from ..reporting import write_report
    from .progress import show_progress
    found = write_report(
        args.runs,
        args.out,
        others=args.others,
        weights=args.weights,
        images=args.images,
        force=args.force,
        track=show_progress)
    if args.json:
        print_json(found)
        return 0
    for name, sentences in found['notices'].items():
        for text in sentences:
            print(f'warning: {name}: {text}')
    count = len(found['runs'])
    print(f'{found["report"]}: {count} run{"s" * (count > 1)}, '
          f'{found["bytes"] / 1e6:.1f} MB')
    return 0
