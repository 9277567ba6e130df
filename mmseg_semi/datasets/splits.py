# Copyright (c) mmseg_semi authors.
"""Split lists: reading, naming, hashing.

A list is a UTF-8 text file with one image per line: its path below the image
folder without the suffix. A list whose file name is a published name
(``voc12-classic-366.txt``) must hold exactly the published images; the package
stores the count and the SHA-256 of those, not the lists. Of some published
lists it knows the count alone (``sha256`` is None).
"""
import functools
import hashlib
import json
import os.path as osp
import re
from collections.abc import Iterable

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')

_CITY_TAIL = re.compile(r'(_leftImg8bit|_gtFine(_\w+)?)$')
_KNOWN = osp.join(osp.dirname(__file__), 'known_splits.json')


def image_id(entry: str) -> str:
    """Path of an image or mask without suffix and Cityscapes tail.

    ``/a/b_leftImg8bit.png`` -> ``a/b``; the folders stay.
    """
    entry = entry.replace('\\', '/').strip('/')
    root, suffix = osp.splitext(entry)
    if suffix.lower() in IMAGE_SUFFIXES:
        entry = root
    return _CITY_TAIL.sub('', entry)


def stem(entry: str) -> str:
    """File name of :func:`image_id`: what published lists agree on."""
    return image_id(entry).rsplit('/', 1)[-1]


def stems(entries: Iterable[str]) -> list[str]:
    """Sorted unique stems; ids with folders where stems would collide."""
    ids = {image_id(entry) for entry in entries}
    names = {stem(i) for i in ids}
    return sorted(names if len(names) == len(ids) else ids)


def split_hash(entries: Iterable[str]) -> str:
    """SHA-256 (hex) over :func:`stems` joined by newlines."""
    return hashlib.sha256('\n'.join(stems(entries)).encode()).hexdigest()


@functools.lru_cache(maxsize=None)
def known_splits() -> dict:
    """Published splits: name -> dict(count, sha256, source)."""
    with open(_KNOWN, encoding='utf-8') as file:
        return json.load(file)


def identify(entries: Iterable[str]) -> list[str]:
    """Every published name whose images are exactly ``entries``."""
    digest = split_hash(entries)
    return [
        name for name, split in known_splits().items()
        if split['sha256'] == digest
    ]


def split_name(path: str) -> str:
    """Name of a list: its file name without ``.txt``."""
    name = osp.basename(path)
    return name[:-4] if name.endswith('.txt') else name


def verify_split(path: str, entries: Iterable[str]) -> None:
    """Check a list with a published name against the published images.

    Args:
        path (str): The list file; its name decides. Unpublished names pass.
        entries (Iterable[str]): What it holds.

    Raises:
        ValueError: If the images differ from the published ones.
    """
    name = split_name(path)
    split = known_splits().get(name)
    if split is None:
        return
    entries = list(entries)
    if split['sha256'] is None:
        if len(stems(entries)) != split['count']:
            raise ValueError(
                f'{path} is named like the published split {name}, but holds '
                f'{len(stems(entries))} images instead of {split["count"]} '
                f'({split["source"]}). Write it with '
                'tools/dataset_converters/permutation_splits.py, rename your '
                'own, or set verify_split=False.')
        return
    digest = split_hash(entries)
    if digest == split['sha256']:
        return
    same = identify(entries)
    hint = f' Its images are those of {" = ".join(same)}.' if same else ''
    raise ValueError(
        f'{path} is named like the published split {name}, but holds '
        f'{len(stems(entries))} images with SHA-256 {digest}; published are '
        f'{split["count"]} images with {split["sha256"]} ({split["source"]}).'
        f'{hint} Import the published list with '
        'tools/dataset_converters/import_splits.py, rename your own, or set '
        'verify_split=False.')


def read_list(path: str) -> list[str]:
    """Read a split list strictly.

    Args:
        path (str): Text file, one image per line.

    Returns:
        list[str]: The lines in file order, without surrounding white space.

    Raises:
        ValueError: If the file is empty, is not UTF-8 text, or a line is
            blank, repeated, an absolute path, a URL, or holds ``..``, a NUL
            or a byte order mark. Every kind names file, line and remedy.
    """
    try:
        with open(path, encoding='utf-8') as file:
            lines = file.read().split('\n')
    except UnicodeDecodeError as err:
        raise ValueError(
            f'{path} is not a UTF-8 text file ({err}). Split lists are plain '
            'text, one image per line.') from err
    if lines[-1] == '':  # the final newline, not a blank line
        lines.pop()
    if not any(line.strip() for line in lines):
        raise ValueError(f'{path} is empty: it must name at least one image. '
                         '(Stock datasets would take the whole folder.)')
    first = {}
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        fault = line_fault(entry)
        if fault is None and entry in first:
            fault = f'repeats line {first[entry]}; remove one of them'
        if fault is not None:
            raise ValueError(f'{path}, line {number} ({entry!r}) {fault}.')
        first[entry] = number
    return list(first)


def line_fault(entry: str) -> str | None:
    """What is wrong with a line of a list; None if nothing."""
    if not entry:
        return ('is blank; remove it (stock datasets would look for an image '
                'without a name)')
    if '\0' in entry:
        return 'holds a NUL character; the file is damaged, write it again'
    if '\ufeff' in entry:
        return 'holds a byte order mark; save the file as UTF-8 without BOM'
    if '://' in entry:
        return 'is a URL; list images below the image folder'
    if re.match(r'[/\\~]|[A-Za-z]:[/\\]', entry):
        return ('is an absolute path; list images relative to the image '
                'folder (tools/dataset_converters/import_splits.py does it)')
    if '..' in re.split(r'[/\\]', entry):
        return 'leaves the image folder with ".."; list images below it'
    return None
