# Copyright (c) mmseg_semi authors.
"""Mistakes of the user as one message instead of a traceback."""
import dis
import os
import sys
from contextlib import contextmanager

from mmseg_semi.datasets.paths import nearest
from .library_errors import explain

TRACEBACK = 'MMSEG_SEMI_TRACEBACK'
_BROKEN_PIPE = 128 + 13  # as a shell reports a process that SIGPIPE ended
_RAISE = dis.opmap['RAISE_VARARGS']


class ReadableExit(SystemExit):
    """The end of a tool by an error that the user can mend.

    Args:
        message (str): What is wrong and what to do; the attribute of this
            name has it alone.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            f'\nerror: {message}\n\n(Set {TRACEBACK}=1 to see where in the '
            'program this was noticed.)')
        self.message = message


@contextmanager
def readable_errors(tool: str):
    """End a command-line tool with the message of an error of ours.

    What this package raises on purpose says by itself what is wrong and what
    to do; forty lines of traceback before it only hide that. So it is with a
    config that does not exist, and with what libraries say of names and
    arguments in one (:func:`.library_errors.explain`). Every other error, and
    every error if the environment has ``MMSEG_SEMI_TRACEBACK=1``, passes with
    its traceback.

    Args:
        tool (str): ``__name__`` of the tool's module, whose errors count as
            ours too.

    A reader that goes away, as ``head`` does, ends the tool in silence.

    Raises:
        ReadableExit: With the message; the exit status is 1.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # `tool | head`: the reader has enough
        # Or Python would complain when it flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_BROKEN_PIPE) from None
    except Exception as error:
        message = _missing_config(error)
        if message is None and _is_ours(error, tool):
            message = str(error)
        if message is None:
            message = explain(error)
        if os.environ.get(TRACEBACK) or message is None:
            raise
        raise ReadableExit(message) from error


def _missing_config(error: Exception) -> str | None:
    """What to say if MMEngine did not find a config, else None."""
    path = getattr(error, 'filename', None)
    if not isinstance(error, FileNotFoundError) or not isinstance(path, str):
        return None
    if not path.endswith('.py') or os.path.exists(path):
        return None
    return (f'config: there is no file {path}. {nearest(path)} '
            'configs/README.md explains the names, CHANGELOG.md lists those '
            'that changed.')


def is_readable(error: Exception) -> bool:
    """Whether an error says by itself what is wrong and what to do.

    Args:
        error (Exception): One that was raised.
    """
    return _is_ours(error, '')


def _is_ours(error: Exception, tool: str) -> bool:
    """Whether it comes from a ``raise`` statement in this package.

    The opcode tells: a tensor operation that fails in our code is a bug and
    has this package as the innermost frame, too.
    """
    if isinstance(error, AssertionError):
        return False
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    name = frame.f_globals.get('__name__', '')
    is_ours = name == tool or name.split('.')[0] == 'mmseg_semi'
    return is_ours and frame.f_code.co_code[traceback.tb_lasti] == _RAISE
