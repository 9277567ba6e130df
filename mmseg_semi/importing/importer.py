# Copyright (c) mmseg_semi authors.
"""From a folder of photographs and labels to lists and index PNG."""
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..datasets.paths import require_writable
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
    check_places(photo_root, label_root, target, options)
    if not dry_run:
        require_writable(out, '--out')
    findings = Findings()
    got = gather(photo_root, label_root, options, findings, say, track)
    groups = group_keys(got.photos, options.group_by, findings)
    findings.stop_on_errors()
    state = 'planned'
    job = _Job(got, groups, options, os.path.relpath(photo_root, target),
               track)
    if not dry_run:
        recipe = dict(
            tool=tree.TOOL,
            photos=job.photo_root,
            masks=os.path.relpath(label_root, target),
            options=asdict(options),
            inputs=digest(got.photos, label_root, options))
        state = tree.write_folder(target, recipe, job.write, force)
    classes = split_record = {}
    if not dry_run:
        classes = tree.read_json(target / tree.CLASSES)
        split_record = tree.read_json(target / tree.SPLIT)
        check_split(split_record, classes['pixels'], findings)
    return ImportReport(out, state, got.labels.format, got.notes, classes,
                        split_record, findings.warnings)


@dataclass(frozen=True)
class Gathered:
    """Labels and the photographs that they belong to.

    Attributes:
        labels (LabelSet): All labels.
        pairs (dict[Photo, Label]): What belongs together.
        labelled (list[Photo]): Photographs whose label counts.
        photos (list[Photo]): All photographs that can be read.
        turned (set[Photo]): Those whose labels are to be turned.
        notes (list[str]): What was decided and why.
    """
    labels: LabelSet
    pairs: dict[Photo, Label]
    labelled: list[Photo]
    photos: list[Photo]
    turned: set[Photo]
    notes: list[str]

    def mask(self, photo: Photo) -> np.ndarray:
        """The mask of a labelled photograph, uint8 (H, W).

        Raises:
            ValueError: If it cannot be drawn.
        """
        label = self.pairs[photo]
        mask = self.labels.mask(label, label.size or photo.size)
        if photo in self.turned:
            mask = upright(mask, photo.orientation)
        return np.ascontiguousarray(mask)


def gather(photo_root: Path, label_root: Path, options: ImportOptions,
           findings: Findings, say: Say, track: Callable) -> Gathered:
    """Read labels and find their photographs, see :func:`import_labels`.

    Raises:
        DataFaultsError: If data do not fit, with all faults.
    """
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
    labelled = [
        photo for photo, label in pairs.items()
        if not label.empty or options.empty == 'background'
    ]
    if not labelled:
        findings.error('no photo has a label', label_root, 'nothing is left',
                       'See the notes above.')
    return Gathered(labels, pairs, labelled, images, turned, notes)


def check_places(photos: Path, masks: Path, out: Path,
                 options: ImportOptions) -> None:
    """Check that the three places can be told from each other.

    Raises:
        ValueError: If one would be read as another.
    """
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


def digest(photos: Iterable[Photo], label_root: Path,
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
    got: Gathered
    groups: dict[Photo, str]
    options: ImportOptions
    photo_root: str
    track: Callable

    def write(self, folder: Path) -> dict:
        """Fill an empty folder; returns its lists."""
        got, options = self.got, self.options
        counts = write_masks(got, got.labelled, folder, self.track)
        names = got.labels.table.names
        unlabelled = [p for p in got.photos if p not in set(got.labelled)]
        lists, record = split(got.labelled, unlabelled, counts[:, :len(names)]
                              > 0, self.groups, names, options.val,
                              options.seed, options.group_by)
        tree.write_json(folder / tree.SPLIT, record)
        tree.write_json(folder / tree.CLASSES, self._classes(counts))
        return tree.write_lists(folder, lists)

    def _classes(self, counts: np.ndarray) -> dict:
        labels = self.got.labels
        table = labels.table
        number = len(table.names)
        return dict(
            names=table.names,
            palette=table.palette,
            ignore_index=IGNORED,
            format=labels.format,
            mapping={
                source: 'ignored' if target == IGNORED else table.names[target]
                for source, target in table.mapping.items()
            },
            photos=self.photo_root.replace(os.sep, '/'),
            pixels=dict(zip(table.names, counts[:, :number].sum(0).tolist())),
            ignored_pixels=int(counts[:, IGNORED].sum()),
            images=dict(
                zip(table.names, (counts[:, :number] > 0).sum(0).tolist())),
            notes=labels.notes,
            **labels.facts)


def write_masks(got: Gathered, photos: Iterable[Photo], folder: Path,
                track: Callable) -> np.ndarray:
    """Write masks as index PNG.

    Args:
        got (Gathered): What was read.
        photos (Iterable[Photo]): N of its labelled photographs.
        folder (Path): Root of the import.
        track (Callable): Shows progress.

    Returns:
        np.ndarray: (N, 256), pixels of every id.

    Raises:
        DataFaultsError: If labels cannot be drawn.
    """
    findings, counts = Findings(), []
    for photo in track(photos, 'Writing masks'):
        try:
            mask = got.mask(photo)
        except ValueError as error:
            findings.error('label that cannot be drawn', got.pairs[photo].path,
                           error, 'Mend it, or take it away.')
            continue
        counts.append(np.bincount(mask.ravel(), minlength=256))
        tree.write_mask(folder, photo.name, mask)
    findings.stop_on_errors()
    return np.array(counts)
