# Copyright (c) mmseg_semi authors.
"""Scores of single validation images."""
from collections.abc import Callable, Iterable

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmseg.apis import init_model
from mmseg.registry import DATASETS

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
    loader = trained.cfg.get('val_dataloader')
    if not loader:
        raise ValueError(
            f'{trained.name} has no validation images (val_dataloader), so '
            'there is nothing to compare on.')
    scope = trained.cfg.get('default_scope') or 'mmseg'
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(loader.dataset)


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
        model = load_model(trained)
        dataset = validation_set(trained)
    metric = PerImageIoUMetric(**_metric_options(trained.cfg))
    metric.dataset_meta = dataset.metainfo
    for index in track(range(len(dataset)), f'Predicting by {trained.name}'):
        batch = pseudo_collate([dataset[index]])
        with torch.no_grad():
            found = model.test_step(batch)
        metric.process(batch, [sample.to_dict() for sample in found])
    return metric.areas()


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
