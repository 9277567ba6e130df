# Copyright (c) mmseg_semi authors.
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS


@MODELS.register_module()
class CeilPoolResNet(ResNet):
    """A ResNet whose max pooling rounds up, as Caffe's and DeepLabV2's.

    A crop of 512 becomes 65 x 65 at stride 8 instead of 64 x 64. With
    ``style='caffe'`` it is the network of the COCO weights that AdvSemiSeg,
    ClassMix and CMB start from; the keys are the same.

    Arguments are those of :class:`mmseg.models.backbones.ResNet`.
    """

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        self.maxpool.ceil_mode = True
