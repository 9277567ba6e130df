# Copyright (c) mmseg_semi authors.
import json

import numpy as np
import pytest

from mmseg_semi.benchmarking import TableSpec, make_rows, write_between_markers
from mmseg_semi.benchmarking.tables import cells, markdown, notes
from mmseg_semi.evaluation import (PerImageAreas, paired_difference,
                                   resampled_miou)

SPEC = dict(
    title='Toy',
    dataset='none',
    records='toy.jsonl',
    page='toy.md',
    baseline='base',
    parts=[
        dict(
            labels=50,
            seeds=[0, 1],
            rows=[['base', 'configs/base.py'], ['ours', 'configs/ours.py']]),
        dict(
            labels=100,
            seeds=[0],
            rows=[['base', 'configs/base_100.py'],
                  ['ours', 'configs/ours_100.py']])
    ])


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'configs').mkdir()
    for i, name in enumerate(('base', 'ours', 'base_100', 'ours_100')):
        (tmp_path / 'configs' / f'{name}.py').write_text(
            f'model = dict(number={i})\ntrain_cfg = dict(max_iters=10)\n')
    (tmp_path / 'toy.json').write_text(json.dumps(SPEC))
    return tmp_path


def load(root):
    return TableSpec(root / 'toy.json', root)


def make_areas(quality, seed):
    rng = np.random.default_rng(seed)
    union = rng.integers(1, 50, size=(30, 3))
    ids = np.array([str(i) for i in range(30)])
    return PerImageAreas(ids, rng.binomial(union, quality), union)


def add_record(root, run, quality, with_areas=True, **changes):
    """A record whose scores and areas belong together."""
    areas = make_areas(quality, run.seed)
    last = round(float(resampled_miou(areas, np.ones((1, 30)))[0]), 2)
    name = f'per_image/{run.hash}{run.seed}.npz'
    (root / 'per_image').mkdir(exist_ok=True)
    (root / name).write_bytes(areas.to_bytes(run.iterations))
    return dict(
        dict(
            run=f'{run.hash}{run.seed}',
            config_hash=run.hash,
            seed=run.seed,
            iterations=run.iterations,
            last=last,
            best=last + 1,
            seconds=90.,
            commit='abc',
            date='2026-01-02T00:00:00+00:00',
            versions=dict(torch='2.13.0'),
            host=dict(threads=1),
            per_image=name if with_areas else None), **changes), areas


def fill(root, quality=dict(base=.4, ours=.6), skip=()):
    spec, records, areas = load(root), [], {}
    for row in spec.rows:
        for run in row.runs:
            key = (row.labels, row.name, run.seed)
            if key not in skip:
                record, areas[key] = add_record(root, run, quality[row.name])
                records.append(record)
    return spec, records, areas


def test_first_seeds_come_first(root):
    names = [run.name for run in load(root).runs()]
    assert names == [
        'base, 50 labels, seed 0', 'ours, 50 labels, seed 0',
        'base, 100 labels, seed 0', 'ours, 100 labels, seed 0',
        'base, 50 labels, seed 1', 'ours, 50 labels, seed 1'
    ]


def test_full_table(root):
    spec, records, areas = fill(root)
    rows = make_rows(spec, records)
    base, ours = rows[:2]
    last = [record['last'] for record in records[2:4]]
    assert cells(ours, 'base')[:5] == [
        '50', 'ours', '0, 1',
        f'{np.mean(last):.2f} ± {abs(last[0] - last[1]) / 2**.5:.2f}',
        f'{np.mean(last) + 1:.2f} ± {abs(last[0] - last[1]) / 2**.5:.2f}'
    ]
    assert ours.difference == paired_difference(
        [areas[50, 'ours', s] for s in (0, 1)],
        [areas[50, 'base', s] for s in (0, 1)])
    by_seed = [records[2 + i]['last'] - records[i]['last'] for i in (0, 1)]
    assert ours.by_seed == pytest.approx(by_seed, abs=.01)  # scores: rounded
    assert np.mean(ours.by_seed) == pytest.approx(ours.difference.mean)
    assert cells(ours, 'base')[-1] == '1.5'
    assert cells(base, 'base')[5:] == ['baseline', '', '1.5']
    # One seed has no deviation.
    assert cells(rows[2], 'base')[3] == f'{records[4]["last"]:.2f}'


