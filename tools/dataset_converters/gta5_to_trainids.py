# Copyright (c) mmseg_semi authors.
"""Convert the label images of GTA5 to the 19 classes of Cityscapes.

Writes ``labels/*_labelTrainIds.png`` beside ``labels/*.png``, and the list
``ImageSets/Segmentation/train.txt`` of all images that have labels of their
own size (a few published ones do not; they are reported and left out). Masks
that are there already are kept, so a conversion that was stopped goes on.
"""
import argparse
import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmseg_semi.datasets.gta5_labels import SUFFIX, convert
from mmseg_semi.datasets.paths import require
from mmseg_semi.datasets.split_import import write_list


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('root', help='folder with images/ and labels/')
    parser.add_argument('--images', default='images', help='folder of images')
    parser.add_argument('--labels', default='labels', help='folder of labels')
    parser.add_argument(
        '--ignore-unknown',
        action='store_true',
        help='ids and colours that Cityscapes does not know become 255')
    parser.add_argument(
        '--force',
        action='store_true',
        help='write existing masks and list '
        'again')
    parser.add_argument('--workers', type=int, default=8)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    root = Path(args.root)
    images, labels = root / args.images, root / args.labels
    require(str(labels), 'folder of label images', True)
    paths = sorted(
        p for p in labels.rglob('*.png') if not p.name.endswith(SUFFIX))
    if not paths:
        raise ValueError(f'{labels} holds no .png file. Unpack the label '
                         'archives of GTA5 there, or give --labels.')
    names = [p.relative_to(labels) for p in paths]
    one = functools.partial(
        convert, ignore_unknown=args.ignore_unknown, force=args.force)
    with ThreadPoolExecutor(args.workers) as threads:
        results = list(
            threads.map(one, paths, (images / name for name in names)))
    good = []
    for name, (_, fault) in zip(names, results):
        if fault is None:
            good.append(name.with_suffix('').as_posix())
        else:
            print(f'left out   {name}: {fault}')
    if not good:
        raise ValueError(f'No label image has an image of its size in '
                         f'{images}. Unpack the images there, or give '
                         '--images.')
    target = root / 'ImageSets' / 'Segmentation' / 'train.txt'
    state = write_list(str(target), good, args.force)
    written = sum(state == 'written' for state, _ in results)
    print(f'{written} masks written, {len(results) - written} were there.')
    print(f'{state:<10} {target}: {len(good)} images')


def main() -> None:
    try:
        run(parse_args())
    except (OSError, ValueError) as err:
        sys.exit(f'error: {err}')


if __name__ == '__main__':
    main()
