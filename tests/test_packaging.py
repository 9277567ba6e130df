# Copyright (c) mmseg_semi authors.
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What a checkout may hold besides the sources.
LEFT_OUT = shutil.ignore_patterns('.git', '.venv', 'build', 'dist', 'data',
                                  'work_dirs', '*.egg-info', '__pycache__',
                                  '.mim', '.pytest_cache')

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A clean copy, so that building leaves nothing in the checkout."""
    path = tmp_path_factory.mktemp('source') / 'mmseg_semi'
    shutil.copytree(ROOT, path, ignore=LEFT_OUT)
    return path


def run(*command, cwd):
    result = subprocess.run([sys.executable, *map(str, command)],
                            cwd=cwd,
                            capture_output=True,
                            text=True,
                            timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def build(source, target, *options):
    run('-m',
        'pip',
        'wheel',
        '--quiet',
        '--no-deps',
        '--no-build-isolation',
        '--wheel-dir',
        target,
        source,
        *options,
        cwd=target)
    (wheel, ) = target.glob('mmseg_semi-*.whl')
    return wheel


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    return build(source, tmp_path_factory.mktemp('wheel'))


def expected_names(source):
    """Everything below these folders has to arrive in the wheel."""
    names = {
        path.relative_to(source).as_posix()
        for path in (source / 'mmseg_semi').rglob('*')
        if path.suffix in ('.py', '.json', '.j2', '.css')
    }
    for name in ('configs', 'tools', 'model-index.yml'):
        path = source / name
        files = path.rglob('*') if path.is_dir() else [path]
        names |= {
            'mmseg_semi/.mim/' + file.relative_to(source).as_posix()
            for file in files if file.is_file()
        }
    return names


def test_wheel_holds_the_package_and_what_mim_needs(source, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {
            name
            for name in archive.namelist() if '.dist-info/' not in name
        }
    assert 'mmseg_semi/.mim/tools/train.py' in names
    assert names == expected_names(source)


def test_building_a_wheel_leaves_no_copies_in_the_sources(source, wheel):
    assert not (source / 'mmseg_semi' / '.mim').exists()


def test_wheel_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name, ) = (
            name for name in archive.namelist()
            if name.endswith('.dist-info/METADATA'))
        metadata = Parser().parsestr(archive.read(name).decode())
    requires = metadata.get_all('Requires-Dist')
    plain = [line for line in requires if 'extra ==' not in line]
    # Another lineage may provide these modules; pip must not overwrite it.
    for module in ('torch', 'mmcv', 'mmengine', 'mmsegmentation'):
        assert not any(line.startswith(module) for line in plain)
    assert any(line.startswith('setuptools<82') for line in plain)
    assert any(line.startswith('mmcv-lite') for line in requires)
    scope = {}
    exec((ROOT / 'mmseg_semi' / 'version.py').read_text(), scope)
    assert metadata['Version'] == scope['__version__']


def test_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    run('setup.py', '--quiet', 'sdist', '--dist-dir', tmp_path, cwd=source)
    (sdist, ) = tmp_path.glob('*.tar.gz')
    again = build(sdist, tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_editable_install_links_what_mim_needs(source, tmp_path):
    run('-m',
        'pip',
        'install',
        '--quiet',
        '--no-deps',
        '--no-build-isolation',
        '--target',
        tmp_path / 'site',
        '--editable',
        source,
        cwd=tmp_path)
    mim = source / 'mmseg_semi' / '.mim'
    (source / 'tools' / 'added_later.py').touch()
    assert (mim / 'tools').is_symlink()
    assert (mim / 'tools' / 'added_later.py').exists()
    assert (mim / 'configs').exists() == (source / 'configs').exists()
