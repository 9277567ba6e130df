# Copyright (c) mmseg_semi authors.
"""The laws by which published decoders draw their first weights."""
import math
from typing import Tuple

from mmcv.cnn import ConvModule
from torch import nn

INITS = ('torch', 'kaiming_fan_in', 'kaiming_fan_out', 'normal')
NORMAL_STD = .01
WEIGHTED = (nn.Conv2d, nn.Linear)


def check_init(init: str) -> None:
    """Raise ``ValueError`` unless ``init`` names a law."""
    if init not in INITS:
        raise ValueError(f'init={init!r} is no law of initial weights: use '
                         f'one of {INITS}.')


def fans(layer: nn.Module) -> Tuple[int, int]:
    """Inputs that one output is made of, and outputs that one input reaches.

    Args:
        layer (nn.Module): A convolution or a linear layer.

    Returns:
        tuple[int]: fan_in and fan_out, as PyTorch counts: the strides and
        groups of a convolution do not matter.
    """
    outputs, inputs, *kernel = layer.weight.shape
    return inputs * math.prod(kernel), outputs * math.prod(kernel)


def law_std(layer: nn.Module, init: str) -> Tuple[float, float]:
    """Standard deviations that a law gives a layer.

    Args:
        layer (nn.Module): A convolution or a linear layer.
        init (str): One of ``INITS``.

    Returns:
        tuple[float]: Of the weights and of the bias.
    """
    check_init(init)
    fan_in, fan_out = fans(layer)
    uniform = (3 * fan_in)**-.5
    return {
        'torch': (uniform, uniform),
        'kaiming_fan_in': ((2 / fan_in)**.5, uniform),
        'kaiming_fan_out': ((2 / fan_out)**.5, 0.),
        'normal': (NORMAL_STD, uniform),
    }[init]


def draw_weights(module: nn.Module, init: str) -> None:
    """Draw all convolutions and linear layers inside a module anew.

    Norms are left alone: they are built with weight 1 and bias 0.

    Args:
        module (nn.Module): Changed in place.
        init (str): One of ``INITS``, see :class:`DrawnWeights`.
    """
    check_init(init)
    for layer in module.modules():
        if isinstance(layer, ConvModule):
            layer.is_init = True  # or BaseModule would draw it once more
        elif isinstance(layer, WEIGHTED):
            layer.reset_parameters()  # the law `torch`
            if init == 'normal':
                nn.init.normal_(layer.weight, std=NORMAL_STD)
            elif init != 'torch':
                nn.init.kaiming_normal_(
                    layer.weight,
                    mode=init.removeprefix('kaiming_'),
                    nonlinearity='relu')
            if init == 'kaiming_fan_out' and layer.bias is not None:
                nn.init.zeros_(layer.bias)


class DrawnWeights:
    """A head whose layers start by a law; the first of its base classes.

    ``init_weights`` draws the layers, then does what ``init_cfg`` says, so
    that pretrained weights stay.

    Args:
        init (str): The law of convolutions and linear layers, fan_in being
            the inputs of one output and fan_out the outputs of one input:

            - ``torch``: what PyTorch builds layers with, weights and biases
              uniform within 1 / sqrt(fan_in) (the code of U2PL, PCR, BRPG
              and UniMatch);
            - ``kaiming_fan_in``: weights from N(0, 2 / fan_in), biases as
              PyTorch's (the code of CPS);
            - ``kaiming_fan_out``: weights from N(0, 2 / fan_out), biases 0,
              and a classifier ``conv_seg`` from N(0, 0.0001) (what mmcv and
              MMSegmentation do);
            - ``normal``: weights from N(0, 0.0001), biases as PyTorch's (the
              code of CMB).

            BatchNorms have weight 1 and bias 0. Defaults to ``torch``.
        init_cfg (dict, optional): As in :class:`BaseModule`; comes after the
            law.

    Raises:
        ValueError: The law is unknown.
    """

    def __init__(self, *args, init: str = 'torch', **kwargs) -> None:
        check_init(init)
        if init != 'kaiming_fan_out':
            # BaseDecodeHead's default would draw `conv_seg`.
            kwargs.setdefault('init_cfg', None)
        super().__init__(*args, **kwargs)
        self.init = init

    def init_weights(self) -> None:
        """Draw by the law, then follow ``init_cfg``; once only."""
        if not self.is_init:
            draw_weights(self, self.init)
        super().init_weights()
