# Copyright (c) mmseg_semi authors.
"""Checkpoint content that ``torch.load(weights_only=True)`` accepts.

mmengine stores numpy scalars, numpy arrays and ``HistoryBuffer`` objects in
its checkpoints; safe loading, the default since torch 2.6, refuses them. Here
they become plain Python containers and tensors, and come back as they were.
"""
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_ARRAY = '__ndarray__'
_HISTORY = '__history_buffer__'


def to_plain(value: Any, where: str = 'value') -> Any:
    """Convert to what safe loading accepts.

    Numpy scalars become Python numbers, mappings dictionaries, sets lists,
    paths strings; these stay so. Arrays and history buffers become marked
    dictionaries that :func:`from_plain` turns back, bit for bit.

    Args:
        value: Anything, nested to any depth. Tensors are passed through.
        where (str): Name of the value in errors.

    Returns:
        The plain value; ``value`` itself is not changed.

    Raises:
        TypeError: If there is an object without a plain form; the message
            says where.
    """
    if value is None or isinstance(value,
                                   (torch.Tensor, torch.dtype, torch.device)):
        return value
    if isinstance(value, np.generic):
        return to_plain(value.item(), where)
    for kind in (bool, int, float, complex, str, bytes):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, HistoryBuffer):
        values, counts = (_array_to_plain(data, where) for data in value.data)
        return {_HISTORY: (values, counts, int(value.max_length))}
    if isinstance(value, np.ndarray):
        return _array_to_plain(value, where)
    if isinstance(value, Mapping):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind((to_plain(k, where), to_plain(v, f'{where}[{k!r}]'))
                    for k, v in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        kind = tuple if isinstance(value, tuple) else list
        return kind(to_plain(v, f'{where}[{i}]') for i, v in enumerate(value))
    raise TypeError(
        f'{where} is a {type(value).__module__}.{type(value).__qualname__}, '
        'which cannot be stored in a checkpoint that loads safely. Store '
        'numbers, strings, tensors, numpy arrays or containers of them.')


def from_plain(value: Any) -> Any:
    """Undo :func:`to_plain` for arrays and history buffers."""
    if isinstance(value, Mapping):
        if set(value) == {_ARRAY}:
            return _array_from_plain(*value[_ARRAY])
        if set(value) == {_HISTORY}:
            values, counts, max_length = value[_HISTORY]
            return HistoryBuffer(
                from_plain(values), from_plain(counts), max_length)
        return type(value)((k, from_plain(v)) for k, v in value.items())
    if type(value) in (list, tuple):
        return type(value)(from_plain(v) for v in value)
    return value


def _array_to_plain(array: np.ndarray, where: str) -> dict:
    try:
        data = torch.from_numpy(np.array(array))
    except (TypeError, ValueError):  # strings, objects, foreign byte order
        data = to_plain(array.tolist(), where)
    return {_ARRAY: (data, array.dtype.str)}


def _array_from_plain(data: Any, dtype: str) -> np.ndarray:
    if isinstance(data, torch.Tensor):
        return data.cpu().numpy().astype(dtype, copy=False)
    return np.array(data, dtype=dtype)
