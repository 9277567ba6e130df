# Copyright (c) mmseg_semi authors.
"""A trained model, ready to predict."""
import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmseg.models import DepthEstimator
from mmseg.registry import DATASETS, MODELS
from torch import nn

from ..analysis.features import find_network
from ..datasets.coco81 import palette as many_colors
from ..engine.config_reading import read_config
from ..engine.load_weights import load_weights
from ..engine.trained_files import model_files
from ..quiet import no_notes

_LOADERS = ('test_dataloader', 'val_dataloader', 'train_dataloader')


def find_model(config: str | Path | Config,
               checkpoint: str | Path | None) -> tuple[Config, str, str]:
    """The config and weights that are meant.

    Args:
        config (str | Path | Config): Config file, ``mmseg_semi::NAME``, or
            the work directory of a training.
        checkpoint (str | Path, optional): Path or URL; of a work directory
            also ``last`` (what None means) or ``best``.

    Returns:
        tuple[Config, str, str]: A copy of the config; the file of weights;
        the name of the config, for people.

    Raises:
        FileNotFoundError: There is no such file, or no checkpoint.
        CheckpointError: The checkpoint is not whole, or not safe.
        ValueError: A checkpoint is given in the place of the config, or none
            where one is needed.
    """
    checkpoint = None if checkpoint is None else str(checkpoint)
    if isinstance(config, Config):
        if checkpoint is None:
            raise ValueError('A config needs the checkpoint of its model, '
                             'too.')
        return copy.deepcopy(config), checkpoint, config.filename or 'config'
    name = str(config)
    path, checkpoint = model_files(name, checkpoint)
    return read_config(path), checkpoint, name


def build_model(cfg: Config, checkpoint: str, name: str, network: str | None,
                head: str | None, device: str | None) -> nn.Module:
    """Build the model, load its weights, choose what predicts.

    Args:
        cfg (Config): A copy; its model section is changed.
        checkpoint (str): Path or URL.
        name (str): Of the config, for messages.
        network (str, optional): Of :func:`.find_network`.
        head (str, optional): A term's prototype head.
        device (str, optional): ``cpu``, ``cuda``, ``cuda:1``, .... None: the
            GPU if there is one.

    Returns:
        nn.Module: In evaluation mode on its device; ``dataset_meta`` has
        ``classes`` and ``palette``.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ValueError: There is no such network, head or device, or the model
            is none that predicts classes.
    """
    device = _device(device)
    if 'model' not in cfg:
        raise ValueError(f'{name} defines no model.')
    cfg.model.pretrained, cfg.model.train_cfg = None, None
    with no_notes(), _scope(cfg):
        model = MODELS.build(cfg.model)
        meta = load_weights(model, checkpoint, name)
    if isinstance(model, DepthEstimator):
        raise ValueError(f'{name}: {type(model).__name__} predicts no '
                         'classes.')
    _choose(model, network, head)
    if device.type == 'cpu':
        model = revert_sync_batchnorm(model)
    model.dataset_meta = _dataset_meta(cfg, meta, model)
    return model.to(device).eval()


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or get_device())
    except RuntimeError as error:
        raise ValueError(f'{name!r} is no device: use cpu, cuda or '
                         'cuda:1, ...') from error
    if device.type == 'cuda' and (device.index
                                  or 0) >= torch.cuda.device_count():
        raise ValueError(f'There is no device {name}: PyTorch finds '
                         f'{torch.cuda.device_count()} GPUs here. Use cpu.')
    return device


def _choose(model: nn.Module, network: str | None, head: str | None) -> None:
    if network is not None:
        model.predict_with = find_network(model, network)[0]
    if head is None:
        return
    heads = getattr(find_network(model)[1], 'semi_heads', {})
    names = [
        name for name, module in heads.items()
        if hasattr(module, 'prototypes')
    ]
    if head not in names:
        raise ValueError(f'{head!r} is no head that predicts: ' + (
            f'use one of {sorted(names)}.' if names else
            f'{type(model).__name__} of this config has none beside its '
            'decode head.'))
    model.predict_head = head


def _dataset_meta(cfg: Config, meta: dict, model: nn.Module) -> dict:
    """Names and colours of the classes: of the checkpoint, else the config.

    Where neither has as many as the model, ids and PASCAL VOC's colour map.
    """
    count = model.num_classes
    old = dict(classes=meta.get('CLASSES'), palette=meta.get('PALETTE'))
    sets = [(cfg.get(key) or {}).get('dataset') for key in _LOADERS]
    known = meta.get('dataset_meta') or {}, old, *(
        _metainfo(one, cfg) for one in sets)
    found = next(
        (one for one in known if len(one.get('classes') or ()) == count), {})
    colors = found.get('palette') or ()
    if len(colors) < count:
        colors = many_colors(count)
    return dict(
        classes=tuple(map(str, found.get('classes', range(count)))),
        palette=[[int(v) for v in color] for color in colors[:count]])


def _metainfo(dataset: dict | None, cfg: Config) -> dict:
    """That of a data set's config, whose files need not be here."""
    if not dataset:
        return {}
    inner = dataset.get('labeled') or dataset.get('dataset')
    if inner:
        return _metainfo(inner, cfg)
    with _scope(cfg):
        cls = dataset.get('type')
        cls = DATASETS.get(cls) if isinstance(cls, str) else cls
    own = dict(getattr(cls, 'METAINFO', {}))
    return {**own, **(dataset.get('metainfo') or {})}


def _scope(cfg: Config):
    return DefaultScope.overwrite_default_scope(
        cfg.get('default_scope') or 'mmseg')
