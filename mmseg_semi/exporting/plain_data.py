# Copyright (c) mmseg_semi authors.
"""Data and evaluation of a config without what is of this package."""
import copy
from collections.abc import Callable

from mmengine.config import Config, ConfigDict
from mmengine.registry import (DATA_SAMPLERS, LOOPS, VISUALIZERS, DefaultScope,
                               Registry)
from mmseg.registry import DATASETS, METRICS, MODELS, TRANSFORMS

from .source import PACKAGE

KEPT = ('default_scope', 'env_cfg', 'vis_backends', 'visualizer', 'log_level',
        'log_processor', 'test_pipeline', 'tta_pipeline', 'tta_model',
        'val_dataloader', 'val_evaluator', 'val_cfg', 'test_dataloader',
        'test_evaluator', 'test_cfg')
_REGISTRIES = (MODELS, TRANSFORMS, DATASETS, METRICS, DATA_SAMPLERS, LOOPS,
               VISUALIZERS)
# Ours that give the same pixels, ids and scores as a stock one: its name and
# the options that it does not have.
_STOCK = {
    'SemiDataPreProcessor': ('SegDataPreProcessor', ()),
    'LoadStrictImage': ('LoadImageFromFile', ()),
    'LoadStrictAnnotations':
    ('LoadAnnotations', ('num_classes', 'ignore_index')),
    'PerImageIoUMetric': ('IoUMetric', ()),
}


def plain_data(cfg: Config) -> dict:
    """All of a config that evaluates and predicts, but for the model.

    Args:
        cfg (Config): Of a training.

    Returns:
        dict: For a config file; a copy.
    """
    result = {k: copy.deepcopy(cfg[k]) for k in KEPT if cfg.get(k) is not None}
    if 'test_dataloader' not in result:
        for part in ('dataloader', 'evaluator', 'cfg'):
            if f'val_{part}' in result:
                result[f'test_{part}'] = copy.deepcopy(result[f'val_{part}'])
    pipeline = _pipeline(result.get('test_dataloader'))
    if 'test_pipeline' not in result and pipeline:
        result['test_pipeline'] = copy.deepcopy(pipeline)
    result.setdefault('default_scope', 'mmseg')
    result['default_hooks'] = dict(
        visualization=dict(type='SegVisualizationHook'))
    return result


def _pipeline(loader: dict | None) -> list | None:
    dataset = (loader or {}).get('dataset') or {}
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset.get('pipeline')


def without_package(cfg: dict, scope: str, say: Callable[[str],
                                                         None]) -> set[type]:
    """Exchange classes of this package in a config, in place.

    Those that have an equal in MMSegmentation are replaced by it.

    Args:
        cfg (dict): A config or a part of one.
        scope (str): Registry scope of the config.
        say (Callable): Takes a line about what was replaced.

    Returns:
        set[type]: Classes of this package that are left, to be brought along.
    """
    found: set[type] = set()
    said: set[str] = set()
    with DefaultScope.overwrite_default_scope(scope):
        for part in _typed(cfg):
            cls = _class_of(part['type'])
            if cls is None:
                continue
            if not isinstance(part['type'], str):
                part['type'] = cls.__name__
            if cls.__module__.split('.')[0] != PACKAGE:
                continue
            stock = _STOCK.get(cls.__name__)
            if stock is None:
                part['type'] = cls.__name__
                found.add(cls)
                continue
            part['type'], unknown = stock
            for key in unknown:
                part.pop(key, None)
            line = f'{cls.__name__} -> {stock[0]}'
            if line not in said:
                said.add(line)
                say(line)
    return found


def needed_imports(cfg: Config, model: dict) -> list[str]:
    """Modules that the exported config must import, this package's not.

    Args:
        cfg (Config): Of the training.
        model (dict): Config of the exported model. A type with the name of
            another package before it, ``mmpretrain.ConvNeXt``, needs that
            package's models.
    """
    wanted = (cfg.get('custom_imports') or {}).get('imports') or []
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for part in _typed(model):
        scope = str(part['type']).partition('.')
        if scope[1] and scope[0] in _other_scopes():
            wanted.append(f'{scope[0]}.models')
    return list(dict.fromkeys(w for w in wanted if w.split('.')[0] != PACKAGE))


def _other_scopes() -> set[str]:
    """Packages that MMEngine knows as scopes, MMSegmentation excluded."""
    from mmengine.config.utils import MODULE2PACKAGE
    return set(MODULE2PACKAGE) - {'mmseg', 'mmengine', 'mmcv'}


def _typed(part) -> list[dict]:
    """All dicts with a ``type``, the outer ones first."""
    if isinstance(part, (dict, ConfigDict, Config)):
        inner = [part] if 'type' in part else []
        for value in part.values():
            inner += _typed(value)
        return inner
    if isinstance(part, (list, tuple)):
        return [found for value in part for found in _typed(value)]
    return []


def _class_of(kind) -> type | None:
    if isinstance(kind, type):
        return kind
    if not isinstance(kind, str):
        return None
    return next(
        (found for found in (_get(r, kind)
                             for r in _REGISTRIES) if isinstance(found, type)),
        None)


def _get(registry: Registry, kind: str):
    try:
        return registry.get(kind)
    except (ImportError, KeyError):
        return None
