# Copyright (c) mmseg_semi authors.
"""From photographs and some labels to two trained models, in one go.

Labels are imported, a config is chosen and written, all data are checked, a
method that uses the photographs without labels and its supervised twin are
trained one after the other, and a table and a picture say whether the
unlabelled photographs helped. Nothing has to be written by hand. After an
interruption the same command goes on.

example:
  mmseg-semi start photos --masks masks --mapping 0=background,255=leaf
"""
import argparse
import shlex
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from .arguments import add_json
from .import_command import add_label_arguments, make_options
from .init_command import add_recipe, recipe_arguments
from .output import plain_findings, print_json

NAME = 'start'
HELP = 'all in one: import, check, config, two trainings, comparison'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi start``."""
    parser.add_argument(
        'photos', metavar='PHOTOS', help='folder, searched with subfolders')
    parser.add_argument(
        '--masks',
        required=True,
        help='folder of labels, or the JSON or XML file that holds them')
    parser.add_argument(
        '--out',
        help='folder that gets everything (default: work_dirs/NAME, NAME '
        'that of PHOTOS)')
    add_recipe(parser.add_argument_group('training'))
    add_label_arguments(parser)
    parser.add_argument(
        '--force',
        action='store_true',
        help='begin anew in a folder that has trainings of other arguments '
        'or data; they are deleted')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Do everything, and print what came out."""
    from ..starting.project import start
    out = args.out or f'work_dirs/{Path(args.photos).resolve().name}'
    findings = []
    with _terminated_like_exit(), _keeping(findings):
        outcome = start(
            args.photos,
            args.masks,
            out,
            make_options(args),
            recipe_arguments(args),
            _reporter(args.json, findings),
            patience=args.patience,
            force=args.force)
    if args.json:
        print_json(dict(outcome.as_dict(), findings=plain_findings(findings)))
    else:
        print(_as_text(outcome))
    return 0


@contextmanager
def _keeping(findings: list):
    """An error has what was found before it, besides what it found."""
    try:
        yield
    except Exception as error:
        error.findings = [*findings, *getattr(error, 'findings', ())]
        raise


@contextmanager
def _terminated_like_exit():
    """SIGTERM ends the training that runs, as Ctrl-C does."""

    def stop(number, frame):
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print('\nThe same command goes on from here.', file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _reporter(as_json: bool, findings: list):
    """Plain lines and bars; with ``--json`` on standard error."""
    from ..benchmarking.display import make_console, make_display
    from ..starting.project import Reporter
    from .progress import progress_bar, show_progress
    stream = sys.stderr if as_json else sys.stdout
    return Reporter(
        say=lambda text: print(text, file=stream, flush=True),
        note=findings.extend,
        track=show_progress,
        count=progress_bar,
        display=lambda: make_display(make_console(stderr=as_json)))


def _as_text(outcome) -> str:
    lines = []
    if outcome.comparison:
        lines += [outcome.comparison.describe(), '']
    else:
        name, score = next(iter(outcome.scores.items()))
        lines.append(f'{name}: mIoU {score:.2f}'
                     if score is not None else f'{name}: not validated')
    for name, path in outcome.checkpoints.items():
        lines.append(f'{name}: {path}')
    lines.append(f'picture: {outcome.picture}')
    lines.append(f'report: {outcome.report}')
    name = list(outcome.configs)[-1]
    paths = shlex.join([outcome.configs[name], outcome.checkpoints[name]])
    lines.append(f'Masks of other photos: mmseg-semi predict {paths} '
                 'PHOTOS --out predicted')
    return '\n'.join(lines)
