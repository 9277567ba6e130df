# Copyright (c) mmseg_semi authors.
import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from mmseg_semi.engine.plain import from_plain, to_plain
from .engine_toys import make_runner  # noqa: F401


def through_a_file(value):
    buffer = io.BytesIO()
    torch.save(to_plain(value), buffer)
    buffer.seek(0)
    return from_plain(torch.load(buffer, weights_only=True))


@pytest.mark.parametrize('array', [
    np.array([1.5, np.nan, -np.inf]),
    np.float32([[1, 2], [3, 4]]),
    np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::2],
    np.array(3.),
    np.zeros((0, 4)),
    np.array([True, False]),
    np.array(['a', 'bc']),
    np.arange(3, dtype='>f8'),
])
def test_arrays_return_with_dtype_and_bits(array):
    back = through_a_file(dict(x=[array]))['x'][0]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize('value,plain', [
    (np.float32(.5), .5),
    (np.float64(.1), .1),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.str_('a'), 'a'),
    (Path('a') / 'b', str(Path('a') / 'b')),
    (ConfigDict(a=ConfigDict(b=1)), dict(a=dict(b=1))),
    (OrderedDict(a=(1, None)), OrderedDict(a=(1, None))),
    ({
        np.int64(1): [np.int8(2)]
    }, {
        1: [2]
    }),
])
def test_plain_values(value, plain):
    result = to_plain(value)
    assert result == plain
    assert type(result) is type(plain)
    assert through_a_file(value) == plain


def test_history_returns_with_its_statistics():
    history = HistoryBuffer(max_length=5)
    for i in range(9):
        history.update(i / 3, i + 1)
    back = through_a_file(OrderedDict(loss=history))['loss']
    for old, new in zip(history.data, back.data):
        assert old.tobytes() == new.tobytes()
    assert back.max_length == 5
    assert back.mean(3) == history.mean(3)
    back.update(1.)
    assert len(back.data[0]) == 5


def test_original_is_not_changed():
    history = HistoryBuffer([1.], [1])
    plain = to_plain(history)
    history._log_history[0] = 2.
    assert from_plain(plain).current() == 1.


def test_tensors_pass_through():
    tensor = torch.ones(2)
    assert to_plain([tensor])[0] is tensor


def test_other_objects_are_refused_by_place():
    with pytest.raises(
            TypeError, match=r"meta\['x'\]\[1\] is a builtins.object"):
        to_plain(dict(x=[0, object()]), 'meta')
