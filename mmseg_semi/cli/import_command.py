# Copyright (c) mmseg_semi authors.
"""Bring masks of any usual format into the form that training reads.

The format is found by itself: index, palette, grey or RGB pictures, VOC,
LabelMe, COCO, CVAT. Photographs stay where they are; OUT gets index PNG (255
is ignored), classes.json, lists of training, validation and unlabelled
photographs, and split.json.

example:
  mmseg-semi import photos --masks masks --mapping 0=background,255=leaf \\
      --val 0.2 --group-by folder --out data/leaves
"""
import argparse
from pathlib import Path

from .arguments import add_json, seed, share
from .output import plain_findings, print_json

NAME = 'import'
HELP = 'masks into index PNG, photographs into lists'
LIGHT = False
# The keys of mmseg_semi.importing.FORMATS, which cannot be imported here.
FORMATS = ('index', 'palette', 'grey', 'rgb', 'voc', 'cvat-masks', 'cvat-xml',
           'labelme', 'coco')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi import``."""
    parser.add_argument(
        'photos', metavar='PHOTOS', help='folder, searched with subfolders')
    parser.add_argument(
        '--masks',
        required=True,
        help='folder of labels, or the JSON or XML file that holds them')
    parser.add_argument(
        '--out',
        help='folder to write (default: data/NAME-imported, NAME that of '
        'PHOTOS)')
    parser.add_argument(
        '--add-to',
        metavar='DATA',
        help='add labelled photos to this import instead: they join its '
        'training images, its validation images stay')
    add_label_arguments(parser)
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='check and print everything, write nothing')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace another import in OUT (never anything else); with '
        '--add-to labels of its training images')
    add_json(parser)


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`make_options` reads."""
    parser.add_argument(
        '--format', choices=FORMATS, help='of the labels (default: found)')
    _add_class_arguments(parser.add_argument_group('classes'))
    _add_shape_arguments(
        parser.add_argument_group('labels of polygons, boxes, run lengths'))
    _add_match_arguments(
        parser.add_argument_group('photographs and their labels'))
    _add_split_arguments(parser.add_argument_group('split'))


def _add_class_arguments(group) -> None:
    group.add_argument(
        '--mapping',
        metavar='SOURCE=CLASS,...',
        help='class of each grey value (0=background,255=leaf), colour '
        '("#ff0000=leaf") or label (Leaf=leaf)')
    group.add_argument(
        '--ignore',
        metavar='SOURCE,...',
        help='values, colours or labels that count for nothing')
    group.add_argument(
        '--classes',
        help='names in the order of their ids: a,b,c, a text file with a '
        'name a line, a classes.json, or a data set (voc, cityscapes)')
    group.add_argument(
        '--colors',
        metavar='FILE',
        help='table of colours: "leaf 0 128 0" or "leaf #008000" a line, or '
        'JSON')
    group.add_argument(
        '--snap',
        action='store_true',
        help='give smeared pixels to the nearest value or colour of '
        '--mapping or --colors; the share of them is told')


def _add_shape_arguments(group) -> None:
    group.add_argument(
        '--unlabelled',
        choices=('background', 'ignore'),
        help='what pixels outside of all shapes are (default: background)')
    group.add_argument(
        '--empty',
        choices=('unlabelled', 'background'),
        help='what images without any shape are (default: unlabelled)')
    group.add_argument(
        '--overlap',
        choices=('last', 'first', 'smallest'),
        help='whose the pixels of several shapes are (default: last)')


def _add_match_arguments(group) -> None:
    group.add_argument(
        '--label-tail',
        metavar='TAIL',
        help='what labels have after the name of their photo, as _mask '
        '(default: found)')
    group.add_argument(
        '--rotate-masks',
        action='store_true',
        help='turn masks of photos as stored the way their EXIF says')


