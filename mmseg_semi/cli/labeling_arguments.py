# Copyright (c) mmseg_semi authors.
"""Arguments of the subcommands that look at images without labels."""
import argparse

from .predict_command import add_images, add_model_arguments, model_settings


def add_labeling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`load_labeling` reads, and ``--out`` and ``--force``."""
    add_images(parser, '*', ' (default: the unlabelled images of the config)')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace results of the same names in DIR')
    add_model_arguments(parser.add_argument_group('what predicts'))


def load_labeling(args: argparse.Namespace, keep_suffix: bool = False):
    """The :class:`Predictor` and the :class:`Pool` of the arguments."""
    from ..labeling import find_pool
    from ..predicting import Predictor
    from ..predicting.loading import find_model
    from .progress import show_waiting
    with show_waiting('Loading the model'):
        cfg, weights, name = find_model(args.config, args.checkpoint)
        pool = find_pool(cfg, name, args.images, args.out, keep_suffix)
        predictor = Predictor(args.config, args.checkpoint,
                              **model_settings(args))
    return predictor, pool


def skipped_lines(skipped) -> list[str]:
    """What was not predicted, a line each."""
    if not skipped:
        return []
    return [f'{len(skipped)} skipped:'] + [
        f'  {one.image}: '
        f'{one.reason.removeprefix(one.image).lstrip(": ")}' for one in skipped
    ]
