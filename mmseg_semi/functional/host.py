# Copyright (c) mmseg_semi authors.
"""Where values may be read."""
from torch import Tensor

HOST = ('cpu', )


def on_host(tensor: Tensor) -> bool:
    """Whether reading values of the tensor waits for no device.

    There, work may follow what the values say: loops over images or classes
    with as many rows as there are. Elsewhere all shapes are fixed.

    Args:
        tensor (Tensor): Any.

    Returns:
        bool: It is in the memory of the CPU.
    """
    return tensor.device.type in HOST
