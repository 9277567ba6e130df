# Copyright (c) mmseg_semi authors.
"""One JSON object on standard output, and nothing beside it."""
import json
import math
import sys
from collections.abc import Iterable
from contextlib import contextmanager
from contextvars import ContextVar

# Standard output, while what else is printed goes to standard error.
_STDOUT: ContextVar = ContextVar('stdout', default=None)


@contextmanager
def json_alone(active: bool):
    """Leave standard output to :func:`print_json`.

    Args:
        active (bool): Whether to do anything. Loggers take the stream that
            is there when they are made, so they are to be made inside.
    """
    if not active:
        yield
        return
    from ..quiet import log_to_stderr
    token = _STDOUT.set(sys.stdout)
    try:
        with log_to_stderr(True):
            yield
    finally:
        _STDOUT.reset(token)


def print_json(content: dict) -> None:
    """Print an object; numbers that JSON does not know become null."""
    print(
        json.dumps(_known(content), indent=2, ensure_ascii=False, default=str),
        file=_STDOUT.get() or sys.stdout)


def plain_findings(findings: Iterable) -> list[dict]:
    """Findings of imports and checks as objects of the same keys.

    Args:
        findings (Iterable): Findings, or objects that they became before.

    Returns:
        list[dict]: Of each ``severity`` (``error`` or ``warning``),
        ``kind``, ``path``, ``value``, ``remedy`` and ``files``, all files
        concerned; those of a check have ``set``, too.
    """
    return [f if isinstance(f, dict) else f.as_dict() for f in findings]


def error_content(message: str, error: BaseException | None) -> dict:
    """What ``--json`` prints where a command stops.

    Args:
        message (str): Why.
        error (BaseException, optional): Its attribute ``findings``, if it
            has one, tells what was found until then.
    """
    findings = getattr(error, 'findings', ())
    return dict(error=message, findings=plain_findings(findings))


def _known(content):
    if isinstance(content, dict):
        return {key: _known(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_known(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
