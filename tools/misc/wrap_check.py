# Copyright (c) mmseg_semi authors.
"""Train every model family of MMSegmentation with every method, briefly.

Prints families x methods with CPU seconds and a reason for every gap; a line
for each finished cell goes to standard error. Exit status: 0 if all cells are
ok or refused as documented, 1 if one has a gap, 2 for misuse.
"""
import argparse
import json
import os
import sys
from pathlib import Path

# Before torch starts its threads.
os.environ['OMP_NUM_THREADS'] = '1'


def positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError
    return value


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--family',
        nargs='+',
        action='extend',
        metavar='F',
        help='folders of the config tree (default: all)')
    parser.add_argument(
        '--config',
        nargs='+',
        default=[],
        metavar='FILE',
        help='configs of your own, each a row of its name; without --family '
        'they alone are checked')
    parser.add_argument(
        '--method',
        nargs='+',
        action='extend',
        metavar='M',
        help='methods in lower case (default: all)')
    parser.add_argument(
        '--jobs',
        type=positive,
        default=1,
        help='families at a time, each a process of one thread (default: 1)')
    parser.add_argument(
        '--rows',
        nargs='+',
        default=[],
        metavar='FILE',
        help='cells that --json printed before, perhaps in another '
        'environment; they are taken and not checked again')
    parser.add_argument(
        '--json',
        action='store_true',
        help='print a JSON array with an object for each cell')
    parser.add_argument(
        '--write', metavar='PAGE', help='write the matrix as a Markdown page')
    args = parser.parse_args(argv)
    args.error = parser.error
    return args


def chosen(wanted, known, option: str, error) -> list:
    """The wanted names in the order of the known ones."""
    unknown = sorted(set(wanted or ()) - set(known))
    if unknown:
        error(f'{option} {" ".join(unknown)} is unknown: use any of '
              f'{" ".join(known)}.')
    return [name for name in known if not wanted or name in wanted]


def own_configs(paths, known, error) -> dict:
    """Configs by the name of their file."""
    found = {}
    for path in paths:
        name = Path(path).stem
        if '::' not in path and not Path(path).is_file():
            error(f'--config {path} does not exist.')
        if name in known or name in found:
            error(f'--config {path}: there is another row {name}, rename '
                  'the file.')
        found[name] = path
    return found


def read_rows(paths, cell_type, error) -> dict:
    """Cells by family and method; of later files where several have one."""
    cells = {}
    for path in paths:
        try:
            for row in json.loads(Path(path).read_text()):
                cells[row['family'], row['method']] = cell_type(**row)
        except (OSError, ValueError, TypeError, KeyError) as err:
            error(f'--rows {path} does not hold what --json prints: {err}')
    return cells


def main(argv=None) -> int:
    args = parse_args(argv)
    # Slow to import.
    from mmseg_semi import wrapping
    stock = wrapping.find_families()
    own = own_configs(args.config, stock, args.error)
    found = {**stock, **own}
    families = list(own)
    if args.family or not own:
        families += chosen(args.family, list(stock), '--family', args.error)
    methods = chosen(args.method, list(wrapping.METHODS), '--method',
                     args.error)
    wanted = [(family, method) for family in families for method in methods]
    cells = read_rows(args.rows, wrapping.Cell, args.error)
    total = sum(key not in cells for key in wanted)
    done = []

    def report(cell) -> None:
        done.append(cell)
        print(
            f'[{len(done)}/{total}] {cell.family} {cell.method} '
            f'{cell.seconds:.1f} s: {cell.reason or "ok"}',
            file=sys.stderr,
            flush=True)

    todo = {
        family: [m for m in methods if (family, m) not in cells]
        for family in families
    }
    for cell in wrapping.check_families(
        {family: found[family]
         for family in families}, todo, args.jobs, report):
        cells[cell.family, cell.method] = cell
    cells = [cells[key] for key in wanted]
    if args.write:
        Path(args.write).write_text(
            wrapping.as_page(cells, found, wrapping.SIZES,
                             wrapping.NUM_CLASSES))
    if args.json:
        print(json.dumps([cell.as_dict() for cell in cells], indent=1))
    else:
        print(wrapping.as_text(cells))
    return int(any(not cell.ok and not cell.refused for cell in cells))


if __name__ == '__main__':
    sys.exit(main())
