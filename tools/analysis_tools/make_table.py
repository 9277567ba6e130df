# Copyright (c) mmseg_semi authors.
"""Train what a table still lacks, then print it and write its page."""
import argparse
import os
import signal
import sys
from pathlib import Path

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip
from mmengine.config import DictAction
from rich.console import Console

from mmseg_semi.benchmarking import (FolderInUseError, TableSpec, make_console,
                                     make_display, make_rows, run_jobs,
                                     write_between_markers)
from mmseg_semi.benchmarking.tables import markdown, notes, rich_table
from mmseg_semi.datasets.digit_scenes import write_digit_scenes
from mmseg_semi.engine.run_records import read_records

ROOT = Path(__file__).resolve().parents[2]


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        'table',
        nargs='?',
        type=Path,
        default=ROOT / 'benchmarks/digits.json',
        help='which rows and seeds')
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='trainings side by side, one thread each')
    parser.add_argument(
        '--no-run',
        action='store_true',
        help='make the table of what is recorded, train nothing')
    parser.add_argument(
        '--baseline',
        help='compare with this row; the page is left as it is (default: '
        'the baseline of the table)')
    parser.add_argument(
        '--work-dirs',
        type=Path,
        default=ROOT / 'work_dirs/benchmarks',
        help='where trainings leave their files, and go on from')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of every config; the results are recorded, '
        'but the page is left as it is')
    return parser.parse_args(argv)


def train_missing(spec: TableSpec, args: argparse.Namespace,
                  console: Console) -> list:
    """Train every run without a record.

    Returns:
        list[TrainingJob]: Those that failed.
    """
    records = read_records(spec.records)
    missing = [run for run in spec.runs() if not run.find_record(records)]
    console.print(f'{len(spec.runs())} runs, {len(missing)} to train.')
    if not missing:
        return []
    if spec.dataset == 'DigitScenes':  # other data has to be downloaded
        write_digit_scenes(ROOT / 'data/DigitScenes')
    jobs = [
        run.job(args.work_dirs.resolve(), spec.records.resolve())
        for run in missing
    ]
    with make_display(console) as display:
        failed = run_jobs(jobs, args.jobs, display, keep_going=True)
    records = read_records(spec.records)
    for run, job in zip(missing, jobs):
        if job not in failed and not run.find_record(records):
            console.print(
                f'{run.name}: what was trained is not what was planned. Has '
                f'{run.config} been edited meanwhile? Run this again.')
    return failed


def main(argv=None) -> int:
    args = parse_args(argv)
    console = make_console()
    # So that a terminated table ends its trainings.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    spec = TableSpec(args.table, ROOT, args.cfg_options)
    spec.baseline = args.baseline or spec.baseline
    failed = []
    try:
        spec.check_baseline()
        if not args.no_run:
            failed = train_missing(spec, args, console)
        rows = make_rows(spec, read_records(spec.records))
    except KeyboardInterrupt:
        console.print('Interrupted; the same command goes on from here.')
        return 130
    except (FolderInUseError, OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    console.print(rich_table(spec, rows))
    for note in notes(spec, rows):
        console.print(note, highlight=False)
    if args.cfg_options is None and args.baseline is None:
        write_between_markers(spec.page, spec.name, markdown(spec, rows))
        console.print(f'Written to {os.path.relpath(spec.page)}')
    for job in failed:
        print(
            f'\n{job.name} failed; the end of {job.log}:\n{job.log_tail()}',
            file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
