# Copyright (c) mmseg_semi authors.
"""Reading and writing files of weights for the model converters."""
import io
import pickle
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_semi.datasets.paths import require
from .atomic import write_atomically


@contextmanager
def weights_alone(path: str):
    """Turn what a reader says about a file that is no weights into ours."""
    require(path, 'weights', False)
    try:
        yield
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'{path} cannot be read as weights: {reason}. '
                         'Download it again; a file with other objects in it '
                         'is refused, as loading those can run any '
                         'code.') from None


def read_pth(path: str) -> Any:
    """Content of a ``.pth`` on the CPU, read without running code.

    Raises:
        ValueError: If it holds anything but tensors in plain containers.
    """
    with weights_alone(path):
        return torch.load(path, map_location='cpu', weights_only=True)


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
