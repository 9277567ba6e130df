# Copyright (c) mmseg_semi authors.
"""Measuring pseudo-labels on images whose labels are known."""
from collections.abc import Iterable, Sequence

import torch
from mmengine.config import Config

from ..datasets import audit
from ..evaluation.label_precision import THRESHOLDS, LabelPrecision
from ..models.confidence import predicted_confidence


@torch.no_grad()
def measure_labels(model,
                   batches: Iterable,
                   thresholds: Sequence[float] = THRESHOLDS,
                   ignore_index: int = 255) -> LabelPrecision:
    """Compare pseudo-labels of whole images with the truth.

    They are made by the network, and prototype head, that labels for the one
    that predicts (``model.labeler``), in evaluation mode, by windows if the
    model predicts so. The model is left as it was.

    Args:
        model (Framework): The model.
        batches (Iterable): Of a test pipeline that loads annotations.
        thresholds (Sequence[float]): Confidences in [0, 1].
        ignore_index (int): Label of pixels without a class.

    Returns:
        LabelPrecision: Of these batches.

    Raises:
        ValueError: The images come without labels, or with labels of another
            size than what is predicted.
    """
    counts = LabelPrecision(model.num_classes, thresholds)
    training = model.training
    model.eval()
    try:
        with model.predicting_with(*model.labeler):
            for batch in batches:
                for sample in model.test_step(batch):
                    if 'gt_sem_seg' not in sample:
                        raise ValueError(
                            f'{sample.get("img_path")} comes without its '
                            'label: the test pipeline needs LoadAnnotations.')
                    label, confidence = predicted_confidence(model, sample)
                    truth = sample.gt_sem_seg.data[0].to(label.device)
                    counts.add(label, confidence, truth, ignore_index)
    finally:
        model.train(training)
    return counts


def test_pipeline(cfg: Config) -> list[dict]:
    """How a config loads images to evaluate on.

    Args:
        cfg (Config): A training config.

    Returns:
        list[dict]: That of the validation images, or, where there are none,
        the variable ``test_pipeline``.

    Raises:
        ValueError: There is neither.
    """
    dataset = (cfg.get('val_dataloader') or {}).get('dataset')
    pipeline = None
    if dataset:
        dataset = dict(
            datasets=dataset) if isinstance(dataset,
                                            (list, tuple)) else dataset
        pipeline = next(audit.leaf_configs(dataset)).get('pipeline')
    pipeline = pipeline or cfg.get('test_pipeline')
    if not pipeline:
        raise ValueError(
            'There are held-out images, but nothing says how images are '
            'loaded to be evaluated: give the config a val_dataloader, or a '
            'variable test_pipeline.')
    return pipeline
