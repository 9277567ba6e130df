# Copyright (c) mmseg_semi authors.
import shutil

import numpy as np
import pytest

from mmseg_semi.engine.checkpoint import CheckpointError
from mmseg_semi.reporting.notices import logged_warnings, notices
from mmseg_semi.reporting.runs import MOST_RUNS, read_run, read_runs
from .given import images, work_dir


@pytest.fixture
def bare(tmp_path):
    """A training of which no model was fitted."""

    def make(name='run', **options):
        options = dict(dict(root=str(tmp_path), fit=False), **options)
        return work_dir(tmp_path / name, **options)

    return make


def test_what_a_run_is(bare):
    run = read_run(bare())
    assert run.iterations == (40, 40) and not run.is_supervised
    assert run.facts['labels'] == 5 and run.trained.iteration == 40
    assert run.missing == [] and notices(run) == []
    assert 'max_iters=40' in run.config_text
    assert read_run(bare('twin', unlabelled=False)).is_supervised


def test_a_killed_run(bare):
    run = read_run(bare(reached=25))
    assert run.iterations == (25, 40) and run.facts == {}
    text, = notices(run)
    assert 'iteration 25 of 40' in text and '--resume' in text
    (run.folder / 'training.lock').touch()
    assert 'still runs, or it was killed' in notices(run)[0]
    (run.folder / 'console.log').write_text('a\nerror: out of memory\nb\n')
    assert notices(run)[0].endswith('It ended with: out of memory')


def test_losses_that_are_not_finite_come_first(bare):
    first, second = notices(read_run(bare(reached=25, nan_from=15)))
    assert 'from iteration 15 on' in first and 'loss (3 times)' in first
    assert 'not complete' in second


@pytest.mark.parametrize('options, text', [
    (dict(root=None), 'without validation images'),
    (dict(scores=()), 'has not been validated'),
    (dict(scores=(50., 20.)), '20.00, is 30.00 points below its best, 50.00'),
    (dict(weights=False), 'No weights'),
    (dict(alarms=['The teacher does not move.']), 'The teacher does not move'),
    (dict(gate=dict(alarms=['Few pixels are right.'])),
     'Few pixels are right.'),
])
def test_what_is_missing_is_said(bare, options, text):
    found = notices(read_run(bare(**options)))
    assert len(found) == 1 and text in found[0]


def test_skipped_images_are_counted(bare):
    run = read_run(bare())
    (run.folder / 'bad_images.txt').write_text('a.jpg\tcut\nb.jpg\tcut\n')
    assert '2 unlabelled images' in notices(run)[0]


def test_warnings_of_the_log_without_those_of_every_training(bare):
    run = read_run(bare())
    assert logged_warnings(run) == ['A <b>warning</b> of this training.']
    path = next(run.folder.glob('*/*.log'))
    path.write_text(''.join(f'x - WARNING - {i}\n' for i in range(50)))
    assert logged_warnings(run)[-1] == 'and 10 more'


@pytest.mark.parametrize('name, content, text', [
    ('record.json', '{"a": ', 'cannot be read: Expecting value'),
    ('record.json', '[1]', 'it holds a list'),
    ('per_image/last.npz', 'no', 'last.npz cannot be read'),
])
def test_broken_files_are_said_and_the_rest_is_read(bare, name, content, text):
    folder = bare()
    path = read_run(folder).folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    run = read_run(folder)
    assert len(run.missing) == 1 and text in run.missing[0]
    assert run.trained is not None and run.log


def test_a_broken_config_and_a_broken_checkpoint(bare):
    run = read_run(bare())
    (run.folder / 'iter_40.pth').write_bytes(b'no')
    broken = read_run(str(run.folder))
    assert broken.trained is None and 'iter_40' in broken.missing[0]
    with pytest.raises(CheckpointError, match='iter_40'):
        read_run(str(run.folder), str(run.folder / 'iter_40.pth'))
    config = next(run.folder.glob('*/vis_data/config.py'))
    config.write_text('model = (')
    broken = read_run(str(run.folder))
    assert broken.cfg is None and 'SyntaxError' in broken.missing[0]
    assert broken.log


def test_scores_of_other_weights_are_not_taken(tmp_path):
    root = images(tmp_path / 'data', count=2)
    folder = work_dir(tmp_path / 'run', root)
    run = read_run(folder)
    assert run.areas_iteration == 40 and len(run.areas.ids) == 2
    (run.folder / 'iter_40.pth').rename(run.folder / 'other.pth')
    assert read_run(folder).areas is not None  # of weights that are gone
    weights = tmp_path / 'run/other.pth'
    run = read_run(folder, str(weights))
    assert run.trained.checkpoint == str(weights)
    np.testing.assert_array_equal(run.areas.ids, ['v0', 'v1'])
    data = run.areas.to_bytes(30)
    (run.folder / 'per_image/last.npz').write_bytes(data)
    assert read_run(folder, str(weights)).areas is None


def test_what_is_no_run_is_refused(tmp_path, bare):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').touch()
    for name, text in (('absent', 'There is no folder'), ('file', 'is a file'),
                       ('empty', 'not the work directory of a training')):
        with pytest.raises(FileNotFoundError, match=text):
            read_run(str(tmp_path / name))
    folder = bare()
    with pytest.raises(ValueError, match='given twice'):
        read_runs([folder, f'{folder}/'])
    with pytest.raises(ValueError, match='No run'):
        read_runs([])
    with pytest.raises(ValueError, match='are too many'):
        read_runs([folder] * (MOST_RUNS + 1))
    with pytest.raises(ValueError, match='worst'):
        read_run(folder, weights='worst')


def test_runs_of_one_name_are_told_apart(bare):
    folders = [bare(f'{name}/same', weights=False) for name in 'ab']
    folders.append(bare('c', weights=False))
    assert [run.name
            for run in read_runs(folders)] == ['a/same', 'b/same', 'c']
    shutil.rmtree(folders[0])
    with pytest.raises(FileNotFoundError):
        read_runs(folders)
