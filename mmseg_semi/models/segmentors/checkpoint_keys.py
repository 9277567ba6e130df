# Copyright (c) mmseg_semi authors.
import logging
from typing import Dict

from mmengine.logging import print_log
from torch import Tensor, nn

from ..band_weights import widen_checkpoint
from ..state import registered_state
from .other_classes import differs_in_classes


def adopt_checkpoint(model: nn.Module, state_dict: Dict[str, Tensor],
                     prefix: str) -> None:
    """Prepare a checkpoint for a wrapper, in place.

    The checkpoint of a plain segmentor (``backbone.*``, ``decode_head.*``)
    is handed to every network; one written by this package is left as it is.

    Args:
        model (nn.Module): The wrapper.
        state_dict (dict[str, Tensor]): As found in the file.
        prefix (str): Where the wrapper sits in ``state_dict``.

    Raises:
        RuntimeError: No key fits, or a tensor has another shape. Tensors of
            another number of classes are left out with a warning if the
            wrapper says ``takes_other_classes``.
    """
    own = {prefix + name: value for name, value in _state(model).items()}
    if not any(key in own for key in state_dict):
        plain = {
            k[len(prefix):]: v
            for k, v in state_dict.items() if k.startswith(prefix)
        }
        for net in model.networks:
            for name, value in plain.items():
                key = f'{prefix}{net}.{name}'
                if key in own:
                    state_dict[key] = value
        fitting = {
            n
            for n in plain if f'{prefix}{model.networks[0]}.{n}' in own
        }
        if not fitting:
            raise RuntimeError(
                f'The checkpoint fits neither {type(model).__name__} nor the '
                f'segmentor it wraps: none of its {len(plain)} keys is known '
                f'(first: {sorted(plain)[:3]}). Give a checkpoint of this '
                'config or of the wrapped segmentor.')
        for name in fitting:
            del state_dict[prefix + name]
        print_log(
            f'Plain segmentor checkpoint: {len(fitting)} tensors loaded into '
            f'each of {list(model.networks)}.', 'current')
    widen_checkpoint(model, state_dict, prefix, model.in_channels)
    wrong = {
        key: (tuple(value.shape), tuple(state_dict[key].shape))
        for key, value in own.items()
        if key in state_dict and state_dict[key].shape != value.shape
    }
    if wrong:
        _leave_out(model, state_dict, wrong)


def _leave_out(model: nn.Module, state_dict: Dict[str, Tensor],
               wrong: Dict[str, tuple]) -> None:
    """Take what belongs to other classes out, or refuse the checkpoint."""
    classes = differs_in_classes(list(wrong.values()), model.num_classes)
    shown = '\n  '.join(f'{key}: checkpoint {theirs}, model {ours}'
                        for key, (ours, theirs) in list(wrong.items())[:5])
    if len(wrong) > 5:
        shown += f'\n  ... and {len(wrong) - 5} more'
    if not classes:
        raise RuntimeError(
            'The checkpoint has tensors of another shape (is num_classes or '
            f'the backbone different?):\n  {shown}')
    if not model.takes_other_classes:
        raise RuntimeError(
            'The checkpoint was trained on another number of classes:\n  '
            f'{shown}\nGive one of these {model.num_classes} classes. (A '
            'training that starts with load_from, without --resume, takes '
            'all but the layers of the classes.)')
    for key in wrong:
        del state_dict[key]
    print_log(
        'The checkpoint was trained on another number of classes. What '
        f'belongs to them starts anew, the rest is loaded:\n  {shown}',
        logger='current',
        level=logging.WARNING)


def _state(model: nn.Module) -> Dict[str, Tensor]:
    """State of a fixed shape; what may be resized checks its own."""
    state = model.state_dict()
    for name, registration, _ in registered_state(model):
        if registration.resizable:
            state.pop(name, None)
    return state
