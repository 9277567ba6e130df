# Copyright (c) mmseg_semi authors.
"""One small MLP per class, evaluated for all classes at once."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import full_precision, upcast

BLOCK = 256  # rows of one class that are multiplied together
# Rows in work at a time: what fits the caches of a CPU, or keeps a GPU busy.
CHUNK = dict(cpu=1024, cuda=65536)


class Blocks(NamedTuple):
    """Rows sorted by class and cut into blocks of one class each.

    ``rows`` (M, T) long, which row is where; ``used`` (M, T) bool, False in
    places without a row (``rows`` is then arbitrary); ``labels`` (M,) long,
    the class of a block, arbitrary if it holds no row; ``count`` (C,) long,
    rows of each class.
    """
    rows: Tensor
    used: Tensor
    labels: Tensor
    count: Tensor


def class_blocks(labels: Tensor, num_classes: int, size: int) -> Blocks:
    """Cut rows into blocks; the number of blocks depends on the shape only.

    Args:
        labels (Tensor): (N,), long. Rows outside [0, C) are in no block.
        num_classes (int): C.
        size (int): T.

    Returns:
        Blocks: M = N // T + C of them, which is always enough.
    """
    valid = (labels >= 0) & (labels < num_classes)
    slots, order = labels.masked_fill(~valid, num_classes).sort(stable=True)
    count = torch.zeros_like(labels[:1]).expand(num_classes + 1).clone()
    count.index_add_(0, slots, torch.ones_like(slots))
    number = (count + size - 1) // size
    number[-1] = 0
    blocks = torch.arange(
        len(labels) // size + num_classes, device=labels.device)
    end = number.cumsum(0)
    block_class = torch.searchsorted(end, blocks, right=True)
    empty = block_class > num_classes
    block_class = block_class.clamp_max(num_classes - 1)
    within = blocks - (end - number)[block_class]
    offset = within[:, None] * size + torch.arange(size, device=blocks.device)
    used = (offset < count[block_class][:, None]) & ~empty[:, None]
    place = offset + (count.cumsum(0) - count)[block_class][:, None]
    rows = order[place.clamp_max(len(labels) - 1)]
    return Blocks(rows, used, block_class, count[:-1])


class _ClassMLP(torch.autograd.Function):
    """Linear, BatchNorm, LeakyReLU, Linear to one score, per class.

    Autograd would keep four arrays of the rows' size; this keeps one, the
    centred hidden layer, and never more than a chunk of anything else. The
    rows get no gradient.

    Because the rows are centred by class before the first layer, the hidden
    layer has mean 0 and the terms of BatchNorm's backward pass that are
    constant over a class vanish from the weight's gradient.
    """

    @staticmethod
    def forward(ctx, rows, labels, blocks, weight, scale, shift, out, out_bias,
                slope, eps):
        number = blocks.count.clamp_min(1)[:, None].to(rows.dtype)
        mean = _class_sums(rows, labels, len(weight)) / number
        hidden = rows.new_empty(*blocks.rows.shape, weight.shape[2])
        square = torch.zeros_like(scale)
        for chunk in _chunks(blocks):
            label = blocks.labels[chunk]
            centred = _centred(rows, mean, blocks, chunk)
            centred *= blocks.used[chunk][:, :, None]
            torch.bmm(centred, weight[label], out=hidden[chunk])
            square.index_add_(0, label, hidden[chunk].square().sum(1))
        deviation = (square / number + eps).rsqrt()
        gain = scale * deviation
        scores = rows.new_empty(blocks.rows.shape)
        for chunk in _chunks(blocks):
            label = blocks.labels[chunk]
            active = F.leaky_relu_(
                _affine(hidden, gain, shift, blocks, chunk), slope)
            torch.sum(active.mul_(out[label][:, None]), 2, out=scores[chunk])
            scores[chunk] += out_bias[label][:, None]
        ctx.save_for_backward(rows, *blocks, mean, hidden, deviation, scale,
                              shift, out)
        ctx.slope = slope
        result = rows.new_zeros(len(rows) + 1)
        place = blocks.rows.masked_fill(~blocks.used, len(rows))
        result.index_copy_(0, place.flatten(), scores.flatten())
        return result[:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, *blocks, mean, hidden, deviation, scale, shift, out = \
            ctx.saved_tensors
        blocks = Blocks(*blocks)
        gain = scale * deviation
        grad = (grad[blocks.rows] * blocks.used)[:, :, None]
        low, rise = ctx.slope * grad, (1 - ctx.slope) * grad

        def flow(chunk):
            """grad through the LeakyReLU: times 1 or ``slope``."""
            active = _affine(hidden, gain, shift, blocks, chunk)
            return torch.addcmul(low[chunk], rise[chunk], active.gt_(0))

        # Class sums of flow and of flow * hidden.
        flows, moments = torch.zeros_like(scale), torch.zeros_like(scale)
        for chunk in _chunks(blocks):
            label, part = blocks.labels[chunk], flow(chunk)
            flows.index_add_(0, label, part.sum(1))
            moments.index_add_(0, label, part.mul_(hidden[chunk]).sum(1))
        number = blocks.count.clamp_min(1)[:, None].to(rows.dtype)
        feedback = deviation.square() * moments / number
        grad_weight = mean.new_zeros(len(mean), rows.shape[1], scale.shape[1])
        for chunk in _chunks(blocks):
            label, part = blocks.labels[chunk], flow(chunk)
            part.addcmul_(hidden[chunk], feedback[label][:, None], value=-1)
            centred = _centred(rows, mean, blocks, chunk)
            grad_weight.index_add_(0, label,
                                   torch.bmm(centred.transpose(1, 2), part))
        grad_weight *= (gain * out)[:, None]
        grad_bias = torch.zeros_like(out[:, 0])
        grad_bias.index_add_(0, blocks.labels, grad.sum((1, 2)))
        return (None, None, None, grad_weight, out * deviation * moments,
                out * flows, gain * moments + shift * flows, grad_bias, None,
                None)


def _chunks(blocks: Blocks):
    """Slices of blocks that are worked on together."""
    rows = CHUNK.get(blocks.rows.device.type, CHUNK['cuda'])
    step = max(rows // blocks.rows.shape[1], 1)
    return [slice(i, i + step) for i in range(0, len(blocks.rows), step)]


def _class_sums(rows: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    classes = torch.arange(num_classes, device=labels.device)
    return (labels == classes[:, None]).to(rows.dtype) @ rows


def _centred(rows: Tensor, mean: Tensor, blocks: Blocks,
             chunk: slice) -> Tensor:
    """Rows minus the mean of their class, (m, T, D); anything if unused."""
    index = blocks.rows[chunk]
    picked = rows.index_select(0, index.flatten()).view(*index.shape, -1)
    return picked.sub_(mean[blocks.labels[chunk]][:, None])


def _affine(hidden: Tensor, gain: Tensor, shift: Tensor, blocks: Blocks,
            chunk: slice) -> Tensor:
    """BatchNorm of the centred hidden layer, (m, T, H)."""
    label = blocks.labels[chunk]
    return torch.addcmul(shift[label][:, None], hidden[chunk],
                         gain[label][:, None])


@full_precision
def class_mlp(rows: Tensor,
              labels: Tensor,
              weight: Tensor,
              scale: Tensor,
              shift: Tensor,
              out: Tensor,
              out_bias: Tensor,
              slope: float = .2,
              eps: float = 1e-5) -> Tensor:
    """Score every row with the MLP of its own class (CMB's selectors).

    Linear, BatchNorm with the statistics of the rows of that class,
    LeakyReLU, Linear. The first layer has no bias: BatchNorm removes it.
    Nothing waits for the device, and memory beyond one array of the rows'
    size is small; the official code runs C small networks one by one.

    Args:
        rows (Tensor): (N, D), or (C, V, D) if they are sorted by class
            already. They receive no gradient (CMB: sg(p)).
        labels (Tensor): (N,), long, rows outside [0, C) score 0; or (C, V),
            bool, which rows exist.
        weight (Tensor): (C, D, H).
        scale (Tensor): (C, H), of the BatchNorm.
        shift (Tensor): (C, H).
        out (Tensor): (C, H).
        out_bias (Tensor): (C,).
        slope (float): Of the LeakyReLU.
        eps (float): Of the BatchNorm.

    Returns:
        Tensor: Shaped as ``labels``, fp32 (fp64 for fp64 rows). A class with
        a single row scores it as if its hidden layer were 0.
    """
    rows = upcast(rows.detach())
    parameters = [
        parameter.to(rows.dtype)
        for parameter in (weight, scale, shift, out, out_bias)
    ]
    shape = labels.shape
    if len(rows) == 0:
        return rows.new_zeros(0) + 0. * sum(p.sum() for p in parameters)
    if rows.dim() == 3:
        classes = torch.arange(len(rows), device=rows.device)
        place = torch.arange(labels.numel(), device=rows.device).view(shape)
        blocks = Blocks(place, labels, classes, labels.sum(1))
        rows = rows.flatten(0, 1)
        labels = classes[:, None].masked_fill(~labels, -1).flatten()
    else:
        blocks = class_blocks(labels, len(weight), BLOCK)
    scores = _ClassMLP.apply(rows, labels, blocks, *parameters, slope, eps)
    return scores.view(shape)
