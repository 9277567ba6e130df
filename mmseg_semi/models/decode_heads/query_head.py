# Copyright (c) mmseg_semi authors.
"""What a decode head with queries offers to the methods."""
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from ...functional import class_scores, cross_entropy, full_precision, upcast
from ...functional.prototype_assignment import (ASSIGNMENTS,
                                                prototypes_per_class)
from ..head_adapters import QueryAdapter
from ..step import QueryOut

# The logarithm of the semantic inference stops here.
EPS = 1e-8


@full_precision
def semantic_inference(mask_logits: Tensor, class_logits: Tensor) -> Tensor:
    """S_c = sum over q of softmax(class_q)_c * sigmoid(mask_q) (MaskFormer).

    Args:
        mask_logits (Tensor): (B, Q, h, w).
        class_logits (Tensor): (B, Q, C + 1), "no object" last; it is left
            out of the result.

    Returns:
        Tensor: (B, C, h, w), at least 0, fp32.
    """
    classes = upcast(class_logits).softmax(-1)[..., :-1]
    return torch.einsum('bqc,bqhw->bchw', classes,
                        upcast(mask_logits).sigmoid())


class QueryHead(BaseModule):
    """Base of all heads with queries: the contract of RC2L and PPS.

    Q queries each give a mask, by the product of their embedding with that
    of every pixel. With class head (RC2L) they also say which class they
    segment; without one (PPS 3.3, 3.4) query k * n + j is prototype j of
    class k, and classes score as ``assign`` says.

    A subclass writes :meth:`forward` and :meth:`shared_parts`, calls
    :meth:`add_outputs` in its constructor, or sets what that sets, and gives
    ``criterion``, a module that maps a :class:`QueryOut` and labels
    (B, H, W) to a dict of losses. All else is here.

    ===================  ==================================================
    offered              read by
    ===================  ==================================================
    ``forward``          every pass over images
    ``dense_logits``     pixel-wise losses, pseudo-labels
    ``dense_logits_at``  pseudo-labels of a class head
    ``has_classes``      RC2L wants classes, PPS wants none
    ``num_queries``      PPS: a multiple of the classes
    ``shared_parts``     PPS, whose two networks must have them in common
    ``feature_taps``     BRPG, PCR, CMB (``decoder``, ``pre_cls``), PPS
                         (``pixel_embed``), reports (``queries``)
    ``loss_by_feat``     the supervised loss of the model's own config
    ``predict``          stock tools
    ===================  ==================================================

    Args:
        num_classes (int): C.
        num_queries (int): Q, at least 1.
        class_head (bool): Queries say which class they segment; False makes
            them prototypes, Q being a multiple of C.
        assign (str): Without class head, how scores of prototypes become
            scores of classes, see :func:`mmseg_semi.functional.class_scores`.
        ignore_index (int): Label without a class.
        align_corners (bool): Of the resizing of masks and scores.

    Attributes:
        has_classes (bool): Queries say which class they segment.
        criterion (nn.Module, optional): Of a class head.
    """
    semi_adapter = QueryAdapter

    def __init__(self,
                 num_classes: int,
                 num_queries: int,
                 class_head: bool = True,
                 assign: str = 'lse',
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        if assign not in ASSIGNMENTS:
            raise ValueError(f'{name}: assign={assign!r} is unknown: use one '
                             f'of {ASSIGNMENTS}.')
        if num_queries < 1:
            raise ValueError(f'{name} needs at least one query, got '
                             f'num_queries={num_queries}.')
        if not class_head:
            prototypes_per_class(num_queries, num_classes)
        self.num_classes = self.out_channels = num_classes
        self.num_queries, self.has_classes = num_queries, class_head
        self.assign, self.align_corners = assign, align_corners
        self.ignore_index = ignore_index
        self.criterion: Optional[nn.Module] = None

    # ------------------------------------------------ what a subclass writes

    def forward(self, x: Sequence[Tensor]) -> QueryOut:
        """Everything the queries say.

        Args:
            x (Sequence[Tensor]): Maps of the backbone, (B, C_i, h_i, w_i).

        Returns:
            QueryOut: ``class_logits`` (B, Q, C + 1) and ``mask_embed``
            (B, Q, D) of every layer that learns, the last one last, and
            ``pixel_embed`` (B, D, h, w). Without class head
            ``class_logits`` is empty and ``mask_embed`` has the last layer
            alone.
        """
        raise NotImplementedError

    def shared_parts(self) -> Tuple[str, ...]:
        """Modules that turn the query embeddings into mask embeddings.

        By name, relative to the head. Two networks that have them in common
        mean the same by query q.
        """
        raise NotImplementedError

    # ------------------------------------------------------ outputs of heads

    @property
    def feature_taps(self) -> Dict[str, str]:
        """Features by logical name, ``module:input|output`` in the head.

        ``pixel_embed`` (B, D, h, w) is the per-pixel embedding, which is
        also what classifies (``decoder``, ``pre_cls``); ``queries``
        (B, Q, D) are the mask embeddings of the last layer.
        """
        pixels = 'pixel_embed:output'
        return dict(
            decoder=pixels,
            pre_cls=pixels,
            pixel_embed=pixels,
            queries='queries:output')

    def add_outputs(self, width: int, channels: int) -> None:
        """Build what makes classes and masks of the queries' states.

        Args:
            width (int): Of the states.
            channels (int): D, width of the embeddings.
        """
        self.cls_embed = nn.Linear(width, self.num_classes +
                                   1) if self.has_classes else None
        self.mask_embed = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True),
            nn.Linear(width, width), nn.ReLU(inplace=True),
            nn.Linear(width, channels))
        # Where the taps `pixel_embed` and `queries` read.
        self.pixel_embed, self.queries = nn.Identity(), nn.Identity()

    def answer(self, states: Sequence[Tensor], embeds: Sequence[Tensor],
               pixels: Tensor) -> QueryOut:
        """Put together what :meth:`forward` returns.

        Args:
            states (Sequence[Tensor]): (B, Q, width) per layer.
            embeds (Sequence[Tensor]): Their mask embeddings (B, Q, D).
            pixels (Tensor): Per-pixel embedding (B, D, h, w).
        """
        classes = []
        if self.cls_embed is not None:
            classes = [self.cls_embed(state) for state in states]
        embeds = list(embeds)
        embeds[-1] = self.queries(embeds[-1])
        return QueryOut(classes, embeds, self.pixel_embed(pixels))

    # ---------------------------------------------------------- dense scores

    def dense_logits(self, queries: QueryOut) -> Tensor:
        """Scores (B, C, h, w) fp32 whose softmax are class probabilities.

        With class head, the softmax is the semantic inference divided by its
        sum over the classes.
        """
        masks = queries.mask_logits()
        if not self.has_classes:
            return class_scores(masks, self.num_classes, self.assign)
        return (semantic_inference(masks, queries.class_logits[-1]) +
                EPS).log()

    def dense_logits_at(self, queries: QueryOut,
                        size: Sequence[int]) -> Tensor:
        """:meth:`dense_logits` at image size, (B, C, H, W) fp32.

        Masks of a class head are enlarged first, as MaskFormer predicts,
        image by image: those of a batch would need much memory. Scores of
        prototypes are enlarged as those of dense heads are.

        Args:
            queries (QueryOut): Of these images.
            size (Sequence[int]): (H, W).
        """
        if not self.has_classes:
            return self._resized(self.dense_logits(queries), size)
        return torch.cat([
            (semantic_inference(self._resized(masks, size), classes) +
             EPS).log()
            for masks, classes in zip(queries.mask_logits().split(1),
                                      queries.class_logits[-1].split(1))
        ])

    def _resized(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        return resize(
            maps,
            size=tuple(size),
            mode='bilinear',
            align_corners=self.align_corners)

    # ------------------------------------------ interface of a decode head

    def loss(self,
             x: Sequence[Tensor],
             batch_data_samples: list,
             train_cfg: Optional[dict] = None) -> Dict[str, Tensor]:
        """The stock interface of a decode head."""
        return self.loss_by_feat(self(x), batch_data_samples)

    def loss_by_feat(self, queries: QueryOut,
                     batch_data_samples: list) -> Dict[str, Tensor]:
        """The head's own losses.

        Args:
            queries (QueryOut): Of these images.
            batch_data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: Those of the criterion; ``loss_ce``, the
            cross-entropy of class scores at image size, without class head.
        """
        labels = torch.stack([
            sample.gt_sem_seg.data.squeeze(0) for sample in batch_data_samples
        ]).long()
        if self.criterion is not None:
            return self.criterion(queries, labels)
        logits = self._resized(self.dense_logits(queries), labels.shape[-2:])
        return dict(
            loss_ce=cross_entropy(
                logits, labels, ignore_index=self.ignore_index))

    def predict(self,
                x: Sequence[Tensor],
                batch_img_metas: List[dict],
                test_cfg: Optional[dict] = None) -> Tensor:
        """The stock interface of a decode head."""
        return self.predict_by_feat(self(x), batch_img_metas)

    def predict_by_feat(self, queries: QueryOut,
                        batch_img_metas: List[dict]) -> Tensor:
        """Scores at image size.

        Args:
            queries (QueryOut): Of these images.
            batch_img_metas (list[dict]): As the stock tools give them.

        Returns:
            Tensor: (B, C, H, W): MaskFormer's semantic inference, masks
            enlarged first; class scores without class head.
        """
        if not self.has_classes:
            return self._enlarge(self.dense_logits(queries), batch_img_metas)
        # Image by image: the masks at image size are large.
        return torch.cat([
            semantic_inference(self._enlarge(masks, batch_img_metas), classes)
            for masks, classes in zip(queries.mask_logits().split(1),
                                      queries.class_logits[-1].split(1))
        ])

    def _enlarge(self, maps: Tensor, metas: List[dict]) -> Tensor:
        """As stock heads do, whole image, padded image and crop alike."""
        return BaseDecodeHead.predict_by_feat(self, maps, metas)
