# Copyright (c) mmseg_semi authors.
"""Rare class sampling."""
from numbers import Real

import numpy as np


class RareClasses:
    """Draws labelled images so that rare classes are seen more often.

    A class c is drawn with the probability softmax((1 - f_c) / T), f_c being
    its share of the labelled pixels, then an image that shows it, all with
    the same probability (DAFormer, CVPR'22, Eq. 9). Classes without a pixel
    are not drawn, nor are images without a labelled pixel.

    Args:
        dataset: Anything with ``class_pixels()``, as :class:`SemiSegDataset`.
        temperature (float): T, above 0.

    Attributes:
        probabilities (np.ndarray): (C,), of the classes.

    Raises:
        TypeError: If the dataset cannot tell its pixels.
        ValueError: If ``temperature`` is not positive, or nothing is labelled.
    """

    def __init__(self, dataset, temperature: float) -> None:
        if not (isinstance(temperature, Real) and temperature > 0):
            raise ValueError(f'rare_class_temperature={temperature!r} must be '
                             'above 0 (DAFormer: 0.01), or None.')
        if not hasattr(dataset, 'class_pixels'):
            raise TypeError(
                'rare_class_temperature needs a dataset that counts the '
                f'pixels of its classes, and {type(dataset).__name__} has no '
                '`class_pixels`: use SemiSegDataset, or leave it out.')
        pixels = np.asarray(dataset.class_pixels())
        total = pixels.sum(0)
        if not total.any():
            raise ValueError('rare_class_temperature: the labelled masks hold '
                             'no labelled pixel.')
        logits = (1 - total / total.sum()) / temperature
        logits[total == 0] = -np.inf
        weights = np.exp(logits - logits.max())
        self.probabilities = weights / weights.sum()
        self._images = [np.flatnonzero(column) for column in pixels.T]

    def draw(self, rng: np.random.Generator) -> int:
        """An index of the labelled images."""
        chosen = rng.choice(len(self.probabilities), p=self.probabilities)
        return int(rng.choice(self._images[chosen]))
