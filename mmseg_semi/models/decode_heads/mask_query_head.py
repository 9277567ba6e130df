# Copyright (c) mmseg_semi authors.
from typing import Dict, List, Optional, Sequence

import torch
from mmcv.cnn import Conv2d
from mmengine.model import BaseModule, caffe2_xavier_init
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...functional import class_scores, cross_entropy, full_precision, upcast
from ...functional.prototype_assignment import (ASSIGNMENTS,
                                                prototypes_per_class)
from ..head_adapters import QueryAdapter
from ..step import QueryOut
from .pixel_decoder import build_pixel_decoder
from .query_decoder import TransformerDecoder, decoder_layer, sine_encoding
from .set_criterion import SetCriterion

# The logarithm of the semantic inference stops here.
EPS = 1e-8
INITIAL_TARGETS = ('zeros', 'queries')


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


@MODELS.register_module()
class MaskQueryHead(BaseModule):
    """MaskFormer's head; without class head, the prototypes of PPS.

    It takes the arguments of MMSegmentation's ``MaskFormerHead`` and gives
    its parameters the same names, so that a MaskFormer config needs another
    ``type`` only and its checkpoints load; neither mmdet nor a compiled mmcv
    is needed.

    Without class head (PPS 3.3, 3.4), query k * n + j is prototype j of
    class k, the score of a prototype is the product of its mask embedding
    and the pixel's, and classes score as ``assign`` says.

    Args:
        in_channels (Sequence[int]): Of the maps that take part, from fine to
            coarse.
        num_classes (int): C.
        feat_channels (int): Width of the transformer. Defaults to 256.
        out_channels (int): D, width of the embeddings. Defaults to 256.
        num_queries (int): Q. Defaults to 100.
        pixel_decoder (dict): ``PixelDecoder``,
            ``TransformerEncoderPixelDecoder``, or any stock decode head that
            ends in one 1x1 classifier, which is cut off: its feature is the
            per-pixel embedding, ``channels`` must be ``out_channels``.
        enforce_decoder_input_project (bool): Project the memory even if it
            is as wide as the transformer. Defaults to False.
        transformer_decoder (dict, optional): Of
            :class:`~.query_decoder.TransformerDecoder`. None is MaskFormer's:
            six layers, eight heads, feed-forward 2048, dropout 0.1.
        positional_encoding (dict, optional): Of
            :func:`~.query_decoder.sine_encoding`. None is MaskFormer's.
        initial_target (str): What the decoder starts from: ``zeros``, as
            MaskFormer, so that all a query says comes from the image and
            the queries only choose where to look; or the ``queries``
            themselves, so that each has something to say of its own.
            Defaults to ``zeros``.
        class_head (bool): Queries say which class they segment. Defaults to
            True; False makes them prototypes of fixed classes.
        assign (str): Without class head, how scores of prototypes become
            scores of classes, see :func:`mmseg_semi.functional.class_scores`.
            Defaults to ``lse``.
        loss_cls, loss_mask, loss_dice, train_cfg (dict, optional): See
            :class:`~.set_criterion.SetCriterion`. None are MaskFormer's.
            Without class head the loss is a cross-entropy of class scores.
        in_index (Sequence[int], optional): The maps of the backbone that
            take part; None takes all. A stock pixel decoder counts among
            those.
        ignore_index (int): Label without a class. Defaults to 255.
        align_corners (bool): Of the resizing of masks for predictions and
            pixel-wise losses. MaskFormer's mask losses resize with False
            whatever this is, as those of ``MaskFormerHead`` do. Defaults to
            False.
    """

    semi_adapter = QueryAdapter
    # The per-pixel embedding, and the mask embeddings of the last layer.
    feature_taps = dict(
        decoder='pixel_embed:output',
        pre_cls='pixel_embed:output',
        pixel_embed='pixel_embed:output',
        queries='queries:output')

    @property
    def has_classes(self) -> bool:
        return self.cls_embed is not None

    def __init__(self,
                 in_channels: Sequence[int],
                 num_classes: int,
                 feat_channels: int = 256,
                 out_channels: int = 256,
                 num_queries: int = 100,
                 pixel_decoder: dict = dict(type='PixelDecoder'),
                 enforce_decoder_input_project: bool = False,
                 transformer_decoder: Optional[dict] = None,
                 positional_encoding: Optional[dict] = None,
                 initial_target: str = 'zeros',
                 class_head: bool = True,
                 assign: str = 'lse',
                 loss_cls: Optional[dict] = None,
                 loss_mask: Optional[dict] = None,
                 loss_dice: Optional[dict] = None,
                 train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None,
                 in_index: Optional[Sequence[int]] = None,
                 ignore_index: int = 255,
                 align_corners: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self._check(num_classes, num_queries, class_head, assign,
                    initial_target, in_channels, in_index)
        self.num_classes = self.out_channels = num_classes
        self.num_queries, self.in_index = num_queries, in_index
        self.assign, self.align_corners = assign, align_corners
        self.ignore_index, self.test_cfg = ignore_index, test_cfg
        width = feat_channels
        self.pixel_decoder = build_pixel_decoder(pixel_decoder, in_channels,
                                                 width, out_channels)
        self.transformer_decoder = TransformerDecoder(
            **(transformer_decoder
               or dict(num_layers=6, layer_cfg=decoder_layer(width))))
        if self.transformer_decoder.embed_dims != width:
            raise ValueError(
                'MaskQueryHead: the transformer decoder is '
                f'{self.transformer_decoder.embed_dims} wide, it must be as '
                f'wide as feat_channels={width}.')
        memory = self.pixel_decoder.memory_channels
        self.decoder_input_proj = nn.Identity()
        if memory != width or enforce_decoder_input_project:
            self.decoder_input_proj = Conv2d(memory, width, kernel_size=1)
        self.positional_encoding = dict(
            positional_encoding or dict(num_feats=width // 2, normalize=True))
        self.initial_target = initial_target
        self.query_embed = nn.Embedding(num_queries, width)
        self.cls_embed = nn.Linear(width, num_classes +
                                   1) if class_head else None
        self.mask_embed = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True),
            nn.Linear(width, width), nn.ReLU(inplace=True),
            nn.Linear(width, out_channels))
        self.criterion = SetCriterion(num_classes, loss_cls, loss_mask,
                                      loss_dice, train_cfg,
                                      ignore_index) if class_head else None
        # Where the taps `pixel_embed` and `queries` read.
        self.pixel_embed, self.queries = nn.Identity(), nn.Identity()

    @staticmethod
    def _check(num_classes: int, num_queries: int, class_head: bool,
               assign: str, initial_target: str, in_channels: Sequence[int],
               in_index: Optional[Sequence[int]]) -> None:
        for key, value, known in (('assign', assign, ASSIGNMENTS),
                                  ('initial_target', initial_target,
                                   INITIAL_TARGETS)):
            if value not in known:
                raise ValueError(f'MaskQueryHead: {key}={value!r} is unknown: '
                                 f'use one of {known}.')
        if not class_head:
            prototypes_per_class(num_queries, num_classes)
        if num_queries < 1:
            raise ValueError('MaskQueryHead needs at least one query, got '
                             f'num_queries={num_queries}.')
        if in_index is not None and len(in_index) != len(in_channels):
            raise ValueError(
                f'MaskQueryHead: in_index={list(in_index)} names '
                f'{len(in_index)} maps, in_channels={list(in_channels)} '
                f'{len(in_channels)}.')

    def init_weights(self) -> None:
        """As MaskFormer: Xavier in the decoders, the rest as torch does."""
        # First: what `init_cfg` loads shall stay.
        if isinstance(self.decoder_input_proj, nn.Conv2d):
            caffe2_xavier_init(self.decoder_input_proj, bias=0)
        super().init_weights()

    def forward(self, x: Sequence[Tensor]) -> QueryOut:
        """Everything the queries say, of all decoder layers.

        Args:
            x (Sequence[Tensor]): Maps of the backbone.

        Returns:
            QueryOut: See there.
        """
        if self.in_index is not None:
            x = [x[i] for i in self.in_index]
        pixels, memory = self.pixel_decoder(x)
        states = self.decode(memory)
        if self.cls_embed is None:  # nothing learns from the others
            states = states[-1:]
        embeds = [self.mask_embed(state) for state in states]
        embeds[-1] = self.queries(embeds[-1])
        classes = []
        if self.cls_embed is not None:
            classes = [self.cls_embed(state) for state in states]
        return QueryOut(classes, embeds, self.pixel_embed(pixels))

    def decode(self, memory: Tensor) -> List[Tensor]:
        """Memory (B, M, h, w) -> states (B, Q, feat_channels) per layer."""
        memory = self.decoder_input_proj(memory)
        position = sine_encoding(
            *memory.shape[-2:],
            device=memory.device,
            **self.positional_encoding)
        memory = memory.flatten(2).transpose(1, 2)
        query_pos = self.query_embed.weight.expand(len(memory), -1, -1)
        target = query_pos
        if self.initial_target == 'zeros':
            target = torch.zeros_like(query_pos)
        return self.transformer_decoder(
            target, query_pos, memory,
            position.flatten(1).T.expand(len(memory), -1, -1))

    def dense_logits(self, queries: QueryOut) -> Tensor:
        """Scores (B, C, h, w) fp32 whose softmax are class probabilities.

        With class head, the softmax is the semantic inference divided by its
        sum over the classes.
        """
        masks = queries.mask_logits()
        if self.cls_embed is None:
            return class_scores(masks, self.num_classes, self.assign)
        return (semantic_inference(masks, queries.class_logits[-1]) +
                EPS).log()

    def dense_logits_at(self, queries: QueryOut,
                        size: Sequence[int]) -> Tensor:
        """:meth:`dense_logits` of a class head at image size, (B, C, H, W).

        For pseudo-labels. Masks are enlarged first, as MaskFormer predicts,
        image by image: those of a batch would need much memory.
        """
        return torch.cat([
            (semantic_inference(
                resize(
                    masks,
                    size=tuple(size),
                    mode='bilinear',
                    align_corners=self.align_corners), classes) + EPS).log()
            for masks, classes in zip(queries.mask_logits().split(1),
                                      queries.class_logits[-1].split(1))
        ])

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
            dict[str, Tensor]: See :class:`~.set_criterion.SetCriterion`;
            ``loss_ce`` without class head.
        """
        labels = torch.stack([
            sample.gt_sem_seg.data.squeeze(0) for sample in batch_data_samples
        ]).long()
        if self.criterion is not None:
            return self.criterion(queries, labels)
        logits = resize(
            self.dense_logits(queries),
            size=labels.shape[-2:],
            mode='bilinear',
            align_corners=self.align_corners)
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
        if self.cls_embed is None:
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
