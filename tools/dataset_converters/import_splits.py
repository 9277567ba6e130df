# Copyright (c) mmseg_semi authors.
"""Import published split lists into plain lists of stems.

The lists themselves are in the repositories of U2PL, CPS, UniMatch and BRPG.
Given files, or a folder to be searched, this recognises the published lists by
their content and writes ``<data-root>/ImageSets/Semi/<name>.txt``.
"""
import argparse
import os.path as osp
import sys
from pathlib import Path

from mmseg_semi.datasets.split_import import import_list, parse_published
from mmseg_semi.datasets.splits import identify, known_splits


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'sources', nargs='*', help='list files, or folders of .txt files')
    parser.add_argument('--data-root', help='dataset folder')
    parser.add_argument(
        '--out', help='folder for the lists, instead of --data-root')
    parser.add_argument(
        '--name', help='name of the list (one source file only)')
    parser.add_argument(
        '--force', action='store_true', help='replace lists that differ')
    parser.add_argument(
        '--known', action='store_true', help='print the known lists and stop')
    args = parser.parse_args()
    if args.known:
        return args
    if not args.sources or bool(args.data_root) == bool(args.out):
        parser.error('give source(s) and either --data-root or --out')
    if args.name and (len(args.sources) > 1 or osp.isdir(args.sources[0])):
        parser.error('--name needs exactly one source file')
    return args


def known_files(folder: str) -> list[str]:
    """The .txt files below a folder that hold a published list."""
    found = []
    for path in sorted(Path(folder).rglob('*.txt')):
        try:
            if identify(parse_published(str(path))):
                found.append(str(path))
                continue
            print(f'skipped    {path}: not a published list')
        except ValueError as err:
            print(f'skipped    {err}')
    return found


def main() -> None:
    args = parse_args()
    if args.known:
        for name, split in known_splits().items():
            print(f'{name:<24} {split["count"]:>6}  '
                  f'{split["sha256"] or "-":<64}  {split["source"]}')
        return
    out = args.out or osp.join(args.data_root, 'ImageSets', 'Semi')
    try:
        files = []
        for source in args.sources:
            found = known_files(source) if osp.isdir(source) else [source]
            if not found:
                raise ValueError(f'{source} holds no published list.')
            files += found
        for path in files:
            for target, state in import_list(path, out, args.name, args.force):
                print(f'{state:<10} {target}  <- {path}')
    except (OSError, ValueError) as err:
        sys.exit(f'error: {err}')


if __name__ == '__main__':
    main()
