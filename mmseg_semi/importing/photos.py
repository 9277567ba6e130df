# Copyright (c) mmseg_semi authors.
"""The photographs of an import: files, sizes, orientation."""
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..data_check.formats import read_header
from ..datasets.paths import require
from ..datasets.splits import IMAGE_SUFFIXES, line_fault
from .findings import Findings

# EXIF orientation -> what shows the stored picture upright.
_UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@dataclass(frozen=True)
class Photo:
    """An image file.

    Attributes:
        name (str): Path below the folder of photos, with ``/`` and suffix.
        path (Path): The file.
    """
    name: str
    path: Path

    @cached_property
    def _header(self) -> tuple[tuple[int, int], int]:
        header = read_header(self.path)
        turn = header.orientation
        return header.size, turn if turn in _UPRIGHT else 1

    @property
    def orientation(self) -> int:
        """int: EXIF orientation, 1 to 8; 1 is upright."""
        return self._header[1]

    @property
    def stored_size(self) -> tuple[int, int]:
        """tuple[int, int]: Width and height in the file."""
        return self._header[0]

    @property
    def size(self) -> tuple[int, int]:
        """tuple[int, int]: Width and height as shown and trained on."""
        size = self.stored_size
        return size[::-1] if self.orientation >= 5 else size


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an array (H, W) of the stored picture the way EXIF says."""
    return _UPRIGHT.get(orientation, lambda a: a)(array)


def find_files(folder: Path, outside: Iterable[Path] = ()) -> list[Path]:
    """Files below a folder, sorted; hidden files and folders are left out.

    Args:
        folder (Path): Where to search, links to folders included.
        outside (Iterable[Path]): Folders that are not searched.
    """
    outside = {path.resolve() for path in outside}
    found, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = Path(root).resolve()
        if real in seen or (real in outside and Path(root) != folder):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith('.'))
        found += [Path(root, n) for n in names if not n.startswith('.')]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def is_image(path: Path) -> bool:
    """Whether the suffix is that of an image, in any case."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def find_photos(folder: Path, outside: Iterable[Path],
                findings: Findings) -> list[Photo]:
    """All photographs of a folder and its subfolders.

    Args:
        folder (Path): The folder.
        outside (Iterable[Path]): Folders with other images, not searched.
        findings (Findings): Gets the names that no list can hold.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no image.
    """
    require(str(folder), 'PHOTOS', True)
    files = [path for path in find_files(folder, outside) if is_image(path)]
    if not files:
        raise ValueError(
            f'PHOTOS: {folder} holds no image (suffixes '
            f'{", ".join(IMAGE_SUFFIXES)}, any case; hidden folders are not '
            'searched). Name the folder of your photos.')
    photos = [
        Photo(path.relative_to(folder).as_posix(), path) for path in files
    ]
    for photo in photos:
        fault = line_fault(photo.name)
        if photo.name != photo.name.strip() or '\n' in photo.name:
            fault = 'begins or ends with a space, or holds a line break'
        if fault:
            findings.error('photo whose name no list can hold', photo.path,
                           fault, 'Rename the file.')
    return photos
