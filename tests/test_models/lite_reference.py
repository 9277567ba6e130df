# Copyright (c) mmseg_semi authors.
"""EfficientNet-Lite written out, under the names of its ImageNet weights."""
import torch
from torch.nn import functional as F

WIDTHS = dict(
    lite0=(16, 24, 40, 80, 112, 192, 320),
    lite1=(16, 24, 40, 80, 112, 192, 320),
    lite2=(16, 24, 48, 88, 120, 208, 352))
REPEATS = dict(
    lite0=(1, 2, 2, 3, 3, 4, 1),
    lite1=(1, 3, 3, 4, 4, 5, 1),
    lite2=(1, 3, 3, 4, 4, 5, 1))
KERNELS, STRIDES = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1)


def blocks(arch):
    """(kernel, stride, expansion, inputs, outputs) of every block."""
    inputs = 32
    for number, (kernel, stride, width, repeats) in enumerate(
            zip(KERNELS, STRIDES, WIDTHS[arch], REPEATS[arch])):
        for repeat in range(repeats):
            yield (kernel, 1 if repeat else stride, 6 if number else 1, inputs,
                   width)
            inputs = width


def shapes(arch):
    """Name -> shape of every weight, the classifier's too."""
    convs = [('_conv_stem', '_bn0', (32, 3, 3, 3))]
    for i, (kernel, _, expand, inputs, width) in enumerate(blocks(arch)):
        hidden = inputs * expand
        if expand > 1:
            convs.append((f'_blocks.{i}._expand_conv', f'_blocks.{i}._bn0',
                          (hidden, inputs, 1, 1)))
        convs += [(f'_blocks.{i}._depthwise_conv', f'_blocks.{i}._bn1',
                   (hidden, 1, kernel, kernel)),
                  (f'_blocks.{i}._project_conv', f'_blocks.{i}._bn2',
                   (width, hidden, 1, 1))]
    convs.append(('_conv_head', '_bn1', (1280, WIDTHS[arch][-1], 1, 1)))
    found = {'_fc.weight': (1000, 1280), '_fc.bias': (1000, )}
    for conv, norm, shape in convs:
        found[f'{conv}.weight'] = shape
        for kind in ('weight', 'bias', 'running_mean', 'running_var'):
            found[f'{norm}.{kind}'] = shape[:1]
        found[f'{norm}.num_batches_tracked'] = ()
    return found


def made_up_weights(arch, seed=0):
    """Random ones of the right scale, fp64."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes(arch).items():
        value = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name.endswith('num_batches_tracked'):
            value = torch.tensor(7)
        elif name.endswith(
                'running_var') or '_bn' in name and 'weight' in name:
            value = .5 + value.abs()
        elif len(shape) == 4:
            value = value * (2 / (shape[1] * shape[2] * shape[3]))**.5
        weights[name] = value
    return weights


def padding_before_and_after(size, kernel, stride):
    """TensorFlow's SAME: ceil(size / stride) outputs, more at the end."""
    outputs = (size + stride - 1) // stride
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve(x, weight, stride=1):
    kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
    rows = padding_before_and_after(x.shape[2], kernel, stride)
    columns = padding_before_and_after(x.shape[3], kernel, stride)
    x = F.pad(x, (*columns, *rows))
    return F.conv2d(x, weight, stride=stride, groups=groups)


class Reference:
    """The network in eval mode."""

    def __init__(self, weights, arch):
        self.weights, self.arch = weights, arch

    def normalise(self, x, name):
        mean, var, weight, bias = (
            self.weights[f'{name}.{kind}'][:, None, None]
            for kind in ('running_mean', 'running_var', 'weight', 'bias'))
        return (x - mean) / (var + 1e-3).sqrt() * weight + bias

    def unit(self, x, conv, norm, stride=1, act=True):
        x = convolve(x, self.weights[f'{conv}.weight'], stride)
        x = self.normalise(x, norm)
        return x.clamp(0, 6) if act else x

    def maps(self, images):
        """Outputs of all blocks."""
        x = self.unit(images, '_conv_stem', '_bn0', 2)
        outs = []
        for i, (_, stride, expand, inputs,
                width) in enumerate(blocks(self.arch)):
            name, before = f'_blocks.{i}', x
            if expand > 1:
                x = self.unit(x, f'{name}._expand_conv', f'{name}._bn0')
            x = self.unit(x, f'{name}._depthwise_conv', f'{name}._bn1', stride)
            x = self.unit(
                x, f'{name}._project_conv', f'{name}._bn2', act=False)
            if stride == 1 and inputs == width:
                x = x + before
            outs.append(x)
        return outs

    def stages(self, images):
        """The last output at each of the strides 2, 4, 8, 16, 32."""
        outs = self.maps(images)
        repeats = REPEATS[self.arch]
        ends = [sum(repeats[:n]) - 1 for n in (1, 2, 3, 5, 7)]
        return [outs[end] for end in ends]

    def classify(self, last):
        """Scores of ImageNet's classes, from the last map."""
        x = self.unit(last, '_conv_head', '_bn1').mean((2, 3))
        return x @ self.weights['_fc.weight'].T + self.weights['_fc.bias']
