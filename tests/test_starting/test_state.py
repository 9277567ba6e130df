# Copyright (c) mmseg_semi authors.
import json

import pytest

from mmseg_semi.starting.state import State

ARGUMENTS = dict(photos='/p', iters=4, mapping={'0': 'a'}, ignore=('x', ))


def test_it_goes_on(tmp_path):
    out = tmp_path / 'out'
    state = State(out, ARGUMENTS)
    assert state.files == {} and not state.is_trained('twin')
    assert state.folder('twin') == out / 'twin'
    state.set_files(dict(twin='a.py'))
    state.set_trained('twin')
    again = State(out, ARGUMENTS)
    assert again.files == dict(twin='a.py') and again.is_trained('twin')
    assert not again.restarted


def test_other_arguments_are_refused_with_what_differs(tmp_path):
    State(tmp_path / 'out', ARGUMENTS)
    with pytest.raises(FileExistsError, match='with iters=4, not 5, val='):
        State(tmp_path / 'out', dict(ARGUMENTS, iters=5, val=.3))


def test_force_deletes_the_trainings_and_nothing_else(tmp_path):
    out = tmp_path / 'out'
    state = State(out, ARGUMENTS)
    state.folder('twin').mkdir()
    (out / 'mine').mkdir()
    (out / 'twin/iter_1.pth').write_text('x')
    state.set_trained('twin')
    again = State(out, dict(ARGUMENTS, iters=5), force=True)
    assert again.restarted and not again.is_trained('twin')
    assert not (out / 'twin').exists() and (out / 'mine').is_dir()
    assert not State(out, dict(ARGUMENTS, iters=5), force=True).restarted


@pytest.mark.parametrize('content', ['', '[]', json.dumps(dict(tool='x'))])
def test_a_foreign_folder_is_left_alone(tmp_path, content):
    (tmp_path / 'start.json').write_text(content)
    for force in (False, True):
        with pytest.raises(FileExistsError, match='not begun by'):
            State(tmp_path, ARGUMENTS, force)
    assert (tmp_path / 'start.json').read_text() == content
