# Copyright (c) mmseg_semi authors.
"""The shipped configs, found, loaded and built."""
import copy
import functools
import re
from pathlib import Path
from typing import List, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
ALL = sorted(
    str(p.relative_to(CONFIGS))[:-3] for p in CONFIGS.rglob('*.py')
    if '_base_' not in p.parts)
CLASSES = dict(voc=21, city=19, coco=81, digits=11)


class Name(NamedTuple):
    """What a name says."""
    folder: str
    method: str
    network: str
    lists: str
    labels: int
    official: bool

    @property
    def own(self) -> bool:
        return self.method.endswith('-own')

    @property
    def data(self) -> str:
        return self.lists.split('-')[0]


def parse(path: str) -> Name:
    folder, stem = path.split('/')[0], path.rsplit('/', 1)[-1]
    method, network, lists, labels, official = re.fullmatch(
        r'([^_]+)_([^_]+)_([^_]+)_(\d+)(_official)?', stem).groups()
    return Name(folder, method, network, lists, int(labels), bool(official))


def where(**wanted) -> List[str]:
    """Configs whose names have these parts."""
    return [
        path for path in ALL if all(
            getattr(parse(path), key) == value
            for key, value in wanted.items())
    ]


@functools.lru_cache(maxsize=None)
def loaded(path: str) -> Config:
    """A config that nobody changes, by its path below configs/, no suffix."""
    return Config.fromfile(CONFIGS / f'{path}.py')


def load(path: str) -> Config:
    """A config of one's own."""
    return copy.deepcopy(loaded(path))


def build(cfg: Config, shallow: bool = True):
    """Build without memory; SegFormer reads numbers, so it is made small."""
    model = copy.deepcopy(cfg.model)
    segformer = 'segformer' in model.segmentor.get('config', '')
    if segformer and shallow:
        model.segmentor.backbone = dict(num_layers=[1, 1, 1, 1])
    with torch.device('cpu' if segformer else 'meta'):
        with DefaultScope.overwrite_default_scope('mmseg'):
            return MODELS.build(model)


class Group(NamedTuple):
    """Learning rate and weight decay of the weights of a part."""
    lr: float
    weight_decay: float


def learning_rates(cfg: Config, model=None, norms: bool = False) -> dict:
    """Part of a learning network -> its :class:`Group`, one for all weights.

    Parts are ``backbone``, ``decode_head`` and so on, of matrices and kernels;
    with ``norms`` those of biases and norms.
    """
    model = build(cfg) if model is None else model
    with DefaultScope.overwrite_default_scope('mmseg'):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = {
        id(p): Group(group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for p in group['params']
    }
    found = {}
    net = getattr(model, 'student', None)
    if net is None:
        net = model.student1
    for name, p in net.named_parameters():
        if id(p) in groups and (p.ndim > 1) != norms:
            found.setdefault(name.split('.')[0], set()).add(groups[id(p)])
    return found


def transforms(cfg: Config, part: str) -> Optional[list]:
    source = cfg.train_dataloader.dataset.get(part)
    return source and list(source.pipeline)
