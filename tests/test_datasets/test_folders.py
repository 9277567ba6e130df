# Copyright (c) mmseg_semi authors.
import pytest

from mmseg_semi.datasets.folders import is_hidden, walk_folder


def test_walk_follows_links_but_no_loops(tmp_path):
    for name in ('a/b/1.png', 'c/2.png', 'a/.x/3.png', 'a/.4.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('')
    (tmp_path / 'a/b/up').symlink_to('..')
    (tmp_path / 'a/side').symlink_to('../c')
    (tmp_path / 'c/back').symlink_to('../a')
    listing = walk_folder(str(tmp_path / 'a'))
    assert listing.files == ['b/1.png', 'side/2.png']
    assert listing.hidden == ['.4.png', '.x/3.png']
    assert listing.loops == {
        str(tmp_path / 'a/b/up'): str(tmp_path / 'a'),
        str(tmp_path / 'a/side/back'): str(tmp_path / 'a')
    }
    assert walk_folder(str(tmp_path / 'none')).files == []


@pytest.mark.parametrize('path,expected', [('a/b.png', False), ('.', False),
                                           ('../a.png', False),
                                           ('a/.b/c.png', True),
                                           ('.b.png', True),
                                           ('__MACOSX/b.png', True),
                                           ('a/@eaDir/b.png', True)])
def test_hidden_names(path, expected):
    assert is_hidden(path) is expected
