# Copyright (c) mmseg_semi authors.
"""Checks of files and folders whose errors say what was there instead."""
import difflib
import os
import os.path as osp
import tempfile


def join(root: str | None, path: str | None) -> str:
    """``path`` below ``root`` unless it is absolute."""
    return osp.join(root or '', path or '')


def short_path(path: str) -> str:
    """The same file as a person would name it.

    Args:
        path (str): A path, as ``out/data/../../photos/a.jpg``.

    Returns:
        str: Relative to the working folder, or absolute where that is
        shorter, without steps back in between; ``path`` itself where that
        would be another file (links) or there is none.
    """
    plain = osp.abspath(path)
    try:
        if not osp.samefile(plain, path):
            return path
    except OSError:
        return path
    return min(osp.relpath(plain), plain, key=len)


def require(path: str, what: str, folder: bool) -> None:
    """Check that a file or folder exists.

    Args:
        path (str): Where it should be.
        what (str): Name of the setting that led here, for the message.
        folder (bool): Whether a folder is wanted, otherwise a file.

    Raises:
        FileNotFoundError: If nothing, or the other kind, is there.
    """
    kind = 'folder' if folder else 'file'
    if osp.isdir(path) if folder else osp.isfile(path):
        return
    if osp.exists(path):
        other = 'file' if folder else 'folder'
        raise FileNotFoundError(
            f'{what}: {path} is a {other}, but a {kind} is needed.')
    if path.startswith('~'):
        raise FileNotFoundError(
            f'{what}: {path} begins with ~, which shells replace but configs '
            f'do not: write {osp.expanduser(path)}.')
    raise FileNotFoundError(
        f'{what}: there is no {kind} {osp.abspath(path)}. {nearest(path)}')


def require_writable(path: str, what: str) -> None:
    """Check that a folder can be made or written into; leaves no trace.

    Args:
        path (str): The folder, which need not exist. Something else that
            exists there is not judged.
        what (str): Name of the setting that led here, for the message.

    Raises:
        OSError: Nothing can be written there; says why.
    """
    place = osp.abspath(path)
    while not osp.lexists(place):
        place = osp.dirname(place)
    if not osp.isdir(place):
        if place == osp.abspath(path):
            return
        raise NotADirectoryError(
            f'{what}: {path} cannot be made, because {place} is no folder. '
            'Choose another one.')
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix='.written_'):
            pass
    except OSError as error:
        raise OSError(
            f'{what}: nothing can be written in {place} ({error.strerror}). '
            'Choose another folder, or mend its permissions.') from error


def nearest(path: str) -> str:
    """Say how far ``path`` exists and what has a similar name there."""
    missing = osp.abspath(path)
    parent = missing
    while not osp.isdir(parent) and parent != osp.dirname(parent):
        missing, parent = parent, osp.dirname(parent)
    try:
        names = sorted(os.listdir(parent))
    except OSError as err:
        return f'{parent} cannot be listed: {err}.'
    if not names:
        return f'{parent} exists, but is empty.'
    name = osp.basename(missing)
    similar = _similar(name, names)
    shown = similar or names[:5]
    more = f' (of {len(names)})' if len(names) > len(shown) else ''
    return (f'{parent} exists and has no "{name}"; '
            f'{"nearest names" if similar else "it holds"}: '
            f'{", ".join(shown)}{more}.')


def _similar(name: str, names: list[str], limit: int = 5) -> list[str]:
    """Names like this one; those with another suffix or case come first."""
    stem = osp.splitext(name)[0].lower()
    same = [n for n in names if osp.splitext(n)[0].lower() == stem]
    close = difflib.get_close_matches(name, names, n=limit, cutoff=.5)
    return list(dict.fromkeys([*same, *close]))[:limit]


def first_few(names, limit: int = 5) -> str:
    """The first names of a collection, and how many there are."""
    names = list(names)
    more = f', ... ({len(names)} in all)' if len(names) > limit else ''
    return ', '.join(map(str, names[:limit])) + more
