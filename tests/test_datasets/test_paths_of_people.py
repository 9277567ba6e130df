# Copyright (c) mmseg_semi authors.
"""Paths as people write them, and folders that cannot be written."""
import os

import pytest

from mmseg_semi.data_check.findings import Finding, Report
from mmseg_semi.datasets.paths import require_writable, short_path


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'out/data').mkdir(parents=True)
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/a.jpg').write_text('x')


def test_steps_back_are_left_out(photo):
    assert short_path('out/data/../../photos/a.jpg') == 'photos/a.jpg'
    assert short_path('out/../absent.jpg') == 'out/../absent.jpg'
    assert short_path('train_dataloader') == 'train_dataloader'
    assert short_path(os.path.abspath('photos/a.jpg')) == 'photos/a.jpg'


def test_links_keep_what_they_mean(photo, tmp_path):
    (tmp_path / 'far/deep/photos').mkdir(parents=True)
    (tmp_path / 'far/deep/photos/a.jpg').write_text('another')
    (tmp_path / 'out/link').symlink_to(tmp_path / 'far/deep/photos')
    path = 'out/link/../photos/a.jpg'
    assert short_path(path) == path


def test_findings_have_them(photo):
    path = 'out/data/../../photos/a.jpg'
    report = Report([
        Finding('mask-ids', 'error', 'labelled', path, 'v', 'r', (path, path)),
        Finding('mask-ids', 'error', 'x', 'val_dataloader', 'v', 'r')
    ]).with_short_paths()
    assert report.findings[0].path == 'photos/a.jpg'
    assert report.findings[0].files == ('photos/a.jpg', ) * 2
    assert report.findings[1].path == 'val_dataloader'


def test_folders_that_can_be_made_leave_no_trace(photo, tmp_path):
    before = sorted(map(str, tmp_path.rglob('*')))
    require_writable('new/deeper', '--out')
    require_writable('photos', '--out')
    require_writable('photos/a.jpg', '--out')  # judged by who writes it
    assert sorted(map(str, tmp_path.rglob('*'))) == before


def test_folders_that_cannot_be_made_are_told(photo):
    with pytest.raises(OSError, match='--out: .*a.jpg is no folder'):
        require_writable('photos/a.jpg/x', '--out')
    with pytest.raises(OSError, match='--out: nothing can be written in /pro'):
        require_writable('/proc/x', '--out')
