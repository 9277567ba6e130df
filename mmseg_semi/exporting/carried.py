# Copyright (c) mmseg_semi authors.
"""Modules that exported models bring along and trainings do not have."""
from typing import Optional, Sequence

from mmengine.model import BaseModule
from mmseg.models import CascadeEncoderDecoder, EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..models.segmentors.sliding import slide_inference
from ..models.taps import TapRecorder


@MODELS.register_module()
class WindowedEncoderDecoder(EncoderDecoder):
    """An ``EncoderDecoder`` with more ways to lay and to average windows."""
    slide_inference = slide_inference


@MODELS.register_module()
class WindowedCascadeEncoderDecoder(CascadeEncoderDecoder):
    """The same of a cascade."""
    slide_inference = slide_inference


@MODELS.register_module()
class TappedPrototypeHead(BaseModule):
    """A decode head whose inner feature is classified by prototypes.

    Args:
        head (dict): The decode head.
        prototypes (dict): A ``PrototypeHead``.
        tap (str): Where the feature is read in the decode head, as
            ``module:input`` or ``module:output``.
    """

    def __init__(self,
                 head: dict,
                 prototypes: dict,
                 tap: str,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.decode_head = MODELS.build(head)
        self.prototypes = MODELS.build(prototypes)
        self.num_classes = self.out_channels = self.prototypes.num_classes
        self.align_corners = self.decode_head.align_corners
        holder = nn.Module()  # for paths as in a segmentor
        holder.decode_head = self.decode_head
        self.tap = f'decode_head.{tap}'
        self.taps = TapRecorder(holder, [self.tap])

    def features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the backbone -> what the prototypes classify."""
        with self.taps.capture([self.tap], grad=False) as tapped:
            self.decode_head(inputs)
        return tapped[self.tap]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class logits (B, C, h, w)."""
        return self.prototypes(self.features(inputs))

    def predict(self,
                inputs: Sequence[Tensor],
                batch_img_metas: list,
                test_cfg: Optional[dict] = None) -> Tensor:
        """Class logits (B, C, H, W) at the size of the image."""
        return self.prototypes.predict(
            self.features(inputs), batch_img_metas, test_cfg)
