# Copyright (c) mmseg_semi authors.
"""How well features separate classes: Table 5 of the PCR paper.

    feature_discrimination.py CONFIG CHECKPOINT [CONFIG CHECKPOINT ...]

prints, per model, tr(inter-class variance) / tr(intra-class variance), both
traces, and writes them with the values of every class as JSON.

The paper gives three columns of numbers and the words "the principle of linear
discriminant analysis". It says neither which feature map it means, nor of
which network, on which images, at which resolution, nor how classes are
weighted. Here:

- feature map: ``--feature``, by default ``decoder``, the map Z that PCR's two
  predictors read, as it is. Unit vectors have a total variance of at most 1,
  so the paper's were not normalised; ``--normalize`` does it, after the
  interpolation, as PCR's prototype predictor does;
- network: the one that predicts, else ``--network``; eval mode, the whole
  image in one forward also where the config tests with a sliding window;
- images: those of ``--loader``, by default ``val_dataloader``; other lists by
  ``--cfg-options val_dataloader.dataset.ann_file=...``, fewer images by
  ``val_dataloader.dataset.indices=100``;
- resolution: that of the network's input. Features are interpolated there
  bilinearly, as PCR interpolates Z, at every labelled pixel whose row and
  column are multiples of ``--stride``; ignored pixels and padding are left
  out;
- weights of the classes: ``--weighting pixel`` (that of LDA: by number of
  pixels) or ``class`` (all the same). The JSON has both.

See :class:`mmseg_semi.analysis.ClassScatter` for the formulas. The traces
have the unit of the squared features, so between networks only the ratio can
be compared.
"""
import argparse
import json
from pathlib import Path

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip
import torch
from mmengine.logging import MMLogger
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from mmseg_semi.analysis import (ClassScatter, FeatureReader, build_dataset,
                                 build_loader, class_names, labelled_batches,
                                 load_for_analysis)
from mmseg_semi.analysis.arguments import add_place_arguments
from mmseg_semi.analysis.class_scatter import WEIGHTINGS
from mmseg_semi.benchmarking import make_console
from mmseg_semi.engine.atomic import write_atomically
from mmseg_semi.engine.readable_errors import readable_errors
from mmseg_semi.functional import features_at

PIXELS = 16384  # read at once: 128 MiB for the neighbours of 512 channels


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Inter- and intra-class variance of features')
    parser.add_argument(
        'models',
        nargs='+',
        metavar=('CONFIG CHECKPOINT', 'CONFIG CHECKPOINT'),
        help='config and checkpoint of each model')
    parser.add_argument(
        '--feature',
        default='decoder',
        help='decoder, pre_cls, module.path:input|output, or the name of a '
        "term's head (default: decoder)")
    add_place_arguments(parser, 'which images')
    parser.add_argument(
        '--weighting',
        choices=WEIGHTINGS,
        default='pixel',
        help='how classes count in the table (default: pixel)')
    parser.add_argument(
        '--normalize',
        action='store_true',
        help='scale every feature to unit length')
    parser.add_argument(
        '--stride',
        type=int,
        default=1,
        help='take every n-th row and column of pixels (default: 1)')
    parser.add_argument('--json', help='also write everything to this file')
    args = parser.parse_args(argv)
    if len(args.models) % 2:
        parser.error('give a checkpoint for every config')
    if args.stride < 1:
        parser.error('--stride must be at least 1')
    return args


def pixels_at(features: Tensor, labels: Tensor, stride: int,
              align_corners: bool):
    """Yield features (N, D) and labels (N,) of labelled pixels.

    Args:
        features (Tensor): (B, D, h, w).
        labels (Tensor): (B, H, W) long, 255 ignored.
        stride (int): Rows and columns are multiples of it.
        align_corners (bool): How the features are interpolated.
    """
    kept = torch.zeros_like(labels, dtype=torch.bool)
    kept[:, ::stride, ::stride] = True
    kept &= labels != 255
    for index in kept.nonzero().split(PIXELS):
        image, rows, cols = index.unbind(1)
        vectors = features_at(features, image, rows, cols, labels.shape[1:],
                              align_corners)
        yield vectors, labels[image, rows, cols]


def analyse(config: str, checkpoint: str, args: argparse.Namespace) -> dict:
    """One model's entry of the JSON file."""
    cfg, model = load_for_analysis(config, checkpoint, args.cfg_options)
    dataset = build_dataset(cfg, args.loader)
    names = class_names(dataset, model.num_classes)
    model = model.to(args.device)
    reader = FeatureReader(model, args.feature, args.network)
    loader = build_loader(cfg, args.loader, dataset)
    scatter, num_images = None, 0
    for images, labels in labelled_batches(model, loader, Path(config).stem):
        features = reader(images)
        scatter = scatter or ClassScatter(model.num_classes, features.shape[1],
                                          images.device)
        for vectors, target in pixels_at(features, labels, args.stride,
                                         reader.align_corners):
            if args.normalize:
                vectors = F.normalize(vectors, dim=1)
            scatter.update(vectors, target)
        num_images += len(images)
    return dict(
        config=config,
        checkpoint=checkpoint,
        network=reader.network,
        feature=args.feature,
        channels=scatter.mean.shape[1],
        images=num_images,
        pixels=int(scatter.count.sum()),
        **{weighting: traces(scatter, weighting)
           for weighting in WEIGHTINGS},
        classes=per_class(scatter, names))


def traces(scatter: ClassScatter, weighting: str) -> dict:
    found = scatter.traces(weighting)
    return dict(ratio=found.ratio, inter=found.inter, intra=found.intra)


def per_class(scatter: ClassScatter, names) -> list:
    """What each class contributes; None where it does not occur."""
    variance, near, far = (
        values.tolist()
        for values in (scatter.class_variance(), scatter.distance('pixel'),
                       scatter.distance('class')))
    return [
        dict(
            name=name,
            pixels=int(scatter.count[i]),
            **{
                key: values[i] if scatter.count[i] else None
                for key, values in (('intra', variance), ('distance_pixel',
                                                          near),
                                    ('distance_class', far))
            }) for i, name in enumerate(names)
    ]


def table(rows: list, weighting: str) -> Table:
    """The three columns of the paper, and what they were taken from."""
    found = Table(title='Inter- and intra-class variance, every '
                  f'{weighting} counts the same')
    found.add_column('model', overflow='fold')
    for name, justify in (('network', 'left'), ('feature', 'left'),
                          ('channels', 'right'), ('images', 'right'),
                          ('pixels', 'right'), ('inter / intra', 'right'),
                          ('tr(inter)', 'right'), ('tr(intra)', 'right')):
        found.add_column(name, justify=justify)
    for row in rows:
        ratio, *both = row[weighting].values()
        found.add_row(
            Path(row['config']).stem, row['network'] or '', row['feature'],
            str(row['channels']), str(row['images']), f'{row["pixels"]:,}',
            '' if ratio is None else f'{ratio:.4g}',
            *(f'{value:.4g}' for value in both))
    return found


def main(argv=None) -> dict:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with readable_errors(__name__):
        rows = [
            analyse(config, checkpoint, args)
            for config, checkpoint in zip(args.models[::2], args.models[1::2])
        ]
    result = dict(
        loader=args.loader,
        stride=args.stride,
        normalize=args.normalize,
        cfg_options=args.cfg_options or {},
        models=rows)
    make_console().print(table(rows, args.weighting))
    if args.json:
        text = json.dumps(result, indent=1) + '\n'
        write_atomically(text.encode(), args.json)
    return result


if __name__ == '__main__':
    main()
