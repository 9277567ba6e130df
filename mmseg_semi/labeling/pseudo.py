# Copyright (c) mmseg_semi authors.
"""Pseudo-labels of many images, to be reviewed."""
import csv
import io
import json
import os
import os.path as osp
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..datasets.errors import UnreadableImageError
from ..datasets.paths import first_few
from ..engine.atomic import write_atomically
from ..importing.options import IGNORED
from ..importing.tree import CLASSES
from ..predicting import Predictor, Skipped
from ..predicting.images import Source
from .confident import keep_confident, thresholds_of
from .forms import LabelClasses, Labelled, make_forms
from .pool import Pool
from .sheet import LARGEST, Item, contact_sheet, painted, unsure

REVIEW, SHEET = 'review.csv', 'review.png'
Track = Callable[[Iterable, str], Iterable]


@dataclass(frozen=True)
class PseudoOptions:
    """What of a prediction becomes a label, and how it is written.

    Attributes:
        threshold (float): Confidence that a pixel needs, in [0, 1].
        class_thresholds (Mapping[str, float]): Name of a class -> its own.
        min_area (int): Pixels of the smallest region, see
            :func:`.keep_confident`.
        forms (tuple[str, ...]): Of :data:`.FORMS`.
        simplify (float): See :func:`.outline`.
        sheet (bool): Whether to draw the least sure images.
    """
    threshold: float = .95
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    min_area: int = 0
    forms: tuple[str, ...] = ('png', )
    simplify: float = 0.
    sheet: bool = False


@dataclass(frozen=True)
class Reviewed:
    """An image to be reviewed.

    Attributes:
        path (str): The file.
        confidence (float): Mean over all pixels, in [0, 1].
        kept (float): Share of the pixels that have a label.
        classes (list[str]): Those of the labels.
    """
    path: str
    confidence: float
    kept: float
    classes: list[str]


@dataclass(frozen=True)
class PseudoReport:
    """What was labelled.

    Attributes:
        out (str): The folder.
        images (list[Reviewed]): The least sure one first.
        kept (float): Share of all pixels that have a label.
        pixels (dict[str, float]): Class -> its share of all pixels.
        thresholds (dict[str, float]): Class -> confidence that it needed.
        left_out (dict[str, int]): See :class:`.Pool`.
        skipped (list[Skipped]): Files that are no image, or broken.
        files (list[str]): What was written.
    """
    out: str
    images: list[Reviewed]
    kept: float
    pixels: dict[str, float]
    thresholds: dict[str, float]
    left_out: dict[str, int]
    skipped: list[Skipped]
    files: list[str]

    def as_dict(self) -> dict:
        """Everything for JSON."""
        return asdict(self)


def label_images(predictor: Predictor,
                 pool: Pool,
                 out: str,
                 options: PseudoOptions = PseudoOptions(),
                 force: bool = False,
                 track: Track = lambda items, text: items) -> PseudoReport:
    """Write what a model is sure of as labels.

    Args:
        predictor (Predictor): The model, of at most 255 classes.
        pool (Pool): The images.
        out (str): Folder; made if it does not exist. It gets the forms,
            ``classes.json`` as the import writes it, ``review.csv``, and
            ``review.png`` with the sheet of at most :data:`.LARGEST` images.
        options (PseudoOptions): See there.
        force (bool): Replace files of the same names. Defaults to False.
        track (Track): Shows progress.

    Returns:
        PseudoReport: What was labelled, and what was not and why.

    Raises:
        FileExistsError: A file is there already and not ``force``.
        ValueError: There are too many classes, or none of a name.
    """
    names = predictor.classes
    if len(names) > IGNORED:
        raise ValueError(
            f'The model has {len(names)} classes; masks of 8 bits hold '
            f'{IGNORED}, and 255 for what is ignored.')
    thresholds = thresholds_of(names, options.threshold,
                               options.class_thresholds)
    folder = Path(out)
    classes = LabelClasses(names, predictor.palette)
    forms = make_forms(options.forms, folder, classes, options.simplify)
    _check_free(folder, forms, pool.sources, options.sheet, force)
    counts, rows, skipped = [], [], list(pool.skipped)
    for source in track(pool.sources, 'Labelling'):
        try:
            found = predictor(source.path)
        except UnreadableImageError as error:
            skipped.append(Skipped(source.path, str(error)))
            continue
        mask = keep_confident(found, thresholds, options.min_area)
        one = Labelled(source.path, source.name, pool.below(source), mask)
        for form in forms:
            form.add(one)
        counts.append(np.bincount(mask.ravel(), minlength=256))
        rows.append(_reviewed(source, found.confidence, counts[-1], names))
    files = [path for form in forms for path in form.close()]
    rows.sort(key=lambda row: row.confidence)
    pixels = np.array(counts, np.int64).reshape(-1, 256)
    write_atomically(
        _classes(pixels, classes, pool, folder, options), folder / CLASSES)
    write_atomically(_table(rows), folder / REVIEW)
    files += [folder / CLASSES, folder / REVIEW]
    if options.sheet and rows:
        items = [
            _item(row, predictor, thresholds, options)
            for row in track(rows[:LARGEST], 'Drawing')
        ]
        head = f'the {len(items)} least sure of {len(rows)} images'
        write_atomically(
            contact_sheet(head, ('image', 'label (grey: ignored)', 'unsure'),
                          items), folder / SHEET)
        files.append(folder / SHEET)
    total = max(pixels.sum(), 1)
    return PseudoReport(
        str(out), rows, float(pixels[:, :IGNORED].sum() / total), {
            name: float(pixels[:, c].sum() / total)
            for c, name in enumerate(names)
        }, dict(zip(names, thresholds.tolist())), pool.left_out, skipped,
        list(map(str, files)))


