# Copyright (c) mmseg_semi authors.
"""mmseg-semi check."""
import json
import shutil

import pytest
from PIL import Image

from mmseg_semi.datasets.digit_scenes import (DigitScenesRecipe,
                                              write_digit_scenes)
from ..test_end_to_end.harness import write_config
from .test_main import KEYS, call, folder


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    root = tmp_path_factory.mktemp('check') / 'DigitScenes'
    recipe = DigitScenesRecipe(num_train=80, num_val=12, labeled=(40, ))
    write_digit_scenes(root, recipe)
    return root


@pytest.fixture
def config(tmp_path, digits, monkeypatch):
    """A config in an empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    root = shutil.copytree(digits, tmp_path / 'data')
    return write_config(tmp_path / 'cfg.py', root)


def spoil(tmp_path):
    """One mask as a colour picture."""
    path = tmp_path / 'data/SegmentationClass/val_00001.png'
    Image.open(path).convert('RGB').save(path)
    return str(path)


def files(folder):
    return sorted(str(path) for path in folder.rglob('*'))


def test_an_import(tmp_path, capsys):
    arguments = folder(tmp_path)
    assert call(*arguments) == 0
    capsys.readouterr()
    call('check', tmp_path / 'out')
    text = capsys.readouterr().out
    assert 'Images: labelled 4' in text and 'validation 1' in text
    assert 'class_1' in text and 'Labelled pixels' in text
    assert 'The training' not in text


def test_another_folder_is_refused(tmp_path, capsys):
    assert call('check', tmp_path) == 1
    text = capsys.readouterr().err
    assert 'mmseg-semi import' in text and 'Traceback' not in text


def test_faults_are_1_and_in_json(tmp_path, config, capsys):
    path = spoil(tmp_path)
    assert call('check', config, '--no-steps') == 1
    text = capsys.readouterr().out
    assert path in text and 'mask-colour' in text
    assert 'The training' in text  # the plan does not need the data
    assert call('check', config, '--json') == 1
    found = json.loads(capsys.readouterr().out)
    assert found['data']['errors'] == 1 and 'step' not in found
    fault = found['findings'][0]
    assert set(fault) == KEYS | {'set'}
    assert fault['severity'] == 'error' and fault['kind'] == 'mask-colour'
    assert fault['path'] == path and fault['files'] == [path]
    assert call('check', config, '--no-steps', '--accept', 'mask-colour') == 0
    assert call('check', config, '--accept', 'colours') == 1
    assert 'no finding of the kind colours' in capsys.readouterr().err


def test_plan_and_numbers_of_a_config(config, capsys):
    options = ('--no-steps', '--json', '--cfg-options',
               'train_cfg.max_iters=40')
    assert call('check', config, *options) == 0
    found = json.loads(capsys.readouterr().out)
    plan = found['plan']
    assert plan['iterations'] == 40
    assert plan['images'] == dict(labeled=40, unlabeled=40)
    assert plan['epochs_labeled'] == 2
    pixels = found['data']['pixels']
    assert set(pixels) == {'labelled', 'validation'}
    assert sum(pixels['validation'].values()) == 12 * 64 * 64


def test_missing_weights_are_1(config, capsys):
    option = "model.pretrained='no/such.pth'"
    assert call('check', config, '--no-steps', '--cfg-options', option) == 1
    assert 'no/such.pth do not exist' in capsys.readouterr().out


@pytest.mark.slow
def test_dry_steps_leave_nothing(tmp_path, config, capfd):
    before = files(tmp_path)
    assert call('check', config, '--json') == 0
    step = json.loads(capfd.readouterr().out)['step']
    assert files(tmp_path) == before
    assert step['seconds'] > 0 and step['memory'] > 2**26
    assert step['steps'] == 5  # before burn-in ends, 3 of BRPG, the last again


@pytest.mark.slow
def test_a_step_that_fails_is_1(config, capsys):
    assert call('check', config, '--cfg-options', 'model.num_classes=7') == 1
    text = capsys.readouterr().out
    assert 'A step of the training fails: The decode head' in text
    assert 'num_classes=7' in text and 'Traceback' not in text


@pytest.mark.parametrize('step,iterations,words', [
    (dict(memory=2**30,
          total_memory=None), 7200, ['1.0 GiB\n', 'take about 1:00:00']),
    (dict(memory=2**29, total_memory=2**34), None, ['0.5 GiB of 16.0 GiB']),
    (dict(memory=None, total_memory=None), None, ['unknown']),
])
def test_memory_and_time_as_text(step, iterations, words):
    from mmseg_semi.engine.dry_steps import steps_text
    text = steps_text(dict(step, seconds=.5, steps=2, device='X'), iterations)
    for word in words:
        assert word in text
    assert ('iterations take' in text) is bool(iterations)


def test_pixel_table():
    from mmseg_semi.data_check import Report
    from mmseg_semi.data_check.pixel_table import pixel_table
    assert pixel_table(Report([])) == ''
    report = Report([],
                    pixels=dict(
                        labelled=dict(leaf=750, soil=250),
                        validation=dict(leaf=0, stone=0)))
    rows = [line.split() for line in pixel_table(report).splitlines()]
    assert rows == [['class', 'labelled', 'validation'],
                    ['leaf', '750', '(75.0', '%)', '0', '(0.0', '%)'],
                    ['soil', '250', '(25.0', '%)', '-'],
                    ['stone', '-', '0', '(0.0', '%)']]
