# Copyright (c) mmseg_semi authors.
"""Say whether unlabelled images helped: a method against its supervised twin.

Both are judged on the same validation images. The interval of the difference
is a paired bootstrap over the images. Where they did not help, the log of the
training tells the likely reason. Exit status 0 says that the comparison was
made, whatever it found.

example:
  mmseg-semi compare work_dirs/leaves work_dirs/leaves_supervised
"""
import argparse

from .arguments import add_json
from .output import print_json

NAME = 'compare'
HELP = 'a method and its supervised twin on the same images'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi compare``."""
    parser.add_argument(
        'method', metavar='METHOD', help='its work directory, or its config')
    parser.add_argument(
        'twin', metavar='TWIN', help='the same of the supervised twin')
    parser.add_argument(
        '--checkpoints',
        nargs=2,
        metavar='FILE',
        default=(None, None),
        help='weights of the two (needed with configs; default: those of the '
        'work directories)')
    parser.add_argument(
        '--weights',
        choices=('last', 'best'),
        default='last',
        help='which checkpoint of a work directory. The best one was chosen '
        'on the images that it is scored on, so it flatters (default: last)')
    parser.add_argument(
        '--report',
        metavar='FILE',
        help='also write the page of mmseg-semi report about the two')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, and print what was found."""
    from ..reporting import check_replaceable, write_report
    from ..starting.comparison import compare
    from ..starting.trained import find_trained
    from .progress import show_progress
    if args.report:
        check_replaceable(args.report)
    method, twin = (find_trained(place, checkpoint, args.weights)
                    for place, checkpoint in zip((
                        args.method, args.twin), args.checkpoints))
    found = compare(method, twin, show_progress)
    if args.report:
        write_report((args.method, args.twin),
                     args.report,
                     checkpoints=args.checkpoints,
                     weights=args.weights,
                     track=show_progress)
    if args.json:
        print_json(found.as_dict())
        return 0
    print(found.describe())
    if args.report:
        print(f'report: {args.report}')
    return 0
