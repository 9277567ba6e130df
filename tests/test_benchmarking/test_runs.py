# Copyright (c) mmseg_semi authors.
import json
from pathlib import Path

import pytest

from mmseg_semi.benchmarking import MissingConfigError, PlannedRun
from mmseg_semi.benchmarking.runs import check_config
from mmseg_semi.engine.run_records import config_hash

CONFIG = '''
model = dict(type='M', width={width})
train_cfg = dict(max_iters=10)
custom_hooks = [dict(type='EMATeacherHook'), {hook}]
'''


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'configs').mkdir()
    write(tmp_path)
    return tmp_path


def write(root, width=4, hook="dict(type='RunRecordHook')"):
    (root / 'configs' / 'm_r18.py').write_text(
        CONFIG.format(width=width, hook=hook))


def make_run(root, seed=0, **options):
    return PlannedRun('m', 'configs/m_r18.py', seed, root, options)


def record_of(planned, **changes):
    return dict(
        dict(
            run='a',
            config_hash=planned.hash,
            seed=planned.seed,
            iterations=planned.iterations), **changes)


def test_hash_and_length_are_those_with_the_overrides(root):
    plain, changed = make_run(root), make_run(root, **{'model.width': 8})
    assert plain.hash == config_hash(plain.cfg) != changed.hash
    assert changed.cfg.model.width == 8
    assert make_run(root, **{'train_cfg.max_iters': 5}).iterations == 5


def test_every_training_has_its_own_folder(root):
    runs = [
        make_run(root),
        make_run(root, seed=1),
        make_run(root, **{'train_cfg.max_iters': 5}),
        make_run(root, **{'model.width': 8})
    ]
    folders = {run.folder(Path('w')) for run in runs}
    assert len(folders) == 4
    assert runs[1].folder(Path('w')).name.startswith('m_r18_seed1_10it_')
    write(root, width=5)  # an edited config does not overwrite old results
    assert make_run(root).folder(Path('w')) not in folders


@pytest.mark.parametrize(
    'change', [dict(seed=1),
               dict(iterations=5),
               dict(config_hash='0' * 12)])
def test_only_records_of_the_same_training_match(root, change):
    run = make_run(root)
    records = [record_of(run, run='old'), record_of(run, run='new')]
    assert run.find_record(records)['run'] == 'new'
    assert run.find_record([record_of(run, **change)]) is None
    assert run.find_record([]) is None


def test_record_of_the_work_directory(root):
    run, parent = make_run(root), root / 'w'
    assert run.read_record(parent) is None
    run.folder(parent).mkdir(parents=True)
    path = run.folder(parent) / 'record.json'
    path.write_text(json.dumps(record_of(run)))
    assert run.read_record(parent)['run'] == 'a'
    path.write_text(json.dumps(record_of(run, seed=3)))
    assert run.read_record(parent) is None


def test_command(root):
    run = make_run(root, seed=2, **{'model.window': [3, 5]})
    job = run.job(root / 'w', root / 'bench' / 'r.jsonl', threads=2)
    assert job.command[1:] == [
        'tools/train.py', 'configs/m_r18.py', '--work-dir',
        str(run.folder(root / 'w')), '--resume', '--cfg-options',
        'model.window=[3,5]', 'randomness.seed=2',
        'custom_hooks.1.record_file=bench/r.jsonl'
    ]
    assert (job.cwd, job.threads, job.iterations) == (root, 2, 10)
    plain = run.job(root / 'w').command
    assert not any('record_file' in argument for argument in plain)


def test_command_for_several_processes(root):
    command = make_run(root).job(root / 'w', gpus=4).command
    assert command[:4] == [
        'bash', 'tools/dist_train.sh', 'configs/m_r18.py', '4'
    ]
    assert command[4] == '--work-dir' and '--resume' in command


@pytest.mark.parametrize('batch, same', [
    (dict(total_batch=[16, 16], world_size=8), True),
    (dict(total_batch=[16, 16], world_size=1, accumulate=4), True),
    (dict(total_batch=[32, 32], world_size=8), False),
    (dict(batch_size=32, world_size=1), True),
    (dict(batch_size=8, world_size=4), True),
    (dict(batch_size=32, world_size=2), False),
    (dict(), True),
])  # yapf: disable
def test_same_experiment_on_any_number_of_processes(root, batch, same):
    run = make_run(root, **{'train_dataloader.batch_size': 32})
    assert run.matches(record_of(run, **batch)) == same


def test_config_that_is_not_there(root):
    check_config('configs/m_r18.py', root, 'a table')
    with pytest.raises(MissingConfigError) as error:
        check_config('configs/m_r81.py', root, 'a table')
    message = str(error.value)
    assert message.startswith('a table names configs/m_r81.py')
    assert 'Nearest: configs/m_r18.py' in message


def test_config_that_would_not_record_is_refused(root):
    write(root, hook="dict(type='OtherHook')")
    with pytest.raises(ValueError, match='m_r18.py has no .*RunRecordHook'):
        make_run(root).job(root / 'w', root / 'r.jsonl')
