# Copyright (c) mmseg_semi authors.
"""Scores of single validation images."""
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmseg.apis import init_model
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample

from ..engine.hooks.run_record_hook import PER_IMAGE_NAME
from ..evaluation import PerImageAreas, PerImageIoUMetric
from ..predicting import Predictor
from ..quiet import no_notes, nothing_printed
from .trained import Trained

Track = Callable[[Iterable, str], Iterable]
_IOU_METRICS = ('IoUMetric', 'PerImageIoUMetric')


def validation_set(trained: Trained):
    """The validation images of a config, as a data set.

    Raises:
        ValueError: The config has none.
    """
    return _build(trained, {})


def validation_meta(trained: Trained) -> dict:
    """What the validation set says of its classes, without its images.

    Args:
        trained (Trained): The model; the images need not be here.

    Returns:
        dict: ``classes``, and ``palette`` where there is one.

    Raises:
        ValueError: The config has no validation set.
    """
    try:
        return _build(trained, dict(lazy_init=True)).metainfo
    except TypeError:  # a wrapper of data sets
        return validation_set(trained).metainfo


def _build(trained: Trained, changes: dict):
    loader = trained.cfg.get('val_dataloader')
    if not loader:
        raise ValueError(
            f'{trained.name} has no validation images (val_dataloader), so '
            'there is nothing to compare on.')
    scope = trained.cfg.get('default_scope') or 'mmseg'
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(dict(loader.dataset, **changes))


def image_areas(trained: Trained, track: Track) -> PerImageAreas:
    """Intersections and unions of every validation image.

    Those that the training's own last validation left are taken if they are
    of these weights; else every image is predicted.

    Args:
        trained (Trained): The model.
        track (Track): Shows progress.

    Returns:
        PerImageAreas: In the order of the data set.
    """
    kept = trained.folder / PER_IMAGE_NAME
    if kept.is_file() and trained.iteration is not None:
        areas, iteration = PerImageAreas.load(kept)
        if iteration == trained.iteration:
            return areas
    with nothing_printed():
        dataset = validation_set(trained)
    metric = area_metric(trained, dataset)
    indices = track(range(len(dataset)), f'Predicting by {trained.name}')
    for batch, sample in predicted(trained, dataset, indices):
        metric.process(batch, [sample.to_dict()])
    return metric.areas()


def area_metric(trained: Trained, dataset) -> PerImageIoUMetric:
    """The metric of the config, which also keeps the areas of images.

    Args:
        trained (Trained): The model.
        dataset: Its validation images, of :func:`validation_set`.
    """
    with no_notes():
        metric = PerImageIoUMetric(**_metric_options(trained.cfg))
    metric.dataset_meta = dataset.metainfo
    return metric


def predicted(trained: Trained, dataset,
              indices: Iterable[int]) -> Iterator[tuple[dict, SegDataSample]]:
    """Predict images of a data set as a validation does.

    Args:
        trained (Trained): The model.
        dataset: Of :func:`validation_set`.
        indices (Iterable[int]): Which of its images.

    Yields:
        tuple[dict, SegDataSample]: The batch of one image as the data set
        gives it, and what the model says: ``pred_sem_seg``, ``seg_logits``,
        and ``gt_sem_seg`` of the labels.
    """
    with nothing_printed():
        model = load_model(trained)
    for index in indices:
        batch = pseudo_collate([dataset[index]])
        with torch.no_grad(), warnings.catch_warnings():
            # Of sizes that interpolation would rather have.
            warnings.simplefilter('ignore')
            found = model.test_step(batch)[0]
        yield batch, found


def predict(trained: Trained, images: list[str]) -> list[np.ndarray]:
    """Classes of every pixel of some images.

    Args:
        trained (Trained): The model.
        images (list[str]): Files.

    Returns:
        list[np.ndarray]: (H, W) uint8 of each.
    """
    predictor = Predictor(trained.cfg, trained.checkpoint)
    return [found.classes for found in predictor.predict_many(images)]


def load_model(trained: Trained) -> torch.nn.Module:
    """The model in evaluation mode, on the GPU if there is one."""
    with no_notes():
        return init_model(
            trained.cfg.copy(), trained.checkpoint, device=get_device())


def _metric_options(cfg) -> dict:
    """Arguments of the config's own metric of this kind."""
    found = cfg.get('val_evaluator') or []
    for metric in found if isinstance(found, list) else [found]:
        if metric['type'] in _IOU_METRICS:
            drop = 'type', 'output_dir', 'format_only', 'prefix'
            return {k: v for k, v in metric.items() if k not in drop}
    return dict(iou_metrics=['mIoU'])
