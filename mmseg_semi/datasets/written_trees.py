# Copyright (c) mmseg_semi authors.
"""Writing a dataset folder all at once, and recognising it later.

A generated tree is written into a temporary sibling folder and renamed at the
end, so a killed run never leaves half a dataset under the final name. Two
files describe it: ``SHA256SUMS`` (the format of the ``sha256sum`` program, one
line per file) and ``manifest.json`` (the recipe and the label lists). A folder
that these two do not describe is never touched.
"""
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Callable, Iterable, Union

from .splits import split_hash

MANIFEST = 'manifest.json'
CHECKSUMS = 'SHA256SUMS'


class ForeignTreeError(FileExistsError):
    """The target folder exists and is not the tree that was asked for."""


def write_list(path: Path, stems: Iterable[str]) -> None:
    """Write a split list, one stem per line, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{stem}\n' for stem in stems))


def _file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_checksums(root: Path) -> str:
    """List the hash of every file of the tree; returns the list's hash."""
    files = sorted(
        p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file())
    lines = [f'{_file_sha256(root / name)}  {name}\n' for name in files]
    (root / CHECKSUMS).write_text(''.join(lines))
    return _file_sha256(root / CHECKSUMS)


def verify_tree(root: Union[str, Path]) -> dict:
    """Compare a written tree with its own checksums.

    Files that were added later (more split lists, say) are left alone.

    Args:
        root (str | Path): The folder.

    Returns:
        dict: The manifest.

    Raises:
        ForeignTreeError: If the folder has no manifest of ours, or a file
            that we wrote is missing or changed.
    """
    root = Path(root)
    try:
        manifest = json.loads((root / MANIFEST).read_text())
        expected = manifest['content_sha256']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ForeignTreeError(
            f'{root} exists but has no readable {MANIFEST} of ours '
            f'({error!r}): it was not written by this tool and is left '
            'untouched. Choose another output folder.') from error
    sums = root / CHECKSUMS
    if not sums.is_file() or _file_sha256(sums) != expected:
        raise ForeignTreeError(
            f'{sums} is missing or was changed. Remove {root} to have it '
            'written again, or choose another output folder.')
    for line in sums.read_text().splitlines():
        digest, name = line.split('  ', 1)
        path = root / name
        if not path.is_file() or _file_sha256(path) != digest:
            raise ForeignTreeError(
                f'{path} is missing or was changed since the tree was '
                f'written. Remove {root} to have it written again, or '
                'choose another output folder.')
    return manifest


def _reuse_tree(root: Path, recipe: dict) -> dict:
    manifest = verify_tree(root)
    if manifest['recipe'] != recipe:
        raise ForeignTreeError(
            f'{root} holds a tree of another recipe: it was written with '
            f'{manifest["recipe"]}, asked for is {recipe}. Choose another '
            'output folder or remove that one.')
    return manifest


def write_tree(root: Union[str, Path], recipe: dict,
               write: Callable[[Path], dict]) -> dict:
    """Write a tree atomically, or verify and reuse an identical one.

    Args:
        root (str | Path): Final folder. Its parents are created.
        recipe (dict): JSON-able description of what is written: name,
            version, seed, counts. Equal recipes mean equal trees.
        write (Callable[[Path], dict]): Fills an empty folder and returns the
            split lists, name -> stems, to be described in the manifest.

    Returns:
        dict: The manifest with keys ``recipe``, ``lists`` (name -> count and
        sha256) and ``content_sha256``.

    Raises:
        ForeignTreeError: If ``root`` exists with other content; it is left
            as it is.
    """
    root = Path(root)
    # Through JSON, so that a tuple in the recipe equals the list read back.
    recipe = json.loads(json.dumps(recipe))
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        return _reuse_tree(root, recipe)
    root.parent.mkdir(parents=True, exist_ok=True)
    part = root.parent / f'.{root.name}.{uuid.uuid4().hex}.part'
    part.mkdir()
    try:
        lists = write(part)
        manifest = dict(
            recipe=recipe,
            lists={
                name: dict(count=len(stems), sha256=split_hash(stems))
                for name, stems in lists.items()
            },
            content_sha256=_write_checksums(part))
        (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n')
        try:
            os.replace(part, root)
        except OSError:
            # Another process wrote the same tree in the meantime.
            if not root.exists():
                raise
            return _reuse_tree(root, recipe)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest
