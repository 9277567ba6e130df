# Copyright (c) mmseg_semi authors.
"""Operations that ONNX has not, by exact equivalents while it is exported.

A traced graph keeps the Python numbers that were worked out of the size of
the example. What is here works with the traced sizes instead, so that the
graph fits other ones.
"""
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from mmseg.models.utils.embed import AdaptivePadding
from torch import Tensor, nn

from ..models.decode_heads.prototype_head import PrototypeHead
from ..models.decode_heads.query_head import QueryHead, semantic_inference


@contextmanager
def exact_equivalents() -> Iterator[None]:
    """While it is open, modules run in a form that can be exported."""
    changes = (
        (nn.MultiheadAttention, 'forward', _attention),
        (nn.AdaptiveAvgPool2d, 'forward', _pool),
        (Conv2dAdaptivePadding, 'forward', _same_convolution),
        (AdaptivePadding, 'forward', _adaptive_padding),
        (QueryHead, 'predict_by_feat', _query_scores),
        (PrototypeHead, 'classify_at', _classify_at),
    )
    with ExitStack() as stack:
        for owner, name, function in changes:
            stack.enter_context(mock.patch.object(owner, name, function))
        yield


# ---------------------------------------------------------------- attention


def _attention(self: nn.MultiheadAttention,
               query: Tensor,
               key: Tensor,
               value: Tensor,
               key_padding_mask: Tensor | None = None,
               need_weights: bool = True,
               attn_mask: Tensor | None = None,
               **kwargs) -> tuple[Tensor, None]:
    """Multi-head attention of PyTorch, in evaluation mode.

    Raises:
        TypeError: An option that no model here has.
    """
    if key_padding_mask is not None or self.bias_k is not None or (
            self.add_zero_attn or kwargs.get('is_causal')):
        raise TypeError('attention with a padding mask, with extra keys or '
                        'of a causal kind is not exported')
    if not self.batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    heads, width = self.num_heads, self.head_dim
    q, k, v = (F.linear(x, weight,
                        bias).unflatten(-1, (heads, width)).transpose(1, 2)
               for x, weight, bias in zip((query, key,
                                           value), *_projections(self)))
    scores = (q * width**-.5) @ k.transpose(-1, -2)
    if attn_mask is not None:
        if attn_mask.dim() == 3:
            attn_mask = attn_mask.unflatten(0, (-1, heads))
        if attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(attn_mask, float('-inf'))
        else:
            scores = scores + attn_mask
    result = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    result = self.out_proj(result)
    return result if self.batch_first else result.transpose(0, 1), None


def _projections(self: nn.MultiheadAttention) -> tuple:
    """Three weights and three biases."""
    weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
    if self.in_proj_weight is not None:
        weights = self.in_proj_weight.chunk(3)
    biases = (None, ) * 3
    if self.in_proj_bias is not None:
        biases = self.in_proj_bias.chunk(3)
    return weights, biases


# ------------------------------------------------------- pooling and padding


def _shares(length: 'int | Tensor', parts: int, like: Tensor) -> Tensor:
    """What each of ``length`` elements adds to each of ``parts`` means."""
    at = torch.arange(length, device=like.device)[None]
    part = torch.arange(parts, device=like.device)[:, None]
    start = torch.div(part * length, parts, rounding_mode='floor')
    # The whole number that is not less.
    stop = torch.div(
        (part + 1) * length + parts - 1, parts, rounding_mode='floor')
    inside = ((at >= start) & (at < stop)).to(like.dtype)
    return inside / (stop - start).to(like.dtype)


def _pool(self: nn.AdaptiveAvgPool2d, x: Tensor) -> Tensor:
    """Means of parts of a map, whose sizes differ by one element."""
    size = self.output_size
    height, width = size if isinstance(size, tuple) else (size, size)
    if height == width == 1:
        return F.adaptive_avg_pool2d(x, 1)
    if height is not None:
        x = _shares(x.shape[-2], height, x) @ x
    if width is not None:
        x = x @ _shares(x.shape[-1], width, x).transpose(0, 1)
    return x


def _missing(length: 'int | Tensor', stride: int, kernel: int,
             dilation: int) -> 'int | Tensor':
    """Elements to add so that ceil(length / stride) come out."""
    outputs = torch.div(
        torch.as_tensor(length) + stride - 1, stride, rounding_mode='floor')
    reach = (outputs - 1) * stride + (kernel - 1) * dilation + 1
    return (reach - length).clamp(min=0)


def _half(number: Tensor) -> Tensor:
    return torch.div(number, 2, rounding_mode='floor')


def _same_convolution(self: Conv2dAdaptivePadding, x: Tensor) -> Tensor:
    """A convolution with the paddings of TensorFlow."""
    down, right = (_missing(length, *options) for length, *options in zip(
        x.shape[-2:], self.stride, self.kernel_size, self.dilation))
    left, top = _half(right), _half(down)
    x = F.pad(x, [left, right - left, top, down - top])
    return F.conv2d(x, self.weight, self.bias, self.stride, self.padding,
                    self.dilation, self.groups)


def _adaptive_padding(self: AdaptivePadding, x: Tensor) -> Tensor:
    """Padding before patches are embedded."""
    down, right = (_missing(length, *options) for length, *options in zip(
        x.shape[-2:], self.stride, self.kernel_size, self.dilation))
    if self.padding == 'corner':
        return F.pad(x, [0, right, 0, down])
    left, top = _half(right), _half(down)
    return F.pad(x, [left, right - left, top, down - top])


# ------------------------------------------------------------ heads of ours


def _query_scores(self: QueryHead, queries, batch_img_metas: list) -> Tensor:
    """All images at once: a loop over them would be of the example's."""
    if not self.has_classes:
        return self._enlarge(self.dense_logits(queries), batch_img_metas)
    masks = self._enlarge(queries.mask_logits(), batch_img_metas)
    return semantic_inference(masks, queries.class_logits[-1])


def _classify_at(self: PrototypeHead, features: Tensor, size) -> Tensor:
    """All rows at once, likewise."""
    return self.classify(
        F.interpolate(
            features,
            tuple(size),
            mode='bilinear',
            align_corners=self.align_corners))
