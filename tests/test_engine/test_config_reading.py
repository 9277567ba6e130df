# Copyright (c) mmseg_semi authors.
import pytest
from mmengine.config import Config

from mmseg_semi.apis import train_config
from mmseg_semi.engine.config_reading import check_options, read_config


def write(folder, **files):
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)
    return str(folder / 'config.py')


@pytest.mark.parametrize('text,words', [
    ('a = 1\nx = (', 'line 2: this is no Python'),
    ('a = 1\nb = c', "line 2: NameError: name 'c' is not defined"),
    ('a = dict(b=1)\n\nd = a["c"]', "line 3: KeyError: 'c'"),
])
@pytest.mark.parametrize('inherited', [True, False])
def test_a_statement_that_fails(tmp_path, text, words, inherited):
    files = dict(config=text)
    if inherited:
        files = dict(config="_base_ = 'other.py'", other=text)
    with pytest.raises(ValueError) as caught:
        read_config(write(tmp_path, **files))
    name = 'other.py' if inherited else 'config.py'
    assert f'{tmp_path / name}, {words}' in str(caught.value)


def test_missing_files_keep_their_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_config(str(tmp_path / 'config.py'))
    with pytest.raises(FileNotFoundError):
        read_config(write(tmp_path, config="_base_ = 'no.py'"))


CFG = Config(
    dict(
        max_iters=9,
        data_preprocessor=dict(mean=[1.]),
        model=dict(data_preprocessor=dict(mean=[1.])),
        train_cfg=dict(type='SemiIterBasedTrainLoop', max_iters=9),
        train_dataloader=dict(dataset=[dict(data_root='a')])))


@pytest.mark.parametrize('key,place', [
    ('max_iters', 'train_cfg.max_iters'),
    ('data_root', 'train_dataloader.dataset.0.data_root'),
    ('data_preprocessor.mean', 'model.data_preprocessor.mean'),
])
def test_options_that_change_nothing(key, place):
    with pytest.raises(ValueError, match=f'Name the settings: {place}.'):
        check_options(CFG, {key: 3})


def test_options_that_change_something(monkeypatch):
    said = []
    monkeypatch.setattr('mmseg_semi.engine.config_reading.print_log',
                        lambda text, **kwargs: said.append(text))
    check_options(
        CFG, {
            'train_cfg.max_iters': 3,
            'load_from': 'a',
            'reuse_work_dir': True,
            'randomness.seed': 1,
            'model.data_preprocessor.mean': 0
        })
    assert said == []
    check_options(CFG, {'of_my_own': 3})
    assert "reads 'of_my_own'" in said[0]


def test_a_launcher_that_has_not_launched(tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(ValueError, match='torchrun'):
        train_config(write(tmp_path, config=''), launcher='pytorch')


def test_a_file_where_the_work_dir_should_be(tmp_path):
    path = write(tmp_path, config='')
    with pytest.raises(ValueError, match='config.py is a file'):
        train_config(path, work_dir=path)
