# Copyright (c) mmseg_semi authors.
"""Where in an image prototypes are active (PPS, Figure 5)."""
from typing import NamedTuple, Optional, Sequence

import mmcv
import numpy as np
import torch
from mmseg.models.utils import resize
from torch import Tensor

from .images import read_image
from .prototypes import Activation, FeatureSpace

NUMBER = 6  # prototypes shown where none are named


class ActivatedImage(NamedTuple):
    """An image and K of its prototypes, at the size of the file.

    Args:
        path (str): Its file.
        image (np.ndarray): (H, W, 3) uint8, RGB.
        prediction (np.ndarray): (H, W) int64, class ids.
        maps (np.ndarray): (K, H, W) fp32, scores of the prototypes.
        index (np.ndarray): (K,) int64, see :class:`Activation`.
        classes (np.ndarray): (K,) int64, see :class:`Activation`.
        share (np.ndarray): (K,) fp64, the part of the pixels that belong to
            the prototype, among all prototypes.
    """
    path: str
    image: np.ndarray
    prediction: np.ndarray
    maps: np.ndarray
    index: np.ndarray
    classes: np.ndarray
    share: np.ndarray


def pixel_shares(found: Activation, size: Sequence[int],
                 shape: Sequence[int]) -> Tensor:
    """The part of the pixels that each prototype has.

    Args:
        found (Activation): Of P prototypes.
        size (Sequence[int]): Height and width of the network's input.
        shape (Sequence[int]): Those of the image in it, at its top left.

    Returns:
        Tensor: (P,) fp64, on the CPU; the sum is 1.
    """
    rows, cols = (
        torch.arange(inside, device=found.best.device) * small // full
        for inside, full, small in zip(shape, size, found.best.shape))
    best = found.best[rows[:, None], cols].flatten()
    counts = best.bincount(minlength=len(found.maps)).cpu()
    return counts.double() / len(best)


def choose_prototypes(found: Activation,
                      share: Tensor,
                      classes: Optional[Sequence[int]] = None,
                      index: Optional[Sequence[int]] = None,
                      number: Optional[int] = None) -> Tensor:
    """Which prototypes to show, the most used first.

    Args:
        found (Activation): Of P prototypes.
        share (Tensor): (P,), see :func:`pixel_shares`.
        classes (Sequence[int], optional): All prototypes of these classes.
        index (Sequence[int], optional): Prototypes of these indices, shown
            whatever ``number`` is, in this order and before others.
        number (int, optional): At most so many, beside ``index``. Defaults
            to all of ``classes``, or else to :data:`NUMBER` of those that
            have a pixel.

    Returns:
        Tensor: (K,) long, positions among the P.

    Raises:
        ValueError: There is no such prototype, or none of such a class.
    """
    known = {number: i for i, number in enumerate(found.index.tolist())}
    missing = [i for i in index or () if i not in known]
    if missing:
        raise ValueError(f'There is no prototype {missing[0]}: this image has '
                         f'{len(known)}, with the indices {_spans(known)}.')
    chosen = dict.fromkeys(known[i] for i in index or ())
    owners = found.classes.tolist()
    absent = set(classes or ()) - set(owners)
    if absent:
        raise ValueError(
            f'Class {min(absent)} has no prototype here; classes that have: '
            f'{sorted(set(owners))}.')
    order = share.argsort(descending=True, stable=True).tolist()
    if classes:
        order = [i for i in order if owners[i] in classes]
    elif index:
        order = []
    else:
        order = [i for i in order if share[i] > 0]
        number = NUMBER if number is None else number
    chosen.update(dict.fromkeys(order[:number]))
    return torch.tensor(list(chosen))


def _spans(numbers) -> str:
    """[0, 1, 2, 5] -> '0-2, 5'."""
    spans = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ', '.join(f'{a}-{b}' if b > a else str(a) for a, b in spans)


def at_file_size(maps: Tensor, size: Sequence[int], shape: Sequence[int],
                 file_size: Sequence[int], align_corners: bool) -> Tensor:
    """Scores where they belong in the file, as stock predictions get there.

    Args:
        maps (Tensor): (K, h, w).
        size (Sequence[int]): Height and width of the network's input.
        shape (Sequence[int]): Those of the image in it, at its top left.
        file_size (Sequence[int]): Those of the file.
        align_corners (bool): Of the interpolation.

    Returns:
        Tensor: (K, H, W).
    """
    options = dict(mode='bilinear', align_corners=align_corners, warning=False)
    maps = resize(maps[None], tuple(size), **options)
    maps = maps[..., :shape[0], :shape[1]]
    return resize(maps, tuple(file_size), **options)[0]


@torch.no_grad()
def activate(space: FeatureSpace,
             dataset,
             image: str,
             classes: Optional[Sequence[int]] = None,
             index: Optional[Sequence[int]] = None,
             number: Optional[int] = None) -> ActivatedImage:
    """Show an image to a network and its prototypes.

    The prediction is the model's own, by a sliding window if its config says
    so; the prototypes see the whole image at once.

    Args:
        space (FeatureSpace): Of the prototypes.
        dataset (BaseSegDataset): See :func:`read_image`.
        image (str): See :func:`read_image`.
        classes, index, number: See :func:`choose_prototypes`.
    """
    model = space.model
    batch = model.data_preprocessor(read_image(dataset, image), False)
    images, sample = batch['inputs'], batch['data_samples'][0]
    size, shape = images.shape[-2:], sample.img_shape[:2]
    found = space.activation(images)
    share = pixel_shares(found, size, shape)
    chosen = choose_prototypes(found, share, classes, index, number)
    picture = mmcv.imread(sample.img_path, channel_order='rgb')
    maps = at_file_size(found.maps[chosen.to(found.maps.device)], size, shape,
                        picture.shape[:2], found.align_corners)
    prediction = model.predict(images, [sample])[0].pred_sem_seg.data[0]
    return ActivatedImage(
        str(sample.img_path), picture,
        prediction.cpu().numpy(),
        maps.cpu().numpy(),
        *(values.cpu()[chosen].numpy()
          for values in (found.index, found.classes, share)))
