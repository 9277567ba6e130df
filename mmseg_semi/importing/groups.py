# Copyright (c) mmseg_semi authors.
"""Groups of images that a split keeps together."""
import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..datasets.paths import first_few, require
from .findings import Findings
from .matching import without_suffix
from .photos import Photo

_NAME_COLUMNS = ('image', 'file', 'filename', 'file_name', 'photo', 'path',
                 'name', 'id')


def group_keys(photos: Sequence[Photo], group_by: str,
               findings: Findings) -> dict[Photo, str]:
    """Say which group an image belongs to.

    Args:
        photos (Sequence[Photo]): All images, labelled or not.
        group_by (str): ``none`` (each its own), ``folder``, ``prefix:REGEX``
            (what the expression matches at the beginning of the file name;
            its first group, if it has one), or ``csv:FILE:COLUMN`` (a table
            with a column of images, called ``image``, ``file`` or so, else
            the first one).
        findings (Findings): Gets images without a group.

    Returns:
        dict[Photo, str]: Photo -> group.

    Raises:
        ValueError: If ``group_by`` is none of these.
        FileNotFoundError: If there is no such table.
    """
    kind, _, rest = group_by.partition(':')
    if group_by == 'none':
        return {photo: photo.name for photo in photos}
    if group_by == 'folder':
        return {
            photo: PurePosixPath(photo.name).parent.as_posix()
            for photo in photos
        }
    if kind == 'prefix' and rest:
        found = _prefixes(photos, rest)
    elif kind == 'csv' and ':' in rest:
        found = _column(photos, *rest.rsplit(':', 1))
    else:
        raise ValueError(
            f'--group-by: {group_by!r} is none of none, folder, '
            'prefix:REGEX (prefix:plot[0-9]+ for one) and csv:FILE:COLUMN.')
    for photo in photos:
        if found.get(photo) is None:
            findings.error('photo without a group', photo.path,
                           f'{group_by} gives none',
                           'Widen --group-by so that every photo has one.')
    return found


def _prefixes(photos: Sequence[Photo], pattern: str) -> dict:
    try:
        pattern = re.compile(pattern)
    except re.error as error:
        raise ValueError(f'--group-by: {pattern!r} is no regular expression: '
                         f'{error}.') from error
    found = {}
    for photo in photos:
        match = pattern.match(PurePosixPath(photo.name).name)
        if match:
            found[photo] = match[1] if pattern.groups else match[0]
    return found


def _column(photos: Sequence[Photo], path: str, column: str) -> dict:
    require(path, '--group-by csv', False)
    with Path(path).open(encoding='utf-8-sig', newline='') as file:
        table = csv.DictReader(file)
        header, rows = table.fieldnames or [], list(table)
    if column not in header:
        raise ValueError(f'--group-by: {path} has no column {column!r}; it '
                         f'has {first_few(header, 20)}.')
    names = next((n for n in header if n.lower() in _NAME_COLUMNS), header[0])
    groups = {}
    for row in rows:
        name, group = row[names] or '', row[column]
        for key in {name, without_suffix(name)}:
            if groups.setdefault(key, group) != group:
                raise ValueError(f'--group-by: {path} has {key!r} in two '
                                 f'groups, {groups[key]!r} and {group!r}.')
    found = {}
    for photo in photos:
        name = PurePosixPath(photo.name)
        keys = (photo.name, without_suffix(photo.name), name.name,
                without_suffix(name.name))
        group = next((groups[key] for key in keys if key in groups), None)
        found[photo] = group or None
    return found
