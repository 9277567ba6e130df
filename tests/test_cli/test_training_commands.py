# Copyright (c) mmseg_semi authors.
"""train, test, init, compare, start as they are typed."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmseg_semi.starting import facts
from ..test_starting.given import FAST_SCNN, imported, photos_and_masks
from .test_main import KEYS, call

SMALL = ['--model', FAST_SCNN, '--crop', '32', '--iters', '3']
CONFIG = '''
model = dict(type='M')
optim_wrapper = dict(type='OptimWrapper')
visualizer = dict(type='V', vis_backends=[dict(type='LocalVisBackend')])
test_evaluator = dict(type='E')
'''


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    (tmp_path / 'mine.py').write_text(CONFIG)
    return 'mine.py'


@pytest.mark.parametrize(
    'arguments', [['train'], ['train', 'x.py', '--log', 'paper'],
                  ['train', 'x.py', '--patience', '0'], ['test', 'x.py'],
                  ['init', 'x', '--iters', '-3'], ['compare', 'x'],
                  ['compare', 'x', 'y', '--weights', 'worst'], ['start', 'x'],
                  ['start', 'x', '--masks', 'y', '--seed', '-1']])
def test_misuse_is_2(arguments, capsys):
    assert call(*arguments) == 2
    assert f'usage: mmseg-semi {arguments[0]}' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, text', [
    (['train', 'absent.py'], 'there is no file absent.py'),
    (['train', 'mmseg_semi::absent.py'], "no config 'absent.py'"),
    (['train', 'mine.py', '--work-dir', 'full'], 'iter_1.pth for instance'),
    (['train', 'mine.py', '--log', 'wandb'], 'pip install wandb'),
    (['test', 'mine.py', 'absent.pth'], 'no checkpoint absent.pth'),
    (['test', 'mine.py', 'ful/iter_1.pth'], 'nearest names: full'),
    (['test', 'mine.py', 'full'], 'is a folder: give a file in it'),
    (['test', 'mine.py', 'x.pth', '--out', 'full'], '--out: full holds files'),
    (['test', 'mine.py', 'x.pth', '--show-dir', 'full'], '--show-dir: full'),
    (['init', 'full'], 'not written by an import'),
    (['init', 'ful'], 'nearest names: full'),
    (['compare', 'full', 'ful'], 'holds 0 configs'),
    (['compare', 'ful', 'full'], 'no work directory ful'),
    (['test', 'ful', 'last'], 'no work directory ful'),
    (['compare', 'full', 'full'], 'holds 0 configs'),
    (['start', 'full', '--masks', 'full', '--val', '0', '--out', 'new'
      ], '--val 0 leaves nothing'),
    (['start', 'full', '--masks', 'full', '--out', 'full/x'], 'lies in full'),
    (['start', 'new', '--masks', 'new', '--out', 'full'], 'not begun by'),
    (['start', 'new', '--masks', 'new', '--method', 'magic'], 'no \'magic\''),
    (['start', 'new', '--masks', 'new', '--crop', '3'], '--crop 3 is too'),
    (['start', 'new', '--masks', 'new', '--model', 'absent.py'], 'absent.py'),
    (['start', 'new', '--masks', 'new', '--out', 'mine.py/x'
      ], 'mine.py is no folder'),
    (['start', 'new', '--masks', 'new', '--out', '/proc/x'
      ], 'nothing can be written in /proc'),
    (['check', 'absent'], 'there is no file'),
    (['check', 'full/iter_1.pth'], 'the names of configs end with .py'),
    (['train', 'full'], 'full is a folder'),
])
def test_what_the_user_can_mend_is_1(config, tmp_path, capsys, monkeypatch,
                                     arguments, text):
    import importlib.util
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *rest: None
        if name == 'wandb' else find(name, *rest))
    (tmp_path / 'full').mkdir()
    torch.save({}, tmp_path / 'full/iter_1.pth')
    assert call(*arguments) == 1
    captured = capsys.readouterr()
    assert text in captured.err and 'Traceback' not in captured.err
    assert call(*arguments, '--json') == 1
    assert text in json.loads(capsys.readouterr().out)['error']


def test_init_tells_what_it_chose_and_why(config, tmp_path, capsys,
                                          monkeypatch):
    monkeypatch.setattr(facts, 'answers', lambda url: False)
    imported(tmp_path)
    assert call('init', 'out', '--crop', 32) == 0
    text = capsys.readouterr().out
    assert 'mean_teacher' in text and '3 unlabelled photos' in text
    assert 'out.py (written)\nout_supervised.py (written)' in text
    assert call('init', 'out', '--iters', 7, '--crop', 32) == 1
    assert '--force' in capsys.readouterr().err
    assert call('init', 'out', '--model', 'mmseg::fcn/absent.py') == 1
    assert "no config 'fcn/absent.py'" in capsys.readouterr().err
    assert call('init', 'out', '--iters', 7, '--force', '--json') == 0
    found = json.loads(capsys.readouterr().out)
    assert found['recipe']['iters'] == 7 and found['twin'].endswith(
        'out_supervised.py')
    assert set(found['states'].values()) == {'replaced'}
    assert found['files'] == list(found['states'])


def test_start_tells_all_findings_where_it_stops(tmp_path, capsys,
                                                 monkeypatch):
    """Those of the import and those of the check, as objects."""
    monkeypatch.chdir(tmp_path)
    photos_and_masks(tmp_path, labelled=5, unlabelled=3)
    (tmp_path / 'photos/broken.png').write_bytes(b'no picture')
    same = (tmp_path / 'photos/p0.jpg').read_bytes()
    for index in range(5):  # those of training are those of validation
        (tmp_path / f'photos/p{index}.jpg').write_bytes(same)
    command = 'start', 'photos', '--masks', 'masks', '--out', 'new', *SMALL
    assert call(*command, '--json') == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert '[3/5] Check' in captured.err and 'not fit' in found['error']
    assert found['findings'][0]['path'].endswith('broken.png')
    assert found['findings'][0]['severity'] == 'warning'
    assert ('shared-image', 'error') in [(f['kind'], f['severity'])
                                         for f in found['findings']]
    assert all(set(f) >= KEYS for f in found['findings'])


def test_errors_of_another_kind_are_objects_too(config, capsys, monkeypatch):
    from mmseg_semi.starting import project

    def fail(*args, **kwargs):
        print('a library prints')
        raise OSError('no space left')

    monkeypatch.setattr(project, 'import_labels', fail)
    command = 'start', 'photos', '--masks', 'masks', '--out', 'new', '--json'
    with pytest.raises(OSError):
        call(*command)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == dict(
        error='OSError: no space left', findings=[])
    assert 'a library prints' in captured.err

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(project, 'import_labels', interrupt)
    assert call(*command) == 130
    assert json.loads(capsys.readouterr().out)['error'] == 'interrupted'


def test_more_logs_are_added_to_those_of_the_config(config, monkeypatch):
    from mmseg_semi.apis import configs, train_config
    monkeypatch.setattr(configs.importlib.util, 'find_spec', lambda name: 1)
    for _ in range(2):
        cfg = train_config(config, log=('mlflow', 'tensorboard'), patience=2)
    kinds = [backend.type for backend in cfg.visualizer.vis_backends]
    assert kinds == [
        'LocalVisBackend', 'MLflowVisBackend', 'TensorboardVisBackend'
    ]
    assert cfg.custom_hooks == [dict(type='PatienceHook', patience=2)]
    with pytest.raises(ValueError, match='the config has none'):
        train_config(config, log=['mlflow'], cfg_options=dict(visualizer=None))


@pytest.mark.slow
def test_start_from_photos_to_a_comparison(tmp_path, capsys, monkeypatch):
    """Interrupted in its first training, it goes on; then other commands."""
    monkeypatch.chdir(tmp_path)
    photos_and_masks(tmp_path, labelled=5, unlabelled=3)
    command = ['start', 'photos', '--masks', 'masks', '--out', 'new', *SMALL]
    process = subprocess.Popen([sys.executable, '-m', 'mmseg_semi', *command],
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    while process.poll() is None and not list(
            tmp_path.glob('new/supervised/iter_1.pth')):
        time.sleep(.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM, process.stdout.read()
    process.stdout.close()

    assert call(*command, '--json') == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert list(found['configs']) == ['supervised', 'mean_teacher']
    for name, path in found['checkpoints'].items():
        assert path.endswith(f'{name}/iter_3.pth') and os.path.isfile(path)
    assert found['comparison']['images'] == 1
    assert found['picture'] == 'new/comparison.png'
    assert found['recipe']['iters'] == 3
    assert found['recipe']['reasons']['iterations'] == 'as you said'
    assert 'new/comparison.json' in found['files']
    assert all(map(os.path.exists, found['files']))
    assert all(set(f) >= KEYS for f in found['findings'])
    assert (tmp_path / 'new/comparison.png').stat().st_size > 5000
    assert found['report'] == 'new/report.html'
    page = (tmp_path / 'new/report.html').read_text()
    assert 'mean_teacher against supervised' in page
    resumed = (tmp_path / 'new/supervised/console.log').read_text()
    assert 'resumed epoch' in resumed or 'Resume' in resumed

    assert call(*command) == 0
    text = capsys.readouterr().out
    assert 'mean_teacher: trained already' in text and 'mIoU' in text
    assert call(*command[:-1], '4') == 1
    assert 'iters=3, not 4' in capsys.readouterr().err

    assert call('compare', 'new/mean_teacher', 'new/supervised', '--weights',
                'best', '--json', '--report', 'two.html') == 0
    assert 'mean_teacher against supervised' in (tmp_path /
                                                 'two.html').read_text()
    best = json.loads(capsys.readouterr().out)
    assert 0 <= best['method']['miou'] <= 100
    scored = call('test', 'new/supervised.py',
                  found['checkpoints']['supervised'], '--work-dir', 'tested',
                  '--json')
    assert scored == 0
    scores = json.loads(capsys.readouterr().out)['scores']
    assert scores['mIoU'] == pytest.approx(
        found['comparison']['supervised']['miou'], abs=.02)


def test_data_at_fault_stop_start_and_can_be_mended(tmp_path, capsys,
                                                    monkeypatch):
    """A copy of a validation photo among those without a label."""
    from mmseg_semi.starting import project

    def stop(*args):
        raise RuntimeError('here the training would begin')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, '_train', stop)
    photos_and_masks(tmp_path)
    for index in range(5):
        photo = tmp_path / f'photos/p{index}.jpg'
        (tmp_path / f'photos/copy{index}.jpg').write_bytes(photo.read_bytes())
    command = ['start', 'photos', '--masks', 'masks', '--out', 'new', *SMALL]
    assert call(*command) == 1
    captured = capsys.readouterr()
    assert 'not fit for training' in captured.err
    assert 'copy' in captured.err and 'shared-image' in captured.err
    for index in range(5):
        (tmp_path / f'photos/copy{index}.jpg').unlink()
    with pytest.raises(RuntimeError, match='training would begin'):
        call(*command, '--seed', 1)
    text = (tmp_path / 'new/supervised.py').read_text()
    assert 'randomness = dict(seed=1)' in text
    text = (tmp_path / 'new/data/lists/unlabelled.txt').read_text()
    assert 'p5.jpg' in text and 'copy' not in text


def test_classes_that_change_before_a_training_change_the_configs(
        tmp_path, monkeypatch):
    """But not those that the user has changed."""
    from mmseg_semi.starting import project

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, '_train', lambda *args: None)
    monkeypatch.setattr(project, '_finish', lambda *args: SystemExit)
    monkeypatch.setattr('mmseg_semi.cli.start_command._as_text', str)
    photos_and_masks(tmp_path)
    command = ['start', 'photos', '--masks', 'masks', '--out', 'new', *SMALL]
    assert call(*command) == 0
    config = tmp_path / 'new/mean_teacher.py'
    assert 'num_classes=3' in config.read_text()
    assert call(*command, '--mapping', '0=a,1=b,2=b') == 0
    assert 'num_classes=2' in config.read_text()
    config.write_text(config.read_text() + '# mine')
    assert call(*command, '--mapping', '0=a,1=b,2=c') == 1
    assert config.read_text().endswith('# mine')
