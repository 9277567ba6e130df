# Copyright (c) mmseg_semi authors.
"""Reading published split lists in the formats of their repositories."""
import os
import os.path as osp
import re
from collections.abc import Sequence

from .paths import require
from .splits import (identify, image_id, line_fault, split_hash, stem,
                     verify_split)

_CITY = re.compile(r'[a-z-]+_\d{6}_\d{6}')


def parse_published(path: str, in_order: bool = False) -> list[str]:
    """Read a published list.

    Understood are plain stems (U2PL and CPS, VOC), ``image mask`` pairs
    separated by blanks (UniMatch, BRPG) or by a tab and with a leading slash
    (CPS, Cityscapes), and image paths alone (U2PL, Cityscapes).

    Args:
        path (str): Text file; blank lines and a missing final newline are
            accepted.
        in_order (bool): Keep the order of the file. Defaults to False.

    Returns:
        list[str]: Lines for stock datasets: stems, and
        ``aachen/aachen_000000_000019`` for Cityscapes. Sorted unless
        ``in_order``, so that a list is the same file whichever repository it
        came from.

    Raises:
        ValueError: If the file is not such a list.
    """
    require(path, 'published list', False)
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = file.read().split('\n')
    except UnicodeDecodeError as err:
        raise ValueError(
            f'{path} is not a UTF-8 text file ({err}). Only text lists are '
            'read; the pickled permutations of CMB are for '
            'tools/dataset_converters/permutation_splits.py.') from err
    entries = {}
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if not columns:
            continue
        entry = columns[0].lstrip('/')
        fault = line_fault(entry)
        if fault is None and len(columns) > 2:
            fault = (f'has {len(columns)} columns, but published lists hold '
                     'an image or an image and a mask')
        entry = _stock_line(entry)
        if fault is None and entry in entries:
            fault = f'names the same image as line {entries[entry]}'
        if fault is not None:
            raise ValueError(f'{path}, line {number} ({line[:80]!r}) {fault}.')
        entries[entry] = number
    if not entries:
        raise ValueError(f'{path} is empty.')
    return list(entries) if in_order else sorted(entries)


def import_list(path: str,
                out_dir: str,
                name: str | None = None,
                force: bool = False) -> list[tuple[str, str]]:
    """Import one published list.

    Args:
        path (str): List in any format of :func:`parse_published`.
        out_dir (str): Folder that receives ``<name>.txt``.
        name (str, optional): Name of the list; a published name must hold the
            published images. Defaults to None: every published name of
            exactly these images.
        force (bool): Whether to replace a different file.

    Returns:
        list[tuple[str, str]]: Files written, each with ``written`` or
        ``unchanged``.

    Raises:
        ValueError: If the images are not those of ``name``, or no published
            list has them and no name is given.
        FileExistsError: If a target holds other images and not ``force``.
    """
    entries = parse_published(path)
    names = [name] if name else identify(entries)
    if not names:
        raise ValueError(
            f'{path} is no published list that this package knows '
            f'({len(entries)} images, SHA-256 {split_hash(entries)}). Give it '
            'a name of your own with --name.')
    if name and (name != osp.basename(name) or name.startswith('.')):
        raise ValueError(f'--name {name!r} must be a plain file name.')
    targets = [osp.join(out_dir, f'{n}.txt') for n in names]
    for target in targets:
        verify_split(target, entries)
    return [(target, write_list(target, entries, force)) for target in targets]


def write_list(path: str, entries: Sequence[str], force: bool = False) -> str:
    """Write a split list; never replace a different one silently.

    Returns:
        str: ``written``, or ``unchanged`` if the file had these lines.

    Raises:
        FileExistsError: If the file differs and not ``force``.
    """
    text = ''.join(f'{entry}\n' for entry in entries)
    if osp.exists(path):
        with open(path, 'rb') as file:
            if file.read() == text.encode():
                return 'unchanged'
        if not force:
            raise FileExistsError(
                f'{path} exists and differs from the {len(entries)} images '
                'to be written. Remove it, choose another folder, or replace '
                'it with --force.')
    os.makedirs(osp.dirname(path) or '.', exist_ok=True)
    part = f'{path}.{os.getpid()}.part'
    with open(part, 'w', encoding='utf-8', newline='\n') as file:
        file.write(text)
    os.replace(part, path)
    return 'written'


def _stock_line(entry: str) -> str:
    name = stem(image_id(entry))
    if _CITY.fullmatch(name):
        return f'{name.split("_")[0]}/{name}'
    return name
