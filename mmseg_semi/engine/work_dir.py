# Copyright (c) mmseg_semi authors.
"""One training to a work directory."""
import atexit
import errno
import json
import logging
import os
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

from ..dist import call_on_main

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

LOCK_NAME = 'training.lock'
_CHECKPOINTS = ('iter_*.pth', 'epoch_*.pth', 'best_*.pth', 'last_checkpoint')
_TAKEN = (errno.EACCES, errno.EAGAIN)


class WorkDirError(RuntimeError):
    """A work directory belongs to another training."""


def check_unused(folder: str | Path) -> None:
    """Refuse a folder in which another training left checkpoints.

    Two trainings in a folder leave files of which nobody can tell to which
    one they belong.

    Args:
        folder (str | Path): The work directory; it need not be there.

    Raises:
        WorkDirError: Names one of the checkpoints and the ways out.
    """
    found = [p for kind in _CHECKPOINTS for p in Path(folder).glob(kind)]
    if found:
        raise WorkDirError(
            f'--work-dir: {folder} has checkpoints of an earlier training, '
            f'{min(found).name} for instance. Choose another folder, go on '
            'with that training (--resume), or start anew in it '
            '(mmseg-semi train --force, or reuse_work_dir=True in the config '
            'or with --cfg-options: files of the same names are replaced).')


class _Lock:
    """A lock that ends with its process, however that ends.

    Args:
        folder (Path): The folder; made where missing.

    Raises:
        WorkDirError: If another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self.pid, self.path = os.getpid(), folder / LOCK_NAME
        self._file = self._acquire(folder) if fcntl else None

    def _acquire(self, folder: Path) -> int | None:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                # By process: workers that outlive a killed training by some
                # seconds do not keep it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(file, 4096)
                os.close(file)
                if error.errno in _TAKEN:
                    self._refuse(folder, holder)
                print_log(
                    f'{folder}: this file system has no locks ({error}). See '
                    'to it that no other training writes into this folder.',
                    logger='current',
                    level=logging.WARNING)
                return None
            if self._is_there(file):
                break
            os.close(file)  # its holder ended and deleted it just now
        os.ftruncate(file, 0)
        os.write(file, json.dumps(_who()).encode())
        return file

    def _refuse(self, folder: Path, holder: bytes) -> None:
        try:
            who = json.loads(holder)
            name = (f'process {who["pid"]} on {who["host"]}, since '
                    f'{who["since"]}')
        except (ValueError, KeyError, TypeError):  # it is just being written
            name = 'another process'
        raise WorkDirError(
            f'--work-dir: another training writes into {folder} ({name}). '
            'Choose another folder, or wait until it ends and go on with it '
            '(--resume).')

    def _is_there(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it. A process that was forked keeps its hands off.
        """
        file, self._file = self._file, None
        if file is None or self.pid != os.getpid():
            return
        self.path.unlink(missing_ok=True)
        os.close(file)


def _who() -> dict:
    return dict(
        host=socket.gethostname(),
        pid=os.getpid(),
        since=time.strftime('%Y-%m-%d %H:%M:%S'))


# Of this process: the lock of a folder, and the runner that trains there.
_HELD: dict[str, tuple[_Lock, weakref.ref]] = {}


def claim(runner, folder: str | Path) -> bool:
    """Take a folder for a training. All processes must call it.

    Another training in this process, which ended by an exception, loses the
    folder.

    Args:
        runner (Runner): Of the training; it is told apart from others. Its
            config may say
            ``reuse_work_dir=True``: old checkpoints do not matter.
        folder (str | Path): Where it writes.

    Returns:
        bool: Whether it was taken now; False if this runner has it already.

    Raises:
        WorkDirError: If another process trains there, or the folder has
            checkpoints and the runner does not resume.
    """
    return call_on_main(_claim, runner, Path(folder))


def _claim(runner, folder: Path) -> bool:
    key = os.path.realpath(folder)
    lock, owner = _HELD.get(key, (None, None))
    if lock is not None and lock.pid != os.getpid():
        lock = None  # of the process that forked this one
    if lock is not None and owner() is runner:
        return False
    _HELD[key] = lock or _Lock(folder), weakref.ref(runner)
    if not (runner._resume or runner.cfg.get('reuse_work_dir')):
        try:
            check_unused(folder)
        except WorkDirError:
            _release(key)
            raise
    return True


def release(folder: str | Path) -> None:
    """Give a folder back that :func:`claim` took.

    Args:
        folder (str | Path): The folder; in a process that does not have it,
            nothing happens.
    """
    _release(os.path.realpath(folder))


def _release(key: str) -> None:
    if key in _HELD:
        _HELD.pop(key)[0].release()


@atexit.register
def _release_all() -> None:
    for key in list(_HELD):
        _release(key)


@contextmanager
def claimed(runner) -> Iterator[None]:
    """Have the work directory of a runner for a training.

    Args:
        runner (Runner): Of the training.

    Raises:
        WorkDirError: See :func:`claim`.
    """
    taken = claim(runner, runner.work_dir)
    try:
        yield
    finally:
        if taken:
            release(runner.work_dir)
