# Copyright (c) mmseg_semi authors.
"""Progress of what takes a while."""
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

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
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for work that says how far it is.

    Args:
        text (str): Before the bar.

    Yields:
        Callable[[int, int], None]: To be called with what is done and all
        there is. Nothing is shown where standard error is no terminal.
    """
    console = Console(stderr=True)
    with Progress(
            console=console, transient=True,
            disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(
            task, completed=done, total=total)


def show_waiting(text: str):
    """Context in which a line on a terminal's standard error says ``text``."""
    console = Console(stderr=True)
    return console.status(text) if console.is_terminal else nullcontext()
