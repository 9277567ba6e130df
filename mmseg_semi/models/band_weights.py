# Copyright (c) mmseg_semi authors.
"""Networks for images of other than three bands, and weights for them."""
import inspect
from typing import Dict, Optional

from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from .probe import input_channels

COLOURS = 3


def fit_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Weights of a first convolution for images of other bands than RGB.

    The first three bands keep the filters of red, green and blue; every other
    band gets their mean. Fewer than three bands, which are no colours, get
    the mean each. All are multiplied by 3 / ``in_channels``, so that an image
    of equal bands gives what a grey RGB image gave.

    Args:
        weight (Tensor): (C, 3, k, k).
        in_channels (int): Bands of the images.

    Returns:
        Tensor: (C, in_channels, k, k).
    """
    if in_channels == COLOURS:
        return weight
    mean = weight.mean(1, keepdim=True)
    filters = mean.repeat(1, in_channels, 1, 1)
    if in_channels > COLOURS:
        filters[:, :COLOURS] = weight
    return filters * (COLOURS / in_channels)


def widen_on_load(net: nn.Module, in_channels: int) -> None:
    """Fit weights for RGB to a network for other bands when they are loaded.

    Whatever loads them (``init_cfg``, a backbone's own ``init_weights``,
    ``load_from``) passes through PyTorch's hooks. Every convolution that
    takes ``in_channels`` bands gets one; it acts where the checkpoint has
    three channels in this place and fits otherwise, which is so only where
    the image enters.

    Args:
        net (nn.Module): Its convolutions get the hook.
        in_channels (int): Bands of the images; with 3 nothing is done.
    """
    if in_channels == COLOURS:
        return
    for module in net.modules():
        if _takes(module, in_channels):
            module._register_load_state_dict_pre_hook(
                _fit_one, with_module=True)


def widen_checkpoint(net: nn.Module, state_dict: Dict[str, Tensor],
                     prefix: str, in_channels: int) -> None:
    """As :func:`widen_on_load`, ahead of a check of shapes; in place.

    Args:
        net (nn.Module): The network, at ``prefix`` in ``state_dict``.
        state_dict (dict[str, Tensor]): A checkpoint.
        prefix (str): Ends with a dot, or is empty.
        in_channels (int): Bands of the images.
    """
    if in_channels == COLOURS:
        return
    for name, module in net.named_modules():
        if _takes(module, in_channels):
            _fit_one(module, state_dict, f'{prefix}{name}.')


def _takes(module: nn.Module, in_channels: int) -> bool:
    return (isinstance(module, nn.Conv2d) and module.groups == 1
            and module.in_channels == in_channels)


def _fit_one(module: nn.Conv2d, state_dict: Dict[str, Tensor], prefix: str,
             *args) -> None:
    name = f'{prefix}weight'
    weight, own = state_dict.get(name), module.weight
    if (not isinstance(weight, Tensor) or weight.ndim != own.ndim
            or weight.shape[1] != COLOURS or weight.shape[0] != own.shape[0]
            or weight.shape[2:] != own.shape[2:]):
        return
    state_dict[name] = fit_channels(weight, own.shape[1])
    print_log(
        f'{name}: weights for RGB are fitted to {own.shape[1]} bands '
        '(docs/pixel_formats.md says how).', 'current')


def settle_channels(cfg: ConfigDict, data_preprocessor: Optional[dict]) -> int:
    """Give a segmentor's config as many input channels as images have bands.

    The mean of the normalisation says how many bands images have. A backbone
    whose config does not say its ``in_channels`` gets them, those inside it
    as well; in place.

    Args:
        cfg (ConfigDict): Config of the wrapped segmentor.
        data_preprocessor (dict, optional): Options of the wrapper over the
            wrapped one's, or with a ``type`` another one.

    Returns:
        int: The number of bands.

    Raises:
        ValueError: The backbone says another number, or cannot be told one.
    """
    given = data_preprocessor or {}
    if 'type' not in given:
        given = {**(cfg.get('data_preprocessor') or {}), **given}
    mean, backbone = given.get('mean'), cfg.get('backbone')
    if not isinstance(mean, (list, tuple)) or not backbone:
        return input_channels(cfg)
    bands, stated = len(mean), backbone.get('in_channels')
    if stated is None and bands != COLOURS:
        _tell(backbone, bands)
    elif stated is not None and stated != bands:
        raise ValueError(
            f'data_preprocessor.mean has {bands} numbers, so images have '
            f'{bands} bands, but segmentor.backbone.in_channels is {stated}. '
            f'Set segmentor.backbone.in_channels={bands}, or a mean and std '
            f'of {stated} bands.')
    return bands


def _tell(backbone: dict, bands: int) -> None:
    kind = backbone.get('type')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    inner = [
        part for part in backbone.values()
        if isinstance(part, dict) and _has_option(part.get('type'))
    ]
    if not _has_option(cls):
        raise ValueError(
            f'data_preprocessor.mean has {bands} numbers, so images have '
            f'{bands} bands, but the backbone {kind} has no in_channels: it '
            'takes three. Choose another backbone, or three of the bands '
            '(LoadBands bands=...).')
    for part in (backbone, *inner):
        part.setdefault('in_channels', bands)
    print_log(
        f'{kind}: in_channels={bands}, the length of data_preprocessor.mean.',
        'current')


def _has_option(kind) -> bool:
    """Whether a class of the registry, or one above it, has in_channels."""
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(cls, type) and any(
        'in_channels' in inspect.signature(base.__init__).parameters
        for base in cls.__mro__ if '__init__' in vars(base))
