# Copyright (c) mmseg_semi authors.
import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ...models.state import registered_state
from ..unwrap import unwrap

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_GOLDEN = -7046029254386353131  # 2^64 / golden ratio: multiplicative hashing


@HOOKS.register_module()
class MemoryBankHook(Hook):
    """Log how full the memory banks are and watch that processes agree.

    Banks, prototypes and counts are written with what all processes found,
    so every process must hold the same. A checkpoint stores the copy of
    process 0 only: if the others differ, training silently changes on resume.

    Args:
        interval (int): Log every so many iterations the least and the mean
            fill over classes, in [0, 1], as ``<bank>.fill_min`` and
            ``<bank>.fill_mean``, and the mean and greatest age of the rows,
            in pushes, as ``<bank>.age_mean`` and ``<bank>.age_max``. Reading
            them waits for the device. Defaults to 50.
        check_interval (int): Compare checksums over processes every so many
            iterations and before training; 0 for never. Defaults to 1000.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: int = 50, check_interval: int = 1000) -> None:
        self.interval = interval
        self.check_interval = check_interval

    def before_train(self, runner) -> None:
        """Compare what initialisation or a checkpoint brought."""
        if self.check_interval > 0:
            check_ranks_agree(unwrap(runner.model))

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs=None) -> None:
        """Log and compare when it is time."""
        model = unwrap(runner.model)
        if self.every_n_train_iters(runner, self.interval):
            for name, module in model.named_modules():
                health = getattr(module, 'state_health', dict)()
                runner.message_hub.update_scalars({
                    f'train/{name}.{key}': value
                    for key, value in health.items()
                })
        if self.every_n_train_iters(runner, self.check_interval):
            check_ranks_agree(model)


def check_ranks_agree(model: nn.Module) -> None:
    """Compare what all processes must hold alike.

    All processes must call it; a no-op in a single one.

    Args:
        model (nn.Module): The unwrapped model. Looked at is all state of
            :func:`mmseg_semi.models.state.register_state` that is not
            ``per_rank``.

    Raises:
        RuntimeError: If any of it differs; the message names it.
    """
    if get_world_size() == 1:
        return
    shared = {
        name: value
        for name, registration, value in registered_state(model)
        if registration.over_ranks != 'per_rank'
    }
    if not shared:
        return
    sums = torch.stack([checksum(buffer) for buffer in shared.values()])
    ranks = torch.stack(all_gather(sums))
    differing = [
        name for name, same in zip(shared, (ranks == ranks[0]).all(0).tolist())
        if not same
    ]
    if differing:
        raise RuntimeError(
            f'The processes disagree on {", ".join(differing)}. Whatever '
            'writes these must use the same, gathered or reduced data on '
            'every process (mmseg_semi.models.state.reduced).')


def checksum(tensor: Tensor) -> Tensor:
    """Sum of a tensor's bits that depends on where they are.

    Every row of the last dimension is summed as integers and weighted with a
    hash of its number, modulo 2^64, so swapped rows are noticed. Computed on
    the tensor's device.

    Args:
        tensor (Tensor): Any shape and dtype.

    Returns:
        Tensor: 0-dim, long.
    """
    bits = tensor.detach().contiguous()
    if bits.is_floating_point():
        bits = bits.view(_INTEGERS[bits.element_size()])
    bits = bits.flatten(0, -2) if bits.dim() > 1 else bits.reshape(-1, 1)
    rows = bits.sum(1, dtype=torch.long)
    weights = torch.arange(1, len(rows) + 1, device=rows.device) * _GOLDEN
    weights = weights ^ (weights >> 32)
    # The size tells an empty tensor from one of zeros.
    return (rows * weights).sum() + tensor.numel()
