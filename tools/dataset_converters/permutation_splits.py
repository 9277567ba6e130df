# Copyright (c) mmseg_semi authors.
"""Write labelled lists from a published permutation (CMB, ClassMix).

The first n images of the permuted pool are labelled. CMB's permutations are
``splits/{voc,city}/split_{0,1,2}.pkl`` of its repository. For VOC the pool is
its ``train_aug.txt``, in the order of the file. For Cityscapes it was the
order in which a disk listed the files, which is lost: take ``city-train.txt``
with ``--sort``, as everybody who uses this tool does.

Example: ``permutation_splits.py split_0.pkl --pool train_aug.txt --labels 212
530 1323 --name voc12-cmb0 --out data/VOCdevkit/VOC2012/ImageSets/Semi``
"""
import argparse
import os.path as osp
import sys

from mmseg_semi.datasets.split_import import parse_published, write_list
from mmseg_semi.datasets.split_permutation import read_permutation
from mmseg_semi.datasets.splits import split_hash, verify_split


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('permutation', help='.pkl, .npy or .txt')
    parser.add_argument(
        '--pool', required=True, help='list of all training images')
    parser.add_argument(
        '--sort', action='store_true', help='sort the pool first')
    parser.add_argument(
        '--labels',
        type=int,
        nargs='+',
        required=True,
        help='sizes of the labelled lists')
    parser.add_argument(
        '--name', required=True, help='lists are called <name>-<size>.txt')
    parser.add_argument('--out', required=True, help='folder for the lists')
    parser.add_argument(
        '--force', action='store_true', help='replace lists that differ')
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    order = read_permutation(args.permutation)
    pool = parse_published(args.pool, in_order=not args.sort)
    if len(order) != len(pool):
        raise ValueError(
            f'{args.permutation} permutes {len(order)} images, but '
            f'{args.pool} lists {len(pool)}. Give the list that the '
            'permutation was made for (CMB: 10,582 images of VOC, 2,975 of '
            'Cityscapes).')
    for size in sorted(set(args.labels)):
        if not 1 <= size <= len(pool):
            raise ValueError(f'--labels {size} is not between 1 and the '
                             f'{len(pool)} images of {args.pool}.')
        chosen = sorted(pool[i] for i in order[:size])
        target = osp.join(args.out, f'{args.name}-{size}.txt')
        verify_split(target, chosen)
        state = write_list(target, chosen, args.force)
        print(f'{state:<10} {target}  SHA-256 {split_hash(chosen)}')


def main() -> None:
    try:
        run(parse_args())
    except (OSError, ValueError) as err:
        sys.exit(f'error: {err}')


if __name__ == '__main__':
    main()
