# Copyright (c) mmseg_semi authors.
"""Where the log of a training goes."""
import sys
from contextlib import contextmanager, redirect_stdout


@contextmanager
def log_to_stderr(active: bool):
    """Keep standard output free for one JSON object.

    Args:
        active (bool): Whether to do anything. MMEngine's loggers take the
            stream that is there when they are made.
    """
    if not active:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield
