# Copyright (c) mmseg_semi authors.
"""Draw nested, seeded labelled lists in which every class occurs.

Example: ``make_splits.py --masks data/my/SegmentationClass --num-classes 5
--labels 50 100 --name my --out data/my/ImageSets/Semi`` writes ``my-50.txt``
and ``my-100.txt``; the first is part of the second.
"""
import argparse
import functools
import os.path as osp
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mmseg_semi.datasets.paths import first_few, require
from mmseg_semi.datasets.split_import import write_list
from mmseg_semi.datasets.split_make import classes_in_mask, nested_order
from mmseg_semi.datasets.splits import read_list, split_hash, verify_split


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--masks', required=True, help='folder of masks')
    parser.add_argument(
        '--mask-suffix', default='.png', help='default: %(default)s')
    parser.add_argument(
        '--pool', help='list to draw from (default: all masks)')
    parser.add_argument('--num-classes', type=int, required=True)
    parser.add_argument(
        '--ignore-ids',
        type=int,
        nargs='*',
        default=[255],
        help='mask ids that are no class (default: 255)')
    parser.add_argument(
        '--labels',
        type=int,
        nargs='+',
        required=True,
        help='sizes of the labelled lists')
    parser.add_argument('--min-images-per-class', type=int, default=1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--name', required=True, help='lists are called <name>-<size>.txt')
    parser.add_argument('--out', required=True, help='folder for the lists')
    parser.add_argument(
        '--force', action='store_true', help='replace lists that differ')
    return parser.parse_args()


def pool_entries(args: argparse.Namespace) -> list[str]:
    """Images to draw from: paths of masks without suffix, sorted."""
    require(args.masks, '--masks', True)
    if args.pool:
        require(args.pool, '--pool', False)
        return sorted(read_list(args.pool))
    root = Path(args.masks)
    entries = sorted(
        path.relative_to(root).as_posix().removesuffix(args.mask_suffix)
        for path in root.rglob(f'*{args.mask_suffix}'))
    if not entries:
        raise ValueError(f'{root} holds no mask that ends with '
                         f'{args.mask_suffix}; set --mask-suffix.')
    return entries


def report(order: np.ndarray, size: int, presence: np.ndarray,
           wanted: int) -> None:
    counts = presence[order[:size]].sum(0)
    print(f'           images per class: {counts.tolist()}')
    for few, fault in ((counts == 0, 'do not occur'),
                       ((counts > 0) & (counts < wanted), 'occur too rarely')):
        if few.any():
            print(f'           warning: the classes '
                  f'{np.flatnonzero(few).tolist()} {fault}; the pool has '
                  f'{presence.sum(0)[few].tolist()} images of them')


def draw(args: argparse.Namespace) -> None:
    entries = pool_entries(args)
    paths = [osp.join(args.masks, e + args.mask_suffix) for e in entries]
    missing = [path for path in paths if not osp.isfile(path)]
    if missing:
        raise FileNotFoundError(f'No mask for {len(missing)} images of the '
                                f'pool: {first_few(missing)}.')
    read_classes = functools.partial(
        classes_in_mask,
        num_classes=args.num_classes,
        ignore_ids=args.ignore_ids)
    with ThreadPoolExecutor() as threads:
        presence = np.stack(list(threads.map(read_classes, paths)))
    order = nested_order(presence, args.labels, args.seed,
                         args.min_images_per_class)
    for size in sorted(set(args.labels)):
        chosen = sorted(entries[i] for i in order[:size])
        target = osp.join(args.out, f'{args.name}-{size}.txt')
        verify_split(target, chosen)
        state = write_list(target, chosen, args.force)
        print(f'{state:<10} {target}  SHA-256 {split_hash(chosen)}')
        report(order, size, presence, args.min_images_per_class)


def main() -> None:
    try:
        draw(parse_args())
    except (OSError, ValueError) as err:
        sys.exit(f'error: {err}')


if __name__ == '__main__':
    main()
