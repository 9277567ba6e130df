# Copyright (c) mmseg_semi authors.
import json
import os
import subprocess
import sys

import pytest

from mmseg_semi.cli import main as cli
from ..test_end_to_end.harness import ROOT
from ..test_importing.helpers import add_photos, drawn, save

KEYS = {'severity', 'kind', 'path', 'value', 'remedy', 'files'}


def call(*arguments):
    """Exit status of the command."""
    try:
        return cli.main(list(map(str, arguments)))
    except SystemExit as stop:
        if isinstance(stop.code, str):  # Python prints it and ends with 1
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code


def folder(tmp_path):
    for index in range(5):
        add_photos(tmp_path / 'photos', f'p{index}.jpg')
        save(drawn(), tmp_path / 'masks' / f'p{index}.png')
    return [
        'import', tmp_path / 'photos', '--masks', tmp_path / 'masks', '--out',
        tmp_path / 'out'
    ]


def test_every_subcommand_has_help_with_an_example(capsys):
    for name in cli.commands():
        assert call(name, '--help') == 0
        text = capsys.readouterr().out
        assert f'mmseg-semi {name}' in text and 'example' in text
        assert '--json' in text


@pytest.mark.parametrize(
    'arguments', [[], ['nothing'], ['import'], ['import', 'x', '--what'],
                  ['import', 'x', '--masks', 'y', '--val', '1.5'],
                  ['import', 'x', '--masks', 'y', '--overlap', 'middle']])
