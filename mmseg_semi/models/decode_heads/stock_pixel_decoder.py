# Copyright (c) mmseg_semi authors.
"""Decode heads of dense models as pixel decoders."""
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmcv.cnn import Conv2d
from mmengine.model import BaseModule, ModuleList, caffe2_xavier_init
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..taps import TapRecorder, resolve_tap

EMBED, MEMORY = 'pre_cls', 'memory'


class StockPixelDecoder(BaseModule):
    """The decode head of a dense model without its classifier.

    What its last classifier reads, found as the feature tap ``pre_cls``, is
    the per-pixel embedding, by a 1x1 convolution if it has another width;
    the last map of the backbone is the memory (PPS 3.3 on DeepLabV3+). What
    else the head returns stays in the graph at weight 0: DDP wants a
    gradient for every parameter.

    Args:
        head (dict | list[dict]): Any head, or the heads of a cascade, those
            after the last that scores every pixel excluded. Without
            ``num_classes`` it is built for 3: its classifier is cut off.
        memory_channels (int): Of the memory.
        out_channels (int): D.
        embed_channels (int, optional): Of what the classifier reads. None
            asks the head's 1x1 classifier ``conv_seg``.
        memory (str, optional): Where the memory is read, as
            ``module:input`` or ``module:output`` of the head. None is the
            last map of the backbone.
        memory_positions (int, optional): A memory of more positions is
            averaged over blocks of pixels. None takes any.
    """

    def __init__(self,
                 head: Union[dict, Sequence[dict]],
                 memory_channels: int,
                 out_channels: int,
                 embed_channels: Optional[int] = None,
                 memory: Optional[str] = None,
                 memory_positions: Optional[int] = None) -> None:
        super().__init__()
        self.memory_channels = memory_channels
        self.memory_positions = memory_positions
        self.head = _build(head)
        holder = nn.Module()  # for paths as in a segmentor
        holder.decode_head = self.head
        taps = {EMBED: _resolve(holder)}
        if memory is not None:
            taps[MEMORY] = f'decode_head.{memory}'
        width = _cut(
            _scoring_stage(self.head, taps[EMBED]), taps[EMBED],
            embed_channels)
        # Named by role: `memory` is no logical name of a head.
        self.tap_names = taps
        self.taps = TapRecorder(holder, taps.values())
        if width != out_channels:
            self.embed = Conv2d(width, out_channels, kernel_size=1)

    @property
    def stages(self) -> List[nn.Module]:
        """The heads that run, in order."""
        if isinstance(self.head, nn.ModuleList):
            return list(self.head)
        return [self.head]

    def init_weights(self) -> None:
        super().init_weights()
        if hasattr(self, 'embed'):
            caffe2_xavier_init(self.embed, bias=0)

    def forward(self, inputs: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """All the backbone gives -> embedding and memory.

        Args:
            inputs (Sequence[Tensor] | Tensor): (B, C_i, h_i, w_i), each
                alone or with its class token in a tuple.

        Returns:
            tuple: (B, D, h, w) and (B, memory_channels, h', w').
        """
        grad = torch.is_grad_enabled()
        with self.taps.capture(self.tap_names.values(), grad=False) as tapped:
            raw, previous = [], ()
            for stage in self.stages:
                raw.append(stage(inputs, *previous))
                previous = (next(_tensors(raw[-1])), )
        embed = _as_map(tapped[self.tap_names[EMBED]], raw[-1])
        if grad:
            rest = [t for t in _tensors(raw) if t is not embed]
            embed = embed + sum(t.float().mean() * 0. for t in rest)
        memory = tapped.get(self.tap_names.get(MEMORY))
        memory = self._thinned(_last_map(inputs) if memory is None else memory)
        return (self.embed(embed) if hasattr(self, 'embed') else embed), memory

    def _thinned(self, memory: Tensor) -> Tensor:
        """The memory on a grid that is not too fine to attend to."""
        limit, block = self.memory_positions, 1
        height, width = memory.shape[-2:]
        while limit and -(-height // block) * -(-width // block) > limit:
            block += 1
        return F.avg_pool2d(
            memory, block, ceil_mode=True) if block > 1 else memory


def _build(cfg: Union[dict, Sequence[dict]]) -> nn.Module:
    if isinstance(cfg, (list, tuple)):
        return ModuleList([_build(stage) for stage in cfg])
    return MODELS.build({'num_classes': 3, **cfg})


def _resolve(holder: nn.Module) -> str:
    try:
        return resolve_tap(holder, EMBED)
    except (KeyError, AttributeError, TypeError) as err:
        kind = type(holder.decode_head).__name__
        raise TypeError(
            f'{kind} cannot be a pixel decoder: what its last classifier '
            f'reads is not known ({err}). Use PixelDecoder, '
            'TransformerEncoderPixelDecoder, a decode head that ends in one '
            '1x1 convolution, or give the head `feature_taps`.') from err


def _scoring_stage(head: nn.Module, tap: str) -> nn.Module:
    """The head that has the tap; it must be the last that runs."""
    if not isinstance(head, nn.ModuleList):
        return head
    number = int(tap.split('.')[1])
    if number != len(head) - 1:
        raise ValueError(
            f'pixel_decoder: of a cascade of {len(head)} heads, number '
            f'{number} scores every pixel last: leave out those after it.')
    return head[-1]


def _cut(head: nn.Module, tap: str, width: Optional[int]) -> int:
    """Take the classifier off that reads the tap; returns its width."""
    classifier = getattr(head, 'conv_seg', None)
    if isinstance(classifier, nn.Conv2d):
        width = width or classifier.in_channels
        head.conv_seg = nn.Identity()
        if head.dropout is not None:
            head.dropout = nn.Identity()  # heads may call it
        head.init_cfg = None  # of the classifier
    if width is None:
        raise TypeError(
            f'pixel_decoder {type(head).__name__} has no classifier conv_seg '
            f'to cut off: give embed_channels, the width of {tap!r}, or use '
            'PixelDecoder, TransformerEncoderPixelDecoder or a decode head '
            'that ends in one 1x1 convolution.')
    return width


def _tensors(value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for part in value:
            yield from _tensors(part)


def _as_map(value: Tensor, raw) -> Tensor:
    """Tokens (B, N, D) of the pixels, which come first, as a map."""
    if value.dim() == 4:
        return value
    height, width = next(_tensors(raw)).shape[-2:]
    return value[:, :height * width].transpose(1, 2).unflatten(
        2, (height, width))


def _last_map(inputs) -> Tensor:
    last = inputs if isinstance(inputs, Tensor) else inputs[-1]
    return last if isinstance(last, Tensor) else last[0]
