# Copyright (c) mmseg_semi authors.
"""Facts of many files, each read once."""
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from PIL import Image

from .cache import FactCache
from .facts import FileFacts, read_facts

MISSING = 'does not exist'
_BATCH = 256
# Each may hold a picture of 128 MiB.
_MAX_WORKERS = 4

Facts = dict[tuple[str, str], FileFacts]


def scan(files: Iterable[tuple[str, str]],
         cache: FactCache | None = None,
         workers: int | None = None,
         progress: Callable[[int, int], None] | None = None) -> Facts:
    """Read files in threads; what the cache knows is not read again.

    Decoding, decompressing and hashing leave Python's lock to others, so
    threads use all cores and share the memory of one process.

    Args:
        files (Iterable[tuple[str, str]]): Path and role (``'image'`` or
            ``'mask'``); repeated ones count once.
        cache (FactCache, optional): What is known. It gets the new facts
            after every 256 files: an interrupted check goes on there.
        workers (int, optional): Threads. Defaults to None: one a core, four
            at the most.
        progress (Callable[[int, int], None], optional): Called with the
            number of files done and of all files.

    Returns:
        dict[tuple[str, str], FileFacts]: (path, role) -> facts. Files that
        are not there have facts with a ``problem``.
    """
    files = list(dict.fromkeys(files))
    found, keys = _stat(files)
    if cache is not None:
        for key, facts in cache.load(keys).items():
            found[key[:2]] = facts
    todo = [key for key in keys if key[:2] not in found]
    done = len(files) - len(todo)
    if progress is not None:
        progress(done, len(files))
    for batch in _read(todo, workers):
        if cache is not None:
            cache.store(batch)
        found.update((key[:2], facts) for key, facts in batch.items())
        done += len(batch)
        if progress is not None:
            progress(done, len(files))
    for key, identity in keys.items():
        found[key[:2]].identity = identity
    return found


def _stat(files: list[tuple[str, str]]) -> tuple[Facts, dict]:
    """Facts of missing files; keys of the others with their identity."""
    missing, keys = {}, {}
    for path, role in files:
        try:
            stat = os.stat(path)
        except OSError as error:
            missing[path, role] = FileFacts(problem=_reason(path, error))
        else:
            key = path, role, stat.st_size, stat.st_mtime_ns
            keys[key] = stat.st_dev, stat.st_ino
    return missing, keys


def _reason(path: str, error: OSError) -> str:
    """Why a file has no size."""
    if not isinstance(error, FileNotFoundError):
        return error.strerror
    if os.path.islink(path):
        return f'is a link to {os.readlink(path)}, which does not exist'
    return MISSING


def _read(keys: list[tuple], workers: int | None) -> Iterator[dict]:
    if not keys:
        return
    if workers is None:
        workers = min(_cores(), _MAX_WORKERS)
    Image.init()  # not by several threads at once
    with _no_pixel_limit(), ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(keys), _BATCH):
            batch = keys[start:start + _BATCH]
            yield dict(
                zip(batch, pool.map(lambda key: read_facts(*key[:2]), batch)))


def _cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _no_pixel_limit():
    """Let Pillow open headers of any size; read_facts judges them."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
