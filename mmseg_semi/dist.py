# Copyright (c) mmseg_semi authors.
"""Collectives that the methods need; every one is the identity on one rank.

They carry no gradient. A tensor that is reduced in place while autograd holds
it silently scales its gradient by 1 / world size, so each function works on a
detached copy.
"""
import datetime
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as torch_dist
from torch import Tensor

_PATIENCE = datetime.timedelta(days=1)


def world_size() -> int:
    """Number of ranks, 1 when ``torch.distributed`` is not initialised."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        return torch_dist.get_world_size()
    return 1


def rank() -> int:
    """This process's rank, 0 when not distributed."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        return torch_dist.get_rank()
    return 0


def all_sum(tensor: Tensor) -> Tensor:
    """Sum a tensor over the ranks.

    Args:
        tensor (Tensor): Same shape and dtype on every rank.

    Returns:
        Tensor: A detached copy with the sum, the same on every rank.
    """
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world_size() > 1:
        torch_dist.all_reduce(total)
    return total


def gather_rows(tensor: Tensor, equal: bool = False) -> Tensor:
    """Concatenate the rows of every rank in rank order.

    Args:
        tensor (Tensor): (n_r, ...). ``n_r`` may differ between ranks and may
            be 0; the other dimensions and the dtype agree.
        equal (bool): The caller guarantees the same ``n_r`` on every rank.
            Skips the exchange of sizes, which is a host synchronisation.

    Returns:
        Tensor: (sum of n_r, ...), detached, the same on every rank.
    """
    rows = tensor.detach().contiguous()
    if world_size() == 1:
        return rows.clone()
    if equal:
        sizes = [rows.shape[0]] * world_size()
    else:
        size = torch.tensor([rows.shape[0]], device=rows.device)
        gathered = [torch.empty_like(size) for _ in range(world_size())]
        torch_dist.all_gather(gathered, size)
        sizes = torch.cat(gathered).tolist()
    padded = rows.new_zeros((max(sizes), ) + rows.shape[1:])
    padded[:rows.shape[0]] = rows
    # Not every backend gathers booleans.
    wire = padded.to(torch.uint8) if padded.dtype == torch.bool else padded
    blocks = [torch.empty_like(wire) for _ in sizes]
    torch_dist.all_gather(blocks, wire)
    kept = [block[:size] for block, size in zip(blocks, sizes)]
    return torch.cat(kept).to(rows.dtype)


def from_next_rank(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the next rank holds; the last rank gets rank 0's.

    Args:
        maps (dict[str, Tensor]): Tensors (n, ...) by name; names, shapes and
            dtypes are the same on every rank.

    Returns:
        dict[str, Tensor]: Theirs, detached; one's own on a single rank.
    """
    first = (rank() + 1) % world_size()
    return {
        name:
        gather_rows(value,
                    equal=True).unflatten(0, (world_size(), len(value)))[first]
        for name, value in maps.items()
    }


def broadcast_from_main(tensor: Tensor) -> Tensor:
    """Replace a tensor by rank 0's.

    Args:
        tensor (Tensor): Same shape and dtype on every rank.

    Returns:
        Tensor: A detached copy of rank 0's tensor.
    """
    copy = tensor.detach().clone(memory_format=torch.contiguous_format)
    if world_size() > 1:
        torch_dist.broadcast(copy, src=0)
    return copy


def call_on_main(function: Callable, *args) -> Any:
    """Call a function on rank 0 alone; its result is everybody's.

    The other ranks wait a day and not as long as a collective, which a look
    at many files would exceed.

    Args:
        function (Callable): What it returns or raises must pickle.
        *args: Its arguments.

    Returns:
        Any: The same on every rank.

    Raises:
        Exception: What ``function`` raised, on every rank.
    """
    if world_size() == 1:
        return function(*args)
    outcome = [None, None]
    if rank() == 0:
        try:
            outcome[0] = function(*args)
        except Exception as error:  # or the others would wait for ever
            outcome[1] = error
    group = torch_dist.new_group(
        backend='gloo' if torch_dist.is_gloo_available() else None,
        timeout=_PATIENCE)
    torch_dist.broadcast_object_list(outcome, src=0, group=group)
    torch_dist.destroy_process_group(group)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
