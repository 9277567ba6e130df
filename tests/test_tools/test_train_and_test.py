# Copyright (c) mmseg_semi authors.
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from mmseg_semi.apis import configs
from mmseg_semi.engine.checkpoint import CheckpointError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'tools_{name}',
                                                  TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train = load_tool('train')
test = load_tool('test')


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Writes a config file and returns what a tool makes of it."""
    monkeypatch.setenv('LOCAL_RANK', '0')  # the tools set it where it is not

    def load(tool, *arguments, text=''):
        path = tmp_path / 'some_config.py'
        path.write_text('model = dict(type="M", test_cfg=dict(mode="whole"))\n'
                        'optim_wrapper = dict(type="OptimWrapper")\n' + text)
        return tool.load_config(tool.parse_args([str(path), *arguments]))

    return load


def write_checkpoint(path):
    path.parent.mkdir(exist_ok=True, parents=True)
    torch.save(
        dict(state_dict=dict(w=torch.ones(2)), optimizer=dict(state={})), path)
    return str(path)


def test_work_dir_comes_from_argument_then_file_then_name(config):
    text = 'work_dir = "of_file"'
    assert config(train, '--work-dir', 'w', text=text).work_dir == 'w'
    assert config(train, text=text).work_dir == 'of_file'
    assert config(train).work_dir == './work_dirs/some_config'


def test_cfg_options_reach_nested_settings(config):
    cfg = config(train, '--cfg-options', 'model.test_cfg.mode=slide')
    assert cfg.model.test_cfg.mode == 'slide'


def test_missing_resume_flag_keeps_the_file(config, tmp_path):
    assert not config(train).get('resume')
    newest = write_checkpoint(tmp_path / 'iter_3.pth')
    cfg = config(train, text=f'resume = True\nload_from = {newest!r}')
    assert cfg.resume is True and cfg.load_from == newest
    # Without a path in the file it means the newest in the work directory.
    cfg = config(train, text=f'resume = True\nwork_dir = {str(tmp_path)!r}')
    assert cfg.resume is True and cfg.load_from == newest


@pytest.mark.parametrize('flag', [['--resume'], ['--resume', 'auto']])
def test_resume_takes_the_newest_whole_checkpoint(config, tmp_path, flag):
    work_dir = tmp_path / 'work'
    older = write_checkpoint(work_dir / 'iter_10.pth')
    newer = Path(write_checkpoint(work_dir / 'iter_20.pth'))
    cfg = config(train, *flag, '--work-dir', str(work_dir))
    assert cfg.load_from == str(newer)
    newer.write_bytes(newer.read_bytes()[:-100])
    cfg = config(train, *flag, '--work-dir', str(work_dir))
    assert cfg.resume is True and cfg.load_from == older


def test_resume_in_an_empty_work_dir_starts_anew(config, tmp_path):
    cfg = config(
        train,
        '--resume',
        '--work-dir',
        str(tmp_path / 'none'),
        text='load_from = "pretrained.pth"')
    assert cfg.resume is False and cfg.load_from == 'pretrained.pth'


def test_resume_from_a_path_checks_the_file(config, tmp_path):
    path = write_checkpoint(tmp_path / 'elsewhere.pth')
    cfg = config(train, '--resume', path)
    assert cfg.resume is True and cfg.load_from == path
    Path(path).write_bytes(b'<html>')
    with pytest.raises(CheckpointError, match='elsewhere.pth'):
        config(train, '--resume', path)
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        config(train, '--resume', str(tmp_path / 'absent.pth'))


def test_amp_replaces_only_the_plain_wrapper(config, monkeypatch):
    monkeypatch.setattr(configs, 'get_device', lambda: 'cuda')
    wrapper = config(train, '--amp').optim_wrapper
    assert wrapper.type == 'AmpOptimWrapper'
    assert wrapper.loss_scale == 'dynamic'
    text = 'optim_wrapper = dict(type="AmpOptimWrapper", loss_scale=8.0)'
    assert config(train, '--amp', text=text).optim_wrapper.loss_scale == 8.0
    with pytest.raises(ValueError, match='ApexOptimWrapper'):
        config(
            train, '--amp', text='optim_wrapper=dict(type="ApexOptimWrapper")')


def test_amp_without_a_device_is_refused(config, monkeypatch):
    monkeypatch.setattr(configs, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='Leave --amp out'):
        config(train, '--amp')


TEST_CONFIG = '''
resume = True
test_dataloader = dict(dataset=dict(pipeline=['plain']))
test_evaluator = {evaluator}
visualizer = dict(type='SegLocalVisualizer')
default_hooks = dict(visualization=dict(type='SegVisualizationHook'))
tta_model = dict(type='SegTTAModel')
tta_pipeline = ['tta']
'''


@pytest.mark.parametrize('evaluator', ['dict(type="A")', '[dict(type="A")]'])
def test_test_arguments(config, tmp_path, evaluator):
    path = write_checkpoint(tmp_path / 'c.pth')
    text = TEST_CONFIG.format(evaluator=evaluator)
    cfg = config(test, path, text=text)
    assert cfg.load_from == path and cfg.resume is False
    assert cfg.model.type == 'M'
    assert 'draw' not in cfg.default_hooks.visualization

    cfg = config(
        test,
        path,
        '--out',
        'masks',
        '--show-dir',
        'painted',
        '--tta',
        text=text)
    metric = cfg.test_evaluator
    metric = metric[0] if isinstance(metric, list) else metric
    assert metric.output_dir == 'masks'
    assert cfg.default_hooks.visualization.type == 'PictureHook'
    assert cfg.default_hooks.visualization.out_dir == 'painted'
    assert cfg.default_hooks.visualization.draw
    assert cfg.default_hooks.visualization.interval == 1  # every image
    assert 'show' not in cfg.default_hooks.visualization
    assert cfg.model.type == 'SegTTAModel' and cfg.model.module.type == 'M'
    assert cfg.test_dataloader.dataset.pipeline == ['tta']


@pytest.mark.parametrize('display', ['DISPLAY', 'WAYLAND_DISPLAY', None])
def test_pictures_are_shown_where_there_is_a_display(config, tmp_path,
                                                     monkeypatch, display):
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    arguments = (test, write_checkpoint(tmp_path / 'c.pth'), '--show')
    text = ('default_hooks = dict(visualization=dict('
            'type="SegVisualizationHook"))\nvisualizer = dict()')
    if display:
        monkeypatch.setenv(display, ':0')
        assert config(*arguments, text=text).default_hooks.visualization.show
    else:
        monkeypatch.setattr(sys, 'platform', 'linux')
        with pytest.raises(ValueError, match='no display.*--show-dir'):
            config(*arguments, text=text)


def test_no_check(config):
    text = ('train_cfg = dict(type="SemiIterBasedTrainLoop")\n')
    assert 'check_data' not in config(train, text=text).train_cfg
    cfg = config(train, '--no-check', text=text)
    assert cfg.train_cfg.check_data is False
    text = text.replace('Semi', '')  # which would not know the option
    assert 'check_data' not in config(train, '--no-check', text=text).train_cfg


def test_test_arguments_that_the_config_cannot_serve(config, tmp_path):
    path = write_checkpoint(tmp_path / 'c.pth')
    with pytest.raises(ValueError, match='tta_model and tta_pipeline'):
        config(test, path, '--tta')
    with pytest.raises(ValueError, match='SegVisualizationHook'):
        config(test, path, '--show')
    with pytest.raises(FileNotFoundError):
        config(test, str(tmp_path / 'absent.pth'))
    assert config(test, 'https://host/x.pth').load_from == 'https://host/x.pth'
