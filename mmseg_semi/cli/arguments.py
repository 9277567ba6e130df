# Copyright (c) mmseg_semi authors.
"""Arguments that subcommands share, and types that refuse as misuse."""
import argparse


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        '--json',
        action='store_true',
        help='print one JSON object instead of text, errors too')


class OptionsAction(argparse.Action):
    """``KEY=VALUE ...`` into a dict, as MMEngine's ``DictAction`` reads it.

    MMEngine is imported when such an option is given. What cannot be read is
    misuse.
    """

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Read the pairs; later ones replace earlier ones."""
        from mmengine.config import DictAction
        for pair in values:
            if not pair.partition('=')[0] or '=' not in pair:
                parser.error(f'argument {option_string}: {pair!r} is no '
                             'KEY=VALUE, as train_cfg.max_iters=100')
        action = DictAction(self.option_strings, self.dest, nargs='+')
        try:
            action(parser, namespace, values, option_string)
        except (AssertionError, ValueError) as error:
            parser.error(f'argument {option_string}: {error}')


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no whole number') from None


def positive(text: str) -> int:
    """A whole number above zero."""
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return number


def count(text: str) -> int:
    """A whole number from zero on."""
    number = whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f'{text} is below 0')
    return number


def seed(text: str) -> int:
    """A whole number that every generator takes."""
    number = whole(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f'{text} is not from 0 to 2^32 - 1')
    return number


def share(text: str) -> float:
    """A number in [0, 1)."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is no number') from None
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not in [0, 1)')
    return number
