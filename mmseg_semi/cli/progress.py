# Copyright (c) mmseg_semi authors.
"""Progress bars for what takes a while."""
from collections.abc import Iterable
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, track


def show_progress(items: Iterable, text: str) -> Iterable:
    """Yield the items; a bar on standard error shows how far it is.

    Nothing is shown where standard error is no terminal.
    """
    console = Console(stderr=True)
    return track(
        items,
        text,
        console=console,
        transient=True,
        disable=not console.is_terminal)


@contextmanager
def count_progress(text: str):
    """A bar, as of :func:`show_progress`, for what counts by itself.

    Yields:
        Callable[[int, int], None]: Takes the numbers done and of all.
    """
    console = Console(stderr=True)
    with Progress(
            console=console, transient=True,
            disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(
            task, completed=done, total=total)
