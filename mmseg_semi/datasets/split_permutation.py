# Copyright (c) mmseg_semi authors.
"""Labelled lists that were published as permutations of an image list.

ClassMix and CMB publish ``split_0.pkl``: a pickled permutation of all
training images, of which the first n are labelled.
"""
import io
import os.path as osp
import pickle

import numpy as np

from .paths import require

_ALLOWED = {
    ('_codecs', 'encode'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    *((f'numpy.{core}.{module}', name) for core in ('core', '_core')
      for module, name in (('multiarray', '_reconstruct'),
                           ('multiarray', 'scalar'),
                           ('numeric', '_frombuffer'))),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds lists, numbers and numpy arrays, and nothing that runs code."""

    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f'it wants {module}.{name}, which no list of numbers needs')
        return super().find_class(module, name)


def read_permutation(path: str) -> np.ndarray:
    """Read a permutation.

    Args:
        path (str): ``.pkl`` (a list or numpy array of integers; nothing else
            is unpickled), ``.npy``, or text with one integer per line.

    Returns:
        np.ndarray: (N,) int64, every number of 0..N-1 once.

    Raises:
        ValueError: If the file is no such permutation.
    """
    require(path, 'permutation', False)
    kind = osp.splitext(path)[1].lower()
    with open(path, 'rb') as file:
        data = file.read()
    try:
        if kind == '.npy':
            numbers = np.load(io.BytesIO(data), allow_pickle=False)
        elif kind in ('.pkl', '.pickle'):
            numbers = np.asarray(
                _ArrayUnpickler(io.BytesIO(data), encoding='latin1').load())
        else:
            numbers = np.array([int(word) for word in data.split()])
    except Exception as err:  # unpickling raises whatever the data makes it
        raise ValueError(f'{path} is no permutation of numbers: '
                         f'{type(err).__name__}: {err}.') from err
    numbers = numbers.squeeze()
    if numbers.ndim != 1 or not np.array_equal(
            np.sort(numbers), np.arange(numbers.size)):
        raise ValueError(
            f'{path} holds {numbers.dtype} {numbers.shape}, not every number '
            'from 0 on once. Give the permutation of the training images '
            '(split_0.pkl of CMB).')
    return numbers.astype(np.int64)
