# Copyright (c) mmseg_semi authors.
"""ImageNet weights of ResNets with a 64-64-128 stem under mmseg's names."""
import io
import re
from pathlib import Path
from typing import Dict

import torch
from mmseg.models.backbones import ResNetV1c
from torch import Tensor

from .atomic import write_atomically
from .checkpoint import check_checkpoint

# The authors' sequence `conv1` ends before its last norm, `bn1`.
_STEM = {
    'conv1.0': 'stem.0',
    'conv1.1': 'stem.1',
    'conv1.3': 'stem.3',
    'conv1.4': 'stem.4',
    'conv1.6': 'stem.6',
    'bn1': 'stem.7',
}
_DEPTHS = {6: 50, 23: 101, 36: 152}  # by the blocks of the third stage
_COUNTER = 'num_batches_tracked'  # older files have none


def read_deep_stem(path: str) -> Dict[str, Tensor]:
    """Read a ``.pth`` file of tensors by name, without running code.

    Args:
        path (str): The file: a state dict, or a dict with one as ``model``
            or ``state_dict``.

    Raises:
        FileNotFoundError: If there is none.
        CheckpointError: If it is damaged, or holds other objects.
        ValueError: If it holds no named tensors.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} is no file: give the ResNet of '
                                'UniMatch, U2PL or CPS.')
    content = check_checkpoint(path)
    for name in ('model', 'state_dict'):
        if isinstance(content.get(name), dict):
            content = content[name]
    if not content or not all(
            isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f'{path} does not hold tensors by name: give '
                         'the ResNet of UniMatch, U2PL or CPS.')
    return {
        name.removeprefix('module.'): value
        for name, value in content.items()
    }


def convert_deep_stem(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Rename the stem; values stay and the classifier is left out.

    Args:
        weights (dict[str, Tensor]): Of a ResNet-50, 101 or 152 under the
            names of U2PL, UniMatch and CPS: ``conv1.0.weight``, ``bn1.bias``,
            ``layer1.0.conv1.weight``, ..., ``fc.weight``.

    Returns:
        dict[str, Tensor]: All weights of a
        :class:`~mmseg_semi.models.DeepStemResNet` of that depth.

    Raises:
        ValueError: If names or shapes are not those of such a network.
    """
    renamed = {}
    for name, value in weights.items():
        start, _, end = name.rpartition('.')
        if start != 'fc':
            renamed[f'{_STEM.get(start, start)}.{end}'] = value
    _check(renamed)
    return renamed


def _check(renamed: Dict[str, Tensor]) -> None:
    blocks = {
        int(found[1])
        for found in (re.match(r'layer3\.(\d+)\.', name) for name in renamed)
        if found
    }
    depth = _DEPTHS.get(len(blocks))
    if depth is None:
        raise ValueError(
            f'The third stage has {len(blocks)} blocks, a ResNet-50, 101 or '
            f'152 has {", ".join(map(str, _DEPTHS))}: give another file.')
    with torch.device('meta'):
        expected = ResNetV1c(depth=depth, stem_channels=128).state_dict()
    missing = [
        name for name in expected
        if name not in renamed and not name.endswith(_COUNTER)
    ]
    unknown = [name for name in renamed if name not in expected]
    other = [
        f'{name} {tuple(value.shape)} instead of '
        f'{tuple(expected[name].shape)}' for name, value in renamed.items()
        if name in expected and value.shape != expected[name].shape
    ]
    for what, names in (('lack', missing), ('have unknown', unknown),
                        ('have other shapes for', other)):
        if names:
            raise ValueError(
                f'Weights of a ResNet-{depth} with a 64-64-128 stem are '
                f'expected; these {what} {", ".join(sorted(names)[:3])} '
                f'({len(names)} in all). Give the file of UniMatch, U2PL or '
                'CPS; one with a 32-32-64 stem needs no conversion: '
                'open-mmlab://resnet101_v1c is it.')


def write_deep_stem(source: str, target: str) -> int:
    """Convert a file; returns the number of weights.

    Args:
        source (str): What :func:`read_deep_stem` takes.
        target (str): The checkpoint to write; must not exist.

    Raises:
        FileExistsError: If ``target`` exists.
        FileNotFoundError, CheckpointError, ValueError: If ``source`` does
            not exist or holds something else.
    """
    if Path(target).exists():
        raise FileExistsError(f'{target} exists: remove it, or give another '
                              'name.')
    state_dict = convert_deep_stem(read_deep_stem(source))
    buffer = io.BytesIO()
    torch.save(dict(state_dict=state_dict), buffer)
    write_atomically(buffer.getvalue(), target)
    return len(state_dict)
