# Copyright (c) mmseg_semi authors.
"""Random batches as a pipeline would deliver them, before normalisation."""
from copy import deepcopy
from typing import List, Sequence

import torch
from mmengine.structures import PixelData
from mmseg.datasets.transforms import GenerateEdge
from mmseg.structures import SegDataSample
from torch import Tensor

from .methods import Method

NUM_CLASSES = 5
LABELED = 2
BLOCKS = 4  # of one class along a side of an image
IGNORED = 2  # columns without a label
EDGE_WIDTH = 4  # of the configs whose loaders draw the classes' borders


def random_image(size: int, generator: torch.Generator) -> Tensor:
    """(3, size, size) uint8 noise."""
    return torch.randint(
        0, 256, (3, size, size), generator=generator, dtype=torch.uint8)


def random_labels(size: int,
                  generator: torch.Generator,
                  num_classes: int = NUM_CLASSES) -> Tensor:
    """(size, size) long blocks of random classes; a few columns are 255."""
    blocks = torch.randint(
        0, num_classes, (BLOCKS, BLOCKS), generator=generator)
    side = -(-size // BLOCKS)
    labels = blocks.repeat_interleave(side, 0).repeat_interleave(side, 1)
    labels = labels[:size, :size].contiguous()
    labels[:, :IGNORED] = 255
    return labels


def sample_of(size: int, **maps: Tensor) -> SegDataSample:
    """A data sample with these maps, (H, W) each, by name."""
    sample = SegDataSample(
        metainfo=dict(
            img_shape=(size, size),
            ori_shape=(size, size),
            pad_shape=(size, size),
            scale_factor=(1., 1.),
            flip=False,
            reduce_zero_label=False))
    for name, data in maps.items():
        setattr(sample, name, PixelData(data=data[None]))
    return sample


def train_batch(method: Method, size: int) -> dict:
    """Labelled images and the branches of unlabelled ones a method takes.

    Args:
        method (Method): Says which branches and how many images.
        size (int): Height and width of the images.

    Returns:
        dict: ``inputs`` and ``data_samples`` by branch, not normalised. The
        branches of an image differ, as after a photometric augmentation.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = dict(sup=[random_image(size, generator) for _ in range(LABELED)])
    samples = dict(sup=[
        sample_of(size, gt_sem_seg=random_labels(size, generator))
        for _ in range(LABELED)
    ])
    for branch in method.branches:
        inputs[branch] = [
            random_image(size, generator) for _ in range(method.unlabeled)
        ]
        samples[branch] = [
            sample_of(size, valid_map=torch.zeros(size, size).byte())
            for _ in range(method.unlabeled)
        ]
    return dict(inputs=inputs, data_samples=samples)


def image_batch(size: int) -> dict:
    """One image as stock test loaders deliver it."""
    generator = torch.Generator().manual_seed(1)
    return dict(
        inputs=[random_image(size, generator)], data_samples=[sample_of(size)])


def with_edges(samples: Sequence[SegDataSample]) -> List[SegDataSample]:
    """The samples with the borders of the classes, ``gt_edge_map``.

    Stock loaders of heads that learn borders draw them; those of
    semi-supervised training need not.
    """
    draw, result = GenerateEdge(edge_width=EDGE_WIDTH), deepcopy(samples)
    for sample in result:
        labels = sample.gt_sem_seg.data[0].byte()
        drawn = draw(
            dict(
                gt_seg_map=labels.numpy().copy(),
                img_shape=tuple(labels.shape)))
        edges = torch.from_numpy(drawn['gt_edge_map']).to(labels.device)
        sample.gt_edge_map = PixelData(data=edges[None].long())
    return result
