# Copyright (c) mmseg_semi authors.
"""Checks of files and folders whose errors say what was there instead."""
import difflib
import os
import os.path as osp


def join(root: str | None, path: str | None) -> str:
    """``path`` below ``root`` unless it is absolute."""
    return osp.join(root or '', path or '')


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
