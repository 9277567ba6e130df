# Copyright (c) mmseg_semi authors.
"""Small pictures inside the page."""
import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from .predictions import Predictions, Shown, show_images
from .runs import Run

SIDE = 240  # pixels of a picture's longer side
PER_KIND = 4
BUDGET = 3_000_000  # bytes of all pictures of a page
_IGNORED = (128, 128, 128)
_COLUMNS = ('image', 'truth', 'prediction', 'confidence')


class PictureRow(NamedTuple):
    """One image of a run.

    Attributes:
        name (str): Of its file.
        kind (str): Why it is shown.
        miou (float): Mean over its classes, in percent.
        confidence (float): Mean over its pixels, in [0, 1].
        pictures (list[tuple[str, str]]): Title -> data URI.
    """
    name: str
    kind: str
    miou: float
    confidence: float
    pictures: list[tuple[str, str]]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(len(uri) for _, uri in self.pictures)


def choose(predictions: Predictions) -> list[tuple[int, str]]:
    """Which images to look at.

    Args:
        predictions (Predictions): Of a model.

    Returns:
        list[tuple[int, str]]: Position among the predicted images and why:
        the four of the lowest mIoU, then the four of the lowest confidence
        among the others.
    """
    # Without any class in label and prediction there is nothing to see.
    scored = [
        i for i in np.argsort(image_miou(predictions.areas), kind='stable')
        if predictions.areas.union[i].any()
    ]
    worst = scored[:PER_KIND]
    unsure = [
        i for i in np.argsort(predictions.confidence, kind='stable')
        if i not in worst
    ]
    return [(int(i), 'worst') for i in worst] + [(int(i), 'least sure')
                                                 for i in unsure[:PER_KIND]]


def image_miou(areas) -> np.ndarray:
    """mIoU of every image alone.

    Args:
        areas (PerImageAreas): Of N images.

    Returns:
        np.ndarray: (N,) float64 in percent, mean over the classes in label
        or prediction; NaN without any.
    """
    union = np.where(areas.union, areas.union, np.nan)
    iou = np.ma.masked_invalid(100 * areas.intersect / union)
    return iou.mean(axis=1).filled(np.nan)


def draw_rows(run: Run, predictions: Predictions, palette: Sequence,
              budget: int) -> tuple[list[PictureRow], int]:
    """Draw the worst and the least sure images of a run.

    Args:
        run (Run): The run; it has a model.
        predictions (Predictions): What its model says.
        palette (Sequence): C colours (r, g, b).
        budget (int): Bytes that are left.

    Returns:
        tuple[list[PictureRow], int]: The rows, and how many there was no
        room for.
    """
    chosen = choose(predictions)
    scores = image_miou(predictions.areas)
    indices = [int(predictions.indices[i]) for i, _ in chosen]
    rows: list[PictureRow] = []
    for (i, kind), shown in zip(chosen, show_images(run.trained, indices)):
        name = shown.name.replace('\\', '/').rsplit('/', 1)[-1]
        row = PictureRow(name, kind, float(scores[i]),
                         float(predictions.confidence[i]),
                         _pictures(shown, palette))
        if row.size > budget:
            break
        budget -= row.size
        rows.append(row)
    return rows, len(chosen) - len(rows)


def _pictures(shown: Shown, palette: Sequence) -> list[tuple[str, str]]:
    colours = np.full((256, 3), _IGNORED, np.uint8)
    colours[:len(palette)] = palette
    photo = Image.fromarray(shown.photo)
    photo.thumbnail((SIDE, SIDE))
    grey = Image.fromarray((255 * shown.confidence).astype(np.uint8))
    grey.thumbnail((SIDE, SIDE))
    maps = [
        _encode(_map(classes, colours), 'PNG')
        for classes in (shown.truth, shown.predicted)
    ]
    return list(
        zip(_COLUMNS, [_encode(photo, 'JPEG'), *maps,
                       _encode(grey, 'JPEG')]))


def _map(classes: np.ndarray, colours: np.ndarray) -> Image.Image:
    """Every n-th pixel, which keeps classes what they are."""
    step = max(1, -(-max(classes.shape) // SIDE))
    small = classes[::step, ::step].clip(0, 255).astype(np.uint8)
    image = Image.fromarray(small)
    image.putpalette(colours.tobytes())
    return image


def _encode(image: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    options = dict(quality=80) if kind == 'JPEG' else {}
    image.save(file, kind, optimize=True, **options)
    text = base64.b64encode(file.getvalue()).decode()
    return f'data:image/{kind.lower()};base64,{text}'
