# Copyright (c) mmseg_semi authors.
"""Predicting many images into a folder."""
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ..datasets.errors import UnreadableImageError
from ..datasets.paths import first_few
from ..engine.atomic import write_atomically
from .georeference import read_georeference
from .images import Skipped, Source, find_images
from .outputs import CONFIDENCE, MASKS, OVERLAYS, Writer, collect
from .predictor import Predictor

RECORD = 'predict.json'
Track = Callable[[Iterable, str], Iterable]


@dataclass(frozen=True)
class Predicted:
    """An image and what was written for it.

    Attributes:
        image (str): The file.
        files (dict[str, str]): ``masks``, ``overlays``, ``confidence`` ->
            file.
    """
    image: str
    files: dict[str, str]


@dataclass
class FolderReport:
    """What became of the images.

    Attributes:
        out (str): The folder.
        predicted (list[Predicted]): In this run.
        kept (list[str]): Images whose results were there (``resume``).
        skipped (list[Skipped]): Files that are no image, or broken.
        notes (list[str]): What else is to be known.
    """
    out: str
    predicted: list[Predicted] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Everything for JSON."""
        return asdict(self)


def predict_folder(predictor: Predictor,
                   images: str | Sequence[str],
                   out: str,
                   *,
                   overlay: bool = False,
                   confidence: bool = False,
                   keep_suffix: bool = False,
                   force: bool = False,
                   resume: bool = False,
                   track: Track = lambda items, text: items) -> FolderReport:
    """Predict images and write masks under their names.

    ``out/masks/sub/name.png`` holds the class of every pixel of
    ``sub/name.jpg``, with the colours of the classes as palette. A GeoTIFF
    gives a GeoTIFF of the same place. ``out/predict.json`` says by which
    model.

    Args:
        predictor (Predictor): The model.
        images (str | Sequence[str]): Images, folders, lists and patterns,
            see :func:`.find_images`.
        out (str): The folder; made if it does not exist.
        overlay (bool): Also write ``overlays``: JPEG, half photo, half
            colours. Defaults to False.
        confidence (bool): Also write ``confidence``: grey, 8 bits, 255 is
            certain. Defaults to False.
        keep_suffix (bool): ``name.jpg.png`` instead. Defaults to False.
        force (bool): Replace results of the same names. Defaults to False.
        resume (bool): Predict what has no results yet. Defaults to False.
        track (Track): Shows progress.

    Returns:
        FolderReport: What was predicted, and what was not and why.

    Raises:
        FileExistsError: There are results, and neither ``force`` nor
            ``resume`` is given, or they are of another model.
        FileNotFoundError: There is no image.
        ValueError: Two images would have the same name.
    """
    places = [images] if isinstance(images, str) else list(images)
    sources, skipped = find_images(places, out, keep_suffix)
    kinds = (MASKS, *[OVERLAYS] * overlay, *[CONFIDENCE] * confidence)
    writer = Writer(Path(out), predictor.palette, kinds)
    report = FolderReport(str(out), skipped=skipped)
    sources = _undone(sources, writer, report, force, resume)
    _record(Path(out), predictor.settings(), force)
    for source in track(sources, 'Predicting'):
        try:
            report.predicted.append(
                _predict(predictor, writer, source, report))
        except (UnreadableImageError, ModuleNotFoundError) as error:
            report.skipped.append(Skipped(source.path, str(error)))
    return report


def _predict(predictor: Predictor, writer: Writer, source: Source,
             report: FolderReport) -> Predicted:
    place = read_georeference(source.path)
    paths = writer.paths(source.name, place)
    try:
        size, parts = predictor.parts(source.path)
        classes, sure = collect(size, parts, predictor.id_type, CONFIDENCE
                                in paths)
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(
            f'{source.path} needs more memory than the GPU has: predict in '
            'smaller tiles (--tile 512), or on the CPU (--device cpu).'
        ) from error
    photo = predictor.thumbnail(source.path) if OVERLAYS in paths else None
    writer.write(paths, place, classes, sure, photo)
    if place.note and place.note not in report.notes:
        report.notes.append(place.note)
    return Predicted(source.path, {
        kind: str(path)
        for kind, path in paths.items()
    })


def _undone(sources: list[Source], writer: Writer, report: FolderReport,
            force: bool, resume: bool) -> list[Source]:
    """The images to predict; results that are there are told or kept."""
    if force or not (writer.out / MASKS).is_dir():
        return sources
    there, done = [], set()
    for source in sources:
        files = [
            writer.out / kind / f'{source.name}{suffix}'
            for kind in writer.kinds for suffix in ('.png', '.tif', '.jpg')
        ]
        found = [path for path in files if path.is_file()]
        there += found
        if len({path.parts[len(writer.out.parts)]
                for path in found}) == len(writer.kinds):
            done.add(source)
    if there and not resume:
        raise FileExistsError(
            f'{writer.out} has results of these images: '
            f'{first_few(path.name for path in there)}. Go on with --resume, '
            'replace them with --force, or choose another --out.')
    report.kept = [source.path for source in sources if source in done]
    return [source for source in sources if source not in done]


def _record(out: Path, settings: dict, force: bool) -> None:
    """Write by which model the results are; others are not mixed in."""
    path = out / RECORD
    if path.is_file() and not force:
        before = json.loads(path.read_text('utf-8'))
        other = [
            f'{name} was {before.get(name)}, now it is {value}'
            for name, value in settings.items() if before.get(name) != value
        ]
        if other:
            raise FileExistsError(
                f'{out} has results of another prediction ({other[0]}): '
                'choose another --out, or replace those of these images with '
                '--force.')
    text = json.dumps(settings, indent=2, ensure_ascii=False) + '\n'
    write_atomically(text.encode(), path)
