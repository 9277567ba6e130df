# Copyright (c) mmseg_semi authors.
from typing import Optional

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class RepresentationHead(BaseModule):
    """U2PL's representation head, beside the classifier; predicts nothing.

    Two blocks of 3x3 convolution, BatchNorm, ReLU (the authors' code also
    has channel dropout), and the 1x1 projection that their code appends. The
    weights keep torch's default initialisation, as there.

    Args:
        in_channels (int): Of the tapped feature map, 512 in the published
            decoder.
        num_classes (int): Accepted like every head's.
        channels (int): D, width of the representation. Defaults to 256.
        tap (str): The feature tap it reads. Defaults to ``decoder``.
        dropout_ratio (float): Of the channels. Defaults to 0.1.
        norm_cfg (dict, optional): None leaves the normalisation out.
        align_corners (bool): Accepted like every head's; nothing is resized.
    """

    def __init__(self,
                 in_channels: int,
                 num_classes: int,
                 channels: int = 256,
                 tap: str = 'decoder',
                 dropout_ratio: float = .1,
                 norm_cfg: Optional[dict] = dict(type='BN'),
                 align_corners: bool = False,
                 init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.tap = in_channels, tap
        layers = []
        for width in (in_channels, channels):
            layers.append(nn.Conv2d(width, channels, 3, padding=1))
            if norm_cfg is not None:
                layers.append(build_norm_layer(norm_cfg, channels)[1])
            layers += [nn.ReLU(inplace=True), nn.Dropout2d(dropout_ratio)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, channels, 1))

    def features(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> representations (B, D, h, w).

        Raises:
            ValueError: The map has another number of channels.
        """
        if inputs.shape[1] != self.in_channels:
            raise ValueError(
                f'The feature tapped as {self.tap!r} has {inputs.shape[1]} '
                'channels, RepresentationHead has '
                f'in_channels={self.in_channels}: set '
                f'head.in_channels={inputs.shape[1]}, or another head.tap.')
        return self.layers(inputs)
