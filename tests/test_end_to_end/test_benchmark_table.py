# Copyright (c) mmseg_semi authors.
"""From stock training and testing to a row of a table."""
import csv
import io
import json
import os

import pytest

from mmseg_semi.benchmarking import TableSpec
from mmseg_semi.benchmarking.filling import fill_table
from mmseg_semi.evaluation import PerImageAreas
from .harness import MAX_ITERS, ROOT, STOCK, run_tool, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def tested(tmp_path_factory, digits):
    """A folder with a config, a training and a test of its checkpoint."""
    folder = tmp_path_factory.mktemp('table')
    config = write_config(folder / 'configs/brpg/brpg_r18_digits_40.py',
                          digits)
    for name, *arguments in (('train', ),
                             ('test',
                              folder / 'train' / f'iter_{MAX_ITERS}.pth')):
        finished = run_tool(
            STOCK / f'{name}.py',
            config,
            *arguments,
            '--work-dir',
            folder / name,
            log=folder / f'{name}.txt')
        assert finished.code == 0, finished.output
    return folder


def test_stock_test_leaves_a_record(tested):
    (path, ) = (tested / 'test').glob('test_*.json')
    test = json.loads(path.read_text())
    training = json.loads((tested / 'train/record.json').read_text())
    (metrics, ) = (tested / 'test').glob('*/*.json')
    assert test['last'] == pytest.approx(
        json.loads(metrics.read_text())['mIoU'], abs=1e-5)
    assert test['last'] == training['last']
    assert test['iterations'] == test['max_iterations'] == MAX_ITERS
    assert test['checkpoint'].endswith(f'iter_{MAX_ITERS}.pth')
    assert test['trained'] == training['run']
    assert test['evaluation'] == training['evaluation'] == 'whole images'
    for key in ('config', 'config_hash', 'seed', 'split_sha256', 'world_size'):
        assert test[key] == training[key], key
    areas, iteration = PerImageAreas.load(tested / 'test' / test['per_image'])
    assert iteration == MAX_ITERS and len(areas.ids) == 12


def test_table_of_the_test_alone(tested):
    table = dict(
        title='Toy',
        dataset='none',
        records='toy.jsonl',
        page='toy.md',
        parts=[
            dict(
                protocol='digits_40',
                seeds=[0, 1],
                rows=[
                    dict(
                        name='BRPG',
                        config='configs/brpg/brpg_r18_digits_40.py',
                        published='brpg/t2/brpg/92')
                ])
        ])
    (tested / 'toy.json').write_text(json.dumps(table))
    (row, ) = fill_table(
        TableSpec(tested / 'toy.json', tested), [tested / 'test'],
        tested / 'nowhere')
    assert list(row.outcomes) == [0]
    assert row.outcomes[0].last == row.outcomes[0].best > 0


def test_tool_shows_what_work_directories_hold(tested):
    finished = run_tool(
        ROOT / 'tools/analysis_tools/benchmark_table.py',
        tested / 'test',
        '--format',
        'csv',
        '--out',
        tested / 'out.csv',
        log=tested / 'tool.txt')
    assert finished.code == 0, finished.output
    (row, ) = csv.DictReader(io.StringIO((tested / 'out.csv').read_text()))
    assert row['protocol'] == 'digits_40'
    assert row['method'] == 'brpg_r18_digits_40'
    assert float(row['last mIoU']) > 0 and row['seeds'] == '0'
    assert row['evaluation'] == 'whole images' and row['GPUs'] == '1 x CPU'
    assert row['list'].startswith('digits-40 ')
    assert float(row['s/iter']) > 0


def test_errors_end_with_a_status(tested):
    tool = ROOT / 'tools/analysis_tools/benchmark_table.py'
    log = tested / 'errors.txt'
    table = json.loads((tested / 'toy.json').read_text())
    table['parts'][0]['rows'][0]['published'] = 'brpg/t2/brpg/93'
    path = tested / 'wrong.json'
    path.write_text(json.dumps(table))
    finished = run_tool(tool, path, log=log)
    assert finished.code == 1
    assert "error: There is no published figure 'brpg/t2/brpg/93'" in \
        finished.output
    assert 'Nearest: brpg/t2/brpg/' in finished.output
    finished = run_tool(tool, '--track', os.fspath(tested), log=log)
    assert finished.code == 1 and 'holds no log of a training' in \
        finished.output
