# Copyright (c) mmseg_semi authors.
"""CMB's contrastive loss: as factorised here against pair by pair.

    python benchmarks/contrastive_loss.py [--rows 115000] [--json FILE]

Selectors included. How it is measured: see ``paired.py``.
"""
import os
import sys

import paired  # first: it sets the number of threads  # isort: skip
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))

from mmseg_semi import functional  # noqa: E402
from mmseg_semi.models import ContrastHead  # noqa: E402


class Inputs:
    """Features in clusters, 5 % of them ignored, and a full memory."""

    def __init__(self, args, dtype=torch.float32) -> None:
        torch.manual_seed(0)
        classes, dim = args.classes, args.channels
        labels = torch.randint(0, classes, (args.rows, ))
        self.labels = labels.masked_fill(torch.rand(args.rows) < .05, 255)
        centres = torch.randn(classes, dim)
        self.features = torch.randn(args.rows, dim).add_(centres[labels])
        self.features = self.features.to(dtype).requires_grad_()
        noise = torch.randn(classes, args.memory, dim)
        self.bank = (noise + centres[:, None]).to(dtype)
        head = ContrastHead(dim, classes, dim).to(dtype)
        self.selectors = [head.selectors, head.memory_selectors]

    def gradients(self):
        result = dict(features=self.features.grad)
        for name, module in zip(('selectors', 'memory_selectors'),
                                self.selectors):
            for key, parameter in module.named_parameters():
                result[f'{name}.{key}'] = parameter.grad
        return result

    def forget(self) -> None:
        self.features.grad = None
        for module in self.selectors:
            module.zero_grad()


def selector(module, label, rows):
    """Selector of one class, layer by layer."""
    hidden = rows.detach() @ module.weight[label]
    hidden = F.batch_norm(hidden, None, None, module.norm_weight[label],
                          module.norm_bias[label], True)
    hidden = F.leaky_relu(hidden, .2)
    score = hidden @ module.out[label] + module.out_bias[label]
    attention = score.sigmoid()
    return len(rows) * attention / attention.sum()


def pairs(data, rows_of_class):
    """Eq. 8-11 with a table of pairs per class."""
    total = 0.
    for label, vectors in enumerate(data.bank):
        rows = rows_of_class(label)
        if len(rows) < 2 or len(vectors) < 2:
            continue
        distance = 1 - F.normalize(rows) @ F.normalize(vectors).t()
        distance = selector(data.selectors[0], label, rows)[:, None] * distance
        distance = distance * selector(data.selectors[1], label, vectors)
        total = total + distance.mean()
    return total / len(data.bank)


def pairwise(data):
    """Class by class, each picked by a mask, as the official code does."""
    return pairs(data, lambda label: data.features[data.labels == label])


def sorted_pairwise(data):
    """The same after sorting all features once."""
    order = data.labels.argsort(stable=True)
    counts = torch.bincount(data.labels, minlength=256).tolist()
    parts = data.features[order].split(counts)
    return pairs(data, lambda label: parts[label])


def factorised(data):
    """What the CMB term does."""
    stored = torch.ones(data.bank.shape[:2], dtype=torch.bool)
    memory = data.selectors[1](data.bank, stored).sigmoid()
    directions = functional.class_directions(data.bank, stored, memory)
    cosine = functional.class_cosine(data.features, data.labels, directions)
    attention = data.selectors[0](data.features, data.labels).sigmoid()
    return functional.contrastive_loss(cosine, data.labels, stored.any(1),
                                       attention)


if __name__ == '__main__':
    paired.run(
        __doc__,
        Inputs,
        dict(
            pairwise=pairwise,
            sorted_pairwise=sorted_pairwise,
            factorised=factorised),
        dict(rows=115_000, channels=256, classes=21, memory=256),
        small=dict(rows=1000),
        title='{rows} x {channels} features, {classes} classes, memory '
        '{memory}')
