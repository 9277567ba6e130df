# Copyright (c) mmseg_semi authors.
"""How sure a prediction is, by the measure of pseudo-labels."""
from typing import Tuple

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from .probabilities import class_probabilities


@torch.no_grad()
def predicted_confidence(model,
                         sample: SegDataSample) -> Tuple[Tensor, Tensor]:
    """Class and confidence of every pixel of a predicted image.

    The confidence is the one that pseudo-labels have
    (:meth:`.Framework.pseudo_labels`): the largest class probability; of
    one sigmoid channel the larger one of p and 1 - p, whatever the threshold
    of its class 1; of a head whose queries say their class the largest score.

    Args:
        model (SemiSegmentor): That predicted, with the same network and head.
        sample (SegDataSample): With ``seg_logits`` (C, H, W), or
            probabilities (1, H, W), and ``pred_sem_seg`` (1, H, W).

    Returns:
        tuple[Tensor, Tensor]: Class (H, W), long, and confidence (H, W),
        fp32, in [0, 1].
    """
    scores = sample.seg_logits.data
    label = sample.pred_sem_seg.data[0].long()
    return label, class_probabilities(model, scores).amax(dim=0)
