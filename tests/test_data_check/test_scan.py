# Copyright (c) mmseg_semi authors.
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.data_check import FactCache
from mmseg_semi.data_check import cache as cache_module
from mmseg_semi.data_check import default_cache, scan
from mmseg_semi.data_check.facts import read_facts
from .trees import Tree

# The package has the function of the same name.
scan_module = sys.modules[scan.__module__]


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / 'data', 3, 0, 0)


@pytest.fixture
def files(tree):
    return [*tree.set('labelled').files()]


@pytest.fixture
def reads(monkeypatch):
    """Paths that are read, not taken from the cache."""
    paths = []

    def read(path, role):
        paths.append(path)
        return read_facts(path, role)

    monkeypatch.setattr(scan_module, 'read_facts', read)
    return paths


def test_facts_against_numpy(tree, files):
    facts = scan(files)
    for path, mask in tree.set('labelled').pairs():
        ids = np.asarray(Image.open(mask))
        values, counts = np.unique(ids, return_counts=True)
        assert facts[mask, 'mask'].counts == dict(
            zip(values.tolist(), counts.tolist()))
        image = facts[path, 'image']
        assert (image.size, image.bands, image.bits) == ((32, 32), 3, 8)
        stat = os.stat(path)
        assert image.identity == (stat.st_dev, stat.st_ino)


def test_equal_pixels_have_equal_digests(tree):
    image = Image.open(tree.photos()[0])
    paths = [str(tree.root / f'x{end}') for end in ('.png', '.bmp', '.tif')]
    for path in paths:
        image.save(path)
    other = np.array(image)
    other[-1, -1, 0] ^= 1
    paths.append(tree.save('y.png', other))
    digests = [scan([(p, 'image')])[p, 'image'].digest for p in paths]
    assert len(set(digests[:3])) == 1 and digests[3] not in digests[:3]


@pytest.mark.parametrize('workers', [1, 3])
def test_any_number_of_workers(files, workers):
    assert scan(files, workers=workers) == scan(files)


def test_progress_and_repeated_files(files, reads, monkeypatch):
    monkeypatch.setattr(scan_module, '_BATCH', 4)
    calls = []
    scan(files + files, progress=lambda *args: calls.append(args))
    assert calls == [(0, 6), (4, 6), (6, 6)]
    assert sorted(reads) == sorted(path for path, _ in files)


def test_second_scan_reads_nothing(tmp_path, files, reads):
    for _ in range(2):
        with FactCache(tmp_path / 'cache/facts.sqlite') as cache:
            facts = scan(files, cache)
        assert len(reads) == 6
    assert facts == scan(files)


def test_changed_files_are_read_again(tmp_path, tree, files, reads):
    path = str(tree.masks()[0])
    with FactCache(tmp_path / 'facts.sqlite') as cache:
        scan(files, cache)
        Image.fromarray(np.full((32, 32), 9, np.uint8)).save(path)
        assert scan(files, cache)[path, 'mask'].counts == {9: 1024}
        stat = os.stat(path)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        scan(files, cache)
    assert reads[6:] == [path, path]


def test_role_is_part_of_the_key(tmp_path, tree):
    path = str(tree.masks()[0])
    with FactCache(tmp_path / 'facts.sqlite') as cache:
        assert scan([(path, 'image')], cache)[path, 'image'].counts is None
        assert scan([(path, 'mask')], cache)[path, 'mask'].counts


def test_relative_paths_of_two_folders(tmp_path, tree, monkeypatch):
    with FactCache(tmp_path / 'facts.sqlite') as cache:
        for name in ('one', 'two'):
            path = tree.path(f'{name}/a.png')
            Image.new('L', (3, 2), len(name)).save(path)
            os.utime(path, (1, 1))
            monkeypatch.chdir(path.parent)
            scan([('a.png', 'mask')], cache)
        rows = cache._db.execute('SELECT COUNT(*) FROM facts').fetchone()
    assert rows == (2, )


@pytest.mark.parametrize('damage', ['text', 'half', 'version', 'row'])
def test_damaged_cache_is_rebuilt(tmp_path, files, reads, damage):
    path = tmp_path / 'facts.sqlite'
    with FactCache(path) as cache:
        expected = scan(files, cache)
    if damage == 'text':
        path.write_text('no database at all, ' * 100)
    elif damage == 'half':
        path.write_bytes(path.read_bytes()[:5000])
    else:
        command = ('PRAGMA user_version = 77' if damage == 'version' else
                   'UPDATE facts SET facts = "[1, 2"')
        db = sqlite3.connect(path)
        with db:
            db.execute(command)
        db.close()
    for _ in range(2):
        with FactCache(path) as cache:
            assert scan(files, cache) == expected
    assert len(reads) == 12


def test_no_place_for_a_cache(tmp_path, files, monkeypatch):
    messages = []
    monkeypatch.setattr(cache_module, 'print_log',
                        lambda text, **kwargs: messages.append(text))
    (tmp_path / 'file').write_text('')
    with FactCache(tmp_path / 'file/facts.sqlite') as cache:
        assert scan(files, cache) == scan(files)
    assert len(messages) == 1 and 'cannot be kept' in messages[0]


def test_odd_names(tmp_path, tree):
    path = os.fsdecode(os.fsencode(str(tree.root)) + b'/\xff [1].png')
    Image.new('L', (3, 2)).save(path)
    with FactCache(tmp_path / 'facts.sqlite') as cache:
        scan([(path, 'mask')], cache)
        assert scan([(path, 'mask')], cache)[path, 'mask'].counts == {0: 6}


def test_place_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_cache() == tmp_path / 'mmseg_semi/data_facts.sqlite'
    assert default_cache('work') == Path('work/data_facts.sqlite')
