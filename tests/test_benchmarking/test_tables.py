# Copyright (c) mmseg_semi authors.
import json

import numpy as np
import pytest

from mmseg_semi.benchmarking import (Published, Result, SpecError, TableSpec,
                                     make_rows, rows_of)
from mmseg_semi.benchmarking.columns import make_cells, notes
from mmseg_semi.benchmarking.tables import published_of
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
            protocol='voc_50',
            seeds=[0, 1],
            rows=[
                dict(name='base', config='configs/base.py'),
                dict(name='ours', config='configs/ours.py')
            ]),
        dict(
            protocol='voc_100',
            seeds=[0],
            rows=[
                dict(name='base', config='configs/base_100.py'),
                dict(name='ours', config='configs/ours_100.py')
            ])
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


def add_record(root, run, quality, **changes):
    """A record whose scores and areas belong together."""
    areas = make_areas(quality, run.seed)
    last = round(float(resampled_miou(areas, np.ones((1, 30)))[0]), 2)
    name = f'per_image/{run.hash}{run.seed}.npz'
    (root / 'per_image').mkdir(exist_ok=True)
    (root / name).write_bytes(areas.to_bytes(run.iterations))
    return dict(
        dict(
            run=f'{run.hash}{run.seed}',
            config=run.config,
            config_hash=run.hash,
            seed=run.seed,
            iterations=run.iterations,
            last=last,
            best=last + 1,
            seconds=90.,
            commit='abc',
            date='2026-01-02T00:00:00+00:00',
            versions=dict(torch='2.13.0'),
            host=dict(threads=1, gpu='A100'),
            world_size=4,
            total_batch=[16, 16],
            peak_memory_mb=dict(host=500, gpu=2048),
            split='voc12-classic-92',
            split_sha256='124b0aab' * 8,
            per_image=name), **changes), areas


def fill(root, quality=dict(base=.4, ours=.6), skip=()):
    spec, records, areas = load(root), [], {}
    for row in spec.rows:
        for run in row.runs:
            key = (row.protocol, row.name, run.seed)
            if key not in skip:
                record, areas[key] = add_record(root, run, quality[row.name])
                records.append(record)
    return spec, records, areas


def rows_with(spec, records, root, **kwargs):
    return make_rows(spec, [Result(one, root) for one in records], **kwargs)


def cell(row, name):
    header, (cells, ) = make_cells([row])
    return dict(zip(header, cells)).get(name)


def test_first_seeds_come_first(root):
    names = [run.name for run in load(root).runs()]
    assert names == [
        'base, voc_50, seed 0', 'ours, voc_50, seed 0',
        'base, voc_100, seed 0', 'ours, voc_100, seed 0',
        'base, voc_50, seed 1', 'ours, voc_50, seed 1'
    ]


def test_rows_of_one_config_are_trained_once(root):
    spec = json.loads((root / 'toy.json').read_text())
    spec['parts'][1]['rows'][1]['config'] = 'configs/ours.py'
    (root / 'toy.json').write_text(json.dumps(spec))
    assert len(load(root).runs()) == 5
    assert len(TableSpec(root / 'toy.json', root, seeds=[4, 5]).runs()) == 6


def test_full_table(root):
    spec, records, areas = fill(root)
    rows = rows_with(spec, records, root)
    base, ours = rows[:2]
    last = [record['last'] for record in records[2:4]]
    deviation = abs(last[0] - last[1]) / 2**.5
    assert cell(ours, 'last mIoU') == f'{np.mean(last):.2f} ± {deviation:.2f}'
    assert cell(ours,
                'best mIoU') == f'{np.mean(last) + 1:.2f} ± {deviation:.2f}'
    assert ours.difference == paired_difference(
        [areas['voc_50', 'ours', s] for s in (0, 1)],
        [areas['voc_50', 'base', s] for s in (0, 1)])
    by_seed = [records[2 + i]['last'] - records[i]['last'] for i in (0, 1)]
    assert ours.by_seed == pytest.approx(by_seed, abs=.01)  # scores: rounded
    assert np.mean(ours.by_seed) == pytest.approx(ours.difference.mean)
    assert base.difference is None
    # One seed has no deviation.
    assert cell(rows[2], 'last mIoU') == f'{records[4]["last"]:.2f}'
    for name, text in dict(
            protocol='voc_50',
            method='ours',
            seeds='0, 1',
            GPUs='4 x A100',
            batch='16 + 16',
            minutes='1.5',
            GiB='2.0',
            commit='abc',
            list='voc12-classic-92 124b0aab').items():
        assert cell(ours, name) == text, name
    assert cell(ours, 's/iter') == '9.000'


