# Copyright (c) mmseg_semi authors.
"""Prototypes of a trained model's features (PCR, Algorithm 2)."""
from typing import Callable, Iterable, List, Tuple

import torch
from torch import Tensor

from ..functional import class_prototypes, features_at
from .regularizers.prototype_generation import stack_prototypes


class PixelReservoir:
    """An even sample of the pixels of every class, of any number of images.

    Every pixel gets a random key; the pixels with the least keys of their
    class stay. Features are read at these alone.

    Args:
        num_classes (int): C.
        capacity (int): Pixels kept per class.
        seed (int): Of the keys.
    """

    def __init__(self, num_classes: int, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.generator = torch.Generator().manual_seed(seed)
        self.keys = [torch.zeros(0) for _ in range(num_classes)]
        self.features: List[Tensor] = [None] * num_classes
        self.seen = [0] * num_classes

    def add(self, features: Tensor, labels: Tensor,
            align_corners: bool) -> None:
        """Consider the pixels of one image.

        Args:
            features (Tensor): (1, D, h, w).
            labels (Tensor): (H, W) long; ids outside [0, C) are ignored.
            align_corners (bool): Of the interpolation of the features.
        """
        height, width = labels.shape
        keys = torch.rand(height * width, generator=self.generator)
        flat = labels.flatten().cpu()
        for c, old in enumerate(self.keys):
            pixels = (flat == c).nonzero().squeeze(1)
            self.seen[c] += len(pixels)
            both = torch.cat([old, keys[pixels]])
            # Who stays is decided first: an image may hold a hundred times
            # as many pixels of a class as there are places.
            order = both.argsort(stable=True)[:self.capacity]
            fresh = order >= len(old)
            place = pixels[order[fresh] - len(old)].to(features.device)
            rows = features_at(features, torch.zeros_like(place),
                               place // width, place % width, (height, width),
                               align_corners).cpu()
            if self.features[c] is None:
                self.features[c] = rows[:0]
            self.keys[c] = both[order]
            order[fresh] = len(old) + torch.arange(len(rows))
            self.features[c] = torch.cat([self.features[c], rows])[order]


@torch.no_grad()
def sample_pixels(read: Callable[[Tensor],
                                 Tensor], images: Iterable[Tuple[Tensor,
                                                                 Tensor]],
                  num_classes: int, capacity: int, seed: int,
                  align_corners: bool) -> PixelReservoir:
    """Features of labelled pixels, image by image.

    Args:
        read (Callable): Features (1, D, h, w) of a normalised image
            (1, 3, H, W).
        images (Iterable): Pairs of a normalised image and its labels (H, W)
            long; ids outside [0, C) are ignored.
        num_classes (int): C.
        capacity (int): Pixels kept per class.
        seed (int): Of the choice.
        align_corners (bool): Of the interpolation of the features.

    Returns:
        PixelReservoir: The sample.
    """
    sample = PixelReservoir(num_classes, capacity, seed)
    for image, labels in images:
        sample.add(read(image), labels, align_corners)
    return sample


def cluster_sample(sample: PixelReservoir,
                   num_prototypes: int,
                   backend: str,
                   seed: int,
                   normalize: bool = False) -> Tuple[Tensor, Tensor]:
    """K-means of every class.

    A class with fewer distinct pixels than prototypes gets one for each of
    them; one without pixels gets none.

    Returns:
        tuple: prototypes (C, K, D) and valid (C, K) bool.

    Raises:
        ValueError: There is no labelled pixel at all.
    """
    if not any(sample.seen):
        raise ValueError('The labelled images have no labelled pixel: there '
                         'is nothing to make prototypes of.')
    return stack_prototypes([
        class_prototypes(
            rows,
            num_prototypes,
            normalize=normalize,
            backend=backend,
            seed=seed) for rows in sample.features
    ], num_prototypes)
