# Copyright (c) mmseg_semi authors.
"""Which images are to be predicted, and under which names."""
import glob
import os
import os.path as osp
from collections.abc import Iterable
from dataclasses import dataclass

from ..datasets.folders import is_hidden, walk_folder
from ..datasets.paths import first_few, nearest
from ..datasets.splits import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Source:
    """An image to be predicted.

    Attributes:
        path (str): The file.
        name (str): Of what is written for it: a relative path with ``/``,
            without suffix.
    """
    path: str
    name: str


@dataclass(frozen=True)
class Skipped:
    """A file that is not predicted, and why."""
    image: str
    reason: str


def find_images(
        places: Iterable[str],
        out: str,
        keep_suffix: bool = False) -> tuple[list[Source], list[Skipped]]:
    """Look for images.

    Args:
        places (Iterable[str]): Each an image; a folder, searched with its
            subfolders, hidden ones left out; a text file (``.txt``) with a
            path a line, relative to its own folder; or a pattern such as
            ``photos/**/*.jpg``.
        out (str): Folder of the results, which is not searched.
        keep_suffix (bool): ``a.jpg`` gets the name ``a.jpg``, not ``a``.

    Returns:
        tuple[list[Source], list[Skipped]]: Images, sorted within a place,
        and files of folders and patterns that are none by their names.

    Raises:
        FileNotFoundError: There is nothing, or no image.
        ValueError: Two images would have the same name.
    """
    found, skipped = [], []
    for place in places:
        paths, base = _paths(place, out)
        chosen = set(paths)
        if not osp.isfile(place) or _is_list(place):
            chosen = {p for p in paths if _is_image(p) or _is_list(place)}
        skipped += [
            Skipped(path, 'no image by its name') for path in paths
            if path not in chosen
        ]
        found += [
            Source(path, _name(path, base, keep_suffix)) for path in paths
            if path in chosen
        ]
    found = list(dict.fromkeys(found))
    if not found:
        raise FileNotFoundError(
            f'There is no image in {", ".join(places)}' +
            (f', only {first_few(osp.basename(s.image) for s in skipped)}'
             if skipped else '') +
            f'. Images are files of {", ".join(IMAGE_SUFFIXES)}.')
    _check_names(found, keep_suffix)
    return found, skipped


def name_images(paths: Iterable[str],
                base: str,
                keep_suffix: bool = False) -> list[Source]:
    """Name images by their paths below a folder.

    Args:
        paths (Iterable[str]): The files.
        base (str): The folder.
        keep_suffix (bool): See :func:`find_images`.

    Raises:
        ValueError: Two images would have the same name.
    """
    found = [Source(path, _name(path, base, keep_suffix)) for path in paths]
    _check_names(found, keep_suffix)
    return found


def own_names(paths: Iterable[str]) -> dict[str, str]:
    """Names that no two images share, from their own paths.

    Args:
        paths (Iterable[str]): Files; one may come twice.

    Returns:
        dict[str, str]: File -> path below the folder that holds all of them,
        with ``/`` and without suffix; with it for all where two images
        differ in nothing else.
    """
    paths = list(dict.fromkeys(paths))
    if not paths:
        return {}
    base = osp.commonpath([osp.dirname(osp.abspath(path)) for path in paths])
    names = [_name(path, base, False) for path in paths]
    if len(set(names)) < len(names):
        names = [_name(path, base, True) for path in paths]
    return dict(zip(paths, names))


def _paths(place: str, out: str) -> tuple[list[str], str]:
    """Files of a place, and the folder that names are relative to."""
    if osp.isdir(place):
        target = osp.realpath(out)
        return [
            path for path in (osp.join(place, below)
                              for below in walk_folder(place).files)
            if not _is_below(osp.realpath(path), target)
        ], place
    if osp.isfile(place):
        if not _is_list(place):
            return [place], osp.dirname(place)
        return _listed(place)
    if glob.has_magic(place):
        base = osp.dirname(glob.escape(place).split('[')[0])
        paths = [
            path for path in sorted(glob.glob(place, recursive=True)) if
            osp.isfile(path) and not is_hidden(osp.relpath(path, base or '.'))
        ]
        if not paths:
            raise FileNotFoundError(f'No file is like {place}. '
                                    f'{nearest(osp.join(base, "*"))}')
        return paths, base
    raise FileNotFoundError(f'There is no image, folder or list {place}. '
                            f'{nearest(place)}')


def _listed(place: str) -> tuple[list[str], str]:
    folder = osp.dirname(place)
    try:
        with open(place, encoding='utf-8') as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise ValueError(f'{place} is no list of images: it is no UTF-8 '
                         'text.') from error
    paths = [osp.join(folder, line) for line in lines if line]
    missing = [path for path in paths if not osp.isfile(path)]
    if missing:
        raise FileNotFoundError(
            f'{place} lists files that do not exist: {first_few(missing)}. '
            'Each line is a path relative to the folder of the list, with '
            'suffix.')
    parents = [osp.dirname(osp.abspath(path)) for path in paths]
    return paths, osp.commonpath(parents) if parents else folder


def _name(path: str, base: str, keep_suffix: bool) -> str:
    below = osp.relpath(osp.abspath(path), osp.abspath(base or '.'))
    if not keep_suffix:
        below = osp.splitext(below)[0]
    return below.replace(os.sep, '/')


def _check_names(found: list[Source], keep_suffix: bool) -> None:
    seen = {}
    for source in found:
        seen.setdefault(source.name, []).append(source.path)
    twice = [paths for paths in seen.values() if len(paths) > 1]
    if not twice:
        return
    shown = '; '.join(' and '.join(paths[:3]) for paths in twice[:3])
    more = f' ({len(twice)} such names)' if len(twice) > 3 else ''
    remedy = ('Give the folder above both, or one of them at a time.'
              if keep_suffix else
              'With --keep-suffix (keep_suffix=True) the results are called '
              'a.jpg.png and a.png.png.')
    raise ValueError(f'These would be written under the same name: {shown}'
                     f'{more}. {remedy}')


def _is_list(path: str) -> bool:
    return path.lower().endswith('.txt')


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGE_SUFFIXES)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)
