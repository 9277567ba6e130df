# Copyright (c) mmseg_semi authors.
import importlib.util
import json
from pathlib import Path

import pytest

from mmseg_semi.engine.run_records import append_record, config_hash

TOOL = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'
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
            rows=[['base', 'configs/base.py'], ['ours', 'configs/ours.py']])
    ])
CONFIG = '''
model = dict(number={})
train_cfg = dict(max_iters=10)
custom_hooks = [dict(type='RunRecordHook')]
'''


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool in a checkout of two configs, with a trainer that pretends."""
    spec = importlib.util.spec_from_file_location('make_table',
                                                  TOOL / 'make_table.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / 'configs').mkdir()
    for i, name in enumerate(('base', 'ours')):
        (tmp_path / 'configs' / f'{name}.py').write_text(CONFIG.format(i))
    (tmp_path / 'toy.json').write_text(json.dumps(SPEC))
    monkeypatch.setattr(module, 'ROOT', tmp_path)
    module.trained, module.failing = [], set()

    def pretend(jobs, parallel, display, keep_going):
        assert keep_going
        failed = []
        for job in jobs:
            module.trained.append(job.name)
            if job.name in module.failing:
                job.work_dir.mkdir(parents=True)
                job.log.write_text('out of luck\n')
                failed.append(job)
                continue
            options = dict(a.split('=') for a in job.command[7:])
            seed = int(options['randomness.seed'])
            cfg = module.TableSpec(tmp_path / 'toy.json', tmp_path,
                                   {}).runs()[0].cfg
            cfg = type(cfg).fromfile(str(tmp_path / job.command[2]))
            append_record(
                tmp_path / options['custom_hooks.0.record_file'],
                dict(
                    run=job.name,
                    config_hash=config_hash(cfg),
                    seed=seed,
                    iterations=10,
                    last=40. + seed,
                    best=45.,
                    seconds=60.,
                    commit='abc',
                    date='2026-01-02T00:00:00+00:00',
                    versions=dict(torch='2.13.0'),
                    host=dict(threads=1),
                    per_image=None))
        return failed

    monkeypatch.setattr(module, 'run_jobs', pretend)

    def call(*arguments):
        return module.main([
            str(tmp_path / 'toy.json'), '--work-dirs',
            str(tmp_path / 'w'), *arguments
        ])

    module.call = call
    return module


def test_only_what_is_missing_is_trained(tool, tmp_path, capsys):
    assert tool.call() == 0
    assert tool.trained == [
        'base, 50 labels, seed 0', 'ours, 50 labels, seed 0',
        'base, 50 labels, seed 1', 'ours, 50 labels, seed 1'
    ]
    assert '40.50 ± 0.71' in capsys.readouterr().out
    page = (tmp_path / 'toy.md').read_text()
    assert '| 50 | ours | 0, 1 | 40.50 ± 0.71 |' in page

    lines = (tmp_path / 'toy.jsonl').read_text().splitlines(True)
    (tmp_path / 'toy.jsonl').write_text(''.join(lines[:2] + lines[3:]))
    tool.trained.clear()
    assert tool.call() == 0
    assert tool.trained == ['base, 50 labels, seed 1']
    tool.trained.clear()
    assert tool.call() == 0 and tool.trained == []


def test_no_run_trains_nothing(tool, tmp_path, capsys):
    assert tool.call('--no-run') == 0
    assert tool.trained == []
    assert 'not yet run' in capsys.readouterr().out
    assert 'not yet run' in (tmp_path / 'toy.md').read_text()


def test_failed_training_is_reported_and_the_rest_recorded(tool, capsys):
    tool.failing = {'ours, 50 labels, seed 0'}
    assert tool.call() == 1
    out = capsys.readouterr()
    assert 'ours, 50 labels, seed 0 failed' in out.err
    assert 'out of luck' in out.err
    assert len(tool.trained) == 4 and '41.00' in out.out


def test_variants_do_not_touch_the_page(tool, tmp_path, capsys):
    assert tool.call('--no-run', '--baseline', 'ours') == 0
    assert tool.call('--no-run', '--cfg-options', 'model.number=5') == 0
    assert not (tmp_path / 'toy.md').exists()


def test_run_that_is_not_what_was_planned_is_reported(tool, tmp_path, capsys):
    # The pretended training reads the file and ignores the override.
    assert tool.call('--cfg-options', 'model.number=5') == 0
    out = ' '.join(capsys.readouterr().out.split())
    assert 'base, 50 labels, seed 0: what was trained is not what' in out


def test_errors_are_messages(tool, tmp_path, capsys):
    assert tool.call('--no-run', '--baseline', 'bass') == 1
    assert "'bass'" in capsys.readouterr().err
    (tmp_path / 'toy.jsonl').write_text('{')
    assert tool.call('--no-run') == 1
    assert 'toy.jsonl, line 1' in capsys.readouterr().err


@pytest.mark.parametrize('name,number',
                         [('digits', 29), ('digits_pcr', 6), ('digits_cmb', 8),
                          ('digits_cmb_variants', 10), ('digits_pairs', 16),
                          ('digits_pps', 7), ('digits_rc2l', 16)])
def test_table_of_the_repository_is_well_formed(tool, name, number):
    root = TOOL.parents[1]
    spec = tool.TableSpec(root / f'benchmarks/{name}.json', root)
    spec.check_baseline()
    runs = spec.runs()
    assert len({(run.hash, run.seed) for run in runs}) == len(runs) == number
    for row in spec.rows:
        for run in row.runs:
            labeled = run.cfg.train_dataloader.dataset.labeled
            assert labeled.ann_file.endswith(f'digits-{row.labels}.txt')
