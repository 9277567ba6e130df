# Copyright (c) mmseg_semi authors.
import subprocess
import sys
from dataclasses import replace

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from mmseg_semi.data_check import check_config
from mmseg_semi.models.segmentors.wrapped import resolve_segmentor
from mmseg_semi.starting import (DataFacts, MachineFacts, choose_recipe,
                                 config_text, data_facts, methods, twin_path,
                                 write_configs, write_text)
from .given import FAST_SCNN, imported

MACHINE = MachineFacts(None, 2**34, True, False)
LARGE = DataFacts(('a', 'b', 'c'), 4, 1, 3, 3000, 4000)


def recipe(data, **given):
    return choose_recipe(data_facts(data), MACHINE, **given)


def loaded(text):
    return Config.fromstring(text, '.py')


def test_facts_of_an_import(tmp_path):
    facts = data_facts(imported(tmp_path))
    assert facts.classes[0] == 'background' and len(facts.classes) == 3
    assert (facts.labelled, facts.val, facts.unlabelled) == (4, 1, 3)
    assert (facts.short_side, facts.long_side) == (14, 20)


@pytest.mark.parametrize('break_it, message', [
    (lambda folder:
     (folder / 'out/classes.json').unlink(), 'not written by an import'),
    (lambda folder: (folder / 'photos').rename(folder / 'elsewhere'),
     'photographs were moved'),
])
def test_facts_of_what_is_no_import(tmp_path, break_it, message):
    out = imported(tmp_path)
    break_it(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        data_facts(out)


@pytest.mark.parametrize('method', methods())
def test_every_method_has_a_short_config_that_reads_the_data(tmp_path, method):
    out = imported(tmp_path)
    text = config_text(out, recipe(out, method=method, crop=32), patience=3)
    assert len(text.splitlines()) <= 25
    cfg = loaded(text)
    assert cfg.model.num_classes == 3
    assert cfg.train_dataloader.batch_size == sum(
        cfg.train_dataloader.sampler.counts)
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        assert len(DATASETS.build(cfg.val_dataloader.dataset)) == 1
        sample = dataset[0]
    semi = method != 'supervised'
    assert dataset.source_lengths == (4, 3 if semi else 0)
    assert sample['inputs']['sup'].shape == (3, 32, 32)
    if semi:
        with DefaultScope.overwrite_default_scope('mmseg'):
            branches = [
                name for name, value in dataset[4]['inputs'].items()
                if value is not None
            ]
        strong = dict(
            unimatch=2, cmb=0, cps=0, cutmix_seg=0, pps=0, rc2l=0,
            brpg_cps=0).get(method, 1)
        assert len(branches) == 1 + strong
    assert cfg.custom_hooks[-1] == dict(type='PatienceHook', patience=3)
    own = 'cps', 'cutmix_seg', 'fixmatch', 'mean_teacher', 'unimatch'
    assert (cfg.model.get('burn_in') == 0.1) == (method in own)


def test_large_photographs_are_resized_everywhere(tmp_path):
    out = imported(tmp_path)
    plan = replace(
        choose_recipe(LARGE, replace(MACHINE, lite_weights=False)),
        held_out=.1)
    text = config_text(out, plan, patience=2)
    assert len(text.splitlines()) <= 25
    cfg = loaded(text)
    data = cfg.train_dataloader.dataset
    for pipeline, place in ((data.labeled.pipeline,
                             2), (data.unlabeled.pipeline,
                                  2), (cfg.val_dataloader.dataset.pipeline, 1),
                            (cfg.test_dataloader.dataset.pipeline, 1)):
        assert pipeline[place] == dict(
            type='Resize', scale=(512, 10**6), keep_ratio=True)
    assert cfg.model.test_cfg == dict(
        mode='slide', crop_size=(256, 256), stride=(170, 170))
    with DefaultScope.overwrite_default_scope('mmseg'):
        sample = DATASETS.build(cfg.val_dataloader.dataset)[0]
    assert sample['inputs'].shape == (3, 512, 731)  # of 14 x 20
    assert sample['data_samples'].gt_sem_seg.shape == (14, 20)


def test_a_broken_unlabelled_photo_is_a_warning(tmp_path, monkeypatch):
    """With the short name of its file, and pipelines are tried on others."""
    monkeypatch.chdir(tmp_path)
    imported(tmp_path)
    whole = (tmp_path / 'photos/p5.jpg').read_bytes()
    (tmp_path / 'photos/p5.jpg').write_bytes(whole[:-200])
    text = config_text('out', recipe('out', crop=32))
    report = check_config(loaded(text))
    assert not report.errors
    found = [f for f in report.findings if f.kind == 'unreadable-image']
    assert [f.path for f in found] == ['photos/p5.jpg']


def test_many_classes_stay_in_their_file(tmp_path):
    names = tuple(f'a class with a long name {i}' for i in range(30))
    out = imported(tmp_path, format='index', classes=names)
    text = config_text(out, recipe(out))
    assert len(text.splitlines()) <= 25 and names[29] not in text
    images = loaded(text).train_dataloader.dataset.labeled.metainfo
    assert tuple(images.classes) == names and len(images.palette) == 30


def test_without_validation_images(tmp_path):
    out = imported(tmp_path, val=0)
    cfg = loaded(config_text(out, recipe(out), patience=2))
    assert cfg.val_dataloader is None and cfg.val_cfg is None
    assert cfg.default_hooks.checkpoint.save_best is None
    unwanted = 'PatienceHook', 'PrecisionGateHook'
    assert not any(hook.type in unwanted for hook in cfg.custom_hooks)


def test_pseudo_labels_are_measured(tmp_path):
    out = imported(tmp_path)
    few = recipe(out)
    assert few.held_out == 0
    cfg = loaded(config_text(out, few))
    assert 'held_out' not in cfg.train_dataloader.dataset
    assert cfg.custom_hooks[-1] == dict(type='PrecisionGateHook')
    files = str(tmp_path / 'm.py'), str(tmp_path / 's.py')
    write_configs(out, replace(few, held_out=.1), *files, patience=2)
    ours, twin = map(Config.fromfile, files)
    for cfg in (ours, twin):  # the same labels, or they could not be compared
        assert cfg.train_dataloader.dataset.held_out == .1
    kinds = [[hook.type for hook in cfg.custom_hooks] for cfg in (ours, twin)]
    assert kinds[0][-2:] == ['PrecisionGateHook', 'PatienceHook']
    assert 'PrecisionGateHook' not in kinds[1]
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(ours.train_dataloader.dataset)
    assert dataset.source_lengths == (3, 3)
    assert len(dataset.held_out) == 1


def test_models(tmp_path):
    out = imported(tmp_path)
    cfg = loaded(config_text(out, recipe(out)))
    assert cfg.model.segmentor.backbone.type == 'EfficientNetLite'
    cfg = loaded(config_text(out, recipe(out, model=FAST_SCNN)))
    assert resolve_segmentor(cfg.model.segmentor).backbone.type == 'FastSCNN'
    bare = choose_recipe(data_facts(out), replace(MACHINE, lite_weights=False))
    assert loaded(config_text(out, bare)).model.pretrained is False


def test_the_twin_differs_by_its_unlabelled_images_alone(tmp_path):
    out = imported(tmp_path)
    files = str(tmp_path / 'm.py'), str(tmp_path / 's.py')
    written = write_configs(out, recipe(out), *files, seed=5)
    assert list(written.states) == list(files)
    ours, twin = map(Config.fromfile, files)
    assert twin.train_dataloader.dataset.unlabeled is None
    assert twin.train_dataloader.sampler.counts == (4, 0)
    for key in ('train_dataloader.dataset.labeled', 'val_dataloader',
                'model.segmentor', 'train_cfg', 'randomness', 'optim_wrapper',
                'default_hooks'):
        one, other = ours, twin
        for part in key.split('.'):
            one, other = one[part], other[part]
        assert one == other, key


def test_nothing_is_overwritten_without_force(tmp_path):
    out = imported(tmp_path)
    files = tmp_path / 'm.py', tmp_path / 's.py'
    plan = recipe(out)
    write_configs(out, plan, *map(str, files))
    states = write_configs(out, plan, *map(str, files)).states
    assert set(states.values()) == {'unchanged'}
    files[0].unlink()
    files[1].write_text('mine')
    with pytest.raises(FileExistsError, match='s.py exists and differs'):
        write_configs(out, plan, *map(str, files))
    assert not files[0].exists() and files[1].read_text() == 'mine'
    states = write_configs(out, plan, *map(str, files), force=True).states
    assert list(states.values()) == ['written', 'replaced']
    (tmp_path / 'folder').mkdir()
    with pytest.raises(FileExistsError):
        write_text('x', tmp_path / 'folder', force=True)


def test_name_of_the_twin():
    assert str(twin_path('a/leaves.py')) == 'a/leaves_supervised.py'


@pytest.mark.slow
def test_stock_mmseg_reads_it(tmp_path):
    """Without an import of this package before."""
    out = imported(tmp_path)
    path = tmp_path / 'mine.py'
    write_text(config_text(out, recipe(out)), path)
    code = ('from mmengine.config import Config\n'
            f'cfg = Config.fromfile({str(path)!r})\n'
            'print(cfg.model.type, cfg.custom_imports.imports)')
    done = subprocess.run([sys.executable, '-c', code],
                          capture_output=True,
                          text=True,
                          timeout=300)
    assert done.stdout == "MeanTeacher ['mmseg_semi']\n", done.stderr
