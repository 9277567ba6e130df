# Copyright (c) mmseg_semi authors.
"""What a decode head offers to the methods, in one form for all heads.

A head says it itself or a :class:`HeadAdapter` says it, which is found
through the ancestors of the head's class, so that a subclass is read as its
parent is. See docs/add_a_head.md.
"""
from typing import Callable, Dict, List, Optional, Tuple, Type

import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads import (ANNHead, DAHead,
                                       DepthwiseSeparableASPPHead,
                                       IterativeDecodeHead, PIDHead, PointHead,
                                       SegmenterMaskTransformerHead, STDCHead)
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ..functional.edges import label_edges
from .step import QueryOut

_ADAPTERS: Dict[type, Type['HeadAdapter']] = {}


def register_adapter(*heads: type):
    """Decorator: this adapter reads these heads and their subclasses."""

    def register(adapter: Type['HeadAdapter']) -> Type['HeadAdapter']:
        _ADAPTERS.update(dict.fromkeys(heads, adapter))
        return adapter

    return register


@register_adapter(BaseDecodeHead)
class HeadAdapter:
    """Heads that score every pixel, as those on ``BaseDecodeHead`` do.

    "Raw" is whatever the head returns in the mode it is in: a tensor, or
    tensors in tuples and lists, each with the batch first.

    Class attributes:
        own_classes: The head scores something else than the data set's
            classes (boundaries, say): it is trained by its own loss alone,
            and keeps its ``num_classes``.
        refines: In a cascade it improves single points of the scores of the
            stage before, which are what the methods work with.

    Args:
        head (nn.Module): The head.
    """
    own_classes = False
    refines = False

    def __init__(self, head: nn.Module) -> None:
        self.head = head

    def taps(self) -> Dict[str, str]:
        """Logical names of features: ``module:input|output[:call]``.

        ``decoder`` is the map the classification block reads (Z in the BRPG
        and PCR papers), ``pre_cls`` what the last 1x1 classifier reads,
        before its dropout. Most heads classify with one 1x1 convolution and
        both are its input. ``feature_taps`` of the head wins over all this,
        see :func:`taps_of`.
        """
        if not hasattr(self.head, 'conv_seg'):
            return {}
        before = 'conv_seg' if self.head.dropout is None else 'dropout'
        return dict.fromkeys(('decoder', 'pre_cls'), f'{before}:input')

    def as_map(self, name: str, value: Tensor, raw) -> Tensor:
        """The tapped tensor as a feature map (B, D, h, w)."""
        return value

    def forward(self, feats, previous: Optional[Tensor] = None):
        """Run the head.

        Args:
            feats (Sequence[Tensor]): Maps of the encoder.
            previous (Tensor, optional): Scores of the cascade's stage
                before.

        Returns:
            The raw output.
        """
        return self.head(feats) if previous is None else self.head(
            feats, previous)

    def scores(self, raw) -> Tensor:
        """Class scores (B, out_channels, h, w), those it predicts with."""
        return raw if isinstance(raw, Tensor) else raw[0]

    def auxiliary(self, raw) -> List[Tensor]:
        """Other maps that score the same classes."""
        if isinstance(raw, Tensor):
            return []
        main = self.scores(raw)
        return [
            m for m in raw if m is not main and m.dim() == main.dim()
            and m.shape[1] == main.shape[1]
        ]

    def rest(self, raw) -> List[Tensor]:
        """Tensors that only its own loss reads.

        With other criteria they stay in the graph at weight 0: DDP wants a
        gradient for every parameter.
        """
        if isinstance(raw, Tensor):
            return []
        used = {id(m) for m in (self.scores(raw), *self.auxiliary(raw))}
        return [m for m in raw if id(m) not in used]

    def queries(self, raw) -> Optional[QueryOut]:
        """What the queries say, of a head that has some."""
        return None

    def scorer(self, raw, test_cfg) -> Optional[Callable[..., Tensor]]:
        """How it predicts at a size (H, W), if not by resizing scores."""
        return None

    def losses(self, raw, samples: list, train_cfg) -> Dict[str, Tensor]:
        """The losses that the head's config declares.

        Raises:
            TypeError: The head returns several maps and its loss takes one.
        """
        loss = getattr(type(self.head), 'loss_by_feat', None)
        if (not isinstance(raw, Tensor)
                and loss is BaseDecodeHead.loss_by_feat):
            raise TypeError(
                f'{type(self.head).__name__} returns several maps in train '
                'mode, but has no loss_by_feat that takes them: write one, '
                'or give SupervisedLoss a criterion.')
        return self.head.loss_by_feat(raw, samples)


@register_adapter(ANNHead)
class ANNAdapter(HeadAdapter):
    """Its dropout is called twice."""

    def taps(self) -> Dict[str, str]:
        return dict.fromkeys(('decoder', 'pre_cls'), 'context:output')


@register_adapter(DAHead)
class DAAdapter(HeadAdapter):
    """Position, channel and both: the last classifier is called last."""

    def taps(self) -> Dict[str, str]:
        return {
            name: spec + ':2' if spec == 'dropout:input' else spec
            for name, spec in super().taps().items()
        }


@register_adapter(PIDHead)
class PIDAdapter(HeadAdapter):
    """In train mode P, I and D branch; the I branch predicts."""

    def scores(self, raw) -> Tensor:
        return raw if isinstance(raw, Tensor) else raw[1]

    def losses(self, raw, samples: list, train_cfg) -> Dict[str, Tensor]:
        return super().losses(raw, with_edges(samples), train_cfg)


