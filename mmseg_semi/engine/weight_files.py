# Copyright (c) mmseg_semi authors.
"""Writing what the model converters make."""
import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .atomic import write_atomically


def convert_file(source: str, target: str,
                 convert: Callable[[str], dict[str, Tensor]]) -> int:
    """Convert a file; returns the number of weights.

    Args:
        source (str): What ``convert`` reads.
        target (str): The checkpoint to write; must not exist.
        convert (Callable): From ``source`` to weights by name.

    Raises:
        FileExistsError: If ``target`` exists.
    """
    if Path(target).exists():
        raise FileExistsError(f'{target} exists: remove it, or give another '
                              'name.')
    state_dict = convert(source)
    buffer = io.BytesIO()
    torch.save(dict(state_dict=state_dict), buffer)
    write_atomically(buffer.getvalue(), target)
    return len(state_dict)
