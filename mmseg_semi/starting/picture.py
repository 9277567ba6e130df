# Copyright (c) mmseg_semi authors.
"""Photographs beside their labels and what models say."""
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from .scoring import predict, validation_set
from .trained import Trained

_LONGEST = 640  # pixels of a picture's longer side
_IGNORED = (128, 128, 128)
_SHOWN_CLASSES = 24


class Row(NamedTuple):
    """A photo (H, W, 3) uint8 RGB and maps of classes (H, W)."""
    title: str
    photo: np.ndarray
    maps: list[np.ndarray]


def draw_comparison(models: Sequence[Trained],
                    title: str,
                    count: int = 4) -> bytes:
    """Draw some validation images, evenly spaced over their list.

    Args:
        models (Sequence[Trained]): One or more, from left to right, of the
            same validation images.
        title (str): Above everything.
        count (int): Rows at most. Defaults to 4.

    Returns:
        bytes: A PNG file. Pixels without a label are grey.
    """
    dataset = validation_set(models[0])
    count = min(count, len(dataset))
    infos = [
        dataset.get_data_info((2 * i + 1) * len(dataset) // (2 * count))
        for i in range(count)
    ]
    found = [
        predict(model, [i['img_path'] for i in infos]) for model in models
    ]
    loader = dataset.pipeline.transforms[0]
    rows = [_row(info, loader, maps) for info, *maps in zip(infos, *found)]
    meta = dataset.metainfo
    return _draw(title, ['photo', 'label', *(m.name for m in models)], rows,
                 meta['classes'], meta['palette'])


def _row(info: dict, loader, maps: list[np.ndarray]) -> Row:
    photo = _shown(loader(dict(img_path=info['img_path']))['img'])
    with Image.open(info['seg_map_path']) as mask:
        maps = [np.asarray(mask), *maps]
    name = info['img_path'].replace('\\', '/').rsplit('/', 1)[-1]
    return Row(name, _small(photo), [_small(one) for one in maps])


def _shown(image: np.ndarray) -> np.ndarray:
    """Red, green and blue; of other bands the first three, or the first.

    Args:
        image (np.ndarray): (H, W, C) as loaded, 0 to 255; three are BGR.
    """
    if image.shape[2] == 3:
        image = image[..., ::-1]
    elif image.shape[2] < 3:
        image = image[..., [0, 0, 0]]
    return image[..., :3].round().astype(np.uint8)


def _small(array: np.ndarray) -> np.ndarray:
    """Every n-th pixel, which keeps classes what they are."""
    step = max(1, -(-max(array.shape[:2]) // _LONGEST))
    return array[::step, ::step]


def _draw(title: str, columns: list[str], rows: list[Row],
          classes: Sequence[str], palette: Sequence) -> bytes:
    colors = np.full((256, 3), _IGNORED, np.uint8)
    colors[:len(palette)] = palette
    figure = Figure((3 * len(columns), 2.4 * len(rows) + 1.2),
                    layout='constrained')
    figure.suptitle(title)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for axis, name in zip(axes[0], columns):
        axis.set_title(name)
    for line, row in zip(axes, rows):
        for axis, shown in zip(line,
                               [row.photo, *(colors[one]
                                             for one in row.maps)]):
            axis.imshow(shown, interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(row.title, fontsize=8)
    figure.legend(
        handles=[
            Patch(facecolor=colors[i] / 255, edgecolor='0.5', label=name)
            for i, name in enumerate(classes[:_SHOWN_CLASSES])
        ],
        loc='outside lower center',
        ncols=6,
        frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100)
    return file.getvalue()
