# Copyright (c) mmseg_semi authors.
"""A trained model as a function from an image to classes."""
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ..datasets.errors import UnreadableImageError
from ..functional.maximum import max_along
from ..models.probabilities import class_probabilities
from .canvas import Axis, PreparedCanvas, SourceCanvas, between, enlarge
from .loading import build_model, find_model
from .outputs import as_picture, thumbnail_step
from .pipeline import Image, Sample, TestPipeline
from .tiling import Span, is_large, tile_rules, tiles
from .windows import open_windows

Canvas = SourceCanvas | PreparedCanvas
_PIECE = 2**24  # scores that are enlarged at a time


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


Parts = Iterator[tuple[int, int, Prediction]]


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
        tile (int, optional): Pixels of a side of the tiles that an image
            is predicted in; 0 for none. Defaults to None: tiles of 1024 for
            images that :func:`.is_large`, else none.
        overlap (int, optional): Pixels that neighbouring tiles share, of
            which the outer half is not kept. Defaults to None: 256, or a
            quarter of a smaller tile. See :func:`.tile_rules`.
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
                 tta: bool = False,
                 tile: int | None = None,
                 overlap: int | None = None) -> None:
        cfg, weights, name = find_model(config, checkpoint)
        self.checkpoint = weights
        self._given = dict(
            config=name, head=head, tta=tta, tile=tile, overlap=overlap)
        self.pipeline = TestPipeline(cfg, tta)
        self.model = build_model(cfg, weights, name, network, head, device)
        self.classes = self.model.dataset_meta['classes']
        self.palette = self.model.dataset_meta['palette']
        self.num_classes = len(self.classes)
        self._rules = tile_rules(self.model, tile, overlap)
        self._tile = tile

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
            UnreadableImageError: The image cannot be read, or has other
                bands than the model reads.
        """
        size, parts = self.parts(image, probabilities)
        classes = np.empty(size, self.id_type)
        confidence = np.empty(size, np.float32)
        scores = np.empty(
            (self.num_classes, *size), np.float32) if probabilities else None
        for top, left, part in parts:
            if part.classes.shape == size:
                return part
            area = (slice(top, top + part.classes.shape[0]),
                    slice(left, left + part.classes.shape[1]))
            classes[area], confidence[area] = part.classes, part.confidence
            if probabilities:
                scores[(slice(None), *area)] = part.probabilities
        return Prediction(classes, confidence, scores)

    def settings(self) -> dict:
        """What predictions depend on, for a record of them."""
        path = Path(self.checkpoint)
        changed = path.stat().st_mtime_ns if path.is_file() else None
        return dict(
            checkpoint=os.path.abspath(path) if changed else self.checkpoint,
            checkpoint_changed=changed,
            **self._given,
            network=getattr(self.model, 'predict_with', None),
            classes=list(self.classes),
            palette=self.palette)

    def thumbnail(self, path: str | os.PathLike) -> np.ndarray:
        """Every n-th pixel of an image, (h, w, 3) uint8 RGB, to be shown.

        ``n`` is :func:`.thumbnail_step`. Of other than three bands the first
        three, or the first one as grey.
        """
        windows = open_windows(os.fspath(path), self.pipeline.loader)
        if windows is not None:
            step = thumbnail_step(windows.size)
            rows = [
                windows.read(slice(top, top + 1), slice(0, windows.size[1]))
                for top in range(0, windows.size[0], step)
            ]
            small = np.concatenate([row[:, ::step] for row in rows])
        else:
            image = self.pipeline.load(path)['img']
            step = thumbnail_step(image.shape)
            small = image[::step, ::step]
        return as_picture(small)

    def predict_many(self, images: Iterable[Image]) -> Iterator[Prediction]:
        """Predict images one after the other."""
        for image in images:
            yield self(image)

    def parts(self,
              image: Image,
              probabilities: bool = False) -> tuple[tuple[int, int], Parts]:
        """Predict an image piece by piece, for images of any size.

        Args:
            image: See :meth:`__call__`.
            probabilities (bool): See :meth:`__call__`.

        Returns:
            tuple: The size (H, W) of the image, and an iterator of
            rectangles that cover it without overlap: top, left, what is
            predicted there. Without tiles there is one.

        Raises:
            As :meth:`__call__`; ValueError also if ``tta_pipeline`` resizes
            to a size of its own what is to be predicted in tiles.
        """
        canvas, loaded = self._canvas(image)
        if canvas is None:
            samples = self.pipeline.prepare(loaded)
            found = self._predict(samples, probabilities)
            return found.classes.shape, iter([(0, 0, found)])
        return canvas.image_size, self._tiles(canvas, probabilities)

    def _canvas(self, image: Image) -> tuple[Canvas | None, dict | None]:
        """What to take tiles from; without tiles the loaded image."""
        pieces = self.pipeline.keeps_size or self.pipeline.scales_alone
        if pieces and not isinstance(image, np.ndarray) and self._tile != 0:
            windows = open_windows(os.fspath(image), self.pipeline.loader)
            if windows is not None and self._in_tiles(windows.size):
                return SourceCanvas(*windows, self.pipeline), None
        loaded = self.pipeline.load(image)
        array = loaded['img']
        if not self._in_tiles(array.shape[:2]):
            return None, loaded
        if pieces:
            return SourceCanvas(array.shape[:2], lambda *area: array[area],
                                self.pipeline), None
        samples = self.pipeline.prepare(loaded)
        if len(samples) > 1:
            raise ValueError(
                'tta_pipeline resizes images to sizes of its own (scale=...), '
                'which tiles cannot follow: use scale_factor=... there, '
                'predict without tta, or without tiles (tile=0).')
        return PreparedCanvas(samples[0]), None

    def _in_tiles(self, size: tuple[int, int]) -> bool:
        if self._tile is None:
            return is_large(size, self.num_classes)
        return self._tile > 0 and any(n > rule.size
                                      for n, rule in zip(size, self._rules))

    def _tiles(self, canvas: Canvas, probabilities: bool) -> Parts:
        rules, size, wanted = self._rules, canvas.size, canvas.image_size
        resized = size != wanted
        if resized and not self._in_tiles(size):
            rules = [replace(rule, size=max(size)) for rule in rules]
        for spans in tiles(size, rules):
            samples = canvas.samples(*spans)
            if not resized:
                found = self._predict(samples, probabilities)
                yield (*(s.core_start for s in spans), _core(found, spans))
                continue
            scores = self._scores(samples[0])
            axes = [
                between(*sides, self.model.align_corners)
                for sides in zip(spans, size, wanted)
            ]
            yield from self._enlarged(scores, *axes, probabilities)

    def _enlarged(self, scores: Tensor, rows: Axis, columns: Axis,
                  probabilities: bool) -> Parts:
        """A tile at the size of the image, some rows after the other."""
        if len(scores) == 1:
            scores = scores.logit(eps=1e-6)
        count = max(1, _PIECE // (len(scores) * max(len(columns.low), 1)))
        for begin in range(0, len(rows.low), count):
            piece = enlarge(scores, rows.part(begin, begin + count), columns)
            if len(scores) == 1:
                piece = piece.sigmoid()
            yield rows.first + begin, columns.first, self._decided(
                piece, class_probabilities(self.model, piece), probabilities)

    def _predict(self, samples: list[Sample],
                 probabilities: bool) -> Prediction:
        """The prediction of one image or tile by one or more samples."""
        found = scores = None
        for sample in samples:
            self._check_bands(sample)
            scores = self._scores(sample)
            one = class_probabilities(self.model, scores)
            found = one if found is None else found.add_(one)
        if len(samples) > 1:
            scores = found.div_(len(samples))
        return self._decided(scores, found, probabilities)

    def _check_bands(self, sample: Sample) -> None:
        """Broadcasting would make three bands of one."""
        mean = getattr(self.model.data_preprocessor, 'mean', None)
        bands = len(sample['inputs'])
        if isinstance(mean, Tensor) and bands != len(mean):
            path = sample['data_samples'].metainfo.get('img_path')
            raise UnreadableImageError(
                f'{path or "The image"} has {bands} bands, the model reads '
                f'{len(mean)}. Give images of the kind that it was trained '
                'on, or load as many bands (LoadBands bands=... in the '
                'test pipeline of the config).')

    def _decided(self, scores: Tensor, found: Tensor,
                 probabilities: bool) -> Prediction:
        """Classes by scores (or probabilities), confidence of the latter."""
        if self.model.out_channels == 1:
            head = self.model.decode_head
            head = head[-1] if isinstance(head, nn.ModuleList) else head
            classes = scores[-1] > head.threshold
        else:
            classes = max_along(scores.float(), 0)[1]
        return Prediction(classes.cpu().numpy().astype(self.id_type),
                          found.amax(0).cpu().numpy(),
                          found.cpu().numpy() if probabilities else None)

    @torch.no_grad()
    def _scores(self, sample: Sample) -> Tensor:
        """What the model leaves as ``seg_logits``, (C, H, W)."""
        with warnings.catch_warnings():
            # A hint for who chooses the crops of a training.
            warnings.filterwarnings('ignore', 'When align_corners=True')
            found = self.model.test_step(pseudo_collate([sample]))
        return found[0].seg_logits.data

    @property
    def id_type(self) -> type[np.unsignedinteger]:
        """Of the classes."""
        return np.uint8 if self.num_classes <= 255 else np.uint16


def _core(found: Prediction, spans: tuple[Span, Span]) -> Prediction:
    """What is kept of a tile."""
    area = tuple(
        slice(s.core_start - s.start, s.core_end - s.start) for s in spans)
    return Prediction(
        found.classes[area], found.confidence[area],
        None if found.probabilities is None else
        found.probabilities[(slice(None), *area)])
