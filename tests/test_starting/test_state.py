# Copyright (c) mmseg_semi authors.
import json

import pytest

from mmseg_semi.starting.state import State

ARGUMENTS = dict(photos='/p', iters=4, mapping={'0': 'a'}, ignore=('x', ))
OTHERS = dict(ARGUMENTS, iters=5, val=.3)


@pytest.fixture
def begun(tmp_path):
    """A folder with two configs and a training that has begun."""
    state = State(tmp_path / 'out', ARGUMENTS)
    files = {}
    for name in ('twin', 'method'):
        files[name] = str(tmp_path / 'out' / f'{name}.py')
        (tmp_path / 'out' / f'{name}.py').write_text('ours')
    state.set_files(files, dict(iters=4))
    state.folder('twin').mkdir()
    (state.folder('twin') / 'iter_1.pth').write_text('x')
    state.set_trained('twin', False)
    return tmp_path / 'out'


def test_it_goes_on(begun):
    state = State(begun, ARGUMENTS)
    assert state.has_trainings and not state.is_trained('twin')
    assert list(state.files) == ['twin', 'method']
    assert state.recipe == dict(iters=4)
    state.set_trained('twin', True)
    again = State(begun, ARGUMENTS, force=True)  # nothing differs
    assert again.is_trained('twin') and again.files == state.files
    assert (begun / 'twin/iter_1.pth').is_file()


def test_other_arguments_are_refused_with_what_differs(begun):
    with pytest.raises(FileExistsError, match='with iters=4, not 5, val=None'):
        State(begun, OTHERS)
    assert (begun / 'twin/iter_1.pth').is_file()
    assert State(begun, ARGUMENTS).has_trainings


def test_before_a_training_arguments_may_change(tmp_path):
    State(tmp_path / 'out', ARGUMENTS)
    state = State(tmp_path / 'out', OTHERS)
    state.set_trained('twin', False)
    assert State(tmp_path / 'out', OTHERS).has_trainings


def test_force_deletes_what_is_ours_and_nothing_else(begun):
    (begun / 'mine').mkdir()
    (begun / 'method.py').write_text('changed by the user')
    state = State(begun, OTHERS, force=True)
    assert not state.has_trainings and state.files == state.recipe == {}
    assert not (begun / 'twin').exists() and (begun / 'mine').is_dir()
    assert not (begun / 'twin.py').exists()
    assert (begun / 'method.py').read_text() == 'changed by the user'
    state = State(begun, OTHERS)
    assert not state.has_trainings


@pytest.mark.parametrize('content', ['', '[]', json.dumps(dict(tool='x'))])
def test_a_foreign_folder_is_left_alone(tmp_path, content):
    (tmp_path / 'start.json').write_text(content)
    for force in (False, True):
        with pytest.raises(FileExistsError, match='not begun by'):
            State(tmp_path, ARGUMENTS, force)
    assert (tmp_path / 'start.json').read_text() == content
