# Copyright (c) mmseg_semi authors.
from typing import List, Optional, Sequence, Union

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...functional import prototype_logits, prototype_similarity
from ...functional.sampling import row_features
from ..state import register_state
from .initial_weights import DrawnWeights

PIXELS = 16384  # compared at once: 32 MiB of features of 512 channels


def conv_projector(in_channels: int, channels: int, dropout: float,
                   norm_cfg: Optional[dict]) -> nn.Sequential:
    """Two Conv3x3-BN-ReLU-Dropout2d blocks and a 1x1 (BRPG 4.1.3)."""
    blocks = []
    for i in range(2):
        blocks += [
            ConvModule(
                in_channels if i == 0 else channels,
                channels,
                3,
                padding=1,
                bias=True,
                norm_cfg=norm_cfg),
            nn.Dropout2d(dropout)
        ]
    return nn.Sequential(*blocks, nn.Conv2d(channels, channels, 1))


def linear_projector(in_channels: int, channels: int, dropout: float,
                     norm_cfg: Optional[dict]) -> nn.Module:
    """Linear-Dropout-Linear per pixel (BRPG's SegFormer variant)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 1), nn.Dropout2d(dropout),
        nn.Conv2d(channels, channels, 1))


PROJECTORS = dict(conv=conv_projector, linear=linear_projector)


@MODELS.register_module()
class PrototypeHead(DrawnWeights, BaseDecodeHead):
    """Classify a pixel by its most similar class prototype (PCR Eq. 2).

    The score of class c is the largest cosine similarity between the pixel's
    feature and the K prototypes of c, divided by a temperature. Prototypes
    are buffers; terms such as BRPG fill and move them. As a term's head it
    reads a tapped feature map; as the ``decode_head`` of a stock segmentor it
    reads the backbone's, and either way it can predict once prototypes are
    set. A class without prototypes is never predicted.

    Args:
        channels (int): D, width of the features.
        num_prototypes (int): K, prototypes held per class (the most any
            class may have).
        projector (str, optional): ``conv`` (BRPG's feature head),
            ``linear`` (its SegFormer variant) or None for the incoming
            features as they are (PCR; then ``in_channels`` must equal
            ``channels``). Defaults to ``conv``.
        tap (str): The feature tap it reads as a term's head. Defaults to
            ``decoder``.
        temperature (float): T in Eq. 2. Defaults to 0.1.
        linear (bool): Keep a linear classifier ``conv_seg`` on the features,
            to pretrain them before there are prototypes (BRPG Table 9, I).
            Defaults to False.
        full_resolution (bool): Predict, and label, by features that were
            interpolated to the size of the image before they are normalised
            and compared, as PCR does. False compares the features at their
            own stride and resizes the scores, which is faster. Defaults to
            False.
        average (bool): A mean teacher averages the prototypes as it does
            parameters. Defaults to False: it copies them.
        init (str): The law of the initial weights of the projector, see
            :class:`~.initial_weights.DrawnWeights`. Defaults to ``torch``.
    """

    def __init__(self,
                 channels: int,
                 num_prototypes: int,
                 projector: Optional[str] = 'conv',
                 tap: str = 'decoder',
                 temperature: float = .1,
                 linear: bool = False,
                 full_resolution: bool = False,
                 average: bool = False,
                 dropout_ratio: float = .1,
                 **kwargs) -> None:
        if not linear:  # there will be no classifier to draw
            kwargs.setdefault('init_cfg', None)
        super().__init__(
            channels=channels, dropout_ratio=dropout_ratio, **kwargs)
        if projector is None and self.in_channels != channels:
            raise ValueError(
                'PrototypeHead without a projector uses its input as the '
                f'feature: in_channels={self.in_channels} must equal '
                f'channels={channels}.')
        if temperature <= 0:
            raise ValueError(f'temperature={temperature} divides the '
                             'similarities and must be above 0.')
        if projector is not None and projector not in PROJECTORS:
            raise ValueError(f'projector {projector!r} is unknown: use one '
                             f'of {sorted(PROJECTORS)} or None.')
        if not linear:
            del self.conv_seg
        self.dropout = None
        self._ready = False
        self.tap, self.temperature = tap, temperature
        self.full_resolution = full_resolution
        self.projector = nn.Identity(
        ) if projector is None else PROJECTORS[projector](
            self.in_channels, channels, dropout_ratio, self.norm_cfg)
        size = (self.num_classes, num_prototypes)
        prototypes = torch.zeros(*size, channels)
        if average:
            prototypes = nn.Parameter(prototypes, requires_grad=False)
        register_state(self, 'prototypes', prototypes, over_ranks='sum')
        register_state(
            self,
            'prototype_valid',
            torch.zeros(size, dtype=torch.bool),
            over_ranks='same')

    def features(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> un-normalised features (B, D, h, w).

        Raises:
            ValueError: The map has another number of channels.
        """
        if inputs.shape[1] != self.in_channels:
            raise ValueError(
                f'The feature tapped as {self.tap!r} has {inputs.shape[1]} '
                f'channels, PrototypeHead has in_channels={self.in_channels}: '
                f'set head.in_channels={inputs.shape[1]}, or another '
                'head.tap.')
        return self.projector(inputs)

    def set_prototypes(self, prototypes: Tensor, valid: Tensor) -> None:
        """Replace all prototypes, (C, K, D) and (C, K) bool."""
        self.prototypes.copy_(prototypes)
        self.prototype_valid.copy_(valid)

    def similarity(self, features: Tensor) -> Tensor:
        """Cosine similarity (N, D) -> (N, C, K), -inf where no prototype."""
        return prototype_similarity(features, self.prototypes,
                                    self.prototype_valid)

    def forward(self, inputs: Union[Tensor, Sequence[Tensor]]) -> Tensor:
        """Class logits (B, C, h, w) of the incoming map."""
        if not isinstance(inputs, Tensor):
            inputs = self._transform_inputs(inputs)
        return self.classify(self.features(inputs))

    def predict(self, inputs: Union[Tensor, Sequence[Tensor]],
                batch_img_metas: List[dict], test_cfg: dict) -> Tensor:
        """Class logits (B, C, H, W) at the size of the image."""
        if not self.full_resolution:
            return super().predict(inputs, batch_img_metas, test_cfg)
        if not isinstance(inputs, Tensor):
            inputs = self._transform_inputs(inputs)
        # The stock head knows which of the sizes in the meta it is.
        pixels = super().predict_by_feat(inputs[:1, :1], batch_img_metas)
        return self.classify_at(self.features(inputs), pixels.shape[-2:])

    def classify_at(self, features: Tensor, size: Sequence[int]) -> Tensor:
        """Class logits (B, C, H, W) of :meth:`features` at an image's size.

        Some rows of the image after the other, so that the upsampled
        features are never there as a whole.
        """
        size, stripes = tuple(size), []
        rows = torch.arange(size[0], device=features.device)
        for part in rows.split(max(1, PIXELS // (size[1] * len(features)))):
            stripes.append(
                self.classify(
                    row_features(features, part, size, self.align_corners)))
        return torch.cat(stripes, dim=2)

    def classify(self, features: Tensor) -> Tensor:
        """Class logits (B, C, h, w) of :meth:`features`.

        Raises:
            RuntimeError: No prototype has been set yet.
        """
        # Looked at until there are some, not once per step.
        self._ready = self._ready or bool(self.prototype_valid.any())
        if not self._ready:
            raise RuntimeError(
                'PrototypeHead holds no prototypes yet: train past the '
                'clustering, load a checkpoint that has them, or predict '
                'with the decode head (predict_head=None). As label_head it '
                'needs them one iteration before burn_in ends.')
        batch, dim, height, width = features.shape
        rows = features.permute(0, 2, 3, 1).reshape(-1, dim)
        logits = prototype_logits(self.similarity(rows), self.temperature)
        # A class without prototypes: below every score, but finite, because
        # resizing -inf gives NaN, which argmax would prefer.
        logits = logits.clamp_min(-100 / self.temperature)
        return logits.view(batch, height, width, -1).permute(0, 3, 1, 2)
