# Copyright (c) mmseg_semi authors.
"""Writing files so that a crash leaves either the old or the new one."""
import os
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

TEMPORARY_SUFFIX = '.tmp'


def write_atomically(data: bytes, path: str | os.PathLike) -> None:
    """Write ``data`` to ``path`` in one step as seen from outside.

    The bytes go to ``<path>.tmp``, reach the disk, and only then take the
    place of ``path``. At no time is there a half-written ``path``.

    Args:
        data (bytes): The whole content.
        path (str or PathLike): Where to write. Missing folders are made.

    Raises:
        OSError: If writing fails, for example on a full disk; names
            ``path``, which is then what it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(
                error.errno,
                f'{path} ({len(data) / 2**20:,.1f} MiB) cannot be written: '
                f'{error.strerror or error}. Free some space, or write '
                'elsewhere; nothing half-written is left') from error
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable where the platform knows how."""
    if os.name != 'posix':
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to sync a folder.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@register_backend('atomic_local')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local file backend with atomic writes.

    Chosen with ``backend_args=dict(backend='atomic_local')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes, see :func:`write_atomically`."""
        write_atomically(obj, filepath)

    def put_text(self,
                 obj: str,
                 filepath: str | Path,
                 encoding: str = 'utf-8') -> None:
        """Write text, see :func:`write_atomically`."""
        write_atomically(obj.encode(encoding), filepath)
