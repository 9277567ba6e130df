# Copyright (c) mmseg_semi authors.
"""Matching of segments to queries: all at once against one by one.

    python benchmarks/set_matching.py [--batch 8] [--json FILE]

MaskFormer matches every image and decoder layer with a call of its own, each
of which waits for the device. How it is measured: see ``paired.py``. On a CPU
nothing waits: what is saved are calls, which counts with small masks; masks
that are too many for the cache are faster one image after the other.
"""
import os
import sys

import paired  # first: it sets the number of threads  # isort: skip
import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))

from mmseg_semi import functional  # noqa: E402

WIDTH = 64  # of the embeddings


class Inputs:
    """Embeddings of all layers and blocky labels, three classes an image."""

    def __init__(self, args, dtype=torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)

        def randn(*shape):
            return torch.randn(*shape, generator=generator).to(dtype)

        self.embed = randn(args.layers, args.batch, args.queries,
                           WIDTH).requires_grad_()
        self.pixels = randn(args.batch, WIDTH, args.side, args.side)
        self.scores = randn(args.layers, args.batch, args.queries,
                            args.classes + 1)
        blocks = torch.randint(
            0, 3, (args.batch, 4, 4), generator=generator) * 5
        at = torch.arange(args.side) * 4 // args.side
        labels = blocks[:, at][:, :, at]
        classes = torch.arange(args.classes)
        self.masks = (labels[:, None] == classes[:, None, None]).to(dtype)
        self.labels = torch.where(self.masks.flatten(2).any(2), classes, -1)

    def logits(self):
        return torch.einsum('lbqd,bdhw->lbqhw', self.embed, self.pixels)

    def gradients(self):
        return dict(embed=self.embed.grad)

    def forget(self) -> None:
        self.embed.grad = None


def loss(logits, found):
    """Anything that depends on every match."""
    layer, image, cls = (found >= 0).nonzero(as_tuple=True)
    return logits[layer, image, found[layer, image, cls]].sigmoid().mean()


def one_by_one(data):
    """A call per layer and image, with the segments it has."""
    logits, found = data.logits(), []
    for masks, scores in zip(logits.detach(), data.scores):
        for b, labels in enumerate(data.labels):
            there = labels >= 0
            rows = torch.full_like(labels, -1)
            rows[there] = functional.match(scores[b][None], masks[b][None],
                                           labels[there][None],
                                           data.masks[b][there][None])[0]
            found.append(rows)
    return loss(logits, torch.stack(found).view(*logits.shape[:2], -1))


def together(data):
    """What MaskQueryHead does."""
    logits = data.logits()
    return loss(
        logits,
        functional.match(data.scores, logits.detach(), data.labels,
                         data.masks))


if __name__ == '__main__':
    paired.run(
        __doc__,
        Inputs,
        dict(one_by_one=one_by_one, together=together),
        dict(batch=8, layers=6, queries=50, side=128, classes=21),
        small=dict(batch=1, side=16),
        fp64=dict(batch=1, side=32),
        title='{batch} images, {layers} layers, {queries} queries, masks of '
        '{side} x {side}')
