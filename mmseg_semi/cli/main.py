# Copyright (c) mmseg_semi authors.
"""``mmseg-semi``: semi-supervised segmentation from the command line."""
import argparse
import importlib
import json
import sys
from types import ModuleType

from .loading import COMMAND, load

MODULES = ('start_command', 'import_command', 'check_command', 'init_command',
           'train_command', 'test_command', 'predict_command',
           'pseudo_command', 'next_command', 'compare_command',
           'doctor_command')
_EPILOG = """\
mmseg-semi SUBCOMMAND --help explains a subcommand, with an example.
Exit status: 0 done, 1 something in your data or settings, 2 misuse."""


def commands() -> dict[str, ModuleType]:
    """Name -> module of every subcommand, in the order of the help."""
    modules = [
        importlib.import_module(f'.{name}', __package__) for name in MODULES
    ]
    return {module.NAME: module for module in modules}


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command and all subcommands."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description='Semi-supervised semantic segmentation: from a folder of '
        'photographs and some labels to a trained model.',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--version', action='store_true', help='print the version')
    subparsers = parser.add_subparsers(dest='command', metavar='SUBCOMMAND')
    for name, module in commands().items():
        subparser = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(subparser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv (list[str], optional): Arguments; those of the process by
            default.

    Returns:
        int: Exit status.

    Raises:
        SystemExit: 2 after misuse, which argparse tells; 1 with a message
            after an error that the user can mend.
    """
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.version:
        from ..version import __version__
        print(f'{COMMAND} {__version__}')
        return 0
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    module = commands()[args.command]
    if module.LIGHT:
        return module.run(args)
    _load_or_stop()
    from ..engine.readable_errors import ReadableExit, readable_errors
    try:
        with readable_errors(module.__name__):
            return module.run(args)
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        return 130
    except ReadableExit as stop:
        if getattr(args, 'json', False):
            print(json.dumps(_error(stop), indent=2))
        raise


def _load_or_stop() -> None:
    try:
        load()
    except ImportError as error:
        raise SystemExit(f'\nerror: {error}\n`{COMMAND} doctor` shows the '
                         'whole environment.') from error


def _error(stop: SystemExit) -> dict:
    """An error for machines, with its findings if it has some."""
    content = dict(error=stop.message)
    findings = getattr(stop.__cause__, 'findings', None)
    if findings is not None:
        from ..importing.findings import as_json
        content['findings'] = as_json(findings)
    return content


if __name__ == '__main__':
    sys.exit(main())
