# Copyright (c) mmseg_semi authors.
"""Arguments that subcommands share, and types that refuse as misuse."""
import argparse


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        '--json',
        action='store_true',
        help='print one JSON object instead of text, errors too')


def seed(text: str) -> int:
    """A whole number that every generator takes."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f'{text} is not from 0 to 2^32 - 1')
    return number


def share(text: str) -> float:
    """A number in [0, 1)."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not in [0, 1)')
    return number
