# Copyright (c) mmseg_semi authors.
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which('bash')

pytestmark = pytest.mark.skipif(BASH is None, reason='needs bash')


def quickstart(root, *arguments, **kwargs):
    return subprocess.run([BASH, 'tools/quickstart.sh', *map(str, arguments)],
                          cwd=root,
                          env=environment(),
                          capture_output=True,
                          text=True,
                          timeout=500,
                          **kwargs)


def environment():
    # The environment of the tests has everything that is needed.
    return dict(os.environ, MMSEG_SEMI_PYTHON=sys.executable)


def test_help_says_what_quick_is():
    result = quickstart(ROOT, '--help')
    assert result.returncode == 0
    text = ' '.join(result.stdout.split())
    for option in ('--seed', '--labels', '--quick'):
        assert option in text
    assert 'smoke test' in text and 'still behind' in text


@pytest.mark.parametrize(
    'arguments', [['--lables', '50'], ['--labels', '0'], ['--seed', 'x']])
def test_wrong_arguments_are_told_before_anything_happens(arguments):
    result = quickstart(ROOT, *arguments)
    assert result.returncode == 2
    assert arguments[0] in result.stderr and result.stdout == ''


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A copy with few validation images, so that a run takes seconds."""
    root = tmp_path_factory.mktemp('quick') / 'check out'
    for name in ('mmseg_semi', 'configs', 'tools', 'requirements'):
        shutil.copytree(
            ROOT / name,
            root / name,
            ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    scenes = root / 'mmseg_semi/datasets/digit_scenes.py'
    text = scenes.read_text()
    assert 'num_val: int = 1000' in text
    scenes.write_text(text.replace('num_val: int = 1000', 'num_val: int = 20'))
    return root


def run_folders(root):
    return sorted((root / 'work_dirs/quickstart').glob('*it_*'))


def stamps(root):
    return {
        path: path.stat().st_mtime_ns
        for folder in run_folders(root)
        for path in folder.glob('*.pth')
    }


@pytest.mark.slow
def test_everything_once_and_then_reuse(checkout):
    first = quickstart(checkout, '--iters', 16, '--seed', 1)
    assert first.returncode == 0, first.stdout + first.stderr
    assert 'iteration 16/16' in first.stdout

    results = checkout / 'work_dirs/quickstart'
    summary = json.loads((results / 'summary.json').read_text())
    assert list(summary) == [
        'benchmark', 'labels', 'unlabeled', 'seed', 'commit', 'results'
    ]
    assert (summary['labels'], summary['unlabeled'],
            summary['seed']) == (50, 1550, 1)
    assert [r['method'] for r in summary['results']] == ['supervised', 'BRPG']
    for result in summary['results']:
        assert list(result) == [
            'method', 'miou_last', 'miou_best', 'iters', 'seconds'
        ]
        assert result['iters'] == 16
        assert 0 < result['miou_last'] <= result['miou_best'] <= 100
        assert f'{result["miou_last"]:.2f}' in first.stdout
    with Image.open(results / 'report.png') as picture:
        assert picture.width > 1000

    kept = results / 'summary_50labels_seed1_16it.json'
    assert json.loads(kept.read_text()) == summary
    assert (results / 'report_50labels_seed1_16it.png').is_file()

    before = stamps(checkout)
    assert len(run_folders(checkout)) == 2 and before
    again = quickstart(checkout, '--iters', 16, '--seed', 1)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count('already trained, reusing') == 2
    assert stamps(checkout) == before
    assert json.loads((results / 'summary.json').read_text()) == summary


@pytest.mark.slow
def test_failing_training_fails_with_the_end_of_its_log(checkout):
    config = checkout / 'configs/brpg/brpg_r18_digits_100.py'
    text = config.read_text()
    config.write_text(text + "\nmodel = dict(momentum=7.)\n")
    try:
        result = quickstart(checkout, '--iters', 16, '--labels', 100)
    finally:
        config.write_text(text)
    assert result.returncode == 1
    assert 'BRPG failed' in result.stderr
    assert 'EMA momentum must be in [0, 1)' in result.stderr


@pytest.mark.slow
def test_interrupted_quickstart_goes_on(checkout):
    arguments = ['--iters', '16', '--seed', '5']
    process = subprocess.Popen([BASH, 'tools/quickstart.sh', *arguments],
                               cwd=checkout,
                               env=environment(),
                               stdout=subprocess.DEVNULL)
    try:
        folder = checkout / 'work_dirs/quickstart'
        while not list(folder.glob('brpg*seed5*/iter_*.pth')):
            assert process.poll() is None
            time.sleep(.2)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status == 143
    (brpg, ) = folder.glob('brpg*seed5*')
    assert not (brpg / 'record.json').exists()
    assert 'resumed' not in (brpg / 'console.log').read_text()
    # Both trainings are gone: the folders are free.
    result = quickstart(checkout, *arguments)
    assert result.returncode == 0, result.stderr
    assert 'resumed' in (brpg / 'console.log').read_text()
    assert json.loads((brpg / 'record.json').read_text())['iterations'] == 16


def test_unknown_number_of_labels_names_the_known_ones(checkout):
    result = quickstart(checkout, '--labels', 70)
    assert result.returncode == 1
    assert 'one of 50, 100, 200' in ' '.join(result.stderr.split())
