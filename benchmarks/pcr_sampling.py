# Copyright (c) mmseg_semi authors.
"""PCR's prototype loss: pixels sampled first against upsampling first.

    python benchmarks/pcr_sampling.py [--batch 4] [--json FILE]

The features of a whole image at stride 4 are only needed at 32 x 32 of its
pixels. How it is measured: see ``paired.py``.
"""
import os
import sys

import paired  # first: it sets the number of threads  # isort: skip
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))

from mmseg_semi import functional  # noqa: E402
from mmseg_semi.functional.sampling import jittered_positions  # noqa: E402

TEMPERATURE, CELLS = .1, 32


class Inputs:
    """Feature maps, labels of all pixels, 5 % ignored, and prototypes."""

    def __init__(self, args, dtype=torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        full = args.side * 4 - 3
        self.features = torch.randn(
            args.batch,
            args.channels,
            args.side,
            args.side,
            generator=generator).to(dtype).requires_grad_()
        labels = torch.randint(
            0, args.classes, (args.batch, full, full), generator=generator)
        ignored = torch.rand(labels.shape, generator=generator) < .05
        self.labels = labels.masked_fill(ignored, 255)
        self.prototypes = torch.randn(
            args.classes, 4, args.channels, generator=generator).to(dtype)
        self.rows, self.cols = jittered_positions(full, full, CELLS, generator)

    def gradients(self):
        return dict(features=self.features.grad)

    def forget(self) -> None:
        self.features.grad = None


def cross_entropy(data, samples):
    """Eq. 2 and 6 of sampled rows (N, D), as printed."""
    cosine = torch.einsum('nd,ckd->nck', F.normalize(samples, dim=1),
                          F.normalize(data.prototypes, dim=2))
    target = data.labels[:, data.rows, data.cols].flatten()
    return F.cross_entropy(
        cosine.amax(dim=2) / TEMPERATURE, target, ignore_index=255)


def upsampled(data):
    """The whole map is upsampled, then pixels of it are picked."""
    full = F.interpolate(
        data.features,
        data.labels.shape[-2:],
        mode='bilinear',
        align_corners=True)
    samples = full[:, :, data.rows, data.cols]
    return cross_entropy(data, samples.transpose(1, 2).flatten(0, 1))


def sampled(data):
    """What the PCR term does."""
    samples = functional.grid_features(data.features, data.rows, data.cols,
                                       data.labels.shape[-2:], True)
    valid = torch.ones(data.prototypes.shape[:2], dtype=torch.bool)
    similarity = functional.prototype_similarity(
        samples.flatten(0, 1), data.prototypes, valid)
    logits = functional.prototype_logits(similarity, TEMPERATURE)
    target = data.labels[:, data.rows, data.cols].flatten()
    return functional.prototype_loss(logits, target)


if __name__ == '__main__':
    paired.run(
        __doc__,
        Inputs,
        dict(upsampled=upsampled, sampled=sampled),
        dict(batch=4, side=129, channels=512, classes=21),
        small=dict(batch=1, side=33, channels=8),
        fp64=dict(batch=1),
        title='{batch} maps of {side} x {side} x {channels}, {classes} '
        'classes')
