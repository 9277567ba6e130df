# Copyright (c) mmseg_semi authors.
"""Trainings as processes side by side, and how far they are."""
import json
import os
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

POLL_SECONDS = 0.5
PATIENCE = 15.  # seconds; workers look every 5 for their training
# Rate over the last so many reports: burn-in is faster than what follows.
_REPORTS = 10


class FolderInUseError(RuntimeError):
    """Another process trains in the same work directory."""


class TrainingJob:
    """A training in a process of its own.

    Its output goes to ``<work_dir>/console.log``. Progress is read from the
    scalars that the training writes anyway.

    Args:
        name (str): Shown to people.
        command (Sequence[str]): Program and arguments.
        work_dir (Path): Its work directory; made where missing.
        iterations (int): Length of the training.
        cwd (Path): Where to run it.
        threads (int): Threads it may use. Defaults to 1.

    Attributes:
        status (str): ``waiting``, ``running``, ``done`` or ``failed``.
        iteration (int): The last one reported.
        score (float, optional): mIoU of the last validation.
    """

    def __init__(self,
                 name: str,
                 command: Sequence[str],
                 work_dir: Path,
                 iterations: int,
                 cwd: Path,
                 threads: int = 1) -> None:
        self.name, self.command, self.cwd = name, list(command), cwd
        self.work_dir, self.iterations = Path(work_dir), iterations
        self.threads = threads
        self.status, self.iteration, self.score = 'waiting', 0, None
        self._process = self._lock = None
        self._started = self._ended = 0.
        self._reports: deque = deque(maxlen=_REPORTS)

    @property
    def log(self) -> Path:
        return self.work_dir / 'console.log'

    def start(self) -> None:
        """Start the process.

        Raises:
            FolderInUseError: If an earlier process still trains there.
        """
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        self._old = set(self._scalar_files())
        count = str(self.threads)
        env = dict(
            os.environ,
            OMP_NUM_THREADS=count,
            MKL_NUM_THREADS=count,
            OPENBLAS_NUM_THREADS=count)
        # The checkout comes first, also where another copy is installed.
        path = [str(self.cwd), *filter(None, [env.get('PYTHONPATH')])]
        env['PYTHONPATH'] = os.pathsep.join(path)
        with open(self.log, 'ab') as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=() if self._lock is None else (self._lock, ))
        self._started = time.monotonic()
        self.status = 'running'

    def poll(self) -> None:
        """Look how far it is and whether it has ended."""
        code = self._process.poll()
        self._read_progress()
        if code is not None:
            self.status = 'failed' if code else 'done'
            self._end()

    def stop(self) -> None:
        """End the process; a later one goes on from its last checkpoint."""
        if self.status != 'running':
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.status = 'waiting'
        self._end()

    def _end(self) -> None:
        self._ended = time.monotonic()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def elapsed(self) -> float:
        """Seconds since its start, until its end."""
        end = time.monotonic() if self.status == 'running' else self._ended
        return end - self._started

    @property
    def eta(self) -> float | None:
        """Seconds that are left at the present rate; None if unknown."""
        rate = self.seconds_per_iteration
        if rate is None:
            return None
        left = rate * (self.iterations - self._reports[-1][1])
        return max(0., left - (time.monotonic() - self._reports[-1][0]))

    @property
    def seconds_per_iteration(self) -> float | None:
        if len(self._reports) < 2:
            return None
        (start, first), (end, last) = self._reports[0], self._reports[-1]
        return (end - start) / (last - first)

    def log_tail(self, lines: int = 30) -> str:
        """The end of what it printed."""
        if not self.log.is_file():
            return ''
        text = self.log.read_text('utf-8', errors='replace')
        return '\n'.join(text.splitlines()[-lines:])

    def _scalar_files(self) -> list[Path]:
        return sorted(self.work_dir.glob('*/vis_data/scalars.json'))

    def _read_progress(self) -> None:
        new = [path for path in self._scalar_files() if path not in self._old]
        if not new:
            return
        # The last line may be on its way.
        for line in new[-1].read_text('utf-8').split('\n')[:-1]:
            entry = json.loads(line)
            if 'iter' in entry and entry['iter'] > self.iteration:
                self.iteration = entry['iter']
                self._reports.append((time.monotonic(), self.iteration))
            self.score = entry.get('mIoU', self.score)

    def _take_lock(self) -> int | None:
        """The child inherits it, so it outlives a killed parent.

        So do the workers that load data, which notice after seconds that
        their training was killed: they are waited for.
        """
        if fcntl is None:
            return None
        lock = os.open(self.work_dir / '.lock', os.O_RDWR | os.O_CREAT)
        end = time.monotonic() + PATIENCE
        while not _lock(lock):
            if time.monotonic() > end:
                os.close(lock)
                raise FolderInUseError(
                    f'Another process trains in {self.work_dir}. Wait until '
                    'it has finished, or end it, and run this again.')
            time.sleep(POLL_SECONDS)
        return lock


def _lock(file: int) -> bool:
    """Take a lock, unless somebody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def run_jobs(jobs: Sequence[TrainingJob],
             parallel: int,
             display,
             keep_going: bool = False) -> list[TrainingJob]:
    """Run jobs, some of them side by side.

    Whatever ends this function ends the processes.

    Args:
        jobs (Sequence[TrainingJob]): In the order of starting.
        parallel (int): How many at a time.
        display: Its ``update(jobs)`` is called about twice a second.
        keep_going (bool): Whether the others go on when one fails.

    Returns:
        list[TrainingJob]: Those that failed.
    """
    try:
        while True:
            running = [job for job in jobs if job.status == 'running']
            failed = [job for job in jobs if job.status == 'failed']
            waiting = [job for job in jobs if job.status == 'waiting']
            if failed and not keep_going:
                return failed
            for job in waiting[:parallel - len(running)]:
                job.start()
                running.append(job)
            if not running:
                return failed
            display.update(jobs)
            time.sleep(POLL_SECONDS)
            for job in running:
                job.poll()
            display.update(jobs)
    finally:
        for job in jobs:
            job.stop()
