# Copyright (c) mmseg_semi authors.
"""Rows of features that CMB learns from and keeps in memory."""
from typing import NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...dist import gather_rows, world_size
from ...functional import best_rows
from ..step import View

IGNORED = 255


class Rows(NamedTuple):
    """Vectors that may enter memory.

    ``labels`` (N,) long, no class where the row may not; ``scores`` (N,),
    more is better; ``vectors`` (N, D); ``confidence`` (N,).
    """
    labels: Tensor
    scores: Tensor
    vectors: Tensor
    confidence: Tensor


def target_labels(view: View) -> Tensor:
    """Labels (B, H, W) of a view, ignored in images of the source domain."""
    if view.target is None:
        return view.labels
    return view.labels.masked_fill(~view.target, IGNORED)


def at_least_two(labels: Tensor) -> Tensor:
    """Labels (N,), all ignored if a single row has one.

    BatchNorm would turn it into a constant.
    """
    enough = (labels != IGNORED).sum() > 1
    return labels.masked_fill(~enough, IGNORED)


def feature_rows(features: Tensor,
                 labels: Tensor,
                 stride: Optional[int] = None
                 ) -> Tuple[Tensor, Tensor, Tuple[Tensor, Tensor]]:
    """Feature rows with the label of the nearest pixel.

    Args:
        features (Tensor): (B, D, h, w).
        labels (Tensor): (B, H, W), long.
        stride (int, optional): Of the image, where the features' own is
            finer. Defaults to theirs.

    Returns:
        tuple: features (B h w, D), labels (B h w,), and the rows and columns
        (h w,) of the pixels, on the CPU.
    """
    size = list(features.shape[-2:])
    if stride is not None:
        wanted = [-(-side // stride) for side in labels.shape[1:]]
        wanted = [min(pair) for pair in zip(size, wanted)]
        if wanted != size:
            features = F.interpolate(features, size=wanted)  # nearest
            size = wanted
    rows, cols = (torch.arange(small) * full // small
                  for small, full in zip(size, labels.shape[1:]))
    pixels = torch.meshgrid(rows, cols, indexing='ij')
    rows, cols = (
        axis.to(labels.device, non_blocking=True) for axis in (rows, cols))
    labels = labels[:, rows[:, None], cols].flatten()
    features = features.permute(0, 2, 3, 1).flatten(0, 2)
    return features, labels, tuple(axis.flatten() for axis in pixels)


def best_of_all_ranks(rows: Rows, num_classes: int,
                      number: int) -> Tuple[Rows, Tensor]:
    """Of every class the rows of highest score of all ranks, the best last.

    Every rank offers its own best and all choose among the same, so what is
    exchanged has a fixed shape.

    Args:
        rows (Rows): This rank's.
        num_classes (int): C.
        number (int): K, the same on every rank.

    Returns:
        tuple: The chosen, C K rows class by class, and (C, K) bool, False
        where a class has fewer.
    """
    rows, valid = best_per_class(rows, num_classes, number)
    if world_size() == 1:
        return rows, valid
    rows = Rows(*(gather_rows(part, equal=True) for part in rows))
    return best_per_class(rows, num_classes, number)


def best_per_class(rows: Sequence[Tensor], num_classes: int,
                   number: int) -> Tuple[Rows, Tensor]:
    """As :func:`best_of_all_ranks`, of these rows alone; the label is -1
    where a class has fewer."""
    rows = Rows(*rows)
    index, valid = best_rows(rows.scores, rows.labels, num_classes, number)
    rows = Rows(*(part[index.flatten()] for part in rows))
    labels = rows.labels.masked_fill(~valid.flatten(), -1)
    return rows._replace(labels=labels), valid
