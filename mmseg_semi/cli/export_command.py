# Copyright (c) mmseg_semi authors.
"""Write a trained model for those who do not have this package.

--to mmseg: a config and weights for MMSegmentation alone, with one Python
file for what it lacks. --to onnx: a file for onnxruntime, which is compared
with PyTorch on images before it is written. docs/deploy.md has more.

example:
  mmseg-semi export leaves.py work_dirs/leaves/iter_2000.pth --to mmseg,onnx \
--pre nhwc --post --out leaves_exported
"""
import argparse

from .arguments import OptionsAction, add_json, positive
from .output import print_json

NAME = 'export'
HELP = 'a trained model for MMSegmentation alone, or as ONNX'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi export``."""
    parser.add_argument(
        'config',
        help='config file, mmseg_semi::NAME, or work directory of a training')
    parser.add_argument(
        'checkpoint',
        help='file of the weights; of a work directory also last or best')
    parser.add_argument(
        '--to',
        default='mmseg',
        metavar='mmseg,onnx',
        help='forms to write (default: mmseg)')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder to write into')
    parser.add_argument(
        '--network',
        metavar='NAME',
        help='student, teacher or another network of the model (default: '
        'predict_with of the config)')
    parser.add_argument(
        '--pre',
        nargs='?',
        const='nhwc',
        choices=('nhwc', 'nchw'),
        help='ONNX: take pixels of 0 to 255 and normalise them inside '
        '(default layout: nhwc)')
    parser.add_argument(
        '--colors',
        default='bgr',
        choices=('bgr', 'rgb'),
        help='ONNX: order of the colours that --pre takes (default: bgr, as '
        'OpenCV loads)')
    parser.add_argument(
        '--post',
        action='store_true',
        help='ONNX: give probabilities and classes instead of scores')
    parser.add_argument(
        '--size',
        nargs=2,
        type=positive,
        metavar=('HEIGHT', 'WIDTH'),
        help='ONNX: take images of this size alone; windows are inside then')
    parser.add_argument(
        '--images',
        metavar='PATH',
        help='ONNX: file or folder to compare on (default: validation images '
        'of the config)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. model.test_cfg.mode=whole')
    parser.add_argument(
        '--force', action='store_true', help='replace files that are there')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written and how equal it is."""
    from ..exporting import GraphOptions, export
    options = GraphOptions(args.pre, args.colors, args.post,
                           tuple(args.size) if args.size else None)
    result = export(
        args.config,
        args.checkpoint,
        args.out,
        to=[name.strip() for name in args.to.split(',') if name.strip()],
        network=args.network,
        options=options,
        images=args.images,
        force=args.force,
        cfg_options=args.cfg_options)
    if args.json:
        print_json(result)
    return 0
