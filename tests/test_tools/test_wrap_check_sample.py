# Copyright (c) mmseg_semi authors.
"""Some cells of the matrix of models, others with every commit."""
import re
from pathlib import Path

import pytest

from mmseg_semi.wrapping import (METHODS, as_text, cell, commit_of,
                                 find_families, sample)

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 4
LONGEST = 60.  # seconds of a family's slowest cell


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


def quick_families(page):
    """Those that pass all methods, and soon enough."""
    rows = [
        line.split('|')[1:-1] for line in page.splitlines()
        if line.startswith('| ')
    ]
    return {
        family.strip()
        for family, *entries in rows
        if all(re.fullmatch(r' ok [\d.]+ ', entry)
               for entry in entries) and max(
                   float(entry.split()[1]) for entry in entries) <= LONGEST
    }


def test_families_are_chosen_by_their_row():
    page = """
| family | brpg | pcr |
| --- | --- | --- |
| quick | ok 1.5 | ok 60.0 |
| slow | ok 1.5 | ok 60.1 |
| not | ok 1.5 | refused 0.1 |
"""
    assert quick_families(page) == {'quick'}


@pytest.mark.slow
def test_some_cells():
    """Others with every commit; the same ones without git."""
    found = find_families()
    quick = quick_families((ROOT / 'docs/models.md').read_text())
    quick -= set(cell.REFUSALS)  # what they need may not be here
    chosen = sample([f for f in found if f in quick], list(METHODS),
                    commit_of(ROOT), SAMPLE)
    assert len(chosen) == SAMPLE
    print(f'cells of this commit: {chosen}')
    bad = [
        result for result in (cell.check_cell(family, found[family], method)
                              for family, method in chosen) if not result.ok
    ]
    assert not bad, as_text(bad)
