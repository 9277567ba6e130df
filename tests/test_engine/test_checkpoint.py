# Copyright (c) mmseg_semi authors.
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmseg_semi.engine import (CheckpointError, UnsafeCheckpointError, atomic,
                               check_checkpoint, convert_checkpoint,
                               find_resumable_checkpoint)
from mmseg_semi.engine.atomic import AtomicLocalBackend, write_atomically
from mmseg_semi.engine.checkpoint import check_resumable, check_weights_fit


def write(path, iteration=1, time=None, **content):
    content = dict(
        state_dict=dict(weight=torch.full((1000, ), float(iteration))),
        optimizer={},
        **content)
    torch.save(content, path)
    if time is not None:
        os.utime(path, (time, time))
    return path


def truncate(path, share=.5):
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * share)])


def flip_a_weight(path):
    """One wrong bit, which torch.load does not notice."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    torch.load(path)


def foreign(path):
    """As mmengine's own hook writes it."""
    model = nn.Linear(1, 1)
    content = dict(
        meta=dict(iter=3),
        state_dict=model.state_dict(),
        message_hub=dict(
            log_scalars=OrderedDict(loss=HistoryBuffer([1.], [1])),
            runtime_info=OrderedDict(best=np.float64(.5), odd=Foreign()),
            resumed_keys=OrderedDict(loss=True, best=True, odd=True)),
        optimizer={})
    torch.save(content, path)
    return path


class Foreign:
    pass


def test_whole_file_is_returned(tmp_path):
    content = check_checkpoint(write(tmp_path / 'a.pth', 3))
    assert content['state_dict']['weight'][0] == 3


@pytest.mark.parametrize('share', [0., .001, .3, .9, .999])
def test_truncated_file(tmp_path, share):
    path = write(tmp_path / 'a.pth')
    truncate(path, share)
    with pytest.raises(CheckpointError, match='a.pth is truncated'):
        check_checkpoint(path)


def test_changed_bytes(tmp_path):
    path = write(tmp_path / 'a.pth')
    flip_a_weight(path)
    with pytest.raises(CheckpointError, match='checksum of .*data/0'):
        check_checkpoint(path)


def test_other_files(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_text('<html>404 not found</html>')
    with pytest.raises(CheckpointError, match='a.pth is .*not a checkpoint'):
        check_checkpoint(path)
    torch.save([1], path)
    with pytest.raises(CheckpointError, match='holds a list'):
        check_checkpoint(path)
    with pytest.raises(FileNotFoundError, match='b.pth'):
        check_checkpoint(tmp_path / 'b.pth')


def test_legacy_format_is_read(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(x=1), path, _use_new_zipfile_serialization=False)
    assert check_checkpoint(path) == dict(x=1)


def test_foreign_file_is_refused_with_a_command_that_works(tmp_path):
    path = foreign(tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError) as caught:
        check_checkpoint(path)
    command, = (
        line.strip() for line in str(caught.value).splitlines()
        if line.startswith('  '))
    assert command.startswith('python -c "') and command.endswith('"')
    code = command[len('python -c "'):-1]
    assert 'convert_checkpoint' in code
    exec(code, {})
    assert check_checkpoint(tmp_path / 'a_plain.pth')['meta']['iter'] == 3


def test_plain_pickle_is_not_run(tmp_path):
    path = tmp_path / 'a.pth'
    marker = tmp_path / 'marker'
    path.write_bytes(pickle.dumps(Bomb(str(marker))))
    with pytest.raises(UnsafeCheckpointError):
        check_checkpoint(path)
    assert not marker.exists()


class Bomb:

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path, )


def test_conversion_keeps_weights_and_history(tmp_path):
    path = foreign(tmp_path / 'a.pth')
    before = torch.load(path, weights_only=False)
    convert_checkpoint(path, path)
    after = torch.load(path, weights_only=True)
    assert torch.equal(after['state_dict']['weight'],
                       before['state_dict']['weight'])
    assert after['state_dict']._metadata == before['state_dict']._metadata
    hub = after['message_hub']
    assert hub['runtime_info'] == dict(best=.5)
    # What has no plain form is information, and left out.
    assert hub['resumed_keys'] == dict(loss=True, best=True)


@pytest.mark.parametrize(
    'name',
    ['student.weight', 'weight', 'module.student.weight', 'module.weight'])
