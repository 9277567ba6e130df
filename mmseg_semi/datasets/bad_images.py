# Copyright (c) mmseg_semi authors.
"""A bounded, shared record of unreadable images."""
import logging
import os
from contextlib import contextmanager

from mmengine.logging import print_log

try:
    import fcntl
except ImportError:  # Windows: appending one short line is all we can do.
    fcntl = None


class BadImageLog:
    """Write every unreadable image once and stop when there are too many.

    All DataLoader workers of all ranks append to one file, one line ``path
    <tab> reason`` per image, under a file lock where the platform has one.
    Without :meth:`open` each process counts for itself.

    Args:
        limit (int): Bad images tolerated.

    Attributes:
        seen (set[str]): Bad images that this process has met.
    """

    FILE_NAME = 'bad_images.txt'

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.path = None
        self.seen = set()
        self._listed = set()

    def open(self, work_dir: str) -> None:
        """Share the record through ``<work_dir>/bad_images.txt``."""
        self.path = os.path.join(work_dir, self.FILE_NAME)

    def add(self, image: str, reason: str) -> None:
        """Record an image; repeated calls for the same image are free.

        Raises:
            RuntimeError: If more than ``limit`` images are bad.
        """
        if image in self.seen:
            return
        self.seen.add(image)
        if self.path is not None:
            self._share(image, reason)
        count = len(self.seen | self._listed)
        print_log(
            f'Skipping unreadable unlabelled image {image} ({reason}); '
            f'{count} so far, {self.limit} allowed.',
            logger='current',
            level=logging.WARNING)
        if count > self.limit:
            where = self.path or ', '.join(sorted(self.seen)[:5])
            raise RuntimeError(
                f'{count} unlabelled images cannot be read, more '
                f'than max_bad_images={self.limit}. They are listed in '
                f'{where}. Repair or remove them and delete that list, or '
                'raise max_bad_images of the unlabelled set.')

    def _share(self, image: str, reason: str) -> None:
        os.makedirs(os.path.dirname(self.path) or '.', exist_ok=True)
        reason = ' '.join(reason.split())
        with open(
                self.path, 'a+', encoding='utf-8',
                errors='surrogateescape') as file, _locked(file):
            file.seek(0)
            listed = {line.split('\t')[0].rstrip('\n') for line in file}
            if image not in listed:
                file.write(f'{image}\t{reason}\n')
                file.flush()
        self._listed = listed


@contextmanager
def _locked(file):
    if fcntl is None:
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
