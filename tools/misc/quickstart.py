# Copyright (c) mmseg_semi authors.
"""Train a supervised and a semi-supervised model on the same few labels.

Writes the embedded dataset DigitScenes, trains both models side by side with
one thread each, and compares them. Interrupted or finished trainings are gone
on with or reused; nothing is deleted. Results: work_dirs/quickstart/
summary.json and report.png.
"""
import argparse
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError
    return value


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools/quickstart.sh',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--labels',
        type=positive,
        default=50,
        help='labelled images: 50, 100, 200, 400 or 800 (default: 50)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of both trainings (default: 0)')
    parser.add_argument(
        '--quick',
        action='store_true',
        help='about two minutes; a smoke test: at so few steps the '
        'semi-supervised model is still behind')
    parser.add_argument(
        '--iters',
        type=positive,
        help='iterations of both trainings (default: those of the configs)')
    # The shell script asks this before it installs anything.
    parser.add_argument(
        '--check-arguments', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse_args(argv)
    if args.check_arguments:
        return 0
    # So that a terminated quickstart ends its trainings.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Slow to import, and not there before the installation.
    from mmseg_semi.benchmarking.quickstart import run_quickstart
    return run_quickstart(ROOT, args.labels, args.seed, args.quick, args.iters)


if __name__ == '__main__':
    sys.exit(main())
