# Copyright (c) mmseg_semi authors.
"""Write every config, metafile and README table from the table of configs.

    python tools/misc/generate_configs.py           # write
    python tools/misc/generate_configs.py --check   # compare, write nothing

The table is tools/misc/config_table/. Configs that are in no row of it any
more are removed. Columns of the READMEs that hold results are kept.
"""
import argparse
import difflib
import sys
from pathlib import Path
from typing import Dict, List

from config_table import texts
from config_table.families import ROOT


def differences(expected: Dict[str, str], root: Path) -> List[str]:
    """What is missing, left over or different, one line each."""
    found = []
    for name, text in expected.items():
        path = root / name
        if not path.is_file():
            found.append(f'{name} is missing')
        elif path.read_text(encoding='utf-8') != text:
            diff = difflib.unified_diff(
                path.read_text(encoding='utf-8').splitlines(),
                text.splitlines(),
                name,
                'table',
                lineterm='')
            found.append('\n'.join(list(diff)[:20]))
    return found + [
        f'{p} is in no row of the table' for p in stray(expected, root)
    ]


def stray(expected: Dict[str, str], root: Path) -> List[str]:
    """Configs, but for shared parts, that the table does not have."""
    present = {
        str(p.relative_to(root))
        for p in (root / 'configs').rglob('*.py')
        if '_base_' not in p.relative_to(root).parts
    }
    return sorted(present - set(expected))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--check', action='store_true')
    parser.add_argument(
        '--root', type=Path, default=ROOT, help='default: this checkout')
    args = parser.parse_args()
    expected = texts.everything(args.root)
    if args.check:
        found = differences(expected, args.root)
        print('\n'.join(found) or f'{len(expected)} files are as generated')
        return bool(found)
    for name in stray(expected, args.root):
        (args.root / name).unlink()
    for name, text in expected.items():
        path = args.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    print(f'{len(expected)} files')
    return 0


if __name__ == '__main__':
    sys.exit(main())
