# Copyright (c) mmseg_semi authors.
"""The folder that an import writes."""
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.split_import import write_list
from ..datasets.written_trees import (CHECKSUMS, MANIFEST, ForeignTreeError,
                                      verify_tree, write_tree)

TOOL = 'mmseg-semi import'
CLASSES, SPLIT, MASKS = 'classes.json', 'split.json', 'masks'
LISTS = dict(
    train='lists/train.txt',
    val='lists/val.txt',
    unlabelled='lists/unlabelled.txt')


def read_json(path: Path) -> dict:
    """A JSON file of the folder."""
    return json.loads(path.read_text(encoding='utf-8'))


def write_json(path: Path, content: dict) -> None:
    """The same content gives the same bytes."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + '\n', encoding='utf-8', newline='\n')


def write_mask(folder: Path, photo: str, mask: np.ndarray) -> None:
    """Write the mask (H, W) uint8 of a photo as index PNG."""
    path = folder / MASKS / f'{photo}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, 'png')
    path.write_bytes(buffer.getvalue())


def write_lists(folder: Path, lists: dict[str, list[str]]) -> dict:
    """Write the lists that are not empty, and return these.

    An empty list would stand for the whole folder.
    """
    lists = {name: entries for name, entries in lists.items() if entries}
    for name, entries in lists.items():
        write_list(str(folder / LISTS[name]), entries)
    return lists


def write_folder(out: Path, recipe: dict, write: Callable[[Path], dict],
                 force: bool) -> str:
    """Write the folder, or leave the same one as it is.

    Args:
        out (Path): The folder.
        recipe (dict): Everything that its content depends on.
        write (Callable): Fills an empty folder, returns its lists.
        force (bool): Whether to replace the folder of another import. Files
            that others put there stay.

    Returns:
        str: ``written``, ``unchanged`` or ``replaced``.

    Raises:
        FileExistsError: If there is another folder and not ``force``, or one
            that no import wrote.
    """
    recipe = json.loads(json.dumps(recipe))
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        write_tree(out, recipe, write)
        return 'written'
    written = recipe_of(out)
    reason = _difference(out, written, recipe)
    if reason is None:
        return 'unchanged'
    if not force:
        raise FileExistsError(
            f'--out: {out} holds an import, but {reason}. Choose another '
            'folder with --out, or replace that one with --force.')
    replace(out, recipe, write)
    return 'replaced'


def recipe_of(out: Path) -> dict:
    """Everything that the content of a folder depends on.

    Raises:
        FileExistsError: If no import wrote the folder.
    """
    try:
        recipe = read_json(out / MANIFEST)['recipe']
        if recipe['tool'] != TOOL:
            raise KeyError(TOOL)
    except (OSError, ValueError, KeyError, TypeError):
        raise FileExistsError(
            f'--out: {out} exists and was not written by {TOOL}, so it is '
            'left as it is, with --force too. Choose another folder.') from (
                None)
    return recipe


def _difference(out: Path, written: dict, recipe: dict) -> str | None:
    """What tells the folder from the one that is asked for."""
    changed = sorted(key for key in written.keys() | recipe.keys()
                     if written.get(key) != recipe.get(key))
    if changed:
        return f'of other inputs or settings ({", ".join(changed)})'
    try:
        verify_tree(out)
    except ForeignTreeError as error:
        return f'files were changed since ({error})'
    return None


def replace(out: Path, recipe: dict, write: Callable[[Path], dict]) -> None:
    """Put a new folder in the place of an old one.

    Files that others put there stay. See :func:`write_folder`.
    """
    new = out.with_name(f'.{out.name}.{uuid.uuid4().hex}.new')
    old = out.with_name(f'.{out.name}.{uuid.uuid4().hex}.old')
    write_tree(new, recipe, write)
    ours = {MANIFEST, CHECKSUMS}
    if (out / CHECKSUMS).is_file():
        lines = (out / CHECKSUMS).read_text(encoding='utf-8').splitlines()
        ours |= {line.split('  ', 1)[1] for line in lines}
    foreign = [
        path.relative_to(out) for path in out.rglob('*')
        if path.is_file() and path.relative_to(out).as_posix() not in ours
    ]
    os.replace(out, old)
    os.replace(new, out)
    for path in foreign:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        if not (out / path).exists():
            os.replace(old / path, out / path)
    shutil.rmtree(old)
