# Copyright (c) mmseg_semi authors.
"""Labelled images that come later, reviewed predictions above all."""
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.paths import first_few
from ..datasets.splits import read_list
from ..datasets.written_trees import ForeignTreeError, verify_tree
from . import tree
from .classes import BACKGROUND
from .findings import Findings
from .formats import detect, uses_of
from .groups import group_keys
from .importer import (Gathered, ImportReport, Say, check_places, digest,
                       gather, write_masks)
from .named_labels import USES as NAMED
from .options import IGNORED, ImportOptions
from .photos import Photo
from .raster import NOT_HELD

_OF_THE_SPLIT = 'val', 'seed', 'group_by'


def add_labels(photos: str,
               masks: str,
               out: str,
               options: ImportOptions = ImportOptions(),
               force: bool = False,
               dry_run: bool = False,
               say: Say = lambda text: None,
               track=lambda items, text: items) -> ImportReport:
    """Add labelled photographs to an import; its validation set stays.

    They join the training list and leave the unlabelled one. Classes are
    those of the import: ids in index PNG, names elsewhere.

    Args:
        photos (str): The folder of photographs of the import.
        masks (str): Folder or file of labels, see :func:`.import_labels`.
        out (str): The import.
        options (ImportOptions): About the labels; the split is what it was.
        force (bool): Replace masks of training images, and take the folder
            as it is now where it was changed by hand. Defaults to False.
        dry_run (bool): Stop before anything is written. Defaults to False.
        say (Callable): See :func:`.import_labels`.
        track (Callable): Likewise.

    Returns:
        ImportReport: ``state`` is ``added``, ``unchanged`` or ``planned``.

    Raises:
        DataFaultsError: If data do not fit, with all faults: a photo of the
            validation set or of a group of it is one, and without ``force``
            one that has another label already.
        FileExistsError: If no import wrote the folder, or it was changed.
        FileNotFoundError: If a folder or file is missing.
        ValueError: If options do not fit, or the photographs are others.
    """
    photo_root, label_root, target = map(Path, (photos, masks, out))
    recipe = _check_target(photo_root, target, options, force)
    check_places(photo_root, label_root, target, options)
    content = tree.read_json(target / tree.CLASSES)
    given, findings = options.mapping, Findings()
    options = _for_classes(options, content['names'], label_root)
    got = gather(photo_root, label_root, options, findings, say, track)
    findings.stop_on_errors()
    if given is None:
        findings.forget(NOT_HELD)  # not every class is in every addition
    got = _with_ids(got, content['names'])
    grouping = recipe['options']['group_by']
    lists = _read_lists(target)
    job = _Addition(got, target, lists, content,
                    group_keys(got.photos, grouping, findings), track)
    job.choose(findings, force)
    findings.stop_on_errors()
    new = [photo.name for photo in job.new]
    known = len(job.new) - len(set(new) - set(lists['train']))
    say(f'{len(new) - known} photos get their first label, {known} another '
        f'one; {len(lists["val"])} for validation stay')
    state = 'planned' if dry_run else 'added' if new else 'unchanged'
    if state == 'added':
        entry = dict(
            masks=os.path.relpath(label_root, target),
            options=asdict(options),
            inputs=digest(got.photos, label_root, options))
        added = [*recipe.get('added', ()), entry]
        tree.replace(target, dict(recipe, added=added), job.write)
    if not dry_run and new and set(lists['unlabelled']) <= set(new):
        findings.warn(
            'no photo without a label is left',
            target / tree.LISTS['unlabelled'], 'the list is gone',
            'Take `unlabeled` out of configs that name it, or add photos.')
    classes = {} if dry_run else tree.read_json(target / tree.CLASSES)
    record = {} if dry_run else tree.read_json(target / tree.SPLIT)
    return ImportReport(out, state, got.labels.format, got.notes, classes,
                        record, findings.warnings)


def _check_target(photos: Path, out: Path, options: ImportOptions,
                  force: bool) -> dict:
    """The recipe of the import, if labels of these photos may be added."""
    given = [
        name for name in _OF_THE_SPLIT
        if getattr(options, name) != getattr(ImportOptions(), name)
    ]
    if given:
        raise ValueError(
            f'--{given[0].replace("_", "-")}: of no use with --add-to, which '
            'leaves the split as it is. Leave it out.')
    if not (out / tree.CLASSES).is_file():
        raise FileNotFoundError(
            f'--add-to: {out} is no folder that `{tree.TOOL}` wrote: it has '
            f'no {tree.CLASSES}. Import photographs and masks into it first.')
    recipe = tree.recipe_of(out)
    known = out / recipe['photos']
    if photos.is_dir() and not (known.is_dir() and photos.samefile(known)):
        raise ValueError(
            f'--add-to: {out} is about the photos of {os.path.normpath(known)}'
            f', not of {photos}. Put new photos into that folder and name '
            'it.')
    try:
        verify_tree(out)
    except ForeignTreeError as error:
        if not force:
            raise FileExistsError(
                f'--add-to: {out} was changed since it was written ({error}) '
                'With --force it is taken as it is now.') from error
    return recipe


