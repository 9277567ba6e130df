# Copyright (c) mmseg_semi authors.
"""Predict images with a trained model, under their own names.

DIR/masks/sub/name.png holds the class of every pixel of sub/name.jpg; the
colours of the classes are its palette. Large images are predicted in tiles. A
GeoTIFF gives a GeoTIFF of the same place (pip install "mmseg_semi[geo]").
What is no image or broken is skipped and listed. Exit status 0 says that at
least one image was predicted.

example:
  mmseg-semi predict work_dirs/leaves last photos --out predicted --overlay
"""
import argparse

from .arguments import add_json, count
from .output import print_json

NAME = 'predict'
HELP = 'masks of images, folders, huge images'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi predict``."""
    add_images(parser, '+')
    _add_outputs(parser.add_argument_group('what is written'))
    add_model_arguments(parser.add_argument_group('what predicts'))
    add_json(parser)


def add_images(parser: argparse.ArgumentParser,
               nargs: str,
               default: str = '') -> None:
    """Add config, checkpoint, images and ``--out``, for commands that predict.

    Args:
        parser (ArgumentParser): Extended in place.
        nargs (str): How many images.
        default (str): What none means, in the help.
    """
    parser.add_argument(
        'config',
        metavar='CONFIG',
        help='config file, mmseg_semi::NAME, or work directory of a training')
    parser.add_argument(
        'checkpoint',
        metavar='CHECKPOINT',
        help='file or URL of the weights; of a work directory also last or '
        'best')
    parser.add_argument(
        'images',
        metavar='IMAGES',
        nargs=nargs,
        help='images, folders (with subfolders), lists (.txt, a path a line) '
        'or quoted patterns' + default)
    parser.add_argument(
        '--out', metavar='DIR', required=True, help='folder to write')


def _add_outputs(group) -> None:
    group.add_argument(
        '--overlay',
        action='store_true',
        help='DIR/overlays: half photo, half colours, at most 4096 pixels')
    group.add_argument(
        '--confidence',
        action='store_true',
        help='DIR/confidence: the largest probability, grey, 255 is 1')
    group.add_argument(
        '--keep-suffix',
        action='store_true',
        help='name.jpg.png instead of name.png')
    group.add_argument(
        '--resume',
        action='store_true',
        help='go on: predict what has no results in DIR yet')
    group.add_argument(
        '--force',
        action='store_true',
        help='replace results of the same names')


def add_model_arguments(group) -> None:
    """Add what :func:`model_settings` reads."""
    group.add_argument(
        '--network',
        metavar='NAME',
        help='student, teacher, ... (default: predict_with of the config)')
    group.add_argument(
        '--head',
        metavar='NAME',
        help='prototype head of a loss term, as brpg (default: predict_head '
        'of the config, else the decode head)')
    group.add_argument(
        '--tta',
        action='store_true',
        help='average over tta_pipeline of the config; without one over six '
        'scales and their mirror images')
    group.add_argument(
        '--tile',
        type=count,
        metavar='PIXELS',
        help='side of the tiles, 0 for none (default: 1024 for images beyond '
        '8 million pixels or 1 GiB of scores, none for others)')
    group.add_argument(
        '--overlap',
        type=count,
        metavar='PIXELS',
        help='that tiles share (default: 256, at most a quarter of --tile)')
    group.add_argument(
        '--device',
        help='cpu, cuda, cuda:1 (default: the GPU if there is '
        'one)')


def model_settings(args: argparse.Namespace) -> dict:
    """Keyword arguments of :class:`mmseg_semi.predicting.Predictor`."""
    names = 'network', 'head', 'tta', 'tile', 'overlap', 'device'
    return {name: getattr(args, name) for name in names}


def run(args: argparse.Namespace) -> int:
    """Predict, and print what was written and what was skipped."""
    from ..predicting import Predictor, predict_folder
    from .progress import show_progress, show_waiting
    with show_waiting('Loading the model'):
        predictor = Predictor(args.config, args.checkpoint,
                              **model_settings(args))
    report = predict_folder(
        predictor,
        args.images,
        args.out,
        overlay=args.overlay,
        confidence=args.confidence,
        keep_suffix=args.keep_suffix,
        force=args.force,
        resume=args.resume,
        track=show_progress)
    if args.json:
        print_json(report.as_dict())
    else:
        print(_as_text(report))
    return 0 if report.predicted or report.kept else 1


def _as_text(report) -> str:
    done = len(report.predicted)
    lines = [f'{done} image{"s" * (done != 1)} predicted into {report.out}']
    if report.kept:
        lines[0] += f', {len(report.kept)} had been before'
    if report.predicted:
        first = report.predicted[0]
        lines += [f'  {first.image} -> {", ".join(first.files.values())}']
        lines += ['  ...'] * (done > 1)
    if report.skipped:
        lines.append(f'{len(report.skipped)} skipped:')
        lines += [f'  {s.image}: {_short(s)}' for s in report.skipped]
    return '\n'.join([*lines, *(f'note: {text}' for text in report.notes)])


def _short(skipped) -> str:
    """The reason without the file, which is named before it."""
    return skipped.reason.removeprefix(f'{skipped.image} ').removeprefix(
        f'{skipped.image}: ')