def _check_free(folder: Path, forms: list, sources: Iterable[Source],
                sheet: bool, force: bool) -> None:
    """Whatever would be written must not be there."""
    if force or not folder.exists():
        return
    wanted = {folder / CLASSES, folder / REVIEW}
    wanted |= {folder / SHEET} if sheet else set()
    wanted |= {
        path
        for source in sources
        for form in forms
        for path in form.files(source.name)
    }
    there = sorted(path for path in wanted if path.exists())
    if there:
        raise FileExistsError(
            f'--out: {folder} holds '
            f'{first_few(path.relative_to(folder) for path in there)} '
            'already. Choose another folder, or replace these files with '
            '--force.')


def _reviewed(source: Source, confidence: np.ndarray, counts: np.ndarray,
              names: Iterable[str]) -> Reviewed:
    return Reviewed(source.path, float(confidence.mean(dtype=float)),
                    float(counts[:IGNORED].sum() / counts.sum()),
                    [name for c, name in enumerate(names) if counts[c]])


def _classes(pixels: np.ndarray, classes: LabelClasses, pool: Pool,
             folder: Path, options: PseudoOptions) -> bytes:
    """``classes.json``, as the import writes it."""
    number = len(classes.names)
    photos = osp.relpath(osp.abspath(pool.base), osp.abspath(folder))
    content = dict(
        names=list(classes.names),
        palette=[list(color) for color in classes.palette],
        ignore_index=IGNORED,
        format='index',
        mapping={
            str(c): name
            for c, name in enumerate(classes.names)
        },
        photos=photos.replace(os.sep, '/'),
        pixels=dict(zip(classes.names, pixels[:, :number].sum(0).tolist())),
        ignored_pixels=int(pixels[:, IGNORED].sum()),
        images=dict(
            zip(classes.names, (pixels[:, :number] > 0).sum(0).tolist())),
        notes=[
            'predicted by a model; kept: confidence of at least '
            f'{options.threshold:g}' +
            ''.join(f', {name} {value:g}'
                    for name, value in options.class_thresholds.items()) +
            f'; regions of at least {options.min_area} pixels'
        ])
    text = json.dumps(content, indent=2, ensure_ascii=False) + '\n'
    return text.encode()


def _table(rows: list[Reviewed]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(['path', 'mean_confidence', 'kept_share', 'classes'])
    for row in rows:
        table.writerow([
            row.path, f'{row.confidence:.6f}', f'{row.kept:.6f}',
            ';'.join(row.classes)
        ])
    return text.getvalue().encode()


def _item(row: Reviewed, predictor: Predictor, thresholds: np.ndarray,
          options: PseudoOptions) -> Item:
    found, photo = predictor(row.path), predictor.thumbnail(row.path)
    mask = keep_confident(found, thresholds, options.min_area)
    lines = [
        f'confidence {row.confidence:.3f}, {row.kept:.1%} kept',
        ', '.join(row.classes)
    ]
    return Item(
        osp.basename(row.path), lines,
        (photo, painted(photo, mask,
                        predictor.palette), unsure(found.confidence)))
