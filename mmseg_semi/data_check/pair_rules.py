# Copyright (c) mmseg_semi authors.
"""Rules about whether masks belong to their images."""
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps

from .facts import IMAGE, MASK
from .findings import WARNING, Finding, gather
from .scan import Facts
from .sets import ImageSet

_MANY = 3  # images with one mask; fewer may be chance
_SIDE = 128
_SAMPLE = 48  # pairs that are looked at
_OTHERS = 4  # masks that each image is compared with
_FEWEST = 4


def repeated_masks(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """One mask that many different images have."""
    groups = defaultdict(list)
    for path, mask_path in images.pairs():
        image, mask = facts[path, IMAGE], facts[mask_path, MASK]
        if mask.decoded and not mask.plain and image.digest:
            groups[mask.digest].append((mask_path, image.digest))
    for members in groups.values():
        if len({digest for _, digest in members}) >= _MANY:
            yield from gather(
                'mask-repeated', WARNING, images.name,
                [path for path, _ in members],
                f'{len(members)} different images have this mask',
                'Check that every image has its own mask.')


def agreement(group: Sequence[ImageSet], facts: Facts) -> Iterator[Finding]:
    """Borders of masks must follow their images better than other images.

    The gradient of an image on the borders of its own mask is compared with
    that on the borders of other images' masks; over a set, the first is the
    larger one unless masks are swapped, shifted or mirrored.

    Args:
        group (Sequence[ImageSet]): The sets of one name.
        facts (dict): Of their files.
    """
    pairs = [(images, *pair) for images in group for pair in images.pairs()
             if _comparable(*pair, facts)]
    step = max(1, len(pairs) // _SAMPLE)
    pairs = pairs[::step][:_SAMPLE]
    gradients = [_gradient(path, images.turns) for images, path, _ in pairs]
    borders = [_border(mask_path) for _, _, mask_path in pairs]
    digests = [facts[mask_path, MASK].digest for _, _, mask_path in pairs]
    gains = []
    for i, gradient in enumerate(gradients):
        others = [
            k % len(pairs) for k in range(i + 1, i + len(pairs))
            if digests[k % len(pairs)] != digests[i]
        ][:_OTHERS]
        if others:
            own, *rest = (
                _contrast(gradient, borders[k]) for k in (i, *others))
            gains.append(own - np.mean(rest))
    if _no_evidence(np.array(gains)):
        yield Finding(
            'mask-of-another', WARNING, group[0].name, group[0].where,
            f'borders of {len(gains)} masks follow their own images no better '
            f'than other images, such as {pairs[0][2]}',
            'Look at some masks over their images: are names swapped, or '
            'masks shifted, mirrored or turned?')


def _no_evidence(gains: np.ndarray) -> bool:
    """Whether the mean gain is not clearly above 0 (few: not above 0)."""
    if len(gains) < _FEWEST:
        return False
    error = gains.std(ddof=1) / len(gains)**0.5
    limit = error if len(gains) >= 3 * _FEWEST else 0
    return bool(gains.mean() <= limit)


def _comparable(path: str, mask_path: str, facts: Facts) -> bool:
    image, mask = facts[path, IMAGE], facts[mask_path, MASK]
    return (image.decoded and mask.decoded and not image.problem
            and not mask.problem and not image.plain and not mask.plain
            and not image.pixel_format.is_deep and image.mode != ''
            and mask.mode in ('L', 'P'))


def _gradient(path: str, turns: bool) -> np.ndarray:
    """Size of the gradient (S, S), 1 on average."""
    with Image.open(path) as image:
        image.draft('L', (_SIDE, _SIDE))
        grey = ImageOps.exif_transpose(image) if turns else image
        grey = grey.convert('L').resize((_SIDE, _SIDE), Image.Resampling.BOX)
    gradient = np.hypot(*np.gradient(np.asarray(grey, np.float32)))
    return gradient / max(gradient.mean(), 1e-6)


def _border(path: str) -> np.ndarray:
    """Where a neighbour has another id, bool (S, S)."""
    with Image.open(path) as mask:
        ids = np.asarray(mask.resize((_SIDE, _SIDE), Image.Resampling.NEAREST))
    border = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        changes = np.diff(ids, axis=axis) != 0
        before = np.delete(np.arange(_SIDE), -1)
        for side in (before, before + 1):
            part = (side, slice(None)) if axis == 0 else (slice(None), side)
            border[part] |= changes
    return border


def _contrast(gradient: np.ndarray, border: np.ndarray) -> float:
    """Logarithm of the mean gradient on a border; 0 is the average."""
    if not border.any():
        return 0.
    return float(np.log(gradient[border].mean() + 1e-3))
