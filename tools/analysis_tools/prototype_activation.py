# Copyright (c) mmseg_semi authors.
"""Where in an image prototypes are active: Figure 5 of the PPS paper.

    prototype_activation.py CONFIG CHECKPOINT --images 0 7 photo.jpg

draws a row per image: the image, the prediction, and a heat map of every
chosen prototype, entitled with its class, its index and the part of the
pixels that it has among all prototypes. The index is class-major: prototype j
of class k is k n + j, n being the number per class.

- A ``MaskQueryHead`` (PPS): the prototypes are the queries and the score is
  the mask logit. Queries with a class head (RC2L) have the class that they
  name in the image.
- A ``PrototypeHead`` (BRPG, PCR): the score is the cosine similarity of the
  stored prototype and the feature, interpolated to the image before it is
  compared where the head does so (PCR).

Other methods have no prototypes. Images are files, or indices of the images
of ``--loader``; a file goes through the same pipeline. The network sees the
whole image at once also where the config tests with a sliding window.

Beside ``--out`` go an NPZ file with ``image_i``, ``prediction_i``, ``maps_i``
(K, H, W), ``index_i``, ``class_i`` and ``share_i`` of the i-th image, and a
JSON file that says the same without the pixels.
"""
import argparse
from pathlib import Path
from typing import Sequence

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip
from mmengine.logging import MMLogger
from rich.table import Table

from mmseg_semi.analysis import (ActivatedImage, activate, build_dataset,
                                 class_ids, class_names, class_palette,
                                 load_for_analysis, open_space, output_files,
                                 write_outputs)
from mmseg_semi.analysis.activation import NUMBER
from mmseg_semi.analysis.arguments import (add_model_arguments,
                                           add_output_arguments, picture_title)
from mmseg_semi.analysis.drawing import draw_activations
from mmseg_semi.benchmarking import make_console
from mmseg_semi.engine.readable_errors import readable_errors


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Heat maps of prototypes over images')
    add_model_arguments(parser, 'whose images and pipeline')
    add_output_arguments(parser, 'prototype_activation.png')
    parser.add_argument(
        '--images',
        nargs='+',
        default=['0'],
        help='files, or indices of the images of --loader (default: 0)')
    parser.add_argument(
        '--classes',
        nargs='+',
        help='all prototypes of these classes, by name or id (a name goes '
        'first)')
    parser.add_argument(
        '--prototypes', nargs='+', type=int, help='prototypes by index')
    parser.add_argument(
        '--number',
        type=int,
        help='only so many of them beside --prototypes, those that have the '
        f'most pixels (default: all of --classes, else {NUMBER})')
    parser.add_argument(
        '--head',
        help="decode_head, or the name of a term's head (default: the one "
        'with prototypes)')
    args = parser.parse_args(argv)
    if args.number is not None and args.number < 1:
        parser.error(f'--number {args.number}: at least one map is needed')
    return args


def describe(shown: ActivatedImage, names: Sequence[str]) -> dict:
    """An image's entry of the JSON file."""
    return dict(
        image=shown.path,
        prototypes=[
            dict(
                index=int(index),
                class_id=int(label),
                class_name=names[label] if label < len(names) else None,
                share=float(share),
                min=float(scores.min()),
                max=float(scores.max())) for index, label, share, scores in
            zip(shown.index, shown.classes, shown.share, shown.maps)
        ])


def arrays_of(rows: Sequence[ActivatedImage]) -> dict:
    """What the NPZ file holds."""
    found = {}
    for i, shown in enumerate(rows):
        found.update({
            f'image_{i}': shown.image,
            f'prediction_{i}': shown.prediction,
            f'maps_{i}': shown.maps,
            f'index_{i}': shown.index,
            f'class_{i}': shown.classes,
            f'share_{i}': shown.share
        })
    return found


def table(entries: Sequence[dict]) -> Table:
    found = Table(title='Prototypes shown')
    found.add_column('image', overflow='fold')
    for name in ('class', 'prototype', '% of pixels', 'lowest', 'highest'):
        found.add_column(name, justify='right')
    for entry in entries:
        for item in entry['prototypes']:
            found.add_row(
                Path(entry['image']).name, item['class_name'] or 'no object',
                str(item['index']), f'{100 * item["share"]:.1f}',
                f'{item["min"]:.3g}', f'{item["max"]:.3g}')
    return found


def analyse(args: argparse.Namespace) -> dict:
    """Write the files; the content of the JSON file."""
    paths = output_files(args.out, args.force)
    cfg, model = load_for_analysis(args.config, args.checkpoint,
                                   args.cfg_options)
    by_index = any(image.isdigit() for image in args.images)
    dataset = build_dataset(cfg, args.loader, lazy=not by_index)
    names = class_names(dataset, model.num_classes)
    space = open_space(model.to(args.device), args.head, args.network)
    if space.network:
        model.predict_with = space.network
    classes = class_ids(args.classes or (), names)
    rows = [
        activate(space, dataset, image, classes, args.prototypes, args.number)
        for image in args.images
    ]
    result = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        cfg_options=args.cfg_options or {},
        head=space.feature,
        network=space.network,
        classes=names,
        images=[describe(shown, names) for shown in rows])
    title = picture_title(Path(args.config).stem, space)
    picture = draw_activations(title, rows, names,
                               class_palette(dataset, len(names)))
    write_outputs(paths, picture, arrays_of(rows), result)
    return result


def main(argv=None) -> dict:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with readable_errors(__name__):
        result = analyse(args)
    console = make_console()
    console.print(table(result['images']))
    console.print(f'-> {args.out}', markup=False)
    return result


if __name__ == '__main__':
    main()
