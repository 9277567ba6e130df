# Copyright (c) mmseg_semi authors.
"""The stock network of a family on a small input, and what it can do."""
from functools import lru_cache
from typing import FrozenSet, NamedTuple

import torch
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS

from ..models.segmentors.semi_segmentor import resolve_segmentor
from .batches import random_labels, sample_of, with_edges
from .families import config_path

SIZES = (64, 128, 256)


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
        dict: ``config``, a path (``mmseg::`` reads the list of all models
        each time), and what is merged over the file's model.
    """
    path = config_path(config)
    cfg = resolve_segmentor(path)
    changes = without_pretraining(cfg)
    given = cfg.get('backbone', {}).get('img_size')
    if given is not None:
        both = isinstance(given, (tuple, list))
        changes.setdefault('backbone',
                           {})['img_size'] = (size, size) if both else size
    return dict(changes, config=path)


def without_pretraining(cfg) -> dict:
    """What to merge over a config so that it reads no weights from files."""
    items = cfg.items() if isinstance(cfg, dict) else enumerate(cfg)
    changes = {}
    for key, value in items:
        if key == 'pretrained' and isinstance(value, str) or (
                key == 'init_cfg' and 'Pretrained' in str(value)):
            changes[key] = None
        elif isinstance(value, (dict, list)):
            inner = without_pretraining(value)
            if inner:
                changes[str(key)] = inner
    return changes


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
    net = build_stock(resolve_segmentor(small_input(config, size))).train()
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
