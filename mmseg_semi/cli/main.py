# Copyright (c) mmseg_semi authors.
"""``mmseg-semi``: semi-supervised segmentation from the command line."""
import argparse
import importlib
import sys
from types import ModuleType

from .loading import COMMAND, load
from .output import error_content, json_alone, print_json

MODULES = ('start_command', 'import_command', 'check_command', 'init_command',
           'train_command', 'test_command', 'predict_command',
           'pseudo_command', 'next_command', 'compare_command',
           'report_command', 'export_command', 'doctor_command')
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
    with json_alone(args.json):
        return _run(module, args)


def _run(module: ModuleType, args: argparse.Namespace) -> int:
    """Run a subcommand; with ``--json`` an error is an object, too."""
    from ..engine.readable_errors import ReadableExit, readable_errors
    try:
        with readable_errors(module.__name__):
            return module.run(args)
    except KeyboardInterrupt as stop:
        print('\ninterrupted', file=sys.stderr)
        content, status = error_content('interrupted', stop), 130
    except ReadableExit as stop:
        content, status = error_content(stop.message, stop.__cause__), stop
    except Exception as error:
        text = f'{type(error).__name__}: {error}'
        content, status = error_content(text, error), error
    if args.json:
        print_json(content)
    if isinstance(status, int):
        return status
    raise status


def _load_or_stop() -> None:
    try:
        load()
    except ImportError as error:
        raise SystemExit(f'\nerror: {error}\n`{COMMAND} doctor` shows the '
                         'whole environment.') from error


if __name__ == '__main__':
    sys.exit(main())
