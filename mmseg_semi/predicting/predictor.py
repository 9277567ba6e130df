# Copyright (c) mmseg_semi authors.
"""A trained model as a function from an image to classes."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor

from ..functional.maximum import max_along
from ..models.probabilities import class_probabilities
from .loading import build_model, find_model
from .pipeline import Image, Sample, TestPipeline


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Attributes:
        classes (np.ndarray): (H, W) uint8, uint16 with more than 255
            classes: the class of every pixel.
        confidence (np.ndarray): (H, W) float32 in [0, 1]: the largest
            probability.
        probabilities (np.ndarray, optional): (C, H, W) float32, see
            :func:`.class_probabilities`; None unless asked for.
    """
    classes: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None = None


class Predictor:
    """Predict images with a trained model, as often as you like.

    Classes are those of MMSegmentation's ``inference_model``. The config is
    copied, so that neither it nor the next prediction is changed.

    Args:
        config (str | Path | Config): Config file, ``mmseg_semi::NAME``, or
            the work directory of a training. Of any segmentor, not only of
            this package.
        checkpoint (str | Path, optional): File or URL of the weights; of a
            work directory also ``'last'`` or ``'best'``. Defaults to None:
            the last one of the work directory.
        network (str, optional): ``student``, ``teacher``, ...: the network
            that predicts. Defaults to None: the config's ``predict_with``.
        head (str, optional): A term's prototype head that predicts instead
            of the decode head. Defaults to None: the config's
            ``predict_head``.
        device (str, optional): ``cpu``, ``cuda``, .... Defaults to None: the
            GPU if there is one.
        tta (bool): Average over the images of the config's ``tta_pipeline``,
            without one over six scales and their mirror images. Defaults to
            False.

    Attributes:
        classes (tuple[str, ...]): Names, in the order of the ids.
        palette (list[list[int]]): Colour [R, G, B] of every class.
        num_classes (int): C.
        model (nn.Module): In evaluation mode.

    Raises:
        FileNotFoundError: There is no such file, or no checkpoint.
        CheckpointError: The checkpoint is not whole, not safe, or of another
            model, other classes or bands.
        ValueError: There is no such network, head or device.

    Examples:
        >>> predictor = Predictor('work_dirs/leaves', network='teacher')
        >>> found = predictor('photo.jpg')
        >>> predictor.classes[found.classes[0, 0]], found.confidence[0, 0]
    """

    def __init__(self,
                 config: str | Path | Config,
                 checkpoint: str | Path | None = None,
                 *,
                 network: str | None = None,
                 head: str | None = None,
                 device: str | None = None,
                 tta: bool = False) -> None:
        cfg, weights, name = find_model(config, checkpoint)
        self.checkpoint = weights
        self.pipeline = TestPipeline(cfg, tta)
        self.model = build_model(cfg, weights, name, network, head, device)
        self.classes = self.model.dataset_meta['classes']
        self.palette = self.model.dataset_meta['palette']
        self.num_classes = len(self.classes)

    def __call__(self,
                 image: Image,
                 probabilities: bool = False) -> Prediction:
        """Predict one image.

        Args:
            image (str | PathLike | np.ndarray): A file; or (H, W, C) BGR, as
                OpenCV reads it. With bands and numbers other than those of
                photographs, in the numbers of the files (LoadBands).
            probabilities (bool): Return those of all classes, too. Defaults
                to False.

        Returns:
            Prediction: At the size of the image.

        Raises:
            UnreadableImageError: The image cannot be read.
            ValueError: It has other bands than the model reads.
        """
        return self._whole(self.pipeline.load(image), probabilities)

    def predict_many(self, images: Iterable[Image]) -> Iterator[Prediction]:
        """Predict images one after the other."""
        for image in images:
            yield self(image)

    def _whole(self, loaded: dict, probabilities: bool) -> Prediction:
        samples = self.pipeline.prepare(loaded)
        scores = [self.scores(sample) for sample in samples]
        if len(scores) == 1:
            found = class_probabilities(self.model, scores[0])
            classes = self.decide(scores[0])
        else:
            found = torch.stack(
                [class_probabilities(self.model, one)
                 for one in scores]).mean(0)
            classes = self.decide(found)
        return Prediction(
            self.as_ids(classes),
            found.amax(0).cpu().numpy(),
            found.cpu().numpy() if probabilities else None)

    @torch.no_grad()
    def scores(self, sample: Sample) -> Tensor:
        """What the model leaves as ``seg_logits``, (C, H, W)."""
        found = self.model.test_step(pseudo_collate([sample]))
        return found[0].seg_logits.data

    def decide(self, scores: Tensor) -> Tensor:
        """Classes (H, W) long of scores or probabilities (C, H, W)."""
        if self.model.out_channels == 1:
            return (scores[-1] > self._threshold).long()
        return max_along(scores, 0)[1]

    @property
    def _threshold(self) -> float:
        return self.model.decode_head.threshold

    def as_ids(self, classes: Tensor) -> np.ndarray:
        """Classes as (H, W) uint8, or uint16 where there are more."""
        kind = np.uint8 if self.num_classes <= 255 else np.uint16
        return classes.cpu().numpy().astype(kind)
