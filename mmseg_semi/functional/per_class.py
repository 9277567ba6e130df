# Copyright (c) mmseg_semi authors.
"""One small MLP per class, evaluated for all classes at once."""
from typing import List, NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .host import on_host
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


class Chunk(NamedTuple):
    """Blocks that are worked on together.

    ``rows`` (m, T) long; ``used`` (m, T) bool, None if all are; ``labels``
    (m,) long, or a slice if there is one block.
    """
    rows: Tensor
    used: Optional[Tensor]
    labels: Union[Tensor, slice]

    def of(self, rows: Tensor) -> Tensor:
        """Rows of the blocks, (m, T, ...); anything where unused."""
        picked = rows.index_select(0, self.rows.flatten())
        return picked.view(*self.rows.shape, *rows.shape[1:])

    def masked(self, values: Tensor) -> Tensor:
        """Values (m, T, ...) with 0 where unused, in place."""
        if self.used is None:
            return values
        view = self.used.shape + (1, ) * (values.dim() - 2)
        return values.mul_(self.used.view(view))

    def centred(self, rows: Tensor, mean: Tensor) -> Tensor:
        """Rows minus the mean of their class, (m, T, D)."""
        return self.of(rows).sub_(mean[self.labels][:, None])

    def affine(self, hidden: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """BatchNorm of the centred hidden layer, (m, T, H)."""
        return torch.addcmul(shift[self.labels][:, None], hidden,
                             gain[self.labels][:, None])

    def add(self, total: Tensor, values: Tensor) -> None:
        """Add values (m, ...) of blocks to (C, ...) of classes."""
        if isinstance(self.labels, slice):
            total[self.labels] += values
        else:
            total.index_add_(0, self.labels, values)


def device_chunks(blocks: Blocks) -> List[Chunk]:
    """Several blocks at a time, whatever they hold."""
    rows = CHUNK.get(blocks.rows.device.type, CHUNK['cuda'])
    step = max(rows // blocks.rows.shape[1], 1)
    parts = (
        part.split(step) for part in (blocks.rows, blocks.used, blocks.labels))
    return [Chunk(*part) for part in zip(*parts)]


def host_chunks(labels: Tensor, num_classes: int) -> List[Chunk]:
    """Rows of one class at a time, as many as there are."""
    valid = (labels >= 0) & (labels < num_classes)
    slots, order = labels.masked_fill(~valid, num_classes).sort(stable=True)
    counts = slots.bincount(minlength=num_classes + 1).tolist()
    return [
        Chunk(rows[None], None, slice(label, label + 1))
        for label, mine in enumerate(order.split(counts)[:-1])
        for rows in mine.split(CHUNK['cpu']) if len(mine)
    ]


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
    def forward(ctx, rows, chunks, count, weight, scale, shift, out, out_bias,
                slope, eps):
        number = count.clamp_min(1)[:, None].to(rows.dtype)
        mean = rows.new_zeros(len(weight), rows.shape[1])
        for chunk in chunks:
            chunk.add(mean, chunk.masked(chunk.of(rows)).sum(1))
        mean /= number
        hiddens, square = [], torch.zeros_like(scale)
        for chunk in chunks:
            centred = chunk.masked(chunk.centred(rows, mean))
            hidden = torch.bmm(centred, weight[chunk.labels])
            chunk.add(square, hidden.square().sum(1))
            hiddens.append(hidden)
        deviation = (square / number + eps).rsqrt()
        gain = scale * deviation
        # One place more, for what is unused to be written to.
        result = rows.new_zeros(len(rows) + 1)
        for chunk, hidden in zip(chunks, hiddens):
            active = F.leaky_relu_(chunk.affine(hidden, gain, shift), slope)
            scores = torch.bmm(active, out[chunk.labels][:, :, None])[..., 0]
            scores += out_bias[chunk.labels][:, None]
            place = chunk.rows
            if chunk.used is not None:
                place = place.masked_fill(~chunk.used, len(rows))
            result.index_copy_(0, place.flatten(), scores.flatten())
        ctx.save_for_backward(rows, mean, deviation, scale, shift, out,
                              *hiddens)
        ctx.chunks, ctx.count, ctx.slope = chunks, count, slope
        return result[:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, mean, deviation, scale, shift, out, *hiddens = ctx.saved_tensors
        gain = scale * deviation
        grads = [chunk.masked(chunk.of(grad)) for chunk in ctx.chunks]
        parts = list(zip(ctx.chunks, hiddens, grads))

        def flow(chunk, hidden, arrived):
            """grad through the LeakyReLU: times 1 or ``slope``."""
            arrived = arrived[..., None]
            positive = chunk.affine(hidden, gain, shift).gt_(0)
            return torch.addcmul(ctx.slope * arrived,
                                 (1 - ctx.slope) * arrived, positive)

        # Class sums of grad, of flow and of flow * hidden.
        grad_bias = torch.zeros_like(out[:, 0])
        flows, moments = torch.zeros_like(scale), torch.zeros_like(scale)
        for chunk, hidden, arrived in parts:
            chunk.add(grad_bias, arrived.sum(1))
            part = flow(chunk, hidden, arrived)
            chunk.add(flows, part.sum(1))
            chunk.add(moments, part.mul_(hidden).sum(1))
        number = ctx.count.clamp_min(1)[:, None].to(rows.dtype)
        feedback = deviation.square() * moments / number
        grad_weight = mean.new_zeros(len(mean), rows.shape[1], scale.shape[1])
        for chunk, hidden, arrived in parts:
            part = flow(chunk, hidden, arrived)
            part.addcmul_(hidden, feedback[chunk.labels][:, None], value=-1)
            centred = chunk.centred(rows, mean)
            chunk.add(grad_weight, torch.bmm(centred.mT, part))
        grad_weight *= (gain * out)[:, None]
        return (None, None, None, grad_weight, out * deviation * moments,
                out * flows, gain * moments + shift * flows, grad_bias, None,
                None)


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
    given, labels = labels, labels.flatten()
    if rows.dim() == 3:
        classes = torch.arange(len(rows), device=rows.device)
        rows = rows.flatten(0, 1)
        labels = classes.repeat_interleave(shape[1]).masked_fill(~labels, -1)
    if on_host(rows):
        chunks = host_chunks(labels, len(weight))
        count = labels.new_zeros(len(weight))
        for chunk in chunks:
            count[chunk.labels] += chunk.rows.shape[1]
    else:
        if given.dim() == 2:
            place = torch.arange(given.numel(), device=rows.device)
            blocks = Blocks(place.view(shape), given, classes, given.sum(1))
        else:
            blocks = class_blocks(labels, len(weight), BLOCK)
        chunks, count = device_chunks(blocks), blocks.count
    scores = _ClassMLP.apply(rows, chunks, count, *parameters, slope, eps)
    return scores.view(shape)
