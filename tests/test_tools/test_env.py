# Copyright (c) mmseg_semi authors.
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which('bash')

pytestmark = pytest.mark.skipif(BASH is None, reason='needs bash')


@pytest.fixture
def checkout(tmp_path):
    """A copy of the environment script, and a way to run it."""
    root = tmp_path / 'check out'  # the blank is part of the test
    shutil.copytree(ROOT / 'requirements', root / 'requirements')
    (root / 'tools').mkdir()
    shutil.copy(ROOT / 'tools' / 'env.sh', root / 'tools')
    (tmp_path / 'bin').mkdir()

    def run(call='ensure_env', **env):
        base = {
            name: value
            for name, value in os.environ.items()
            if name not in ('VIRTUAL_ENV', 'CONDA_PREFIX', 'PYTHONPATH',
                            'MMSEG_SEMI_PYTHON', 'TORCH_SPEC')
        }
        script = f'set -euo pipefail; source tools/env.sh; {call}'
        return subprocess.run([BASH, '-c', f'{script}; echo "$PYTHON"'],
                              cwd=root,
                              env={
                                  **base,
                                  **env
                              },
                              text=True,
                              capture_output=True,
                              timeout=120)

    run.root = root
    run.bin = tmp_path / 'bin'
    return run


def fake_python(folder, rule, name='python3'):
    """An interpreter that is the real one except where ``rule`` exits."""
    path = folder / name
    path.write_text(f'#!{BASH}\n{rule}\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def add_requirement(checkout, line, name='runtime'):
    with open(checkout.root / 'requirements' / f'{name}.txt', 'a') as file:
        file.write(line + '\n')


def installed_by(checkout, call='ensure_env', **env):
    """What would be installed: one list of arguments per pip call."""
    log = checkout.bin / 'pip.log'
    rule = f'[[ "$1 $2 $3" != "-m pip install" ]] || ' \
           f'{{ printf "%s " "${{@:4}}" >>"{log}"; echo >>"{log}"; exit 0; }}'
    python = fake_python(checkout.bin, rule, 'recording_python')
    result = checkout(call, MMSEG_SEMI_PYTHON=python, **env)
    assert result.returncode == 0, result.stderr
    lines = log.read_text().splitlines() if log.exists() else []
    calls = [[word for word in line.split() if not word.startswith('--')]
             for line in lines]
    # The package itself may or may not be installed where the tests run.
    return [call for call in calls if 'out' not in call]


def test_nothing_is_installed_where_nothing_is_missing(checkout):
    assert installed_by(checkout) == []


def test_only_what_is_missing_is_installed(checkout):
    add_requirement(checkout, 'no-such-thing>=3  # why')
    add_requirement(checkout, 'numpy>=999')
    add_requirement(checkout, 'scipy')
    assert installed_by(checkout) == [['no-such-thing>=3', 'numpy>=999']]


def test_test_requirements_are_only_installed_on_request(checkout):
    add_requirement(checkout, 'no-such-thing', 'tests')
    assert installed_by(checkout) == []
    (packages, ) = installed_by(checkout, 'ensure_env tests')
    assert packages[-1] == 'no-such-thing'


def test_present_openmmlab_packages_are_never_replaced(checkout):
    # Whatever provides `mmcv` stays, even if the pinned version differs.
    (checkout.root / 'requirements' / 'mminstall.txt').write_text(
        'torch>=999\nmmengine>=999\nmmcv-lite==999\nmmsegmentation>=999\n')
    assert installed_by(checkout) == []


@pytest.mark.parametrize('env, spec', [({}, 'torch==2.13.0'),
                                       (dict(TORCH_SPEC='torch'), 'torch')])
def test_torch_is_installed_first_and_alone(checkout, env, spec):
    script = checkout.root / 'tools' / 'env.sh'
    text = script.read_text()
    assert "('torch', 'torch')" in text
    script.write_text(text.replace("('torch', 'torch')", "('torch', 'gone')"))
    add_requirement(checkout, 'no-such-thing')
    assert installed_by(checkout, **env) == [[spec], ['no-such-thing']]


def test_failing_download_is_explained(checkout):
    python = fake_python(
        checkout.bin, '[[ "$1 $2 $3" != "-m pip install" ]] || '
        '{ echo "ERROR: connection refused" >&2; exit 1; }')
    add_requirement(checkout, 'no-such-thing')
    result = checkout(MMSEG_SEMI_PYTHON=python)
    assert result.returncode == 1
    assert 'connection refused' in result.stderr
    assert 'PIP_INDEX_URL' in result.stderr
    assert 'no-such-thing' in result.stderr


def test_missing_venv_module_is_explained(checkout):
    fake_python(
        checkout.bin, '[[ "$1 $2" != "-m venv" ]] || '
        '{ echo "ensurepip is not available"; exit 1; }')
    path = f'{checkout.bin}{os.pathsep}{os.environ["PATH"]}'
    result = checkout(PATH=path)
    assert result.returncode == 1
    assert 'ensurepip is not available' in result.stderr
    assert 'apt install python3-venv' in result.stderr
    assert not (checkout.root / '.venv').exists()


def test_missing_python_is_explained(checkout):
    for tool in ('dirname', 'rm', 'grep'):
        (checkout.bin / tool).symlink_to(shutil.which(tool))
    result = checkout(PATH=str(checkout.bin))
    assert result.returncode == 1
    assert 'no Python 3.10 to 3.13 found' in result.stderr


def test_unsupported_active_environment_is_explained(checkout):
    python = fake_python(checkout.bin, '[[ "$1" != -c ]] || exit 1')
    result = checkout(MMSEG_SEMI_PYTHON=python)
    assert result.returncode == 1
    assert f'{python} is not a Python 3.10 to 3.13' in result.stderr


def test_interpreter_is_the_active_one_then_venv_then_system(checkout):
    assert checkout('pick_python').stdout.strip() == 'python3'
    venv_bin = checkout.root / '.venv' / 'bin'
    venv_bin.mkdir(parents=True)
    own = fake_python(venv_bin, '', 'python')
    assert checkout('pick_python').stdout.strip() == own
    conda = dict(CONDA_PREFIX='/conda', CONDA_DEFAULT_ENV='base')
    assert checkout('pick_python', **conda).stdout.strip() == own
    conda['CONDA_DEFAULT_ENV'] = 'seg'
    assert checkout('pick_python', **conda).stdout.strip() == \
        '/conda/bin/python'
    active = checkout('pick_python', VIRTUAL_ENV='/active', **conda)
    assert active.stdout.strip() == '/active/bin/python'


@pytest.mark.parametrize('gpus', ['--gpus', '0', 'two'])
def test_a_number_of_gpus_is_a_number(gpus):
    done = subprocess.run(
        [BASH, ROOT / 'tools' / 'dist_train.sh', 'config.py', gpus],
        text=True,
        capture_output=True)
    assert done.returncode == 2
    assert f'GPUS must be a number from 1, got {gpus}' in done.stderr
