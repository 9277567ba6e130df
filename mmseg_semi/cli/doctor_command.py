# Copyright (c) mmseg_semi authors.
"""Look at the environment and say what is missing, with the remedy.

example:
  mmseg-semi doctor
"""
import argparse

from .arguments import add_json
from .output import print_json

NAME = 'doctor'
HELP = 'environment: versions, GPU, memory, what is missing'
LIGHT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi doctor``."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if training cannot work here."""
    from .environment import describe, look_around
    report = look_around()
    if args.json:
        print_json(report)
    else:
        print(describe(report))
    return int(bool(report['problems']))
