# Copyright (c) mmseg_semi authors.
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest

from mmseg_semi.datasets.split_permutation import read_permutation
from mmseg_semi.datasets.splits import known_splits

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters'
ORDER = [2, 0, 3, 1]


@pytest.mark.parametrize('protocol', range(5))
@pytest.mark.parametrize('make', [
    list, tuple, np.array, lambda v: np.array(v, np.int32)[None],
    lambda v: [np.int64(i) for i in v]
])
def test_pickled_permutations(tmp_path, protocol, make):
    path = tmp_path / 'split_0.pkl'
    path.write_bytes(pickle.dumps(make(ORDER), protocol))
    assert read_permutation(str(path)).tolist() == ORDER


def test_other_files(tmp_path):
    np.save(tmp_path / 'a.npy', ORDER)
    (tmp_path / 'a.txt').write_text('2\n0\n3\n1\n')
    for name in ('a.npy', 'a.txt'):
        assert read_permutation(str(tmp_path / name)).tolist() == ORDER


class Evil:

    def __reduce__(self):
        return print, ('this code was run', )


@pytest.mark.parametrize('content, words', [
    (pickle.dumps(Evil()), 'wants builtins.print'),
    (pickle.dumps([Evil(), 0]), 'wants builtins.print'),
    (pickle.dumps(np.array([Evil(), 0])), 'wants builtins.print'),
    (b'no pickle', 'no permutation of numbers'),
    (pickle.dumps([0, 0, 1]), 'not every number from 0 on once'),
    (pickle.dumps([1, 2, 3]), 'not every number from 0 on once'),
    (pickle.dumps([[0, 1], [2, 3]]), 'not every number from 0 on once'),
    (pickle.dumps(dict(a=1)), 'not every number from 0 on once'),
])
def test_anything_else_is_refused(tmp_path, capsys, content, words):
    path = tmp_path / 'split_0.pkl'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_permutation(str(path))
    assert 'this code was run' not in capsys.readouterr().out


@pytest.fixture
def tool(tmp_path, monkeypatch):
    main = runpy.run_path(str(TOOL / 'permutation_splits.py'))['main']
    (tmp_path / 'order.txt').write_text('2 0 3 1')
    (tmp_path / 'pool.txt').write_text(''.join(
        f'/JPEGImages/{s}.jpg /Masks/{s}.png\n' for s in 'dcab'))

    def call(*args):
        monkeypatch.setattr('sys.argv', [
            'tool',
            str(tmp_path / 'order.txt'), '--pool',
            str(tmp_path / 'pool.txt'), '--name', 'x', '--out',
            str(tmp_path / 'out'), *args
        ])
        main()
        return {
            p.stem: p.read_text().split()
            for p in (tmp_path / 'out').iterdir()
        }

    return call


def test_the_first_images_of_the_permutation_are_labelled(tool):
    assert tool('--labels', '3', '1') == {'x-1': ['a'], 'x-3': list('abd')}


def test_the_pool_can_be_sorted(tool):
    assert tool('--labels', '1', '3', '--sort') == {
        'x-1': ['c'],
        'x-3': list('acd')
    }


def test_the_tool_names_faults(tool, tmp_path):
    with pytest.raises(SystemExit, match='--labels 5 is not between 1 and'):
        tool('--labels', '5')
    (tmp_path / 'pool.txt').write_text('a\nb\n')
    with pytest.raises(SystemExit, match='permutes 4 images, .* lists 2'):
        tool('--labels', '1')


def test_the_published_names_are_known():
    for count in (212, 530, 1323):
        assert known_splits()[f'voc12-cmb2-{count}']['count'] == count
    for count in (100, 200, 372, 500, 744, 1000):
        assert known_splits()[f'city-cmb0-{count}']['count'] == count