def test_runs_on_other_numbers_of_gpus_are_one_row(root):
    spec, records, _ = fill(root)
    records[3].update(world_size=1, host=dict(threads=1, gpu=None))
    row = rows_with(spec, records, root)[1]
    assert cell(row, 'GPUs') == '4 x A100, 1 x CPU'
    assert cell(row, 'batch') == '16 + 16'


def test_other_baseline_turns_the_sign(root):
    spec, records, _ = fill(root)
    forward = rows_with(spec, records, root)[1].difference
    spec, _, _ = fill(root)
    spec.baseline = 'ours'
    backward = rows_with(spec, records, root)[0].difference
    assert backward.mean == pytest.approx(-forward.mean)
    assert backward.low == pytest.approx(-forward.high)


def test_a_row_may_have_a_baseline_of_its_own(root):
    spec, records, _ = fill(root)
    spec.baseline = None
    spec.rows[1].baseline = 'base'
    rows = rows_with(spec, records, root)
    assert rows[1].difference and not rows[3].difference
    spec.rows[1].baseline = 'bass'
    with pytest.raises(SpecError, match="'bass' under voc_50"):
        spec.check_baseline()


def test_only_seeds_of_both_are_compared(root):
    spec, records, areas = fill(root, skip=[('voc_50', 'base', 0)])
    ours = rows_with(spec, records, root)[1]
    assert list(ours.outcomes) == [0, 1] and len(ours.by_seed) == 1
    assert ours.difference == paired_difference([areas['voc_50', 'ours', 1]],
                                                [areas['voc_50', 'base', 1]])


def test_table_of_nothing(root):
    spec = load(root)
    rows = make_rows(spec, [])
    assert cell(rows[1], 'last mIoU') == 'not yet run'
    assert cell(rows[1], 'best mIoU') == '–'
    assert notes(rows, 'base') == []


def test_records_of_another_config_are_not_used(root):
    _, records, _ = fill(root)
    (root / 'configs' / 'ours.py'
     ).write_text('model = dict(number=9)\ntrain_cfg = dict(max_iters=10)\n')
    rows = rows_with(load(root), records, root)
    assert rows[1].outcomes == {} and len(rows[0].outcomes) == 2


def test_run_without_areas_has_numbers_but_no_interval(root):
    spec, records, _ = fill(root)
    for record in records[2:4]:
        record['per_image'] = None
    ours = rows_with(spec, records, root)[1]
    assert ours.difference is None and '±' in cell(ours, 'last mIoU')


@pytest.mark.parametrize('change', [dict(last=12.), dict(iterations=10)])
def test_areas_of_another_run_are_noticed(root, change):
    spec, records, areas = fill(root)
    path = root / records[2]['per_image']
    if 'iterations' in change:
        path.write_bytes(areas['voc_50', 'ours', 0].to_bytes(5))
    else:
        records[2].update(change)
    with pytest.raises(ValueError, match='do not belong together'):
        rows_with(spec, records, root)


def test_lost_areas_are_explained(root):
    spec, records, _ = fill(root)
    (root / records[2]['per_image']).unlink()
    with pytest.raises(FileNotFoundError, match='Restore it with git'):
        rows_with(spec, records, root)


def test_unknown_baseline(root):
    spec = load(root)
    spec.baseline = 'bass'
    with pytest.raises(ValueError, match=r"'bass'.*'base', 'ours'"):
        make_rows(spec, [])


def test_notes_name_iterations_and_dates(root):
    spec, records, _ = fill(root)
    text = '\n'.join(notes(rows_with(spec, records, root), 'base'))
    assert 'Iterations 10' in text and '2026-01-02' in text
    assert 'Baseline: base' in text


def as_test(record, **changes):
    return dict(record, kind='test', run=f't{record["run"]}', **changes)


def test_tests_alone_fill_a_row(root):
    spec, records, _ = fill(root)
    final = as_test(records[2], best=None)
    best = as_test(
        records[2], iterations=8, last=records[2]['last'] + 5, best=None)
    best['run'] += 'b'
    row = rows_with(spec, [final, best], root)[1]
    assert row.outcomes[0].last == final['last']
    assert row.outcomes[0].best == best['last']
    row = rows_with(load(root), [best], root)[1]
    assert row.outcomes[0].last is None  # the last checkpoint is not known
    assert row.outcomes[0].best == best['last']


