# Copyright (c) mmseg_semi authors.
"""A progress bar for loops that take a while."""
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track


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
