# Copyright (c) mmseg_semi authors.
"""How a config measures, in words that can be compared."""
from mmengine.config import Config

from ..evaluation.protocol import evaluation_protocol
from ..models.segmentors.wrapped import settings_of

# Of a segmentor's test_cfg: said in words of their own.
_SAID = ('mode', 'crop_size', 'stride')


def describe_evaluation(cfg: Config, stage: str = 'test') -> str | None:
    """Say how the predictions of a config are made and cut.

    Two results compare only if this is the same for both.

    Args:
        cfg (Config): A resolved config.
        stage (str): ``test`` or ``val``: whose dataloader. Defaults to
            ``test``.

    Returns:
        str or None: For example ``whole images``, ``whole images, padded to
        513 x 513`` or ``windows of 769, stride 513``, followed by resizing,
        other settings of ``test_cfg``, and ``flips and scales`` for test-time
        augmentation. None if the config has no model.

    Raises:
        ValueError: As :func:`evaluation_protocol`.
    """
    model = cfg.get('model')
    if not model:
        return None
    # Refuses a config that states another protocol than it has.
    evaluation_protocol(cfg, f'{stage}_dataloader')
    augmented = 'module' in model
    if augmented:
        model = model.module
    settings = settings_of(model, 'test_cfg')
    parts = [_windows(settings)]
    padding = _padding(model)
    if padding:
        parts.append(f'inputs padded to {_size(padding)}')
    dataset = (cfg.get(f'{stage}_dataloader') or {}).get('dataset') or {}
    for transform in dataset.get('pipeline') or []:
        if transform['type'] == 'PadCenterCrop':
            side = transform['crop_size']
            side = (side, side) if isinstance(side, int) else side
            parts.append(f'padded to {_size(side)}')
        elif transform['type'] == 'Resize' and not augmented:
            parts.append(_resizing(transform))
    parts += [
        f'{key}={value}' for key, value in sorted(settings.items())
        if key not in _SAID
    ]
    if augmented:
        parts.append('flips and scales')
    return ', '.join(parts)


def _windows(settings: dict) -> str:
    if settings.get('mode', 'whole') == 'whole':
        return 'whole images'
    return (f'windows of {_size(settings["crop_size"], True)}, '
            f'stride {_size(settings["stride"], True)}')


def _resizing(transform: dict) -> str:
    if transform.get('scale_factor'):
        return f'resized by {transform["scale_factor"]}'
    return f'resized to {_size(transform["scale"])}'


def _padding(model: dict):
    """Size to which the preprocessor pads images of a test."""
    preprocessor = settings_of(model, 'data_preprocessor')
    return (preprocessor.get('test_cfg') or {}).get('size')


def _size(value, short: bool = False) -> str:
    if isinstance(value, (list, tuple)):
        first, second = value
        if short and first == second:
            return str(first)
        return f'{first} x {second}'
    return str(value)
