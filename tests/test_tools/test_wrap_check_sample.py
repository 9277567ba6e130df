# Copyright (c) mmseg_semi authors.
"""Some cells of the matrix of models, others with every commit."""
from pathlib import Path

import pytest

from mmseg_semi.wrapping import (METHODS, as_text, cell, commit_of,
                                 find_families, sample)

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 4


def test_the_sample_follows_the_commit(tmp_path):
    names = [f'f{i}' for i in range(50)]
    one, again, other = (
        sample(names, list(METHODS), key, 4) for key in ('a', 'a', 'b'))
    assert one == again != other
    assert len({family for family, _ in one}) == 4
    assert commit_of(tmp_path) == ''
    seen = {
        entry
        for i in range(400)
        for entry in sample(names[:3], list(METHODS), str(i), 2)
    }
    assert len(seen) == 3 * len(METHODS)  # each has its turn


@pytest.mark.slow
def test_some_cells():
    """Others with every commit; the same ones without git."""
    found = find_families()
    page = (ROOT / 'docs/models.md').read_text()
    rows = [
        line.split('|')[1:] for line in page.splitlines()
        if line.startswith('| ')
    ]
    right = [
        row[0].strip() for row in rows
        if sum(' ok' in entry for entry in row) == len(METHODS)
    ]
    chosen = sample([f for f in found if f in right], list(METHODS),
                    commit_of(ROOT), SAMPLE)
    assert len(chosen) == SAMPLE
    print(f'cells of this commit: {chosen}')
    bad = [
        result for result in (cell.check_cell(family, found[family], method)
                              for family, method in chosen) if not result.ok
    ]
    assert not bad, as_text(bad)
