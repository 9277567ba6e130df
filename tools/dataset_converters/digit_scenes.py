# Copyright (c) mmseg_semi authors.
"""Write the embedded dataset DigitScenes in PASCAL VOC layout."""
import argparse

from mmseg_semi.datasets.digit_scenes import (DigitScenesRecipe,
                                              write_digit_scenes)
from mmseg_semi.datasets.written_trees import ForeignTreeError


def parse_args() -> argparse.Namespace:
    defaults = DigitScenesRecipe()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        '--out', default='data/DigitScenes', help='dataset folder')
    parser.add_argument('--num-train', type=int, default=defaults.num_train)
    parser.add_argument('--num-val', type=int, default=defaults.num_val)
    parser.add_argument(
        '--labeled',
        type=int,
        nargs='+',
        default=defaults.labeled,
        help='sizes of the nested labelled lists, ascending')
    parser.add_argument('--seed', type=int, default=defaults.seed)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        recipe = DigitScenesRecipe(
            num_train=args.num_train,
            num_val=args.num_val,
            labeled=tuple(args.labeled),
            seed=args.seed)
        manifest = write_digit_scenes(args.out, recipe)
    except (ForeignTreeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{args.out}: content sha256 {manifest["content_sha256"]}')
    for name, entry in manifest['lists'].items():
        print(f'  {name:<12} {entry["count"]:>5}  {entry["sha256"]}')


if __name__ == '__main__':
    main()
