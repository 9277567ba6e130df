# Copyright (c) mmseg_semi authors.
"""Fill tables with the results of trainings and tests.

A table (*.json, see benchmarks/) names its rows; work directories are searched
for records. Work directories alone make a table of what they hold.
"""
import argparse
import signal
import sys
from pathlib import Path

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip

from mmseg_semi.benchmarking import FolderInUseError, make_console
from mmseg_semi.benchmarking.filling import (fill_table, show_rows,
                                             train_missing, write_results)
from mmseg_semi.benchmarking.formats import SUFFIXES
from mmseg_semi.benchmarking.results import find_results
from mmseg_semi.benchmarking.tables import TableSpec, published_of, rows_of
from mmseg_semi.benchmarking.track import track
from mmseg_semi.cli.arguments import OptionsAction

ROOT = Path(__file__).resolve().parents[2]


def positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError
    return value


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'sources',
        nargs='*',
        type=Path,
        metavar='TABLE.json|WORK_DIR',
        help='tables to fill (default: benchmarks/digits.json), and work '
        'directories to look for records in')
    run = parser.add_argument_group('training what is missing')
    run.add_argument('--run', action='store_true', help='train it')
    run.add_argument(
        '--gpus',
        type=positive,
        metavar='N',
        help='with tools/dist_train.sh in N processes, one training after '
        'the other (default: in one process)')
    run.add_argument(
        '--jobs',
        type=positive,
        default=1,
        help='without --gpus: trainings side by side, one thread each')
    run.add_argument(
        '--seeds', type=int, nargs='+', help='instead of those of the table')
    run.add_argument(
        '--work-dirs',
        type=Path,
        default=ROOT / 'work_dirs/benchmarks',
        help='where trainings leave their files and go on from; searched for '
        'records too (default: work_dirs/benchmarks)')
    run.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of every config; such results are recorded, '
        'but not written to pages')
    show = parser.add_argument_group('what is shown')
    show.add_argument(
        '--baseline', help='compare with this row instead of the table\'s')
    show.add_argument(
        '--evaluation',
        help='take what was measured so, for example "whole images" '
        '(default: as each config measures)')
    show.add_argument('--format', choices=list(SUFFIXES), default='terminal')
    show.add_argument(
        '--out',
        type=Path,
        help='write to this file; with several tables, into this folder')
    show.add_argument(
        '--write',
        action='store_true',
        help='put the results into the page of the table, and into READMEs '
        'and metafiles of the configs')
    on = parser.add_argument_group('is my run on track?')
    on.add_argument(
        '--track',
        type=Path,
        metavar='WORK_DIR',
        help='draw this run over published curves of its recipe')
    on.add_argument(
        '--against',
        type=Path,
        nargs='+',
        metavar='WORK_DIR',
        help='over these earlier runs instead')
    on.add_argument(
        '--recipe',
        help='over the curves of this recipe (default: found by '
        'its method, network and labelled list)')
    args = parser.parse_intermixed_args(argv)
    if args.write and args.cfg_options:
        parser.error('--write is for the configs as they are: leave '
                     '--cfg-options out.')
    if not args.run and (args.gpus or args.jobs > 1):
        parser.error('--gpus and --jobs are for trainings: give --run too.')
    if args.track and args.sources:
        parser.error('--track takes one WORK_DIR; give earlier runs as '
                     '--against.')
    return args


def show_tables(args: argparse.Namespace) -> int:
    """Fill and show; returns the exit status."""
    tables = [path for path in args.sources if path.suffix == '.json']
    folders = [path for path in args.sources if path.suffix != '.json']
    # Nothing but the table on standard output, where a program may read it.
    console = make_console(stderr=args.format != 'terminal' and not args.out)
    if folders and not tables:
        rows = rows_of(
            find_results(folders), published_of(ROOT / 'benchmarks/tables'))
        show_rows('Results', rows, None, args.format, args.out, console)
        return 0
    failed, suffix = [], SUFFIXES[args.format]
    for path in tables or [ROOT / 'benchmarks/digits.json']:
        spec = TableSpec(path, ROOT, args.cfg_options, args.seeds)
        spec.baseline = args.baseline or spec.baseline
        spec.check_baseline()
        if args.run:
            failed += train_missing(spec, folders, args, console)
        rows = fill_table(spec, folders, args.work_dirs, args.evaluation)
        out = args.out
        if out is not None and len(tables) > 1:
            out = out / f'{spec.name}{suffix}'
        show_rows(spec.title, rows, spec.baseline, args.format, out, console)
        if args.write:
            write_results(spec, rows, console)
    for job in failed:
        print(
            f'\n{job.name} failed; the end of {job.log}:\n{job.log_tail()}',
            file=sys.stderr)
    return 1 if failed else 0


def main(argv=None) -> int:
    args = parse_args(argv)
    # So that a terminated table ends its trainings.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if args.track:
            return track(args.track, args.against, args.recipe, args.out)
        return show_tables(args)
    except KeyboardInterrupt:
        print('Interrupted; the same command goes on from here.')
        return 130
    except (FolderInUseError, OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
