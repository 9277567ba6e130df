# Copyright (c) mmseg_semi authors.
"""mmseg-semi report as it is typed."""
import json

import pytest

from ..test_reporting.given import work_dir
from .test_main import call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work_dir(tmp_path / 'run', weights=False)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'mine.html').write_text('mine')
    return tmp_path


def test_what_is_wrong_and_where_the_page_is(folder, capsys):
    assert call('report', 'run') == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('warning: run: It was trained without valid')
    assert lines[-1] == 'report.html: 1 run, 0.0 MB'
    assert (folder / 'report.html').read_text().startswith('<!DOCTYPE html>')
    assert call('report', 'run', '--with', 'run', '--json', '--out',
                'new/a.html') == 0
    found = json.loads(capsys.readouterr().out)
    assert found['report'] == 'new/a.html'
    assert found['bytes'] == (folder / 'new/a.html').stat().st_size
    assert found['runs'][0]['iterations'] == '40 of 40'
    assert 'without validation' in found['notices']['run'][0]


@pytest.mark.parametrize(
    'arguments',
    [[], ['run', '--images', '-1'], ['run', '--weights', 'worst']])
def test_misuse_is_2(folder, arguments):
    assert call('report', *arguments) == 2


@pytest.mark.parametrize('arguments, text', [
    (['absent'], 'There is no folder absent. '),
    (['mine.html'], 'mine.html is a file'),
    (['empty'], 'empty is not the work directory of a training'),
    (['run', 'run'], 'given twice'),
    (['run', '--out', 'mine.html'], 'is no report of ours'),
    (['run', '--out', 'empty'], 'empty is a folder'),
    (['run', '--with', 'empty'], '--with: empty holds no log'),
    (['run', '--with', 'unimatc'], 'neither a folder nor a recipe'),
])
def test_what_the_user_can_mend_is_1(folder, capsys, arguments, text):
    assert call('report', *arguments) == 1
    assert text in capsys.readouterr().err
    assert call('report', *arguments, '--json') == 1
    assert text in json.loads(capsys.readouterr().out)['error']
    assert (folder / 'mine.html').read_text() == 'mine'