@register_adapter(DepthwiseSeparableASPPHead)
class SeparableASPPAdapter(HeadAdapter):
    """The block after the skip connection classifies."""

    def taps(self) -> Dict[str, str]:
        return {**super().taps(), 'decoder': 'sep_bottleneck:input'}


@register_adapter(IterativeDecodeHead)
class KNetAdapter(HeadAdapter):
    """In train mode the scores of all stages, the last one last."""

    def taps(self) -> Dict[str, str]:
        inner = taps_of(adapter_of(self.head.kernel_generate_head))
        return {n: f'kernel_generate_head.{spec}' for n, spec in inner.items()}

    def scores(self, raw) -> Tensor:
        return raw if isinstance(raw, Tensor) else raw[-1]


@register_adapter(SegmenterMaskTransformerHead)
class SegmenterAdapter(HeadAdapter):
    """Classifies the tokens of patches by those of classes."""

    def taps(self) -> Dict[str, str]:
        return dict.fromkeys(('decoder', 'pre_cls'), 'decoder_norm:output')

    def as_map(self, name: str, value: Tensor, raw) -> Tensor:
        if value.dim() == 4:
            return value
        patches = value[:, :-self.head.num_classes].transpose(1, 2)
        return patches.unflatten(2, self.scores(raw).shape[-2:])


@register_adapter(STDCHead)
class BoundaryAdapter(HeadAdapter):
    """Boundaries, which it makes of the labels."""
    own_classes = True


@register_adapter(PointHead)
class PointAdapter(HeadAdapter):
    """PointRend: raw are the encoder's maps and the coarse scores."""
    refines = True

    def forward(self, feats, previous: Optional[Tensor] = None):
        return list(feats), previous

    def scores(self, raw) -> Tensor:
        return raw[1]

    def auxiliary(self, raw) -> List[Tensor]:
        return []

    def rest(self, raw) -> List[Tensor]:
        return list(self.head.parameters())

    def scorer(self, raw, test_cfg) -> Optional[Callable[..., Tensor]]:
        if raw[1].requires_grad:  # points are chosen where it predicts
            return None
        return lambda size: self.head.predict(
            *raw, [dict(img_shape=torch.Size(size))], test_cfg)

    def losses(self, raw, samples: list, train_cfg) -> Dict[str, Tensor]:
        return self.head.loss(*raw, samples, train_cfg)


class QueryAdapter(HeadAdapter):
    """Heads that classify masks: the dense score is semantic inference."""

    def scores(self, raw: QueryOut) -> Tensor:
        return self.head.dense_logits(raw)

    def auxiliary(self, raw: QueryOut) -> List[Tensor]:
        return []

    def rest(self, raw: QueryOut) -> List[Tensor]:
        return []

    def queries(self, raw: QueryOut) -> QueryOut:
        return raw

    def scorer(self, raw: QueryOut, test_cfg):
        """Pseudo-labels are decided at image size, as MaskFormer predicts.

        Losses of pixels stay at the stride of the masks: with gradient, all
        masks at image size would need much memory.
        """
        if not self.head.has_classes or raw.pixel_embed.requires_grad:
            return None
        return lambda size: self.head.dense_logits_at(raw, size)


def adapter_of(head: nn.Module) -> HeadAdapter:
    """The adapter of a head: its own, else its nearest ancestor's.

    Args:
        head (nn.Module): May bring a class ``semi_adapter``.

    Raises:
        TypeError: It has none.
    """
    own = getattr(type(head), 'semi_adapter', None)
    found = own or adapter_class(type(head))
    if found is None:
        raise TypeError(
            f'{type(head).__name__} does not score every pixel in a way that '
            'is known. Supported are the heads built on BaseDecodeHead, '
            'cascades of them, and heads with queries (MaskQueryHead). '
            'docs/add_a_head.md shows what another head must offer.')
    return found(head)


def taps_of(adapter: HeadAdapter) -> Dict[str, str]:
    """Where features are read in a head; what the head itself says wins."""
    return {**adapter.taps(), **getattr(adapter.head, 'feature_taps', {})}


def adapter_class(head: type) -> Optional[Type[HeadAdapter]]:
    """That of the nearest registered ancestor; None if there is none."""
    return next((_ADAPTERS[cls] for cls in head.__mro__ if cls in _ADAPTERS),
                None)


def decode_stages(net: nn.Module) -> List[Tuple[str, HeadAdapter]]:
    """Path and adapter of each decode head, in the order they run."""
    head = net.decode_head
    if not isinstance(head, nn.ModuleList):
        return [('decode_head', adapter_of(head))]
    return [(f'decode_head.{i}', adapter_of(stage))
            for i, stage in enumerate(head)]


def auxiliary_stages(net: nn.Module) -> List[Tuple[str, HeadAdapter]]:
    """Path and adapter of each auxiliary head."""
    head = net.auxiliary_head if net.with_auxiliary_head else []
    if not isinstance(head, (nn.ModuleList, list)):
        return [('auxiliary_head', adapter_of(head))]
    return [(f'auxiliary_head.{i}', adapter_of(stage))
            for i, stage in enumerate(head)]


def scoring_stage(net: nn.Module) -> Tuple[str, HeadAdapter]:
    """Path and adapter of the decode head whose scores are used."""
    return [stage for stage in decode_stages(net) if not stage[1].refines][-1]


def with_edges(samples: list) -> list:
    """Samples with ``gt_edge_map``, made where the pipeline made none."""
    if all('gt_edge_map' in sample for sample in samples):
        return samples
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples])
    result = []
    for sample, edges in zip(samples, label_edges(labels)):
        sample = sample.new()
        sample.gt_edge_map = PixelData(data=edges[None])
        result.append(sample)
    return result
