# Copyright (c) mmseg_semi authors.
"""What a model says of validation images: areas, confusion, confidence."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..evaluation import PerImageAreas
from ..starting.scoring import Track, area_metric, predicted, validation_set
from ..starting.trained import Trained


class Predictions(NamedTuple):
    """N predicted validation images of C classes.

    Attributes:
        indices (np.ndarray): (N,) positions in the data set.
        total (int): Images of the data set.
        areas (PerImageAreas): Of the N images.
        confusion (np.ndarray): (C, C) int64, pixels by truth and prediction.
        confidence (np.ndarray): (N,) float64, mean over the pixels of the
            probability of the predicted class.
    """
    indices: np.ndarray
    total: int
    areas: PerImageAreas
    confusion: np.ndarray
    confidence: np.ndarray

    @property
    def is_whole(self) -> bool:
        """Whether all validation images were predicted."""
        return len(self.indices) == self.total


class Shown(NamedTuple):
    """An image, its label and its prediction.

    Attributes:
        name (str): Its path.
        photo (np.ndarray): (H, W, 3) uint8 RGB, as the model is given it.
        truth (np.ndarray): (h, w) int64.
        predicted (np.ndarray): (h, w) int64.
        confidence (np.ndarray): (h, w) float32 in [0, 1].
    """
    name: str
    photo: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


def predict_validation(trained: Trained, most: int | None,
                       track: Track) -> Predictions:
    """Predict validation images as a validation does.

    Args:
        trained (Trained): The model.
        most (int, optional): So many images, evenly spaced over the list;
            None takes all.
        track (Track): Shows progress.

    Returns:
        Predictions: What the model says.

    Raises:
        ValueError: There are no validation images, or they have no labels.
    """
    dataset = validation_set(trained)
    total = len(dataset)
    if not total:
        raise ValueError('The list of validation images is empty.')
    count = min(most or total, total)
    indices = (2 * np.arange(count) + 1) * total // (2 * count)
    metric = area_metric(trained, dataset)
    size = len(dataset.metainfo['classes'])
    confusion = np.zeros((size, size), np.int64)
    confidence = []
    followed = track(indices.tolist(), f'Predicting by {trained.name}')
    for _, sample in predicted(trained, dataset, followed):
        if 'gt_sem_seg' not in sample:
            raise ValueError('The validation images have no labels: the '
                             'pipeline does not load them.')
        confusion += _confusion(sample, size, metric.ignore_index)
        confidence.append(
            pixel_confidence(sample.seg_logits.data).mean().item())
        metric.process({}, [sample.to_dict()])
    return Predictions(indices, total, metric.areas(), confusion,
                       np.array(confidence))


def show_images(trained: Trained, indices: Sequence[int]) -> Iterator[Shown]:
    """Predict single validation images, with everything to draw them.

    Args:
        trained (Trained): The model.
        indices (Sequence[int]): Positions in its validation set.

    Yields:
        Shown: One image after the other.
    """
    dataset = validation_set(trained)
    for batch, sample in predicted(trained, dataset, indices):
        truth, found = (
            part.data.squeeze(0).cpu().numpy()
            for part in (sample.gt_sem_seg, sample.pred_sem_seg))
        yield Shown(
            str(sample.img_path), as_photo(batch['inputs'][0]), truth, found,
            pixel_confidence(sample.seg_logits.data).cpu().numpy())


def pixel_confidence(scores: Tensor) -> Tensor:
    """Probability of the predicted class of every pixel.

    Args:
        scores (Tensor): (C, H, W). Logits; of one channel those of the second
            of two classes. Without a negative number they count as shares,
            as heads that classify masks give them.

    Returns:
        Tensor: (H, W) float32 in [0, 1].
    """
    scores = scores.float()
    if scores.shape[0] == 1:
        return (scores[0].sigmoid() - .5).abs() + .5
    if scores.min() >= 0:
        return scores.amax(0) / scores.sum(0).clamp(min=1e-6)
    return scores.softmax(0).amax(0)


def as_photo(image: Tensor) -> np.ndarray:
    """An image of any bands for people.

    Args:
        image (Tensor): (C, H, W), usually in [0, 255]. Other than three
            channels show their first one; three are blue, green and red, as
            loaders give them whatever the network wants.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB. What is beyond [0, 255] is stretched
        between its 2nd and 98th percentile.
    """
    image = image.detach().float().cpu()
    if image.shape[0] != 3:
        image = image[:1].expand(3, -1, -1)
    else:
        image = image.flip(0)
    pixels = np.nan_to_num(image.permute(1, 2, 0).numpy())
    if pixels.min() < 0 or pixels.max() > 255:
        low, high = np.percentile(pixels, [2, 98])
        pixels = 255 * (pixels - low) / max(high - low, 1e-6)
    return pixels.clip(0, 255).round().astype(np.uint8)


def _confusion(sample, size: int, ignore: int) -> np.ndarray:
    truth, found = (
        part.data.flatten().to(torch.int64).cpu()
        for part in (sample.gt_sem_seg, sample.pred_sem_seg))
    valid = (truth != ignore) & (truth < size) & (found < size)
    pairs = torch.bincount(
        truth[valid] * size + found[valid], minlength=size * size)
    return pairs.view(size, size).numpy()
