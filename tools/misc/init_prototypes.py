# Copyright (c) mmseg_semi authors.
"""Make the prototypes that PCR starts from (its Algorithm 2).

    python tools/misc/init_prototypes.py CONFIG CHECKPOINT

CONFIG is that of the PCR training: its labelled images are read, and what it
says of the prototypes (``model.terms.pcr``) holds unless an option says
otherwise. CHECKPOINT is a model trained on these images alone, such as
configs/supervised makes, or the plain segmentor. Any other config serves too
if --out is given.
"""
import argparse
from typing import Iterator, Tuple

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_semi.analysis import (FeatureReader, labels_at_input,
                                 load_for_analysis)
from mmseg_semi.cli.arguments import OptionsAction
from mmseg_semi.engine.checks import check_num_classes
from mmseg_semi.engine.readable_errors import readable_errors
from mmseg_semi.functional.clustering import BACKENDS
from mmseg_semi.models.prototype_extraction import (cluster_sample,
                                                    sample_pixels)
from mmseg_semi.models.prototype_file import save_prototypes


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Cluster the features of labelled images into prototypes')
    parser.add_argument('config', help='path of the config file')
    parser.add_argument('checkpoint', help='path of the supervised model')
    parser.add_argument(
        '--out', help='the file (default: the `prototypes` of the config)')
    parser.add_argument(
        '--num-prototypes', type=int, help='K, per class (default: 4)')
    parser.add_argument(
        '--tap', help='which features (default: decoder, Z in the paper)')
    parser.add_argument(
        '--pixels',
        type=int,
        default=10_000,
        help='most pixels per class (default: 10000)')
    parser.add_argument(
        '--network',
        help='which network of the wrapper (default: the predicting one)')
    parser.add_argument('--kmeans', choices=BACKENDS, default='faiss')
    parser.add_argument(
        '--normalize',
        action='store_true',
        default=None,
        help='cluster the features as unit vectors (default: `normalize` of '
        'the config, off)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the choice and the clustering')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    args = parser.parse_args(argv)
    if args.pixels < 1:
        parser.error(f'--pixels {args.pixels}: at least one pixel per class '
                     'is needed')
    if args.num_prototypes is not None and args.num_prototypes < 1:
        parser.error(f'--num-prototypes {args.num_prototypes}: a class needs '
                     'at least one (leave it out to take the number of the '
                     'config)')
    return args


def complete(args: argparse.Namespace, cfg: Config) -> None:
    """Take what is not given from the config's PCR term."""
    terms = (cfg.model.get('terms') or {}).values()
    term = next((t for t in terms if t and t.get('type') == 'PCR'), {})
    args.out = args.out or term.get('prototypes')
    if args.num_prototypes is None:
        args.num_prototypes = term.get('num_prototypes', 4)
    if args.normalize is None:
        args.normalize = term.get('normalize', False)
    args.tap = args.tap or term.get('head', {}).get('tap', 'decoder')
    if args.out is None:
        raise ValueError(f'{args.config} names no file of prototypes '
                         '(model.terms.pcr.prototypes): give --out.')


def labeled_dataset(cfg: Config):
    """The labelled images of the training, whole and unchanged."""
    source = cfg.train_dataloader.dataset
    source = source.get('labeled', source).copy()
    loading = [t for t in source.pipeline if t.type.startswith('Load')]
    source.pipeline = [*loading, dict(type='PackSegInputs')]
    return DATASETS.build(source)


def images(dataset, preprocessor, num_classes: int) -> Iterator[Tuple]:
    """Normalised images (1, 3, H, W) and their labels (H, W)."""
    for index in range(len(dataset)):
        sample = dataset[index]
        batch = dict(
            inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        batch = preprocessor(batch, False)
        yield batch['inputs'], labels_at_input(batch['data_samples'],
                                               batch['inputs'].shape[-2:],
                                               num_classes)[0]


def run(args: argparse.Namespace) -> None:
    """Sample, cluster, write, and say how many pixels there were."""
    cfg = Config.fromfile(mmseg_semi.find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    complete(args, cfg)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    dataset = labeled_dataset(cfg)
    _, model = load_for_analysis(args.config, args.checkpoint,
                                 args.cfg_options)
    check_num_classes(model, dataset)
    model = model.to(args.device)
    reader = FeatureReader(model, args.tap, args.network)
    classes = dataset.metainfo['classes']
    sample = sample_pixels(
        reader, images(dataset, model.data_preprocessor, len(classes)),
        len(classes), args.pixels, args.seed, reader.align_corners)
    prototypes, valid = cluster_sample(sample, args.num_prototypes,
                                       args.kmeans, args.seed, args.normalize)
    save_prototypes(
        args.out,
        prototypes,
        valid,
        classes,
        config=args.config,
        checkpoint=args.checkpoint,
        tap=args.tap,
        seed=str(args.seed))
    for name, seen, used in zip(classes, sample.seen,
                                valid.sum(dim=1).tolist()):
        short = '' if used == args.num_prototypes else \
            f'  (of {args.num_prototypes} wanted)'
        print(f'{name:20}{seen:12} pixels{used:4} prototypes{short}')
    print(f'{tuple(prototypes.shape)} -> {args.out}')


def main(argv=None) -> None:
    with readable_errors(__name__):
        run(parse_args(argv))


if __name__ == '__main__':
    main()
