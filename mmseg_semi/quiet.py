# Copyright (c) mmseg_semi authors.
"""Where what libraries print goes."""
import io
import logging
import sys
import warnings
from contextlib import contextmanager, redirect_stdout

from mmengine.logging import MMLogger


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


@contextmanager
def nothing_printed():
    """Leave out what libraries print; errors are raised as ever."""
    with redirect_stdout(io.StringIO()):
        yield


@contextmanager
def no_notes(name: str | None = None):
    """Leave out notes and warnings of what libraries do.

    Args:
        name (str, optional): Of their logger. Defaults to None: MMEngine's.
    """
    logger = (
        logging.getLogger(name) if name else MMLogger.get_current_instance())
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), nothing_printed():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)
