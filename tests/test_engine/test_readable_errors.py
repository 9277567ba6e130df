# Copyright (c) mmseg_semi authors.
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmseg_semi.engine.checks import check_num_classes
from mmseg_semi.engine.readable_errors import TRACEBACK, readable_errors
from mmseg_semi.functional import softmax_entropy
from .engine_toys import CountingDataset, ToySemi


@pytest.fixture(autouse=True)
def no_wish_for_tracebacks(monkeypatch):
    monkeypatch.delenv(TRACEBACK, raising=False)


def wrong_num_classes():
    model = ToySemi()
    model.decode_head = torch.nn.Identity()
    model.decode_head.num_classes = 7
    check_num_classes(model, CountingDataset())


def test_our_error_becomes_its_message():
    with pytest.raises(SystemExit) as caught, readable_errors('a tool'):
        wrong_num_classes()
    assert caught.value.code.startswith('\nerror: The decode head')
    assert 'num_classes=7' in caught.value.code


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv(TRACEBACK, '1')
    with pytest.raises(ValueError), readable_errors('a tool'):
        wrong_num_classes()


def test_tool_counts_as_ours():
    with pytest.raises(SystemExit), readable_errors(__name__):
        raise ValueError('wrong argument')
    with pytest.raises(ValueError), readable_errors('another tool'):
        raise ValueError('wrong argument')


def test_failing_operation_in_our_code_is_a_bug():
    with pytest.raises(IndexError), readable_errors('a tool'):
        softmax_entropy(torch.ones(3), dim=5)


def test_errors_of_others_and_assertions_pass():
    with pytest.raises(ValueError), readable_errors('a tool'):
        int('x')
    with pytest.raises(AssertionError), readable_errors(__name__):
        assert not __name__


def test_a_reader_that_has_enough():
    """`tool | head -1`, of few lines (flushed at the end) and of many."""
    code = """
from mmseg_semi.engine.readable_errors import readable_errors
with readable_errors(__name__):
    for _ in range({}):
        print('line' * 20)
"""
    for lines in (2, 100000):
        process = subprocess.Popen(
            [sys.executable, '-c', code.format(lines)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        process.stdout.close()
        assert process.stderr.read() == b''
        assert process.wait(100) == 141


def test_missing_config(tmp_path):
    (tmp_path / 'brpg_r101_voc-blended_662.py').write_text('')
    missing = tmp_path / 'brpg_r101_voc_662.py'
    with pytest.raises(SystemExit) as caught, readable_errors('a tool'):
        Config.fromfile(missing)
    assert f'there is no file {missing}.' in caught.value.code
    assert 'nearest names: brpg_r101_voc-blended_662.py' in caught.value.code


def test_other_missing_files_pass():
    with pytest.raises(FileNotFoundError), readable_errors('a tool'):
        open('no such file.txt')
