# Copyright (c) mmseg_semi authors.
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

MIDDLE_BLOCKS = 16
FIDELITIES = ('paper', 'official')


class XceptionBlock(nn.Module):
    """Three pre-activated separable convolutions and a shortcut.

    Args:
        in_channels (int): Channels of the input.
        channels (tuple[int, int, int]): Channels of the three convolutions.
        stride (int): Of the third convolution and of the shortcut.
        dilation (int): Of all three convolutions.
        norm_cfg (dict): The norms.
        rectify_identity (bool): Whether an identity shortcut carries ReLU(x)
            instead of x. A shortcut is the identity where the block changes
            neither channels nor size, and 1 x 1 convolution and norm
            otherwise.
    """

    def __init__(self, in_channels: int, channels: tuple[int, int, int],
                 stride: int, dilation: int, norm_cfg: dict,
                 rectify_identity: bool) -> None:
        super().__init__()
        one, two, three = channels
        options = dict(dilation=dilation, norm_cfg=norm_cfg, act_cfg=None)
        self.conv1 = separable_conv(in_channels, one, **options)
        self.conv2 = separable_conv(one, two, **options)
        self.conv3 = separable_conv(two, three, stride=stride, **options)
        if in_channels != three or stride != 1:
            self.shortcut = ConvModule(
                in_channels,
                three,
                1,
                stride=stride,
                norm_cfg=norm_cfg,
                act_cfg=None)
        else:
            self.shortcut = nn.ReLU() if rectify_identity else nn.Identity()

    def inner(self, x: Tensor) -> Tensor:
        """The second convolution's output, normalised, before its ReLU."""
        return self.conv2(F.relu(self.conv1(F.relu(x))))

    def finish(self, x: Tensor, inner: Tensor) -> Tensor:
        """The block's output from its input and :meth:`inner` of it."""
        return self.conv3(F.relu(inner)) + self.shortcut(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels[2], H', W')."""
        return self.finish(x, self.inner(x))


def separable_conv(in_channels: int, out_channels: int, dilation: int,
                   **kwargs) -> DepthwiseSeparableConvModule:
    """A 3 x 3 separable convolution that keeps the size at stride 1."""
    return DepthwiseSeparableConvModule(
        in_channels,
        out_channels,
        3,
        padding=dilation,
        dilation=dilation,
        **kwargs)


@MODELS.register_module()
class Xception65(BaseModule):
    """Aligned Xception-65 of DeepLabV3+ (Chen et al., ECCV 2018, Fig. 4).

    Entry flow of two convolutions and three blocks, middle flow of 16 blocks,
    exit flow of one block and three separable convolutions; every pooling is
    a separable convolution with a stride, every depthwise convolution has a
    norm. 37.8 million parameters.

    The network exists in two forms, with the same weights. ``paper`` is the
    DeepLab authors' own. ``official`` is the PyTorch port that UniMatch and
    BRPG ran on COCO; it differs twice. Its last three convolutions have the
    dilation of the middle flow instead of twice that. And the shortcuts of
    the middle flow carry ReLU(x), since the port's first ReLU works in place.
    The ImageNet weights were trained without either. A third difference is
    the constant of the norms, 1e-3 and 1e-5: give it in ``norm_cfg``.

    Args:
        output_stride (int): 8 or 16; what would be strided further is
            dilated. Defaults to 16.
        base_channels (int): Channels of the first convolution, a multiple of
            4; all others are in proportion. Defaults to 32, and all numbers
            here are for that.
        norm_cfg (dict): The norms. Defaults to BatchNorm as DeepLab trains
            it, with momentum 3e-4 and constant 1e-3.
        fidelity (str): ``paper`` or ``official``. Defaults to ``paper``.
        init_cfg (dict, optional): Initial weights. Defaults to None: Kaiming,
            normal, by fan-out.

    Raises:
        ValueError: If ``output_stride``, ``base_channels`` or ``fidelity`` is
            another one.
    """

    def __init__(self,
                 output_stride: int = 16,
                 base_channels: int = 32,
                 norm_cfg: dict = dict(type='BN', momentum=3e-4, eps=1e-3),
                 fidelity: str = 'paper',
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if output_stride not in (8, 16):
            raise ValueError(f'Xception65: output_stride={output_stride} must '
                             'be 8 or 16.')
        if base_channels < 4 or base_channels % 4:
            raise ValueError(f'Xception65: base_channels={base_channels} must '
                             'be a multiple of 4.')
        if fidelity not in FIDELITIES:
            raise ValueError(f'Xception65: fidelity={fidelity!r} must be one '
                             f'of {FIDELITIES}.')
        official = fidelity == 'official'
        dilation = 16 // output_stride
        last = dilation if official else 2 * dilation
        options = dict(norm_cfg=norm_cfg, rectify_identity=official)
        width, out1, out2, out3, out4, out5, out6 = (
            base_channels * channels // 32
            for channels in (64, 128, 256, 728, 1024, 1536, 2048))
        self.stem = nn.Sequential(
            ConvModule(
                3, base_channels, 3, stride=2, padding=1, norm_cfg=norm_cfg),
            ConvModule(base_channels, width, 3, padding=1, norm_cfg=norm_cfg))
        self.entry1 = XceptionBlock(width, (out1, ) * 3, 2, 1, **options)
        self.entry2 = XceptionBlock(out1, (out2, ) * 3, 2, 1, **options)
        self.entry3 = XceptionBlock(out2, (out3, ) * 3, output_stride // 8, 1,
                                    **options)
        self.middle = nn.Sequential(*(XceptionBlock(out3, (out3, ) *
                                                    3, 1, dilation, **options)
                                      for _ in range(MIDDLE_BLOCKS)))
        self.exit_block = XceptionBlock(out3, (out3, out4, out4), 1, dilation,
                                        **options)
        self.exit_convs = nn.Sequential(
            *(separable_conv(before, after, last, norm_cfg=norm_cfg)
              for before, after in ((out4, out5), (out5, out5), (out5, out6))))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Four maps of a batch of images.

        A side of ``n`` pixels has ``ceil(n / stride)`` elements in a map.

        Args:
            images (Tensor): (B, 3, H, W).

        Returns:
            tuple[Tensor]: The low-level map of DeepLabV3+, 256 channels at
            stride 4, which is the second convolution of the second block
            before its ReLU; that block's output, 256 channels at stride 8;
            the middle flow's, 728 channels, and the last, 2048 channels, at
            the output stride.
        """
        x = self.entry1(self.stem(images))
        low = self.entry2.inner(x)
        entry = self.entry2.finish(x, low)
        middle = self.middle(self.entry3(entry))
        return low, entry, middle, self.exit_convs(self.exit_block(middle))
