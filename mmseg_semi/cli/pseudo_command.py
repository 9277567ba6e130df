# Copyright (c) mmseg_semi authors.
"""Label images with a trained model, sure pixels only, to be reviewed.

Pixels below the threshold and regions smaller than --min-area are 255, which
counts for nothing. DIR gets masks/ (index PNG), and as --format says coco.json
(run lengths), labelme/ (polygons), cvat.xml (masks); classes.json; review.csv,
the least sure image first. Broken images are skipped and listed. What was
reviewed becomes labelled images with mmseg-semi import PHOTOS --masks REVIEWED
--add-to DATA.

example:
  mmseg-semi pseudo work_dirs/leaves last --out pseudo --threshold 0.9 \\
      --threshold stem=0.7 --min-area 50 --format png,labelme
"""
import argparse

from .arguments import add_json, count
from .labeling_arguments import (add_labeling_arguments, load_labeling,
                                 skipped_lines)
from .output import print_json

NAME = 'pseudo'
HELP = 'labels of a trained model, to be reviewed'
LIGHT = False
# mmseg_semi.labeling.forms.FORMS, which cannot be imported here.
FORMS = ('png', 'coco', 'labelme', 'cvat')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi pseudo``."""
    add_labeling_arguments(parser)
    group = parser.add_argument_group('pseudo-labels')
    group.add_argument(
        '--threshold',
        action='append',
        default=[],
        type=_threshold,
        metavar='[CLASS=]VALUE',
        help='confidence that a pixel needs, in [0, 1]; again with the name '
        'of a class for that class (default: 0.95)')
    group.add_argument(
        '--min-area',
        type=count,
        default=0,
        metavar='PIXELS',
        help='smaller regions are ignored, too (default: 0)')
    group.add_argument(
        '--format',
        type=_forms,
        default=('png', ),
        metavar='FORM,...',
        help=f'of {", ".join(FORMS)} (default: png)')
    group.add_argument(
        '--simplify',
        type=_length,
        default=0.,
        metavar='PIXELS',
        help='that corners of LabelMe polygons may be off, for fewer of them '
        '(default: 0, exact)')
    group.add_argument(
        '--keep-suffix',
        action='store_true',
        help='name.jpg.png instead of name.png')
    group.add_argument(
        '--sheet',
        action='store_true',
        help='DIR/review.png: image, labels and confidence of the least sure')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Label, and print what was written and what was skipped."""
    from ..labeling import PseudoOptions, label_images
    from .progress import show_progress
    by_class = dict(args.threshold)
    options = PseudoOptions(
        threshold=by_class.pop(None, .95),
        class_thresholds=by_class,
        min_area=args.min_area,
        forms=args.format,
        simplify=args.simplify,
        sheet=args.sheet)
    predictor, pool = load_labeling(args, args.keep_suffix)
    report = label_images(
        predictor,
        pool,
        args.out,
        options,
        force=args.force,
        track=show_progress)
    if args.json:
        print_json(report.as_dict())
    else:
        print(_as_text(report))
    return 0 if report.images else 1


_SHOWN = 5


def _as_text(report) -> str:
    count = len(report.images)
    lines = [f'{count} image{"s" * (count != 1)} labelled into {report.out}']
    if report.left_out:
        told = ', '.join(f'{n} {kind}' for kind, n in report.left_out.items())
        lines[0] += f'; left out: {told}'
    if report.images:
        lines.append(f'{report.kept:.1%} of the pixels kept:')
        width = max(map(len, report.pixels))
        lines += [
            f'  {name:>{width}} {share:7.2%} of the pixels, threshold '
            f'{report.thresholds[name]:g}'
            for name, share in report.pixels.items()
        ]
        lines.append('the least sure ones, to be reviewed first:')
        lines += [
            f'  {one.path}: confidence {one.confidence:.3f}, '
            f'{one.kept:.1%} kept' for one in report.images[:_SHOWN]
        ]
    lines += skipped_lines(report.skipped)
    return '\n'.join([*lines, f'written: {", ".join(report.files)}'])


def _threshold(text: str) -> tuple[str | None, float]:
    name, equals, value = text.rpartition('=')
    try:
        number = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is neither VALUE nor CLASS=VALUE') from None
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'{value} is not in [0, 1]')
    return (name if equals else None), number


def _forms(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(',')))
    for name in names:
        if name not in FORMS:
            raise argparse.ArgumentTypeError(
                f'{name!r} is none of {", ".join(FORMS)}')
    return names


def _length(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.
    if not 0 <= number < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is no length in pixels')
    return number
