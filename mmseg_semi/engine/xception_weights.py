# Copyright (c) mmseg_semi authors.
"""The PyTorch port's Xception-65 under the names of our backbone."""
import re
from collections.abc import Iterable

import torch
from torch import Tensor

from mmseg_semi.datasets.paths import first_few, require
from mmseg_semi.models.backbones import Xception65
from .checkpoint import check_checkpoint
from .weight_files import convert_file

# Book-keeping of synchronised norms, no weights.
_COUNTERS = re.compile(r'\.(_tmp_running_mean|_tmp_running_var|_running_iter|'
                       r'num_batches_tracked)$')
_REMEDY = ('Give the ImageNet weights of the Xception-65 that UniMatch and '
           'BRPG link (xception.pth).')
_SEPARABLE = dict(
    depthwise='depthwise_conv.conv',
    bn1='depthwise_conv.bn',
    pointwise='pointwise_conv.conv',
    bn2='pointwise_conv.bn')
_TOP = {
    'conv1': 'stem.0.conv',
    'bn1': 'stem.0.bn',
    'conv2': 'stem.1.conv',
    'bn2': 'stem.1.bn'
}
_BLOCKS = {
    **{
        f'block{i}': f'entry{i}'
        for i in (1, 2, 3)
    },
    **{
        f'block{i}': f'middle.{i - 4}'
        for i in range(4, 20)
    }, 'block20': 'exit_block'
}
_EXIT = dict(conv3='exit_convs.0', conv4='exit_convs.1', conv5='exit_convs.2')
_SHORTCUT = dict(skip='shortcut.conv', skipbn='shortcut.bn')


def convert_xception65(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights; their values stay.

    Args:
        weights (dict[str, Tensor]): Under the port's names
            (``block1.sepconv2.pointwise.weight``, ``conv3.bn1.bias``). What
            synchronised norms count beside their statistics is left out.

    Returns:
        dict[str, Tensor]: Under those of :class:`Xception65`.

    Raises:
        ValueError: If a weight is missing, unknown, or of another shape.
    """
    weights = {n: w for n, w in weights.items() if not _COUNTERS.search(n)}
    with torch.device('meta'):
        ours = Xception65().state_dict()
    wanted = {n for n in ours if not _COUNTERS.search(n)}
    renamed = {_renamed(name): w for name, w in weights.items()}
    _refuse((n for n in weights if _renamed(n) not in wanted),
            'are none of the network')
    _refuse(wanted - renamed.keys(), 'are missing')
    _refuse((f'{n} {tuple(w.shape)} instead of {tuple(ours[n].shape)}'
             for n, w in renamed.items() if w.shape != ours[n].shape),
            'have another shape')
    return renamed


def _renamed(name: str) -> str | None:
    """Our name of a weight; None if the port has none of that name."""
    *path, kind = name.split('.')
    if len(path) == 1:
        place = _TOP.get(path[0])
    elif len(path) == 2 and path[0] in _EXIT:
        place = _join(_EXIT[path[0]], _SEPARABLE.get(path[1]))
    elif len(path) == 2:
        place = _join(_BLOCKS.get(path[0]), _SHORTCUT.get(path[1]))
    elif len(path) == 3 and re.fullmatch('sepconv[123]', path[1]):
        inside = _join(f'conv{path[1][-1]}', _SEPARABLE.get(path[2]))
        place = _join(_BLOCKS.get(path[0]), inside)
    else:
        place = None
    return _join(place, kind)


def _join(before: str | None, after: str | None) -> str | None:
    return f'{before}.{after}' if before and after else None


def _refuse(names: Iterable[str], what: str) -> None:
    names = sorted(names)
    if names:
        raise ValueError(f'{len(names)} weights {what}: '
                         f'{first_few(names, 3)}. {_REMEDY}')


def read_xception65(path: str) -> dict[str, Tensor]:
    """Read the port's file, without running code, and convert it.

    Raises:
        FileNotFoundError, CheckpointError: If there is no whole file.
        ValueError: If it is not what :func:`convert_xception65` takes.
    """
    require(path, 'weights', False)
    weights = check_checkpoint(path)
    if not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise ValueError(f'{path} holds more than named tensors. {_REMEDY}')
    try:
        return convert_xception65(weights)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def write_converted(source: str, target: str) -> int:
    """Convert a file, see :func:`weight_files.convert_file`."""
    return convert_file(source, target, read_xception65)
