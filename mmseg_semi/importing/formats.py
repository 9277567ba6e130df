# Copyright (c) mmseg_semi authors.
"""Formats of labels, and finding out which one a folder has."""
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..datasets.paths import first_few, nearest
from .coco import CocoLabels, is_coco
from .cvat_xml import CvatXmlLabels, is_cvat
from .findings import Findings
from .labelme import LabelMeLabels
from .labels import LabelSet
from .options import ImportOptions
from .photos import find_files, is_image
from .raster import CvatMaskLabels, RasterLabels, VocLabels

FORMATS: dict[str, Callable[..., LabelSet]] = {
    'index': partial(RasterLabels, format='index'),
    'palette': partial(RasterLabels, format='palette'),
    'grey': partial(RasterLabels, format='grey'),
    'rgb': partial(RasterLabels, format='rgb'),
    'voc': VocLabels,
    'cvat-masks': CvatMaskLabels,
    'cvat-xml': CvatXmlLabels,
    'labelme': LabelMeLabels,
    'coco': CocoLabels,
}
_FOLDERS = ('SegmentationClass', )


def read_labels(root: Path, options: ImportOptions, findings: Findings,
                track) -> LabelSet:
    """Read a folder or a file of labels.

    Args:
        root (Path): Where the labels are.
        options (ImportOptions): ``format`` by name; by default it is found.
        findings (Findings): Gets everything that cannot be used.
        track (Callable): Wraps a loop to show its progress.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If the format cannot be told, or options do not fit it.
    """
    if not root.exists():
        raise FileNotFoundError(
            f'--masks: there is no {root}. {nearest(str(root))}')
    if root.is_file() and is_image(root):
        raise ValueError(f'--masks: {root} is one picture. Name the folder '
                         f'of the masks, {root.parent} for instance.')
    name = options.format or detect(root)
    reader = FORMATS.get(name, RasterLabels)
    options.require_used(uses_of(name), options.format or name)
    return reader(root, options, findings, track)


def uses_of(name: str) -> frozenset[str]:
    """The options about labels that a format of :func:`detect` reads."""
    reader = FORMATS.get(name, RasterLabels)
    return getattr(reader, 'func', reader).uses


def detect(root: Path) -> str:
    """Name the format of a folder or file by what is in it.

    Args:
        root (Path): A folder or a file that exists.

    Returns:
        str: A key of :data:`FORMATS`, or ``pictures`` if the content of the
        pictures decides.

    Raises:
        ValueError: If nothing or several formats are there.
    """
    if (root / 'labelmap.txt').is_file():
        return 'cvat-masks'
    if (root / 'SegmentationClass').is_dir():
        return 'voc'
    files = [root] if root.is_file() else find_files(root)
    found = Counter(filter(None, map(_kind, files)))
    pictures = [path for path in files if is_image(path)]
    if pictures and not found:
        return 'voc' if root.name.startswith(_FOLDERS) else 'pictures'
    if len(found) == 1:
        # Pictures beside them are the photos.
        return next(iter(found))
    if not files:
        raise ValueError(f'--masks: {root} holds no file (hidden ones are '
                         'not searched). Name the folder of your labels.')
    kinds = first_few(f'{name} ({number})' for name, number in found.items())
    suffixes = first_few(sorted({path.suffix for path in files}))
    raise ValueError(f'--masks: {root} holds ' + (
        f'labels of several formats, {kinds}: choose with --format.' if found
        else f'no labels that are known; its files end with {suffixes}. '
        f'Known formats are {", ".join(FORMATS)}.'))


def _kind(path: Path) -> str | None:
    """The format of a file of annotations."""
    suffix = path.suffix.lower()
    if suffix == '.xml':
        return 'cvat-xml' if is_cvat(path) else None
    if suffix != '.json':
        return None
    if is_coco(path):
        return 'coco'
    text = path.read_text(encoding='utf-8-sig', errors='replace')
    return 'labelme' if '"shapes"' in text else None
