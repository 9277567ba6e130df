# Copyright (c) mmseg_semi authors.
"""Pixels and prototypes in the plane, by t-SNE.

    feature_tsne.py CONFIG CHECKPOINT --classes cat dog

draws what Figure 7 of the PPS paper, Figure 2 of PCR and Figure 9 of BRPG
show: features of labelled pixels as dots, prototypes as stars, classes as
colours. The papers say neither which images nor how many pixels. Here:

- images: those of ``--loader``; fewer by
  ``--cfg-options val_dataloader.dataset.indices=100``;
- pixels: ``--pixels`` of every class, drawn from all images by ``--seed``; a
  class with fewer has all of its;
- feature: that of the model's prototypes if it has some, else ``decoder``:

  - BRPG, PCR: what the prototype head compares with its prototypes;
  - PPS: the pixel embedding and the mask embeddings of the queries, averaged
    over the images, because they depend on the image;
  - CMB: projections by g, with the newest vectors in memory as prototypes;
    its BatchNorm takes its statistics from the pixels drawn;
  - every other method, and any other ``--feature``: pixels alone. The queries
    of a head with classes (RC2L) have no fixed class and are left out;
- metric: ``cosine``, by which the papers compare with prototypes.

Distances between groups mean little in such a plane. The table, from the
features themselves, says how many pixels of a class have the largest cosine
with a prototype of it. Beside ``--out`` go an NPZ file with, per point,
``xy``, ``class``, ``index`` (of the prototype, -1 for a pixel), ``prototype``
(whether it is one), ``nearest`` (the row of the most similar prototype) and
``cosine`` (with it), and a JSON file with the table.
"""
import argparse
from pathlib import Path
from typing import Sequence

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip
import numpy as np
from mmengine.logging import MMLogger
from rich.table import Table
from torch import Tensor

from mmseg_semi.analysis import (Points, agreement, build_dataset,
                                 build_loader, class_ids, class_names,
                                 class_palette, embed, labelled_batches,
                                 load_for_analysis, nearest_prototypes,
                                 open_space, output_files, sample_points,
                                 write_outputs)
from mmseg_semi.analysis.arguments import (add_model_arguments,
                                           add_output_arguments, picture_title)
from mmseg_semi.analysis.drawing import draw_points
from mmseg_semi.analysis.tsne import METRICS
from mmseg_semi.benchmarking import make_console
from mmseg_semi.engine.readable_errors import readable_errors


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='t-SNE of features and prototypes')
    add_model_arguments(parser, 'which images')
    add_output_arguments(parser, 'feature_tsne.png')
    parser.add_argument(
        '--classes',
        nargs='+',
        help='by name or id (a name goes first; default: all)')
    parser.add_argument(
        '--pixels',
        type=int,
        default=200,
        help='of every class (default: 200)')
    parser.add_argument(
        '--feature',
        help='decode_head or the name of a term\'s head, with its '
        'prototypes; or decoder, pre_cls, module.path:input|output, pixels '
        'alone (default: see above)')
    parser.add_argument(
        '--metric',
        choices=METRICS,
        default='cosine',
        help='(default: cosine)')
    parser.add_argument(
        '--perplexity',
        type=float,
        default=30.,
        help='roughly the number of neighbours of a point (default: 30)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of pixels and t-SNE (default: 0)')
    args = parser.parse_args(argv)
    if args.pixels < 1:
        parser.error(f'--pixels {args.pixels}: at least one pixel per class '
                     'is needed')
    return args


def table(rows: Sequence[dict], pixels: int) -> Table:
    found = Table(title='Points')
    for name in ('class', 'pixels', 'prototypes', '% nearest to its own'):
        found.add_column(name, justify='right')
    for row in rows:
        short = ' (all)' if row['pixels'] < pixels else ''
        found.add_row(
            row['name'], f'{row["pixels"]}{short}', str(row['prototypes']),
            '' if row['agree'] is None else f'{100 * row["agree"]:.1f}')
    return found


def arrays_of(points: Points, plane: np.ndarray, nearest: Tensor,
              cosine: Tensor) -> dict:
    """What the NPZ file holds, a row per point."""
    return {
        'xy': plane,
        'class': points.classes.numpy(),
        'index': points.index.numpy(),
        'prototype': points.is_prototype.numpy(),
        'nearest': nearest.numpy(),
        'cosine': cosine.numpy()
    }


def analyse(args: argparse.Namespace) -> dict:
    """Write the files; the content of the JSON file."""
    paths = output_files(args.out, args.force)
    cfg, model = load_for_analysis(args.config, args.checkpoint,
                                   args.cfg_options)
    dataset = build_dataset(cfg, args.loader)
    names = class_names(dataset, model.num_classes)
    classes = class_ids(args.classes or names, names)
    space = open_space(model.to(args.device), args.feature, args.network)
    loader = build_loader(cfg, args.loader, dataset)
    stem = Path(args.config).stem
    points = sample_points(space, labelled_batches(model, loader, stem),
                           classes, args.pixels, args.seed)
    plane = embed(
        points.vectors,
        seed=args.seed,
        metric=args.metric,
        perplexity=args.perplexity)
    nearest, cosine = nearest_prototypes(points)
    title = picture_title(stem, space)
    picture = draw_points(f'{title}, t-SNE ({args.metric})', points, plane,
                          names, class_palette(dataset, len(names)))
    result = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        cfg_options=args.cfg_options or {},
        feature=space.feature,
        network=space.network,
        metric=args.metric,
        perplexity=args.perplexity,
        seed=args.seed,
        images=len(dataset),
        channels=points.vectors.shape[1],
        classes=[
            dict(name=names[row['id']], **row)
            for row in agreement(points, nearest, sorted(classes))
        ])
    arrays = arrays_of(points, plane, nearest, cosine)
    write_outputs(paths, picture, arrays, result)
    return result


def main(argv=None) -> dict:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with readable_errors(__name__):
        result = analyse(args)
    console = make_console()
    console.print(table(result['classes'], args.pixels))
    console.print(f'-> {args.out}', markup=False)
    return result


if __name__ == '__main__':
    main()