def _for_classes(options: ImportOptions, names: list[str],
                 label_root: Path) -> ImportOptions:
    """Options that give labels the classes of the import."""
    if options.classes is not None and list(options.classes) != names:
        raise ValueError(
            f'--classes: {first_few(options.classes)}; the import has '
            f'{first_few(names)}. Leave it out.')
    if not label_root.exists():
        return options  # the reader says what is there instead
    kind = options.format or detect(label_root)
    if uses_of(kind) == NAMED:
        unlabelled = BACKGROUND if BACKGROUND in names else 'ignore'
        return replace(
            options,
            classes=tuple(names),
            unlabelled=options.unlabelled or unlabelled)
    named = (label_root / 'class_names.txt').is_file()
    if options.colors or kind in ('rgb', 'cvat-masks') or named:
        return options
    if options.mapping is not None:
        return replace(options, classes=tuple(names))
    # Ids, whatever values occur; 255 is no class, also where it is the only
    # value beside one.
    return replace(
        options,
        mapping={
            str(number): name
            for number, name in enumerate(names)
        },
        ignore=tuple(dict.fromkeys((*options.ignore, str(IGNORED)))),
        classes=tuple(names))


@dataclass(frozen=True)
class _Renumbered(Gathered):
    """Gathered labels whose masks have the ids of another table."""
    ids: np.ndarray | None = None

    def mask(self, photo: Photo) -> np.ndarray:
        """See :meth:`Gathered.mask`."""
        return self.ids[super().mask(photo)]


def _with_ids(got: Gathered, names: list[str]) -> Gathered:
    """Ids of the import for those that the labels came with."""
    own = got.labels.table.names
    strange = [name for name in own if name not in names]
    if strange:
        raise ValueError(
            f'The labels have the classes {first_few(strange)}, the import '
            f'{first_few(names, 20)}: say which is which with --mapping, or '
            '--ignore them.')
    ids = np.full(256, IGNORED, np.uint8)
    ids[:len(own)] = [names.index(name) for name in own]
    return _Renumbered(**vars(got), ids=ids)


def _read_lists(out: Path) -> dict[str, list[str]]:
    return {
        name: read_list(str(out / path)) if (out / path).is_file() else []
        for name, path in tree.LISTS.items()
    }


@dataclass
class _Addition:
    """What is added to an import, and how."""
    got: Gathered
    target: Path
    lists: dict[str, list[str]]
    content: dict
    groups: dict[Photo, str]
    track: Callable

    def choose(self, findings: Findings, force: bool) -> None:
        """Sort out what cannot or need not be added."""
        val = set(self.lists['val'])
        labelled = val.union(self.lists['train'])
        held = {self.groups[p] for p in self.got.photos if p.name in val}
        self.new: list[Photo] = []
        for photo in self.track(self.got.labelled, 'Comparing masks'):
            label = self.got.pairs[photo]
            try:
                mask = self.got.mask(photo)
            except ValueError as error:
                findings.error('label that cannot be drawn', label.path, error,
                               'Mend it, or take it away.')
                continue
            known = photo.name in labelled
            if known and np.array_equal(mask, self._mask(photo.name)):
                continue
            if photo.name in val or self.groups[photo] in held:
                findings.error(
                    'label for the validation set', label.path,
                    f'{photo.name} is ' +
                    ('one of its photos'
                     if known else f'of its group {self.groups[photo]}'),
                    'Take it away: validation images stay what they are.')
            elif (mask == IGNORED).all():
                findings.warn('label that ignores every pixel', label.path,
                              photo.name, 'It is left out.')
            else:
                self.new.append(photo)
                if known and not force:
                    findings.error(
                        'photo that has another label already', label.path,
                        photo.name,
                        'Take it away, or replace the old label with --force.')

    def _mask(self, name: str) -> np.ndarray:
        with Image.open(self.target / tree.MASKS / f'{name}.png') as image:
            return np.asarray(image)

    def write(self, folder: Path) -> dict:
        """Fill an empty folder with the import and what is added."""
        shutil.copytree(self.target / tree.MASKS, folder / tree.MASKS)
        write_masks(self.got, self.new, folder, self.track)
        names = {photo.name for photo in self.new}
        lists = dict(
            train=sorted(names.union(self.lists['train'])),
            val=self.lists['val'],
            unlabelled=[n for n in self.lists['unlabelled'] if n not in names])
        counts = {
            name: self._count(folder, lists[name])
            for name in ('train', 'val')
        }
        tree.write_json(folder / tree.CLASSES, self._classes(counts))
        tree.write_json(folder / tree.SPLIT, self._split(counts, lists, names))
        return tree.write_lists(folder, lists)

    def _count(self, folder: Path, photos: list[str]) -> np.ndarray:
        """(N, 256) pixels of every id."""
        counts = np.zeros((len(photos), 256), np.int64)
        for row, name in zip(counts, self.track(photos, 'Counting pixels')):
            with Image.open(folder / tree.MASKS / f'{name}.png') as image:
                row += np.bincount(np.asarray(image).ravel(), minlength=256)
        return counts

    def _classes(self, counts: dict[str, np.ndarray]) -> dict:
        names = self.content['names']
        both = np.concatenate(list(counts.values()))
        pixels, number = both.sum(0), len(names)
        return dict(
            self.content,
            pixels=dict(zip(names, pixels[:number].tolist())),
            ignored_pixels=int(pixels[IGNORED]),
            images=dict(zip(names, (both[:, :number] > 0).sum(0).tolist())))

    def _split(self, counts: dict, lists: dict, added: set[str]) -> dict:
        record = tree.read_json(self.target / tree.SPLIT)
        names = self.content['names']
        return dict(
            record,
            images={
                name: len(entries)
                for name, entries in lists.items()
            },
            images_per_class={
                name:
                dict(zip(names, (found[:, :len(names)] > 0).sum(0).tolist()))
                for name, found in counts.items()
            },
            added=[*record.get('added', ()),
                   sorted(added)])
