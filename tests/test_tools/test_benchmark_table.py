# Copyright (c) mmseg_semi authors.
import importlib.util
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_semi.benchmarking import Published, filling
from mmseg_semi.benchmarking.runs import check_config
from mmseg_semi.engine.run_records import (append_record, config_hash,
                                           read_records)

TOOL = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'
SPEC = dict(
    title='Toy',
    dataset='none',
    records='toy.jsonl',
    page='toy.md',
    baseline='base',
    parts=[
        dict(
            protocol='toy_50',
            seeds=[0, 1],
            rows=[
                dict(name='base', config='configs/base.py'),
                dict(name='ours', config='configs/ours.py')
            ])
    ])
CONFIG = '''
model = dict(number={})
train_cfg = dict(max_iters=10)
custom_hooks = [dict(type='RunRecordHook')]
'''


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool in a checkout of two configs, with a trainer that pretends."""
    spec = importlib.util.spec_from_file_location('benchmark_table',
                                                  TOOL / 'benchmark_table.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / 'configs').mkdir()
    for i, name in enumerate(('base', 'ours')):
        (tmp_path / 'configs' / f'{name}.py').write_text(CONFIG.format(i))
    (tmp_path / 'toy.json').write_text(json.dumps(SPEC))
    monkeypatch.setattr(module, 'ROOT', tmp_path)
    module.trained, module.failing = [], set()
    module.commands = []

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
            start = job.command.index('--cfg-options') + 1
            options = dict(a.split('=') for a in job.command[start:])
            module.commands.append(job.command)
            seed = int(options['randomness.seed'])
            cfg = Config.fromfile(str(tmp_path / job.command[2]))
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

    monkeypatch.setattr(filling, 'run_jobs', pretend)

    def call(*arguments):
        return module.main([
            str(tmp_path / 'toy.json'), '--work-dirs',
            str(tmp_path / 'w'), *arguments
        ])

    module.call = call
    return module


def test_only_what_is_missing_is_trained(tool, tmp_path, capsys):
    assert tool.call('--run', '--write') == 0
    assert tool.trained == [
        'base, toy_50, seed 0', 'ours, toy_50, seed 0', 'base, toy_50, seed 1',
        'ours, toy_50, seed 1'
    ]
    assert '40.50 ± 0.71' in capsys.readouterr().out
    page = (tmp_path / 'toy.md').read_text()
    assert '| toy_50 | ours | 40.50 ± 0.71 |' in page

    lines = (tmp_path / 'toy.jsonl').read_text().splitlines(True)
    (tmp_path / 'toy.jsonl').write_text(''.join(lines[:2] + lines[3:]))
    tool.trained.clear()
    assert tool.call('--run') == 0
    assert tool.trained == ['base, toy_50, seed 1']
    tool.trained.clear()
    assert tool.call('--run') == 0 and tool.trained == []


def test_several_gpus_and_other_seeds(tool):
    assert tool.call('--run', '--gpus', '4', '--seeds', '7') == 0
    assert tool.trained == ['base, toy_50, seed 7', 'ours, toy_50, seed 7']
    for command in tool.commands:
        assert command[:2] == ['bash', 'tools/dist_train.sh']
        assert command[3] == '4' and '--resume' in command


def test_nothing_is_trained_or_written_unasked(tool, tmp_path, capsys):
    assert tool.call() == 0
    assert tool.trained == []
    assert 'not yet run' in capsys.readouterr().out
    assert not (tmp_path / 'toy.md').exists()
    assert tool.call('--write') == 0
    assert 'not yet run' in (tmp_path / 'toy.md').read_text()


def test_failed_training_is_reported_and_the_rest_recorded(tool, capsys):
    tool.failing = {'ours, toy_50, seed 0'}
    assert tool.call('--run') == 1
    out = capsys.readouterr()
    assert 'ours, toy_50, seed 0 failed' in out.err
    assert 'out of luck' in out.err
    assert len(tool.trained) == 4 and '41.00' in out.out


def test_run_that_is_not_what_was_planned_is_reported(tool, tmp_path, capsys):
    # The pretended training reads the file and ignores the override.
    assert tool.call('--run', '--cfg-options', 'model.number=5') == 0
    out = ' '.join(capsys.readouterr().out.split())
    assert 'base, toy_50, seed 0: what was trained is not what' in out
    with pytest.raises(SystemExit):  # such results are not the config's
        tool.call('--write', '--cfg-options', 'model.number=5')


@pytest.mark.parametrize('format, begin', [
    ('markdown', '| protocol | method |'), ('csv', 'protocol,method,'),
    ('html', '<!DOCTYPE html>')
])  # yapf: disable
def test_formats(tool, tmp_path, capsys, format, begin):
    assert tool.call('--format', format) == 0
    assert capsys.readouterr().out.startswith(begin)
    assert tool.call('--format', format, '--out', str(tmp_path / 'x')) == 0
    assert (tmp_path / 'x').read_text().startswith(begin)


def test_programs_read_nothing_but_the_table(tool, capsys):
    assert tool.call('--run', '--format', 'csv') == 0
    out = capsys.readouterr()
    assert out.out.startswith('protocol,') and 'to train' in out.err


def test_several_tables_go_to_a_folder(tool, tmp_path):
    (tmp_path / 'other.json').write_text(json.dumps(dict(SPEC, title='Two')))
    assert tool.call(
        str(tmp_path / 'other.json'), '--format', 'html', '--out',
        str(tmp_path / 'all')) == 0
    assert sorted(path.name for path in (tmp_path / 'all').iterdir()) == [
        'other.html', 'toy.html'
    ]


def test_work_directories_alone(tool, tmp_path, capsys):
    assert tool.call('--run') == 0
    (line, *_) = read_records(tmp_path / 'toy.jsonl')
    work_dir = tmp_path / 'mine' / 'run'
    work_dir.mkdir(parents=True)
    (work_dir / 'record.json').write_text(
        json.dumps(dict(line, config='configs/x_r18_toy_50.py')))
    capsys.readouterr()
    assert tool.main([str(tmp_path / 'mine'), '--format', 'csv']) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith('toy_50,x_r18_toy_50,40.00,45.00,0,')


def test_errors_are_messages(tool, tmp_path, capsys):

    def error(*arguments):
        assert tool.call(*arguments) == 1
        return capsys.readouterr().err

    assert "'bass'" in error('--baseline', 'bass')
    (tmp_path / 'toy.jsonl').write_text('{')
    assert 'toy.jsonl, line 1' in error()
    (tmp_path / 'toy.jsonl').unlink()
    (tmp_path / 'w').mkdir()
    (tmp_path / 'w/record.json').write_text('{"run": 1}')
    assert 'lacks config_hash, seed' in error()
    (tmp_path / 'w/record.json').unlink()
    assert 'no work directory' in error(str(tmp_path / 'nowhere'))

    rows = SPEC['parts'][0]['rows']
    for change, word in ((dict(config='configs/bose.py'), 'configs/base.py'),
                         (dict(published='brpg/t2/brpg/365'),
                          'brpg/t2/brpg/366')):
        part = dict(SPEC['parts'][0], rows=[dict(rows[0], **change)])
        (tmp_path / 'toy.json').write_text(
            json.dumps(dict(SPEC, parts=[part])))
        message = error()
        assert str(tuple(change.values())[0]) in message and word in message
    (tmp_path / 'toy.json').write_text('{"title": "Toy"}')
    assert 'toy.json describes no table' in error()


@pytest.mark.parametrize('name,number',
                         [('digits', 29), ('digits_pcr', 6), ('digits_cmb', 8),
                          ('digits_cmb_variants', 10), ('digits_pairs', 17),
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
            labels = row.protocol.split('_')[1]
            assert labeled.ann_file.endswith(f'digits-{labels}.txt')


def test_tables_of_the_papers(tool):
    """They are what the description says, and name configs that exist."""
    root = TOOL.parents[1]
    folder = root / 'benchmarks/tables'
    spec = importlib.util.spec_from_file_location('make_specs',
                                                  folder / 'make_specs.py')
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    published = Published()
    texts = maker.make_all(published)
    assert {path.name for path in folder.glob('*.json')} == set(texts)
    covered = set()
    for name, text in texts.items():
        assert (folder / name).read_text() == text, (
            'Run python benchmarks/tables/make_specs.py')
        for part in json.loads(text)['parts']:
            for row in part['rows']:
                covered.add(row['published'])
                if 'config' in row:
                    check_config(row['config'], root, name)
    papers = [
        figure.id for figure in published.figures.values()
        if figure.paper in maker.PAPERS and figure.metric == 'mIoU'
        and figure.table.startswith('Table')
    ]
    assert covered == set(papers)


@pytest.mark.parametrize('name', ['brpg_t2', 'rc2l_t1', 'cmb_t5'])
def test_table_of_a_paper_is_read(tool, name):
    root = TOOL.parents[1]
    spec = tool.TableSpec(root / f'benchmarks/tables/{name}.json', root)
    spec.check_baseline()
    for row in spec.rows:
        for run in row.runs:
            labeled = run.cfg.train_dataloader.dataset.labeled.ann_file
            figure = row.figure
            if figure.list:  # a quoted row has none
                assert labeled.endswith(f'/{figure.list}.txt'), row.name


@pytest.mark.parametrize('option', ['--gpus', '--jobs'])
def test_options_of_trainings_need_run(tool, option, capsys):
    with pytest.raises(SystemExit):
        tool.call(option, '4')
    assert 'give --run too' in capsys.readouterr().err
