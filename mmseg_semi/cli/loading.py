# Copyright (c) mmseg_semi authors.
"""Loading the package, at once or when a subcommand needs it."""
import importlib
import multiprocessing
import sys
from pathlib import Path

COMMAND = 'mmseg-semi'
_PARTS = ('datasets', 'engine', 'evaluation', 'models')


def is_command() -> bool:
    """Whether this process is ``mmseg-semi`` or ``python -m mmseg_semi``.

    Such a process loads the package when its subcommand asks for it, which
    ``--help`` and ``doctor`` do not. Worker processes always load it.
    """
    if multiprocessing.parent_process() is not None:
        return False
    program = sys.argv[0] if sys.argv else ''
    if program == '-m':  # while Python looks for the module to run
        return any(pair == ('-m', 'mmseg_semi')
                   for pair in zip(sys.orig_argv, sys.orig_argv[1:]))
    # A worker that is spawned imports the main script before it knows its
    # parent, and has the arguments of the parent; it was started with others.
    if any('multiprocessing' in argument for argument in sys.orig_argv):
        return False
    path = Path(program)
    return path.stem in (COMMAND, f'{COMMAND}-script') or path.parts[-2:] == (
        'mmseg_semi', '__main__.py')


def load() -> None:
    """Check the environment and register all components. Idempotent.

    Raises:
        ImportError: If the environment cannot work; says how to mend it.
    """
    from .. import compat

    # Before anything that imports mmseg: it would fail without compiled mmcv.
    compat.install()
    for part in _PARTS:
        importlib.import_module(f'mmseg_semi.{part}')
