# Copyright (c) mmseg_semi authors.
"""Full precision inside mixed-precision training."""
import functools
from contextlib import nullcontext
from typing import Callable

import torch
from torch import Tensor


def upcast(tensor: Tensor) -> Tensor:
    """Turn half precision into fp32 and leave fp32 and fp64 as they are."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def no_autocast(device: torch.device):
    """Context in which autocast is off; the meta device has none."""
    if device.type == 'meta':
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def full_precision(function: Callable) -> Callable:
    """Run a function with autocast switched off.

    Entropies, similarities and cross entropies lose their small values in
    half precision, so the functions that compute them opt out of autocast.

    Args:
        function (Callable): Its first argument is a tensor, whose device
            decides which autocast is switched off.
    """

    @functools.wraps(function)
    def wrapper(tensor: Tensor, *args, **kwargs):
        with no_autocast(tensor.device):
            return function(tensor, *args, **kwargs)

    return wrapper
