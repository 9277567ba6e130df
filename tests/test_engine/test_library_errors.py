# Copyright (c) mmseg_semi authors.
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from mmseg.registry import HOOKS, MODELS, TRANSFORMS
from torch.utils.data import DataLoader

import mmseg_semi.engine  # noqa: F401
from mmseg_semi.engine.library_errors import explain
from mmseg_semi.engine.readable_errors import TRACEBACK, readable_errors


@HOOKS.register_module()
class BrokenInside:
    """Takes its arguments, and then calls something in a wrong way."""

    def __init__(self):
        sorted([], wrong_argument=1)


def raised(build, *args, **kwargs):
    with pytest.raises(Exception) as caught:
        build(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize('registry,cfg,words', [
    (HOOKS, dict(type='EmaTeacherHook'), ['no hook', 'EMATeacherHook']),
    (MODELS, dict(type='EncoderDecodr'), ['no model', 'EncoderDecoder']),
    (MODELS, dict(type='NobodysNetwork'), ['no model', 'custom_imports']),
    (TRANSFORMS, dict(type='Resize', scales=3),
     ["Resize takes no 'scales' (similar: scale)", '_delete_=True']),
    (MODELS, dict(type='FCNHead', in_channels=1, channels=2, num_clases=3),
     ["FCNHead takes no 'num_clases'", 'num_classes']),
    (MODELS, dict(type='FCNHead', in_channels=1), ["FCNHead needs 'channels'"
                                                   ]),
])
def test_what_a_registry_says(registry, cfg, words):
    text = explain(raised(registry.build, cfg))
    for word in words:
        assert word in text


def test_an_argument_of_another_optimizer():
    params = [torch.nn.Parameter(torch.ones(1))]
    error = raised(OPTIMIZERS.build,
                   dict(type='AdamW', params=params, momentum=.9))
    assert "AdamW takes no 'momentum'" in explain(error)


@pytest.mark.parametrize('option,value', [('persistent_workers', 'False'),
                                          ('prefetch_factor', 'None')])
def test_options_of_workers_without_workers(option, value):
    error = raised(DataLoader, [1], **{option: 2})
    assert f'set {option}={value}' in explain(error)


def test_modules_that_cannot_be_imported(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['no_such_module'])")
    assert 'PYTHONPATH' in explain(raised(Config.fromfile, path))


def test_a_package_that_is_not_installed():
    error = ImportError('Please run "pip install wandb" to install wandb')
    assert 'config needs is missing. Please run' in explain(error)
    assert explain(ImportError('cannot import name x')) is None


def test_errors_from_deeper_inside_keep_their_traceback():
    assert explain(raised(HOOKS.build, dict(type='BrokenInside'))) is None
    assert explain(raised(int, 'x')) is None
    assert explain(raised({}.__getitem__, 'x')) is None


def test_tools_say_so(monkeypatch):
    monkeypatch.delenv(TRACEBACK, raising=False)
    with pytest.raises(SystemExit) as caught, readable_errors('a tool'):
        HOOKS.build(dict(type='EmaTeacherHook'))
    assert caught.value.code.startswith('\nerror: There is no hook')
