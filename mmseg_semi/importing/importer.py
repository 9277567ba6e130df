# Copyright (c) mmseg_semi authors.
"""From a folder of photographs and labels to lists and index PNG."""
import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.paths import require_writable
from ..datasets.split_import import write_list
from . import tree
from .findings import Finding, Findings
from .formats import detect, read_labels
from .groups import group_keys
from .labels import Label, LabelSet
from .matching import match
from .options import IGNORED, ImportOptions
from .photos import Photo, find_files, find_photos, upright
from .sizes import check_sizes, readable_photos
from .splitting import check_split, split

Say = Callable[[str], None]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        out (str): The folder.
        state (str): ``written``, ``unchanged``, ``replaced`` or ``planned``.
        format (str): Of the labels.
        notes (list[str]): What was decided and why.
        classes (dict): Content of ``classes.json``; empty if planned.
        split (dict): Content of ``split.json``; empty if planned.
        warnings (list[Finding]): What the user should know.
    """
    out: str
    state: str
    format: str
    notes: list[str]
    classes: dict
    split: dict
    warnings: list[Finding]


def import_labels(photos: str,
                  masks: str,
                  out: str,
                  options: ImportOptions = ImportOptions(),
                  force: bool = False,
                  dry_run: bool = False,
                  say: Say = lambda text: None,
                  track=lambda items, text: items) -> ImportReport:
    """Bring labels into index PNG and divide the photographs into lists.

    Photographs stay where they are. The mask of ``a/b.jpg`` is
    ``masks/a/b.jpg.png``, so that ``img_suffix=''`` fits all suffixes.

    Args:
        photos (str): Folder of photographs, searched with its subfolders.
        masks (str): Folder or file of labels.
        out (str): Folder to write; outside of the other two.
        options (ImportOptions): What is not to be found out.
        force (bool): Whether to replace another import in ``out``.
        dry_run (bool): Whether to stop before anything is written.
        say (Callable): Gets what was found, a line each, before it is used.
        track (Callable): ``track(items, text)`` shows the progress of a loop.

    Returns:
        ImportReport: What was done.

    Raises:
        DataFaultsError: If data do not fit, with all faults.
        ValueError: If options do not fit the data.
        FileNotFoundError: If a folder or file is missing.
        FileExistsError: If ``out`` holds something else.
        OSError: If ``out`` cannot be written.
    """
    photo_root, label_root, target = map(Path, (photos, masks, out))
    _check_places(photo_root, label_root, target, options)
    if not dry_run:
        require_writable(out, '--out')
    findings = Findings()
    inside = [label_root] if label_root.is_dir() else []
    images = find_photos(photo_root, inside, findings)
    labels = read_labels(label_root, options, findings, track)
    own = {os.path.abspath(label.path) for label in labels.labels}
    images = [p for p in images if os.path.abspath(p.path) not in own]
    pairs, tail = match(labels.labels, images, options.label_tail, findings)
    images = readable_photos(images, pairs, findings)
    findings.stop_on_errors()
    notes = _notes(labels, tail, options)
    say(f'{label_root}: {len(labels.labels)} labels of the format '
        f'{labels.format}, {len(pairs)} of them with a photo; {photo_root}: '
        f'{len(images)} photos')
    for line in [*labels.table.lines(labels.counts), *notes]:
        say(f'  {line}')
    turned = check_sizes(pairs, options.rotate_masks, findings)
    groups = group_keys(images, options.group_by, findings)
    labelled = [
        photo for photo, label in pairs.items()
        if not label.empty or options.empty == 'background'
    ]
    if not labelled:
        findings.error('no photo has a label', label_root, 'nothing is left',
                       'See the notes above.')
    findings.stop_on_errors()
    state = 'planned'
    job = _Job(labels, pairs, labelled, turned,
               [p for p in images if p not in set(labelled)], groups, options,
               os.path.relpath(photo_root, target), track)
    if not dry_run:
        recipe = dict(
            tool=tree.TOOL,
            photos=job.photo_root,
            masks=os.path.relpath(label_root, target),
            options=asdict(options),
            inputs=_digest(images, label_root, options))
        state = tree.write_folder(target, recipe, job.write, force)
    classes = split_record = {}
    if not dry_run:
        classes = tree.read_json(target / tree.CLASSES)
        split_record = tree.read_json(target / tree.SPLIT)
        check_split(split_record, classes['pixels'], findings)
    return ImportReport(out, state, labels.format, notes, classes,
                        split_record, findings.warnings)


def _check_places(photos: Path, masks: Path, out: Path,
                  options: ImportOptions) -> None:
    """Check that the three places can be told from each other."""
    here = out.resolve()
    for what, place in (('PHOTOS', photos), ('--masks', masks)):
        if place.resolve() in (here, *here.parents):
            raise ValueError(f'--out: {out} is in {what} ({place}); it would '
                             'be read as data. Choose a folder outside.')
    if options.format is None and options.label_tail is None and (
            masks.is_dir() and photos.is_dir() and masks.resolve()
            in (photos.resolve(), *photos.resolve().parents)
            and detect(masks) == 'pictures'):
        raise ValueError(
            f'--masks: {masks} holds the photos, too. Name the folder of the '
            'masks alone; or, if both are in one folder, what masks have '
            'after the name of their photo: --label-tail _mask.')


def _notes(labels: LabelSet, tail: str, options: ImportOptions) -> list[str]:
    notes = list(labels.notes)
    if tail and options.label_tail is None:
        notes.append(f'labels are called like their photos with {tail!r} '
                     'after the name')
    return notes


def _digest(photos: Iterable[Photo], label_root: Path,
            options: ImportOptions) -> str:
    """SHA-256 over names and lengths of photos and all bytes of labels."""
    digest = hashlib.sha256()
    known = set()
    for photo in photos:
        known.add(photo.path)
        digest.update(f'{photo.name} {photo.path.stat().st_size}\n'.encode())
    files = find_files(label_root) if label_root.is_dir() else [label_root]
    files = [path for path in files if path not in known]
    if options.colors:
        files.append(Path(options.colors))
    if options.group_by.startswith('csv:'):
        files.append(Path(options.group_by[4:].rsplit(':', 1)[0]))
    for path in files:
        digest.update(f'{path.name} '.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Job:
    """What is written, once everything fits."""
    labels: LabelSet
    pairs: dict[Photo, Label]
    labelled: list[Photo]
    turned: set[Photo]
    unlabelled: list[Photo]
    groups: dict[Photo, str]
    options: ImportOptions
    photo_root: str
    track: Callable

    def write(self, folder: Path) -> dict:
        """Fill an empty folder; returns its lists."""
        counts = self._write_masks(folder)
        names, options = self.labels.table.names, self.options
        lists, record = split(self.labelled, self.unlabelled,
                              counts[:, :len(names)] > 0, self.groups, names,
                              options.val, options.seed, options.group_by)
        for name, entries in lists.items():
            if entries:  # an empty list would stand for the whole folder
                write_list(str(folder / tree.LISTS[name]), entries)
        tree.write_json(folder / tree.SPLIT, record)
        tree.write_json(folder / tree.CLASSES, self._classes(counts))
        return {name: entries for name, entries in lists.items() if entries}

    def _write_masks(self, folder: Path) -> np.ndarray:
        """All masks; (N, 256) pixels of every id."""
        findings, counts = Findings(), []
        for photo in self.track(self.labelled, 'Writing masks'):
            label = self.pairs[photo]
            try:
                mask = self.labels.mask(label, label.size or photo.size)
            except ValueError as error:
                findings.error('label that cannot be drawn', label.path, error,
                               'Mend it, or take it away.')
                continue
            if photo in self.turned:
                mask = upright(mask, photo.orientation)
            counts.append(np.bincount(mask.ravel(), minlength=256))
            path = folder / tree.MASKS / f'{photo.name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(mask)).save(buffer, 'png')
            path.write_bytes(buffer.getvalue())
        findings.stop_on_errors()
        return np.array(counts)

    def _classes(self, counts: np.ndarray) -> dict:
        table = self.labels.table
        number = len(table.names)
        return dict(
            names=table.names,
            palette=table.palette,
            ignore_index=IGNORED,
            format=self.labels.format,
            mapping={
                source: 'ignored' if target == IGNORED else table.names[target]
                for source, target in table.mapping.items()
            },
            photos=self.photo_root.replace(os.sep, '/'),
            pixels=dict(zip(table.names, counts[:, :number].sum(0).tolist())),
            ignored_pixels=int(counts[:, IGNORED].sum()),
            images=dict(
                zip(table.names, (counts[:, :number] > 0).sum(0).tolist())),
            notes=self.labels.notes,
            **self.labels.facts)
