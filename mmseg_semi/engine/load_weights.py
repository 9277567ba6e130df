# Copyright (c) mmseg_semi authors.
"""Loading a trained model to use it, not to train it on."""
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..models.segmentors.other_classes import differs_in_classes
from .checkpoint import CheckpointError, check_checkpoint, check_weights_fit

_NEEDED = ('backbone', 'neck', 'decode_head')


def load_weights(model: nn.Module, checkpoint: str, config: str) -> dict:
    """Load all weights of a trained model.

    Args:
        model (nn.Module): A segmentor, on the CPU.
        checkpoint (str): Path or URL. That of a plain segmentor fits a
            :class:`SemiSegmentor` that wraps it, too.
        config (str): What the model was built of, for messages.

    Returns:
        dict: ``meta`` of the checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, unsafe, or of another model,
            of other classes or bands, or lacks weights of a backbone, neck
            or decode head.
    """
    if '://' in checkpoint:
        content = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    else:
        content = check_checkpoint(checkpoint)
    state = {
        name.removeprefix('module.'): value
        for name, value in content.get('state_dict', content).items()
        if isinstance(value, Tensor)
    }
    check_weights_fit(checkpoint, state, model)
    _check_shapes(model, state, checkpoint, config)
    try:
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        raise CheckpointError(
            f'{checkpoint} does not fit {config}: {error}') from error
    missing = [
        name for name in missing if set(_NEEDED)
        & set(name.split('.')[:2]) and not name.endswith('num_batches_tracked')
    ]
    if missing:
        raise CheckpointError(
            f'{checkpoint} lacks {len(missing)} weights of {config} (first: '
            f'{", ".join(missing[:3])}), which would be random. Give a '
            'checkpoint of this config.')
    return content.get('meta') or {}


def _check_shapes(model: nn.Module, state: dict[str, Tensor], checkpoint: str,
                  config: str) -> None:
    """Refuse weights of other bands or classes; ours say the rest."""
    networks = getattr(model, 'networks', ())
    own = model.state_dict()
    wrong = {}
    for name, value in state.items():
        for key in (name, *(f'{net}.{name}' for net in networks)):
            if key in own and own[key].shape != value.shape:
                wrong[name] = tuple(own[key].shape), tuple(value.shape)
    for ours, theirs in wrong.values():
        if (len(ours) == len(theirs) == 4 and ours[1] != theirs[1]
                and (ours[0], *ours[2:]) == (theirs[0], *theirs[2:])
                and _enters(model, ours)):
            raise CheckpointError(
                f'{checkpoint} was trained on images of {theirs[1]} bands, '
                f'{config} is for {ours[1]}. Give a checkpoint of this '
                'config, or the config of that training.')
    if not wrong or networks:
        return
    reason = 'has tensors of another shape'
    if differs_in_classes(list(wrong.values()), _classes(model)):
        reason = 'was trained on another number of classes'
    shown = ', '.join(f'{name}: {theirs}, not {ours}'
                      for name, (ours, theirs) in list(wrong.items())[:3])
    raise CheckpointError(f'{checkpoint} {reason} than {config} says '
                          f'({shown}). Give a checkpoint of this config, or '
                          'the config of that training.')


def _enters(model: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a convolution of this shape is the one that reads images."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)),
                 None)
    return first is not None and tuple(first.weight.shape) == shape


def _classes(model: nn.Module) -> int:
    return getattr(model, 'num_classes', None) or model.decode_head.num_classes
