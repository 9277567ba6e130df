# Copyright (c) mmseg_semi authors.
"""The stock network of a family on a small input, and what it can do."""
from functools import lru_cache
from typing import FrozenSet, NamedTuple

import torch
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from ..models.segmentors.wrapped import drop_pretrained, resolve_segmentor
from .batches import random_labels, sample_of, with_edges
from .families import config_path

# The last for LRASPP (MobileNetV3), whose pool of 49 x 49 is at stride 8.
SIZES = (64, 128, 256, 400)


class Stock(NamedTuple):
    """Facts about the stock training of a config.

    Args:
        size (int): The smallest of :data:`SIZES` that it can train on; the
            first if there is none.
        unreached (frozenset[str]): Learnable parameters that get no gradient
            there.
    """
    size: int
    unreached: FrozenSet[str] = frozenset()


def small_input(config: str, size: int) -> dict:
    """The segmentor as configured, for a small input and not pretrained.

    Args:
        config (str): ``mmseg::family/name.py``.
        size (int): Height and width of the input. Position embeddings are
            made for it: ``img_size`` of the backbone, if it has one.

    Returns:
        dict: Its model config. Weights of classes, which are those of
        another data set, are left out.
    """
    # By its path: `mmseg::` reads the list of all models each time.
    cfg = resolve_segmentor(config_path(config), class_weight=False)
    drop_pretrained(cfg)
    given = cfg.get('backbone', {}).get('img_size')
    if given is not None:
        both = isinstance(given, (tuple, list))
        cfg.backbone.img_size = (size, size) if both else size
    return cfg


def build_stock(cfg):
    """The segmentor of a config, without preprocessor and SyncBN."""
    cfg = cfg.copy()
    # Building it would need a default scope.
    cfg.pop('data_preprocessor', None)
    return revert_sync_batchnorm(MODELS.build(cfg))


@lru_cache(maxsize=None)
def stock_training(config: str) -> Stock:
    """Train the stock model for a step, at growing sizes until it can."""
    for size in SIZES:
        try:
            return Stock(size, _unreached(config, size))
        except Exception:  # wrapping it will say what is wrong
            continue
    return Stock(SIZES[0])


def _unreached(config: str, size: int) -> FrozenSet[str]:
    """Names of the parameters that a stock step leaves without gradient."""
    net = build_stock(small_input(config, size)).train()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size, size, generator=generator)
    # Two classes: every config has that many.
    samples = with_edges([
        sample_of(size, gt_sem_seg=random_labels(size, generator, 2))
        for _ in images
    ])
    total, _ = net.parse_losses(net.loss(images, samples))
    total.backward()
    return frozenset(name for name, value in net.named_parameters()
                     if value.requires_grad and value.grad is None)


@torch.no_grad()
def settle_norms(model, images: torch.Tensor) -> None:
    """Give the encoders' BatchNorm the statistics of these images.

    A deep network that is not pretrained overflows in eval mode with those it
    starts from.

    Args:
        model (Framework): In train mode.
        images (Tensor): (B, 3, H, W), normalised.
    """
    for net in map(model.net, model.networks):
        norms = [
            m for m in net.backbone.modules() if isinstance(m, _BatchNorm)
        ]
        before = [(m.momentum, m.training) for m in norms]
        for module in norms:
            module.momentum = 1.
            module.train()  # a teacher is in eval mode
        net.extract_feat(images)
        for module, (momentum, training) in zip(norms, before):
            module.momentum = momentum
            module.train(training)