def test_weights_of_the_model_or_of_one_network_fit(name):
    model = nn.ModuleDict(dict(student=nn.Linear(1, 1), other=nn.Identity()))
    check_weights_fit('a.pth', {name: 0, 'unknown': 0}, model)


def test_weights_of_something_else_do_not_fit():
    model = nn.ModuleDict(dict(student=nn.Linear(1, 1)))
    with pytest.raises(CheckpointError, match='a.pth fits neither.*encoder'):
        check_weights_fit('a.pth', {'encoder.weight': 0}, model)


def test_weights_alone_cannot_be_resumed(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={}), path)
    with pytest.raises(CheckpointError, match='no optimizer.*load_from'):
        check_resumable(path)


def test_no_checkpoint_means_none(tmp_path):
    assert find_resumable_checkpoint(tmp_path) is None
    assert find_resumable_checkpoint(tmp_path / 'absent') is None


def test_last_checkpoint_decides(tmp_path):
    # iter_9 is of an earlier run in the same folder.
    write(tmp_path / 'iter_9.pth', time=100)
    last = write(tmp_path / 'iter_4.pth', time=200)
    write(tmp_path / 'iter_2.pth', time=300)
    (tmp_path / 'last_checkpoint').write_text(str(last))
    assert find_resumable_checkpoint(str(tmp_path)) == str(last)


@pytest.mark.parametrize('damage', [truncate, flip_a_weight, os.remove])
def test_falls_back_to_the_newest_whole_file(tmp_path, damage, monkeypatch):
    messages = []
    monkeypatch.setattr('mmseg_semi.engine.checkpoint.print_log',
                        lambda message, **kwargs: messages.append(message))
    write(tmp_path / 'iter_9.pth', time=100)
    write(tmp_path / 'iter_2.pth', time=200)
    expected = write(tmp_path / 'iter_4.pth', time=300)
    last = write(tmp_path / 'iter_6.pth', time=400)
    write(tmp_path / 'best_mIoU_iter_6.pth', time=500)
    (tmp_path / 'last_checkpoint').write_text(str(last))
    damage(last)
    assert find_resumable_checkpoint(str(tmp_path)) == str(expected)
    assert 'iter_6.pth' in messages[0] and 'iter_4.pth' in messages[1]


def test_moved_folder(tmp_path):
    last = write(tmp_path / 'iter_4.pth')
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_4.pth')
    assert find_resumable_checkpoint(str(tmp_path)) == str(last)


def test_nothing_usable_is_an_error_that_lists_everything(tmp_path):
    truncate(write(tmp_path / 'iter_4.pth'))
    torch.save(dict(state_dict={}), tmp_path / 'iter_2.pth')
    with pytest.raises(CheckpointError) as caught:
        find_resumable_checkpoint(str(tmp_path))
    assert 'iter_4.pth is truncated' in str(caught.value)
    assert 'iter_2.pth has no optimizer state' in str(caught.value)


def test_foreign_newest_file_is_not_passed_over(tmp_path):
    write(tmp_path / 'iter_2.pth', time=100)
    foreign(tmp_path / 'iter_4.pth')
    with pytest.raises(UnsafeCheckpointError, match='iter_4.pth'):
        find_resumable_checkpoint(str(tmp_path))


@pytest.mark.parametrize('function', ['open', 'os.fsync', 'os.replace'])
def test_failed_write_leaves_the_old_file(tmp_path, function, monkeypatch):
    path = tmp_path / 'file'
    write_atomically(b'old', path)

    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    module = 'mmseg_semi.engine.atomic.'
    monkeypatch.setattr(module + function, full, raising='.' in function)
    with pytest.raises(OSError, match='file .* cannot be written: No space'):
        write_atomically(b'new', path)
    monkeypatch.undo()
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file']


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'file'
    write_atomically(b'old', path)
    child = os.fork()
    if child == 0:
        atomic.os.fsync = lambda descriptor: os._exit(9)
        write_atomically(b'new', path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_bytes() == b'old'


def test_backend_writes_bytes_and_text(tmp_path):
    backend = AtomicLocalBackend()
    backend.put(b'x', tmp_path / 'new' / 'a')
    backend.put_text('é', tmp_path / 'new' / 'b')
    assert backend.get(tmp_path / 'new' / 'a') == b'x'
    assert backend.get_text(tmp_path / 'new' / 'b') == 'é'