def _add_split_arguments(group) -> None:
    group.add_argument(
        '--val',
        type=share,
        default=.2,
        metavar='SHARE',
        help='of the labelled images for validation; 0 for none (default: '
        '%(default)s)')
    group.add_argument(
        '--seed', type=seed, default=0, help='of the split (default: 0)')
    group.add_argument(
        '--group-by',
        default='none',
        metavar='HOW',
        help='images that stay together: none, folder, prefix:REGEX, '
        'csv:FILE:COLUMN (default: none)')


def run(args: argparse.Namespace) -> int:
    """Import as the arguments say, and tell what was done."""
    from ..importing import add_labels, import_labels
    from .progress import show_progress
    if args.add_to and args.out:
        raise ValueError('--out and --add-to: give one of them, a new folder '
                         'or an import that there is.')
    out = args.add_to or args.out or (
        f'data/{Path(args.photos).resolve().name}-imported')
    report = (add_labels if args.add_to else import_labels)(
        args.photos,
        args.masks,
        out,
        make_options(args),
        force=args.force,
        dry_run=args.dry_run,
        say=(lambda text: None) if args.json else print,
        track=show_progress)
    if args.json:
        print_json(_as_dict(report))
    else:
        print(_as_text(report))
    return 0


def make_options(args: argparse.Namespace):
    """The :class:`ImportOptions` of the arguments."""
    from ..importing.options import (ImportOptions, parse_classes,
                                     parse_mapping, source_key)
    ignore = (args.ignore or '').split(',')
    return ImportOptions(
        format=args.format,
        mapping=parse_mapping(args.mapping) if args.mapping else None,
        ignore=tuple(source_key(text) for text in ignore if text.strip()),
        classes=parse_classes(args.classes) if args.classes else None,
        colors=args.colors,
        snap=args.snap,
        unlabelled=args.unlabelled,
        empty=args.empty,
        overlap=args.overlap,
        label_tail=args.label_tail,
        rotate_masks=args.rotate_masks,
        val=args.val,
        seed=args.seed,
        group_by=args.group_by)


def _as_dict(report) -> dict:
    from ..importing import dataset_settings
    from ..importing.tree import CLASSES, LISTS, MASKS, SPLIT
    content = dict(vars(report), findings=plain_findings(report.warnings))
    del content['warnings']
    content['files'] = []
    if report.classes:
        content['config'] = dataset_settings(report.out)
        lists = [p for n, p in LISTS.items() if report.split['images'][n]]
        content['files'] = [
            f'{report.out}/{path}' for path in (MASKS, *lists, CLASSES, SPLIT)
        ]
    return content


def _as_text(report) -> str:
    from ..importing import config_lines
    from ..importing.findings import listing
    from ..importing.tree import CLASSES, LISTS, MASKS, SPLIT
    lines = [listing(report.warnings)] if report.warnings else []
    if not report.classes:
        return '\n'.join([*lines, 'Nothing was written (--dry-run).'])
    images, classes = report.split['images'], report.classes
    if 'snapped' in classes:
        lines.append(f'{classes["snapped"]:.2%} of the pixels were given to '
                     'the nearest value or colour (--snap)')
    if report.split['left_out']:
        lines.append(f'{len(report.split["left_out"])} photos left out, see '
                     f'{SPLIT}')
    lines += [
        f'{report.out} ({report.state})',
        f'  {MASKS}/  index PNG, 255 is ignored: photo.jpg -> photo.jpg.png',
        f'  {CLASSES}  {len(classes["names"])} classes: '
        f'{", ".join(classes["names"])}', f'  {SPLIT}  what decided the lists',
        *(f'  {path}  {images[name]} photos'
          for name, path in LISTS.items() if images[name])
    ]
    if 'added' in report.split:
        lines.append('Configs of this folder train on all of them from now '
                     'on; train into a new --work-dir.')
    else:
        lines += [
            'These lines of a config use it:', *config_lines(report.out),
            f'A whole config: mmseg-semi init {report.out}'
        ]
    return '\n'.join(lines)
