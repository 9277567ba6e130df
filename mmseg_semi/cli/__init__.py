# Copyright (c) mmseg_semi authors.
"""The command ``mmseg-semi``: one module per subcommand.

A module of a subcommand has ``NAME``, ``HELP``, ``LIGHT`` (whether it runs
before the package is loaded, in any environment), ``add_arguments(parser)``
and ``run(args) -> int``. It imports nothing but the standard library until it
runs, so that ``mmseg-semi --help`` answers at once.
"""
