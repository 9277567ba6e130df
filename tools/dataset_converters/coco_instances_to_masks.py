# Copyright (c) mmseg_semi authors.
"""Draw masks of 81 classes from the instance annotations of COCO 2017.

    python tools/dataset_converters/coco_instances_to_masks.py data/coco

Reads ``annotations/instances_{train,val}2017.json`` below the folder and
writes ``masks/<image>.png`` (background 0, the 80 things 1 to 80) and the
lists ``ImageSets/Segmentation/{train,val}.txt``. Masks that are there already
are compared and kept, so a conversion that was stopped goes on. Needs
pycocotools.
"""
import argparse
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from mmseg_semi.datasets.coco81_masks import OVERLAPS, Instances, write_mask
from mmseg_semi.datasets.split_import import write_list

FILES = [f'annotations/instances_{s}2017.json' for s in ('train', 'val')]


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder of COCO 2017')
    parser.add_argument(
        '--annotations',
        nargs='+',
        default=FILES,
        metavar='FILE',
        help=f'below the folder or absolute; default: {" ".join(FILES)}')
    parser.add_argument(
        '--masks', default='masks', help='folder of the masks; default: masks')
    parser.add_argument(
        '--overlap',
        choices=list(OVERLAPS),
        default='last',
        help='the annotation that a pixel of several belongs to; which the '
        'published masks take is not known; default: last')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace masks and lists that differ')
    parser.add_argument('--workers', type=int, default=8)
    return parser.parse_args(argv)


def list_name(path: Path) -> str:
    """``instances_train2017.json`` -> ``train``."""
    found = re.fullmatch(r'instances_([a-z]+)\d*\.json', path.name)
    if found is None:
        raise ValueError(f'{path} must be named instances_<name><year>.json, '
                         'the name becomes that of the list.')
    return found[1]


def convert(path: Path, root: Path, args: argparse.Namespace) -> None:
    target = root / f'ImageSets/Segmentation/{list_name(path)}.txt'
    instances = Instances(str(path))
    stems = {number: Path(n).stem for number, n in instances.images.items()}

    def one(number: int) -> str:
        return write_mask(
            instances.mask(number, args.overlap),
            root / args.masks / f'{stems[number]}.png', args.force)

    threads = ThreadPoolExecutor(args.workers)
    try:
        states = Counter(
            track(
                threads.map(one, stems),
                description=path.name,
                total=len(stems)))
    finally:  # an error is not to wait for 100,000 other masks
        threads.shutdown(cancel_futures=True)
    print(f'{path.name}: {states["written"]} masks written, '
          f'{states["unchanged"]} were there.')
    state = write_list(str(target), sorted(stems.values()), args.force)
    print(f'{state:<10} {target}: {len(stems)} images')


def main(argv=None) -> None:
    args = parse_args(argv)
    root = Path(args.root)
    try:
        for name in args.annotations:
            convert(root / name, root, args)
    except (ImportError, OSError, ValueError) as err:
        sys.exit(f'error: {err}')


if __name__ == '__main__':
    main()