def test_other_baseline_turns_the_sign(root):
    spec, records, _ = fill(root)
    forward = make_rows(spec, records)[1].difference
    spec, _, _ = fill(root)
    spec.baseline = 'ours'
    backward = make_rows(spec, records)[0].difference
    assert backward.mean == pytest.approx(-forward.mean)
    assert backward.low == pytest.approx(-forward.high)


def test_only_seeds_of_both_are_compared(root):
    spec, records, areas = fill(root, skip=[(50, 'base', 0)])
    ours = make_rows(spec, records)[1]
    assert list(ours.records) == [0, 1] and len(ours.by_seed) == 1
    assert ours.difference == paired_difference([areas[50, 'ours', 1]],
                                                [areas[50, 'base', 1]])


def test_table_of_nothing(root):
    spec = load(root)
    rows = make_rows(spec, [])
    assert cells(rows[1], 'base') == [
        '50', 'ours', 'not yet run', '–', '–', '–', '', '–'
    ]
    assert notes(spec, rows) == []


def test_records_of_another_config_are_not_used(root):
    _, records, _ = fill(root)
    (root / 'configs' / 'ours.py'
     ).write_text('model = dict(number=9)\ntrain_cfg = dict(max_iters=10)\n')
    rows = make_rows(load(root), records)
    assert rows[1].records == {} and len(rows[0].records) == 2


def test_run_without_areas_has_numbers_but_no_interval(root):
    spec, records, _ = fill(root)
    for record in records[2:4]:
        record['per_image'] = None
    ours = make_rows(spec, records)[1]
    assert ours.difference is None and '±' in cells(ours, 'base')[3]


@pytest.mark.parametrize('change', [dict(last=12.), dict(iterations=10)])
def test_areas_of_another_run_are_noticed(root, change):
    spec, records, areas = fill(root)
    path = root / records[2]['per_image']
    if 'iterations' in change:
        path.write_bytes(areas[50, 'ours', 0].to_bytes(5))
    else:
        records[2].update(change)
    with pytest.raises(ValueError, match='do not belong together'):
        make_rows(spec, records)


def test_lost_areas_are_explained(root):
    spec, records, _ = fill(root)
    (root / records[2]['per_image']).unlink()
    with pytest.raises(FileNotFoundError, match='Restore it with git'):
        make_rows(spec, records)


def test_unknown_baseline(root):
    spec = load(root)
    spec.baseline = 'bass'
    with pytest.raises(ValueError, match=r"'bass'.*'base', 'ours'"):
        make_rows(spec, [])


def test_notes_name_every_commit(root):
    spec, records, _ = fill(root)
    records[0]['commit'] = 'def-dirty'
    text = '\n'.join(notes(spec, make_rows(spec, records)))
    assert 'abc, def-dirty' in text and 'Iterations 10' in text


def test_markdown_is_a_table(root):
    spec, records, _ = fill(root)
    lines = markdown(spec, make_rows(spec, records)).splitlines()
    assert all(line.count('|') == 9 for line in lines[:6])
    assert lines[1] == '|' + ' --- |' * 8 and lines[6] == ''


def test_page_keeps_what_others_wrote(tmp_path):
    page = tmp_path / 'p.md'
    write_between_markers(page, 'a', 'one')
    assert page.read_text() == '<!-- begin a -->\none\n<!-- end a -->\n'
    page.write_text('# Title\n\n' + page.read_text() + '\nbelow\n')
    write_between_markers(page, 'a', 'two')
    write_between_markers(page, 'b', 'three')
    assert page.read_text() == (
        '# Title\n\n<!-- begin a -->\ntwo\n<!-- end a -->\n\nbelow\n\n'
        '<!-- begin b -->\nthree\n<!-- end b -->\n')
