# Copyright (c) mmseg_semi authors.
"""The PyTorch port's Xception-65, layer by layer, from its published names.

A slow statement to compare with: one table of all layers, and the forward of
the port and of DeepLab's own network as plain functions of a weight file.
"""
import torch
from torch.nn import functional as F

SIZES = dict(
    block1=(64, 128, 128, 128),
    block2=(128, 256, 256, 256),
    block3=(256, 728, 728, 728),
    **{f'block{i}': (728, 728, 728, 728)
       for i in range(4, 20)},
    block20=(728, 728, 1024, 1024))
SKIPS = ('block1', 'block2', 'block3', 'block20')
LAST = dict(conv3=(1024, 1536), conv4=(1536, 1536), conv5=(1536, 2048))


def _norm(name, width):
    return {
        f'{name}.{kind}': (width, )
        for kind in ('weight', 'bias', 'running_mean', 'running_var')
    }


def _separable(name, before, after):
    return {
        f'{name}.depthwise.weight': (before, 1, 3, 3),
        **_norm(f'{name}.bn1', before), f'{name}.pointwise.weight':
        (after, before, 1, 1),
        **_norm(f'{name}.bn2', after)
    }


def port_shapes():
    """Shape of every weight under its published name."""
    shapes = {
        'conv1.weight': (32, 3, 3, 3),
        **_norm('bn1', 32), 'conv2.weight': (64, 32, 3, 3),
        **_norm('bn2', 64)
    }
    for name, sizes in SIZES.items():
        for i in (1, 2, 3):
            shapes.update(
                _separable(f'{name}.sepconv{i}', *sizes[i - 1:i + 1]))
        if name in SKIPS:
            shapes[f'{name}.skip.weight'] = (sizes[3], sizes[0], 1, 1)
            shapes.update(_norm(f'{name}.skipbn', sizes[3]))
    for name, (before, after) in LAST.items():
        shapes.update(_separable(name, before, after))
    return shapes


def port_weights(seed=0):
    """A made-up file: published names and shapes, fp64, values that keep
    the size of what goes through."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in port_shapes().items():
        value = torch.randn(shape, generator=generator, dtype=torch.float64)
        if len(shape) == 4:
            value *= (2 / value[0].numel())**.5
        elif name.endswith(('bias', 'running_mean')):
            value *= .1
        else:
            value = 1 + .1 * value.abs()
        weights[name] = value
    return weights


class Port:
    """Forward from a weight file.

    Args:
        weights (dict): As :func:`port_weights`.
        output_stride (int): 8 or 16.
        official (bool): The port, otherwise DeepLab's own network.
        eps (float): Of the norms.
    """

    def __init__(self, weights, output_stride, official, eps):
        self.weights, self.eps, self.official = weights, eps, official
        self.strides = dict(block1=2, block2=2, block3=output_stride // 8)
        self.dilation = 16 // output_stride

    def norm(self, x, name):
        w = self.weights
        return F.batch_norm(
            x,
            w[f'{name}.running_mean'],
            w[f'{name}.running_var'],
            w[f'{name}.weight'],
            w[f'{name}.bias'],
            eps=self.eps)

    def separable(self, x, name, stride=1, dilation=1, relu=False):
        x = F.conv2d(
            x,
            self.weights[f'{name}.depthwise.weight'],
            stride=stride,
            padding=dilation,
            dilation=dilation,
            groups=x.shape[1])
        x = self.norm(x, f'{name}.bn1')
        x = x.relu() if relu else x
        x = F.conv2d(x, self.weights[f'{name}.pointwise.weight'])
        x = self.norm(x, f'{name}.bn2')
        return x.relu() if relu else x

    def block(self, x, name):
        stride = self.strides.get(name, 1)
        number = int(name[5:])
        dilation = 1 if number < 4 else self.dilation
        y = self.separable(x.relu(), f'{name}.sepconv1', dilation=dilation)
        hook = self.separable(y.relu(), f'{name}.sepconv2', dilation=dilation)
        y = self.separable(hook.relu(), f'{name}.sepconv3', stride, dilation)
        if name in SKIPS:
            skip = F.conv2d(
                x, self.weights[f'{name}.skip.weight'], stride=stride)
            return hook, y + self.norm(skip, f'{name}.skipbn')
        return hook, y + (x.relu() if self.official else x)

    def __call__(self, x):
        for i, stride in ((1, 2), (2, 1)):
            weight = self.weights[f'conv{i}.weight']
            x = F.conv2d(x, weight, stride=stride, padding=1)
            x = self.norm(x, f'bn{i}').relu()
        outputs = {}
        for name in SIZES:
            hook, x = self.block(x, name)
            outputs[name] = x
            if name == 'block2':
                low = hook
        last = self.dilation * (1 if self.official else 2)
        for name in LAST:
            x = self.separable(x, name, dilation=last, relu=True)
        return low, outputs['block2'], outputs['block19'], x
