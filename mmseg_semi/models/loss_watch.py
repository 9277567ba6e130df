# Copyright (c) mmseg_semi authors.
"""Losses that are not finite end a training; the device is not waited for."""
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapperDict
from torch import Tensor


class NotFiniteError(RuntimeError):
    """A loss or a weight is NaN or infinite."""


@dataclass
class _Look:
    """Losses of one batch on their way to the host."""
    names: list[str]
    values: Tensor
    iteration: int
    rates: str
    scaled: bool
    arrived: torch.cuda.Event | None

    def not_finite(self) -> list[str]:
        if self.arrived is not None:
            # Of the batch before: long done when the next one's losses are
            # enqueued, so this waits for nothing that is still to compute.
            self.arrived.synchronize()
        return [
            f'{name}={value}'
            for name, value in zip(self.names, self.values.tolist())
            if not math.isfinite(value)
        ]


class LossWatch:
    """Notice losses that are not finite one step later.

    Reading a number of a step that was just enqueued would make the host
    wait for the device in every step. So the losses of a step are sent on
    their way, and read when those of the next one come, or when
    :meth:`finish` is called, before anything is saved or validated.

    Args:
        patience (int): Batches in a row whose losses may be not finite where
            a loss scaler, that of mixed precision, skips their steps; the
            next one ends the training. Without a loss scaler the first one
            does, because the weights are lost with it. Defaults to 3.

    Raises:
        ValueError: If ``patience`` is no number from 0 on.
    """

    def __init__(self, patience: int = 3) -> None:
        whole = isinstance(patience, int) and not isinstance(patience, bool)
        if not whole or patience < 0:
            raise ValueError(
                f'skip_bad_losses={patience!r} must be a number of batches '
                'from 0 on.')
        self.patience = patience
        self._bad = 0
        self._pending: _Look | None = None

    def __getstate__(self) -> dict:
        """For copies of a model: they have no batch behind them."""
        return dict(vars(self), _pending=None)

    def look(self, losses: Mapping[str, Tensor], iteration: int,
             scaled: bool) -> None:
        """Send the losses of a batch to the host, and read the last ones.

        Args:
            losses (Mapping[str, Tensor]): 0-dim tensors by name; those whose
                names contain "loss" are looked at.
            iteration (int): Its number, from 1.
            scaled (bool): Whether a loss scaler skips the step.

        Raises:
            NotFiniteError: If losses of the batch before were not finite.
        """
        self.finish()
        names = [name for name in losses if 'loss' in name]
        found = [losses[name] for name in names]
        found = [v.detach().float() for v in found if torch.is_tensor(v)]
        if len(found) != len(names) or not found:
            return  # no loss at all: the optimizer says so
        values, arrived = torch.stack(found), None
        if values.is_cuda:
            there = torch.empty(len(names), pin_memory=True)
            there.copy_(values, non_blocking=True)
            values, arrived = there, torch.cuda.Event()
            arrived.record()
        self._pending = _Look(names, values, iteration, _learning_rates(),
                              scaled, arrived)

    def finish(self) -> None:
        """Read the losses that were not read yet.

        Raises:
            NotFiniteError: If they are not finite, naming losses, iteration
                and learning rate.
        """
        look, self._pending = self._pending, None
        if look is None:
            return
        bad = look.not_finite()
        if not bad:
            self._bad = 0
            return
        self._bad += 1
        if look.scaled and self._bad <= self.patience:
            return
        often = ''
        if self._bad > 1:
            often = f', in {self._bad} batches in a row'
        raise NotFiniteError(
            f'The losses of iteration {look.iteration} are not finite'
            f'{often}: {", ".join(bad)} ({look.rates}). The training ends; '
            'checkpoints that exist are left as they are. Lower the learning '
            'rate (optim_wrapper.optimizer.lr), clip gradients '
            '(optim_wrapper.clip_grad=dict(max_norm=10)), or look for images '
            'with values that are not finite.')


def _learning_rates() -> str:
    """The learning rates of this step, as the runner notes them."""
    scalars = MessageHub.get_current_instance().log_scalars
    rates = {
        name.removeprefix('train/'): history.current()
        for name, history in scalars.items()
        if name.startswith('train/') and name.endswith('lr')
    }
    rates = {
        name: value
        for name, value in rates.items() if not name.endswith('base_lr')
    } or rates
    return ', '.join(
        f'{name.replace("lr", "learning rate")} {value:g}'
        for name, value in rates.items()) or 'learning rate unknown'


def has_loss_scaler(optim_wrapper) -> bool:
    """Whether steps whose gradients are not finite are skipped.

    The type of mixed precision does not tell: MMEngine's ``AmpOptimWrapper``
    scales losses of bfloat16, too, unless ``loss_scale=dict(enabled=False)``.

    Args:
        optim_wrapper (OptimWrapper | OptimWrapperDict): Of the training.

    Returns:
        bool: Whether every optimizer has a loss scaler that is enabled.
    """
    wrappers = [optim_wrapper]
    if isinstance(optim_wrapper, OptimWrapperDict):
        wrappers = list(optim_wrapper.values())
    scalers = [getattr(each, 'loss_scaler', None) for each in wrappers]
    return all(each is not None and each.is_enabled() for each in scalers)


def expects_loss_scaler(device: torch.device) -> bool:
    """Whether forwards run in the precision that needs a loss scaler.

    For loops that do not tell of the optimizer. There is none on the CPU.
    """
    if device.type == 'cpu' or not torch.is_autocast_enabled():
        return False
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.get_autocast_dtype(device.type) == torch.float16
    return torch.get_autocast_gpu_dtype() == torch.float16  # before torch 2.4


def check_weights_finite(model: torch.nn.Module,
                         state: Mapping[str, Tensor]) -> None:
    """Refuse to keep weights that are not finite.

    Args:
        model (nn.Module): The unwrapped model, which knows what are
            parameters.
        state (Mapping[str, Tensor]): Its state, about to be saved or
            validated. Where parameters must be finite, buffers must not be
            NaN or +inf: attention masks hold -inf.

    Raises:
        NotFiniteError: Names the first of those that are not.
    """
    parameters = {name for name, _ in model.named_parameters()}
    bad = [
        name for name, value in state.items()
        if torch.is_tensor(value) and value.is_floating_point()
        and not _is_sound(value, name in parameters)
    ]
    if bad:
        more = f' and {len(bad) - 1} more' if len(bad) > 1 else ''
        raise NotFiniteError(
            f'{bad[0]}{more} of the model hold values that are not finite: '
            'they are neither validated nor saved, and the training ends. '
            'Checkpoints that exist are left as they are; go on from one of '
            'them with a lower learning rate (optim_wrapper.optimizer.lr) '
            'or clipped gradients (optim_wrapper.clip_grad).')


def _is_sound(value: Tensor, parameter: bool) -> bool:
    if parameter:
        return bool(value.isfinite().all())
    return not bool((value.isnan() | value.isposinf()).any())
