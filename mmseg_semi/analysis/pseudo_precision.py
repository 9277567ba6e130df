# Copyright (c) mmseg_semi authors.
"""Stated against true precision of pseudo-labels, where both can be known."""
import copy
import os.path as osp
from typing import Sequence

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader, Dataset

from ..datasets import SemiSegDataset, audit
from ..datasets.held_out import ChosenSamples
from ..datasets.paths import first_few
from ..datasets.unlabeled import file_keys
from ..engine.label_gate import measure_labels, test_pipeline
from ..evaluation.gate import HELD_OUT, VALIDATION
from .images import class_names


def stated_and_true(model, cfg: Config, thresholds: Sequence[float]) -> dict:
    """Pseudo-labels on images with labels, and on the unlabelled ones.

    Args:
        model (Framework): Trained, in evaluation mode.
        cfg (Config): Of its training; the masks of its
            unlabelled images lie beside those of the labelled ones, as in
            benchmarks.
        thresholds (Sequence[float]): Confidences in [0, 1].

    Returns:
        dict: ``network``, which labels; ``source``, as
        :class:`.PrecisionGateHook` says it; ``stated``, on the held-out
        images, else those for validation, what a training can know, and
        ``true``, on the unlabelled ones, both as
        :meth:`.LabelPrecision.as_dict` gives it.

    Raises:
        TypeError: The model makes no pseudo-labels.
        ValueError: The config holds no images out and has none for
            validation; it has no unlabelled images, or these have no masks.
    """
    if not hasattr(model, 'labeler'):
        raise TypeError(f'{cfg.filename}: {type(model).__name__} makes no '
                        'pseudo-labels.')
    settings = cfg.train_dataloader.dataset
    dataset = DATASETS.build(settings)
    if getattr(dataset, 'unlabeled', None) is None:
        raise ValueError(f'{cfg.filename} has no unlabelled images.')
    pipeline = test_pipeline(cfg)
    source, stated = HELD_OUT, dataset.held_out_set(pipeline)
    if not dataset.held_out:
        source, loader = VALIDATION, cfg.get('val_dataloader')
        if not loader:
            raise ValueError(
                f'{cfg.filename} holds no labelled images out '
                '(train_dataloader.dataset.held_out) and has none for '
                'validation.')
        stated = DATASETS.build(loader.dataset)
    sets = dict(stated=stated, true=_with_masks(dataset, settings, pipeline))
    names = class_names(dataset, model.num_classes)
    found = {
        name:
        measure_labels(model, DataLoader(images, 1, collate_fn=pseudo_collate),
                       thresholds).as_dict(names)
        for name, images in sets.items()
    }
    return dict(network=model.labeler[0], source=source, **found)


def _with_masks(dataset: SemiSegDataset, settings: dict,
                pipeline: list) -> Dataset:
    """The unlabelled images as a labelled set."""
    labelled = settings['labeled']
    if isinstance(labelled, (list, tuple)):
        labelled = dict(datasets=labelled)
    leaf = dict(copy.deepcopy(next(audit.leaf_configs(labelled))))
    lists = dataset.unlabeled.ann_file
    if len(lists) > 1:
        raise ValueError('The unlabelled images come by several lists '
                         f'({first_few(lists)}); one is known how to read.')
    leaf.update(
        ann_file=osp.abspath(lists[0]) if lists else '', pipeline=pipeline)
    found = DATASETS.build(leaf)
    wanted = set(
        file_keys(
            dataset.unlabeled.get_data_info(i)['img_path']
            for i in range(len(dataset.unlabeled))))
    infos = [found.get_data_info(i) for i in range(len(found))]
    keys = file_keys(info['img_path'] for info in infos)
    chosen = [i for i, key in enumerate(keys) if key in wanted]
    missing = [
        infos[i]['seg_map_path'] for i in chosen
        if not osp.isfile(infos[i]['seg_map_path'])
    ]
    if missing or len(chosen) < len(wanted):
        raise ValueError(
            'What is true of the unlabelled images cannot be known: '
            f'{len(chosen) - len(missing)} of {len(wanted)} have a mask where '
            'the labelled ones have theirs' +
            (f' (no {first_few(missing, 1)})' if missing else '') + '.')
    return ChosenSamples(found, chosen)
