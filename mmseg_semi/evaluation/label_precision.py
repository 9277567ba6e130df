# Copyright (c) mmseg_semi authors.
"""How often predictions are right that are sure of themselves."""
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..dist import all_sum

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class LabelPrecision:
    """Counts right and wrong pixels by predicted class and confidence.

    Holds three numbers per class and threshold, however many images are
    added.

    Args:
        num_classes (int): C.
        thresholds (Sequence[float]): Confidences of interest in [0, 1]; 0,
            every pixel, is always among them.

    Attributes:
        thresholds (tuple[float]): T of them, ascending, 0 first.
        images (int): Images added, of all processes after :meth:`summed`.

    Raises:
        ValueError: If a threshold is not in [0, 1].
    """

    def __init__(self,
                 num_classes: int,
                 thresholds: Sequence[float] = THRESHOLDS) -> None:
        bad = [t for t in thresholds if not 0 <= t <= 1]
        if bad:
            raise ValueError(f'A confidence lies in [0, 1], not {bad[0]!r}.')
        self.num_classes = num_classes
        self.thresholds = tuple(sorted({0., *map(float, thresholds)}))
        self.images = 0
        bins = len(self.thresholds)
        # Row 0 counts right pixels, row 1 all of them, by predicted class.
        self._pixels = torch.zeros(2, num_classes, bins, dtype=torch.long)
        self._truth = torch.zeros(num_classes, dtype=torch.long)
        # Sums over the images of squared pixels with at least a threshold.
        self._squares = torch.zeros(num_classes, bins, dtype=torch.double)

    @torch.no_grad()
    def add(self,
            label: Tensor,
            confidence: Tensor,
            truth: Tensor,
            ignore_index: int = 255) -> None:
        """Count the pixels of an image.

        Args:
            label (Tensor): Predicted classes, long, any shape.
            confidence (Tensor): Same shape, fp32, in [0, 1].
            truth (Tensor): Same shape, classes or ``ignore_index``.
            ignore_index (int): Pixels that are not counted. Defaults to 255.

        Raises:
            ValueError: If the shapes differ.
        """
        if not label.shape == confidence.shape == truth.shape:
            raise ValueError(
                f'The prediction has {tuple(label.shape)} pixels and the '
                f'label {tuple(truth.shape)}: the test pipeline must load '
                'annotations after it resizes.')
        known = truth != ignore_index
        label, truth = label[known], truth[known].long()
        edges = torch.tensor(
            self.thresholds[1:], dtype=torch.float32, device=label.device)
        # As the training compares: fp32, and a pixel at the threshold counts.
        level = torch.bucketize(confidence[known].float(), edges, right=True)
        cells = label * len(self.thresholds) + level
        counts = torch.stack([
            torch.bincount(chosen, minlength=self._pixels[0].numel())
            for chosen in (cells[label == truth], cells)
        ])
        classes = torch.bincount(truth, minlength=self.num_classes)
        self._pixels = self._pixels.to(label.device) + counts.view_as(
            self._pixels)
        self._truth = self._truth.to(label.device) + classes[:self.num_classes]
        kept = counts[1].view_as(self._pixels[1]).flip(1).cumsum(1).flip(1)
        self._squares = self._squares.to(label.device) + kept.double()**2
        self.images += 1

    def summed(self, device: torch.device | str = 'cpu') -> 'LabelPrecision':
        """What all processes have counted; called by every one of them.

        Args:
            device (torch.device | str): Where the processes exchange numbers.
        """
        whole = LabelPrecision(self.num_classes, self.thresholds)
        flat = torch.cat([
            self._pixels.flatten().to(device),
            self._truth.to(device),
            torch.tensor([self.images], device=device)
        ])
        flat = all_sum(flat).cpu()
        pixels, truth, images = flat.split(
            [self._pixels.numel(), self.num_classes, 1])
        whole._pixels, whole._truth = pixels.view_as(self._pixels), truth
        whole.images = int(images)
        whole._squares = all_sum(self._squares.to(device)).cpu()
        return whole

    @property
    def right(self) -> np.ndarray:
        """np.ndarray: int64 (C, T), right pixels of each predicted class
        with at least each threshold."""
        return self._at_least(0)

    @property
    def kept(self) -> np.ndarray:
        """np.ndarray: int64 (C, T), likewise, right or wrong."""
        return self._at_least(1)

    @property
    def labelled(self) -> np.ndarray:
        """np.ndarray: int64 (C,), pixels of each class in the labels."""
        return self._truth.cpu().numpy()

    @property
    def effective_images(self) -> np.ndarray:
        """np.ndarray: fp64 (C, T), images of equal weight that would say as
        much about a precision. Pixels of an object are right or wrong
        together, so a class that fills one image has been seen once."""
        squares = self._squares.cpu().numpy()
        return self.kept.astype(float)**2 / np.maximum(squares, 1)

    def _at_least(self, row: int) -> np.ndarray:
        counts = self._pixels[row].cpu().numpy()
        return counts[:, ::-1].cumsum(1)[:, ::-1]

    def as_dict(self, classes: Sequence[str]) -> dict:
        """The counts in words, for JSON.

        Args:
            classes (Sequence[str]): C names.

        Returns:
            dict: ``images``, ``thresholds``; ``precision``, name of a class
            -> share of right pixels among those predicted as it, a number
            for each threshold, None where there is no such pixel;
            ``precision_of_all``, the same over all classes; ``kept``, share
            of all labelled pixels, for each threshold; ``kept_per_class``,
            name -> share of the pixels predicted as it, None where there is
            none; ``pixels``, name -> such pixels; ``images_per_class``, name
            -> :attr:`effective_images`; ``labelled_pixels``, name -> pixels
            of the class in the labels.
        """
        names = unique_names(classes)
        right, kept = self.right, self.kept
        return dict(
            images=self.images,
            thresholds=list(self.thresholds),
            precision=dict(zip(names, _ratios(right, kept))),
            precision_of_all=_ratios(right.sum(0), kept.sum(0)),
            kept=_ratios(kept.sum(0),
                         kept.sum(0)[:1]),
            kept_per_class=dict(zip(names, _ratios(kept, kept[:, :1]))),
            pixels=dict(zip(names, kept.tolist())),
            images_per_class=dict(
                zip(names,
                    self.effective_images.round(1).tolist())),
            labelled_pixels=dict(zip(names, self.labelled.tolist())))


def unique_names(classes: Sequence[str]) -> list[str]:
    """Names of classes, told apart by their ids where two are equal."""
    if len(set(classes)) == len(classes):
        return list(classes)
    return [f'{name} ({i})' for i, name in enumerate(classes)]


def _ratios(part: np.ndarray, whole: np.ndarray) -> list:
    """part / whole as nested lists, None for 0 / 0, to five decimals."""
    part, whole = np.broadcast_arrays(part, whole)
    if part.ndim > 1:
        return [_ratios(*rows) for rows in zip(part, whole)]
    return [
        round(float(p) / float(w), 5) if w else None
        for p, w in zip(part, whole)
    ]
