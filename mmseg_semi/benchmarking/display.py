# Copyright (c) mmseg_semi authors.
"""Progress of several trainings: bars in a terminal, lines elsewhere."""
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .jobs import TrainingJob

LINE_SECONDS = 30


def make_console(stderr: bool = False) -> Console:
    """Standard output; tables get their width also where it is a file.

    Args:
        stderr (bool): Standard error instead. Defaults to False.
    """
    console = Console(stderr=stderr)
    if console.is_terminal:
        return console
    return Console(stderr=stderr, width=120)


def clock(seconds: float | None) -> str:
    """``m:ss`` or ``h:mm:ss``; dashes for None."""
    if seconds is None:
        return '--:--'
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02d}:{seconds:02d}'
    return f'{minutes}:{seconds:02d}'


def _score(job: TrainingJob) -> str:
    return 'mIoU    --' if job.score is None else f'mIoU {job.score:5.2f}'


def _outlook(job: TrainingJob) -> str:
    if job.status != 'running':
        return job.status
    if not job.iteration:
        return 'starting'
    return f'ETA {clock(job.eta)}'


class BarDisplay:
    """One bar per training that has started. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(bar_width=24),
            TextColumn('{task.completed:.0f}/{task.total:.0f}'),
            TextColumn('{task.fields[score]}'),
            TextColumn('{task.fields[elapsed]} elapsed, {task.fields[eta]}'),
            console=console)
        self._tasks: dict = {}

    def __enter__(self) -> 'BarDisplay':
        self._progress.start()
        return self

    def __exit__(self, *error) -> None:
        self._progress.stop()

    def update(self, jobs: Sequence[TrainingJob]) -> None:
        """Redraw."""
        for job in jobs:
            if job.status == 'waiting':
                continue
            fields = dict(
                score=_score(job),
                elapsed=clock(job.elapsed),
                eta=_outlook(job))
            if job not in self._tasks:
                self._tasks[job] = self._progress.add_task(
                    job.name, total=job.iterations, **fields)
            done = job.iterations if job.status == 'done' else job.iteration
            self._progress.update(self._tasks[job], completed=done, **fields)


class LineDisplay:
    """A line per training now and then, and whenever one ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended: set = set()
        self._last = time.monotonic()

    def __enter__(self) -> 'LineDisplay':
        return self

    def __exit__(self, *error) -> None:
        pass

    def update(self, jobs: Sequence[TrainingJob]) -> None:
        """Print what is due."""
        due = time.monotonic() - self._last >= LINE_SECONDS
        for job in jobs:
            ended = job.status in ('done', 'failed')
            if (due and job.status == 'running') or (ended and job
                                                     not in self._ended):
                self._print(job)
            if ended:
                self._ended.add(job)
        if due:
            self._last = time.monotonic()

    def _print(self, job: TrainingJob) -> None:
        done = job.iterations if job.status == 'done' else job.iteration
        self._console.print(
            f'[{clock(job.elapsed)}] {job.name}: iteration '
            f'{done}/{job.iterations}, {_score(job)}, {_outlook(job)}',
            markup=False,
            highlight=False,
            soft_wrap=True)


def make_display(console: Console) -> BarDisplay | LineDisplay:
    """Bars in a terminal, lines in a file or a pipe."""
    return (BarDisplay if console.is_terminal else LineDisplay)(console)
