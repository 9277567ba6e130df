# Copyright (c) mmseg_semi authors.
"""What the tools that draw a trained model are told alike."""
import argparse

from ..cli.arguments import OptionsAction
from .prototypes import FeatureSpace


def add_model_arguments(parser: argparse.ArgumentParser, images: str) -> None:
    """Config, checkpoint, and where in them to look.

    Args:
        parser (ArgumentParser): Extended in place.
        images (str): What ``--loader`` is for, in the help.
    """
    parser.add_argument('config', help='path of the config file')
    parser.add_argument('checkpoint', help='path of the trained model')
    add_place_arguments(parser, images)


def add_place_arguments(parser: argparse.ArgumentParser, images: str) -> None:
    """Which network, images and device, and changes of the config.

    Args:
        parser (ArgumentParser): Extended in place.
        images (str): What ``--loader`` is for, in the help.
    """
    parser.add_argument(
        '--network',
        help='student, teacher, ... (default: the one that predicts)')
    parser.add_argument(
        '--loader',
        default='val_dataloader',
        help=f'{images} (default: val_dataloader)')
    parser.add_argument(
        '--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')


def add_output_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """The files of :func:`~.outputs.output_files`.

    Args:
        parser (ArgumentParser): Extended in place.
        out (str): The picture's default.
    """
    parser.add_argument(
        '--out', default=out, help=f'the picture (default: {out})')
    parser.add_argument(
        '--force', action='store_true', help='replace existing files')


def picture_title(config: str, space: FeatureSpace) -> str:
    """Which features of which network, for the top of a picture."""
    of = f' of the {space.network}' if space.network else ''
    return f'{config}: {space.feature}{of}'
