# Copyright (c) mmseg_semi authors.
import pytest
import torch

from mmseg_semi.models.prototype_file import load_prototypes, save_prototypes

SHAPE = (3, 2, 5)
NAMES = ['a', 'b', 'c']


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'some/where/p.pth')


def store(path, shape=SHAPE, names=NAMES, valid=None, value=1.):
    if valid is None:
        valid = torch.ones(shape[:2], dtype=torch.bool)
    prototypes = torch.full(shape, value, dtype=torch.float64)
    save_prototypes(path, prototypes, valid, names, config='x.py')


def test_what_is_written_is_read(path, tmp_path):
    valid = torch.tensor([[True, True], [True, False], [False, False]])
    store(path, valid=valid)
    prototypes, found = load_prototypes(path, SHAPE, tuple(NAMES))
    assert prototypes.dtype == torch.float32 and (prototypes == 1).all()
    assert torch.equal(found, valid)
    content = torch.load(path, weights_only=True)
    assert content['source'] == dict(config='x.py')
    assert [p.name for p in tmp_path.rglob('*.p*')] == ['p.pth']


@pytest.mark.parametrize('shape, message', [
    ((4, 2, 5), '3 classes, the model has 4'),
    ((3, 4, 5), '2 prototypes per class, the model has 4'),
    ((3, 2, 9), '5 feature channels, the model has 9'),
])
def test_another_shape(path, shape, message):
    store(path)
    with pytest.raises(ValueError, match=message):
        load_prototypes(path, shape, NAMES)


@pytest.mark.parametrize('names, message', [
    (['b', 'a', 'c'], "another order: class 0 is 'a' there and 'b'"),
    (['a', 'b', 'd'], "other classes: class 2 is 'c' there and 'd'"),
])
def test_other_classes(path, names, message):
    store(path)
    with pytest.raises(ValueError, match=message):
        load_prototypes(path, SHAPE, names)
    load_prototypes(path, SHAPE)  # names unknown


@pytest.mark.parametrize(
    'content',
    [b'', b'not a file of torch', 'tensor', 'dict', 'pickle', 'format'])
def test_another_file(path, tmp_path, content):
    other = tmp_path / 'other.pth'
    if isinstance(content, bytes):
        other.write_bytes(content)
    else:
        torch.save(
            dict(
                tensor=torch.ones(2),
                dict=dict(state_dict={}),
                pickle=dict(format=test_another_file),
                format=dict(format='other 1'))[content], other)
    with pytest.raises(ValueError, match='other.pth.*init_prototypes'):
        load_prototypes(str(other), SHAPE)


def test_nothing_or_nan_in_it(path):
    store(path, valid=torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match='no prototype for any class'):
        load_prototypes(path, SHAPE)
    store(path, value=float('nan'))
    with pytest.raises(ValueError, match='not finite'):
        load_prototypes(path, SHAPE)


def test_there_is_none(path):
    with pytest.raises(FileNotFoundError, match='init_prototypes.py CONFIG'):
        load_prototypes(path, SHAPE)
