# Copyright (c) mmseg_semi authors.
"""Write miniatures of VOC, Cityscapes, COCO and GTA5 to try configs on."""
import argparse
from pathlib import Path

from mmseg_semi.datasets.miniatures import (FOLDERS, MiniatureRecipe,
                                            write_miniature)
from mmseg_semi.datasets.written_trees import ForeignTreeError


def parse_args() -> argparse.Namespace:
    defaults = MiniatureRecipe()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--out', default='data/mini', help='common folder')
    parser.add_argument(
        '--which', nargs='+', choices=list(FOLDERS), default=list(FOLDERS))
    parser.add_argument('--num-train', type=int, default=defaults.num_train)
    parser.add_argument('--num-val', type=int, default=defaults.num_val)
    parser.add_argument(
        '--scale',
        type=float,
        default=defaults.scale,
        help='factor on the image sides')
    parser.add_argument('--seed', type=int, default=defaults.seed)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        recipe = MiniatureRecipe(args.num_train, args.num_val, args.scale,
                                 args.seed)
        for kind in args.which:
            root = Path(args.out) / FOLDERS[kind]
            manifest = write_miniature(kind, root, recipe)
            print(f'{root}: content sha256 {manifest["content_sha256"]}')
    except (ForeignTreeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
