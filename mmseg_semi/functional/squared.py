# Copyright (c) mmseg_semi authors.
"""Squared difference of probabilities (Mean Teacher, CutMix-Seg)."""
import torch
from torch import Tensor

from .precision import full_precision, upcast


class _SquaredErrors(torch.autograd.Function):
    """Autograd would hold three maps of the scores' size; here it is two."""

    @staticmethod
    def forward(ctx, logits, target):
        probability = logits.softmax(dim=1)
        difference = probability - target
        ctx.save_for_backward(probability, difference)
        return difference.square().sum(dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        probability, difference = ctx.saved_tensors
        slope = difference * probability
        slope = slope - probability * slope.sum(dim=1, keepdim=True)
        return slope.mul_(2 * grad.unsqueeze(1)), None


@full_precision
def squared_errors(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over classes of (softmax - target)^2 per pixel.

    Args:
        logits (Tensor): (N, C, *). Half precision is computed in fp32.
        target (Tensor): (N, C, *), probabilities; no gradient reaches them.

    Returns:
        Tensor: (N, *), in [0, 2], fp32 (fp64 for fp64 logits).
    """
    logits = upcast(logits)
    return _SquaredErrors.apply(logits, target.detach().to(logits.dtype))
