# Copyright (c) mmseg_semi authors.
"""What the scores of a prediction mean."""
import torch
from mmseg.models import decode_heads
from torch import Tensor, nn

# Stock heads that predict with MaskFormer's semantic inference.
_SEMANTIC = (decode_heads.MaskFormerHead, decode_heads.Mask2FormerHead,
             decode_heads.SideAdapterCLIPHead)


def predicts_shares(model: nn.Module) -> bool:
    """Whether predicted scores are MaskFormer's semantic inference.

    They lie in [0, 1] and are probabilities by themselves: what is missing
    to 1 is "no object". All other scores are logits.

    Args:
        model (nn.Module): Any segmentor.
    """
    test_cfg = getattr(model, 'test_cfg', None) or {}
    if getattr(model, 'predict_head', None) is not None or (
            test_cfg.get('mode') == 'slide'
            and test_cfg.get('average') == 'probabilities'):
        return False
    head = model.decode_head
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return isinstance(head, _SEMANTIC) or getattr(head, 'has_classes', False)


def class_probabilities(model: nn.Module, scores: Tensor) -> Tensor:
    """Probabilities of the classes, as pseudo-labels are decided by.

    Args:
        model (nn.Module): The segmentor that predicted.
        scores (Tensor): (C, H, W), what its ``predict`` leaves as
            ``seg_logits``: of one sigmoid channel the probability, else
            scores.

    Returns:
        Tensor: (C, H, W) fp32 in [0, 1], C = 2 for one sigmoid channel. They
        sum to 1, but those of :func:`predicts_shares` to less where the
        queries see no object.
    """
    scores = scores.float()
    if len(scores) == 1:
        return torch.cat([1 - scores, scores])
    if predicts_shares(model):
        return scores.clamp(0, 1)
    return scores.softmax(0)