def test_misuse_is_2(arguments, capsys):
    assert call(*arguments) == 2
    assert 'usage: mmseg-semi' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, message', [
    ('init data --iters abc', "--iters: 'abc' is no whole number"),
    ('init data --iters 0', '--iters: 0 is not above 0'),
    ('train c --accumulate 1.5', "--accumulate: '1.5' is no whole number"),
    ('report x --images many', "--images: 'many' is no whole number"),
    ('predict a b c --out o --tile -1', '--tile: -1 is below 0'),
    ('import x --masks y --val few', "--val: 'few' is no number"),
    ('pseudo a b --out o --min-area few',
     "--min-area: 'few' is no whole number"),
    ('pseudo a b --out o --simplify far',
     '--simplify: far is no length in pixels'),
    ('next x a b --out o', "N: 'x' is no whole number"),
    ('import x --masks y --seed x', "--seed: 'x' is no whole number"),
    ('check c --cfg-options max_iters', "'max_iters' is no KEY=VALUE"),
    ('train c --cfg-options =3', "'=3' is no KEY=VALUE"),
    ('test c w --cfg-options a=[1,2', "--cfg-options: Imbalanced brackets"),
])
def test_values_of_another_kind_are_misuse(arguments, message, capsys):
    assert call(*arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_options_are_a_dict_of_values():
    args = cli.make_parser().parse_args(
        ['check', 'c', '--cfg-options', 'a.b=3', 'c=[x,1]'])
    assert args.cfg_options == {'a.b': 3, 'c': ['x', 1]}


def test_workers_of_the_installed_command_load_the_package(tmp_path):
    script = tmp_path / 'mmseg-semi'
    script.write_text("""
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mmseg_semi.cli.main import main
from mmseg_semi.cli.loading import is_command, load

if __name__ == '__main__':
    assert is_command()
    load()
    from mmseg_semi.engine.trained_files import model_name
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        print(pool.submit(model_name, 'a/tiles.py').result())
""")
    found = subprocess.run([sys.executable, script],
                           capture_output=True,
                           text=True,
                           env=dict(os.environ, PYTHONPATH=str(ROOT)),
                           timeout=300)
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.split() == ['tiles']


def test_import_prints_mapping_layout_and_config(tmp_path, capsys):
    arguments = folder(tmp_path)
    assert call(*arguments) == 0
    text = capsys.readouterr().out
    before, after = text.split(f'{tmp_path / "out"} (written)')
    assert '1 -> 1 class_1' in before
    assert 'lists/train.txt  4 photos' in after
    assert 'lists/val.txt  1 photos' in after
    assert after.count('_dataloader = ') == 3
    assert call(*arguments) == 0
    assert '(unchanged)' in capsys.readouterr().out


def test_json(tmp_path, capsys):
    assert call(*folder(tmp_path), '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert report['classes']['names'][0] == 'background'
    assert report['config']['images']['img_suffix'] == ''
    assert report['findings'] == []
    assert f'{tmp_path / "out"}/lists/train.txt' in report['files']
    assert all(map(os.path.exists, report['files']))
    assert call(*folder(tmp_path), '--json', '--seed', 3) == 1
    captured = capsys.readouterr()
    assert '--force' in json.loads(captured.out)['error']
    assert '--force' in captured.err


def test_faults_of_the_data_are_1_and_all_in_json(tmp_path, capsys):
    arguments = folder(tmp_path)
    save(drawn()[:5], tmp_path / 'masks/p0.png')
    (tmp_path / 'masks/p1.png').write_bytes(b'')
    assert call(*arguments) == 1
    text = capsys.readouterr().err
    assert 'p1.png: cannot be read' in text and 'Traceback' not in text
    save(drawn()[:4], tmp_path / 'masks/p1.png')
    assert call(*arguments, '--json') == 1
    found = json.loads(capsys.readouterr().out)['findings']
    assert sorted(f['path'][-6:] for f in found) == ['p0.png', 'p1.png']
    assert all(set(f) >= KEYS and f['remedy'] for f in found)
    assert {f['severity'] for f in found} == {'error'}


@pytest.mark.parametrize('option, value', [('--mapping', '0background'),
                                           ('--group-by', 'moon'),
                                           ('--classes', 'nonesuch'),
                                           ('--colors', 'nonesuch.txt')])
def test_settings_that_do_not_fit_are_1(tmp_path, capsys, option, value):
    assert call(*folder(tmp_path), option, value) == 1
    text = capsys.readouterr().err
    assert value in text and 'Traceback' not in text


@pytest.mark.parametrize('masks, text', [
    ('masks/p0.png', 'is one picture. Name the folder of the masks'),
    ('empty', 'holds no file'),
])
def test_labels_that_are_none_are_1(tmp_path, capsys, masks, text):
    arguments = folder(tmp_path)
    (tmp_path / 'empty').mkdir()
    arguments[3] = tmp_path / masks
    assert call(*arguments) == 1
    assert text in capsys.readouterr().err


def test_doctor(capsys):
    status = call('doctor', '--json')
    report = json.loads(capsys.readouterr().out)
    assert status == int(bool(report['problems']))
    assert report['python'] == sys.version.split()[0]
    assert report['packages']['torch'] and report['disk'] > 0
    assert call('doctor') == status
    assert report['packages']['mmengine'] in capsys.readouterr().out


def test_doctor_names_what_is_missing(monkeypatch, capsys):
    from mmseg_semi import compat
    from mmseg_semi.cli import environment

    def fail():
        raise ImportError('cannot run:\n  - torch is not installed: pip '
                          'install "torch>=2.1"\nSee docs.')

    monkeypatch.setattr(compat, 'install', fail)
    monkeypatch.setattr(environment, '_find', lambda name: None)
    assert call('doctor') == 1
    text = capsys.readouterr().out
    assert 'error: torch is not installed: pip install "torch>=2.1"' in text
    assert 'pip install pycocotools' in text


def test_help_and_doctor_need_no_torch():
    code = ('import sys; sys.argv = ["mmseg-semi", "--help"]\n'
            'from mmseg_semi.cli.main import main\n'
            'try: main()\n'
            'except SystemExit: pass\n'
            'print("torch" in sys.modules, "numpy" in sys.modules)')
    result = subprocess.run([sys.executable, '-c', code],
                            capture_output=True,
                            text=True,
                            timeout=300)
    assert result.stdout.endswith('False False\n'), result.stderr


@pytest.mark.slow
def test_as_a_module():
    result = subprocess.run([sys.executable, '-m', 'mmseg_semi', 'import'],
                            capture_output=True,
                            text=True,
                            timeout=300)
    assert result.returncode == 2
    assert 'mmseg-semi import' in result.stderr
    code = 'import mmseg_semi, sys; print("mmseg" in sys.modules)'
    result = subprocess.run([sys.executable, '-c', code],
                            capture_output=True,
                            text=True,
                            timeout=300)
    assert result.stdout.endswith('True\n'), result.stderr