def test_what_was_measured_otherwise_is_kept_apart(root):
    spec, records, _ = fill(root)
    windows = 'windows of 513, stride 342'
    tested = as_test(
        records[2], last=12.3, best=None, evaluation=windows, per_image=None)
    for record in records:
        record['evaluation'] = 'whole images'
    (root / 'configs/ours.py').write_text(
        "model = dict(number=1, test_cfg=dict(mode='whole'))\n"
        'train_cfg = dict(max_iters=10)\n')
    for record in (*records[2:4], tested):
        record['config_hash'] = load(root).rows[1].runs[0].hash
    row = rows_with(load(root), [*records, tested], root)[1]
    assert row.evaluation == 'whole images'
    assert row.outcomes[0].last == records[2]['last']
    row = rows_with(
        load(root), [*records, tested], root, evaluation=windows)[1]
    assert (row.outcomes[0].last, row.evaluation) == (12.3, windows)
    assert list(row.outcomes) == [0]
    with pytest.raises(
            SpecError,
            match='evaluation=\'window\'(.|\n)*'
            f'  whole images\n  {windows}'):
        rows_with(load(root), [*records, tested], root, evaluation='window')


@pytest.mark.parametrize('name, right', [
    ('voc_50', True),
    ('voc_100', False),
    ('voc_80', True),
    ('voc_50 linear', True),
    ('ours_7', True),
    ('other', True),
])
def test_lists_of_a_shipped_protocol(root, name, right):
    (root / 'configs/_base_/protocols').mkdir(parents=True)
    (root / 'configs/_base_/protocols/voc.py'
     ).write_text("protocol = dict(images=80, lists={'50': 'a.txt'})")
    spec = dict(SPEC, parts=[dict(SPEC['parts'][0], protocol=name)])
    (root / 'toy.json').write_text(json.dumps(spec))
    if right:
        load(root)
        return
    with pytest.raises(
            SpecError, match="no protocol 'voc_100'.* 50, 80 images"):
        load(root)


def test_published_figures_stand_beside(root):
    spec = json.loads((root / 'toy.json').read_text())
    rows = spec['parts'][0]['rows']
    rows[1]['published'] = 'brpg/t2/brpg/92'
    rows.append(dict(name='quoted', published='brpg/t2/mt/92'))
    (root / 'toy.json').write_text(json.dumps(spec))
    rows = make_rows(load(root), [])
    assert cell(rows[1], 'published') == '73.62'
    assert cell(rows[2], 'published') == '51.72'
    assert cell(rows[2], 'last mIoU') == '–'  # there is nothing to run


def test_rows_of_work_directories(root):
    _, records, _ = fill(root)
    config = 'configs/brpg/brpg_r101_voc_92.py'
    for record in records[:2]:
        record['config'] = config
    figure = Published()['brpg/t2/brpg/92']
    results = [Result(record, root) for record in records[:3]]
    tested = as_test(records[0], last=99., iterations=8, best=None)
    results.append(Result(tested, root))
    first, second = rows_of(results, {config: figure})
    assert (first.protocol, first.name) == ('voc_92', 'brpg_r101_voc_92')
    assert list(first.outcomes) == [0, 1] and first.figure is figure
    assert first.outcomes[0].last == records[0]['last']
    assert first.outcomes[0].best == 99.
    assert second.name == 'ours' and second.figure is None


def test_figures_of_the_shipped_configs():
    from .test_published import ROOT
    found = published_of(ROOT / 'benchmarks/tables')
    figure = found['configs/brpg/brpg_r101_voc_366.py']
    assert (figure.paper, figure.row, figure.value) == ('brpg', 'BRPG', 78.)
    # PCR's own table, although BRPG's quotes it.
    assert found['configs/pcr/pcr_r101_voc_366.py'].paper == 'pcr'
    assert len(found) > 50


@pytest.mark.parametrize('text, words', [
    ('{', 'JSONDecodeError'),
    ('{"title": "Toy"}', 'dataset'),
    ('[]', 'TypeError'),
])  # yapf: disable
def test_spec_that_is_no_table(root, text, words):
    (root / 'toy.json').write_text(text)
    with pytest.raises(SpecError, match=words):
        load(root)
