# Copyright (c) mmseg_semi authors.
"""predict as it is typed."""
import json

import pytest

from ..test_predicting.given import files, save
from .test_main import call


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / 'photos/a.png')
    save(tmp_path / 'photos/sub/b.jpg', seed=1)
    (tmp_path / 'photos/notes.md').touch()
    return files(tmp_path / 'model', 'teacher')


def test_text_and_json_say_what_was_done(model, capsys):
    command = 'predict', *model, 'photos', '--device', 'cpu', '--out'
    assert call(*command, 'out') == 0
    text = capsys.readouterr().out
    assert '2 images predicted into out' in text
    assert 'photos/a.png -> out/masks/a.png' in text
    assert 'photos/notes.md: no image by its name' in text
    assert call(*command, 'other', '--json', '--network', 'student') == 0
    found = json.loads(capsys.readouterr().out)
    assert [p['files']['masks'] for p in found['predicted']
            ] == ['other/masks/a.png', 'other/masks/sub/b.png']
    assert found['skipped'][0]['image'] == 'photos/notes.md'


def test_nothing_predicted_is_1(model, tmp_path, capsys):
    (tmp_path / 'photos/a.png').write_text('no')
    assert call('predict', *model, 'photos/a.png', '--out', 'out') == 1
    assert '0 images predicted' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, text', [
    (['photos', '--out', 'x', '--network', 'tutor'], "no network 'tutor'"),
    (['photos', '--out', 'x', '--tile', '64', '--overlap', '60'
      ], '32 at most'),
    (['fotos', '--out', 'x'], 'no image, folder or list fotos'),
    (['photos', '--out', 'x', '--head', 'brpg'], "'brpg' is no head"),
])
def test_what_the_user_can_mend_is_1(model, capsys, arguments, text):
    assert call('predict', *model, *arguments) == 1
    captured = capsys.readouterr()
    assert text in captured.err and 'Traceback' not in captured.err


@pytest.mark.parametrize('config, checkpoint, text', [
    ('absent.py', 'model/weights.pth', 'there is no file absent.py'),
    ('model/config.py', 'absent.pth', 'no checkpoint absent.pth'),
    ('model/weights.pth', 'photos', 'its config comes first'),
    ('model/config.py', 'last', 'no work directory'),
    ('photos', 'last', 'holds 0 configs'),
    ('model/config.py', 'photos/a.png', 'not a checkpoint'),
])
def test_no_model(model, capsys, config, checkpoint, text):
    assert call('predict', config, checkpoint, 'photos', '--out', 'x') == 1
    captured = capsys.readouterr()
    assert text in captured.err and 'Traceback' not in captured.err


@pytest.mark.parametrize(
    'arguments', [['predict'], ['predict', 'a', 'b', 'c'],
                  ['predict', 'a', 'b', 'c', '--out', 'd', '--tile', '-1']])
def test_misuse_is_2(arguments, capsys):
    assert call(*arguments) == 2
    assert 'usage: mmseg-semi predict' in capsys.readouterr().err
