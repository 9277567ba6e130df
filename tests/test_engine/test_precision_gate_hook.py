# Copyright (c) mmseg_semi authors.
"""On a small DigitScenes, with the networks of its configs."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmseg_semi.engine import label_gate
from mmseg_semi.engine.hooks import PrecisionGateHook
from mmseg_semi.engine.label_gate import measure_labels
from .engine_toys import make_runner
from .gate_runs import (EDGES, HOOK, brute_force, config, gate_of, log_of,
                        train, write_digits)


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp('data') / 'DigitScenes')


@pytest.mark.parametrize('name, net', [
    ('mean_teacher/mean-teacher', 'teacher'),
    ('fixmatch/fixmatch', 'student'),
    ('cps/cps', 'student2'),
])
def test_record_says_what_the_labelling_network_gets_right(
        digits, tmp_path, name, net):
    runner = train(digits, tmp_path, name)
    gate = gate_of(tmp_path)
    assert (gate['source'], gate['images']) == ('held_out', 4)
    assert (gate['iteration'], gate['network']) == (2, net)
    dataset = runner.train_dataloader.dataset
    assert dataset.source_lengths == (36, 40)
    held = dataset.held_out_set(label_gate.test_pipeline(runner.cfg))
    own = runner.model.confidence_threshold
    edges = sorted({*EDGES, *filter(None, [own])})
    assert gate['thresholds'] == edges and gate['threshold'] == own
    right, kept = brute_force(runner.model, held, net, edges)
    assert 0 < right.sum() < kept.sum()
    for name, row in zip(dataset.metainfo['classes'], zip(right, kept)):
        assert gate['pixels'][name] == row[1].tolist()
        wanted = [r / k if k else None for r, k in zip(*row)]
        assert gate['precision'][name] == pytest.approx(wanted, abs=1e-5)
    assert gate['kept'] == pytest.approx(
        kept.sum(0) / kept[:, 0].sum(), abs=1e-5)
    assert [point['iteration'] for point in gate['history']] == [1, 2]
    assert gate['history'][-1]['precision'] == gate['precision_of_all']
    place = edges.index(own or 0.)
    logged = [line for line in log_of(tmp_path) if 'gate/kept' in line]
    assert len(logged) == 2
    assert logged[-1]['gate/kept'] == pytest.approx(gate['kept'][place])


def test_without_held_out_images_the_validation_images(digits, tmp_path):
    runner = train(digits, tmp_path, held_out=0)
    gate = gate_of(tmp_path)
    assert (gate['source'], gate['images']) == ('validation', 3)
    right, kept = brute_force(runner.model, runner.val_dataloader.dataset,
                              'teacher', EDGES)
    assert list(gate['pixels'].values()) == kept.tolist()
    assert len(gate['history']) == 1  # once, at the end
    (line, ) = (line for line in log_of(tmp_path) if 'gate/kept' in line)
    assert line['step'] == 2
    text = next(tmp_path.glob('*/*.log')).read_text()
    assert 'do not choose a threshold' in text and 'WARNING' in text


def test_training_is_the_same_with_and_without(digits, tmp_path):
    hook = dict(HOOK, every_validation=True)
    runs = [
        train(digits, tmp_path / str(i), held_out=0, hook=given)
        for i, given in enumerate([hook, None])
    ]
    one, other = (run.model.state_dict() for run in runs)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert len(gate_of(tmp_path / '0')['history']) == 2
    assert gate_of(tmp_path / '1') is None


def test_a_resumed_training_goes_on_with_its_history(digits, tmp_path):
    train(digits, tmp_path)
    longer = dict(train_cfg=dict(max_iters=4, val_interval=2))
    before = gate_of(tmp_path)
    runner = train(digits, tmp_path, resume=True, **longer)
    gate = gate_of(tmp_path)
    assert runner.iter == 4
    assert [p['iteration'] for p in gate['history']] == [1, 2, 4]
    assert gate['history'][:2] == before['history']


def test_without_validation_held_out_images_do(digits, tmp_path):
    nothing = dict(
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        test_dataloader=None,
        test_cfg=None,
        test_evaluator=None)
    cfg = config(digits, tmp_path)
    cfg.update(nothing)
    cfg.default_hooks.checkpoint.save_best = None
    Runner.from_cfg(cfg).train()
    gate = gate_of(tmp_path)
    assert (gate['source'], gate['iteration']) == ('held_out', 2)
    assert len(gate['history']) == 1


def test_what_makes_no_pseudo_labels(digits, tmp_path):
    with pytest.raises(TypeError, match='makes no pseudo-labels'):
        make_runner(tmp_path / 'toy', hooks=[HOOK]).train()
    hook = dict(type='PrecisionGateHook')
    train(digits, tmp_path / 'run', 'supervised/supervised', hook=hook)
    assert gate_of(tmp_path / 'run') is None
    text = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'no loss learns from unlabelled images' in text


@pytest.mark.parametrize('options, message', [
    (dict(thresholds=[50]), 'confidence lies'),
    (dict(target=0), 'target=0'),
    (dict(alarm=70), 'alarm=70'),
    (dict(min_pixels=0), 'at least 1'),
])
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PrecisionGateHook(**options)


def test_pipeline_of_a_config_without_one():
    with pytest.raises(ValueError, match='a variable test_pipeline'):
        label_gate.test_pipeline(Config(dict(val_dataloader=None)))
    mine = [dict(type='LoadImageFromFile')]
    assert label_gate.test_pipeline(Config(dict(test_pipeline=mine))) == mine


def _measured(rank, world, root, work_dir):
    """One process measures alone, two share the images."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        cfg = config(root, f'{work_dir}/{world}{rank}', hook=None)
        cfg.launcher = 'none'
        runner = Runner.from_cfg(cfg)
        dataset = runner.build_dataloader(cfg.train_dataloader, seed=0).dataset
        loader = runner.build_dataloader(
            dict(
                dataset=dataset.held_out_set(label_gate.test_pipeline(cfg)),
                batch_size=1,
                num_workers=0,
                sampler=dict(
                    type='DefaultSampler', shuffle=False, round_up=False)))
        runner.model.init_weights()
        counts = measure_labels(runner.model, loader, EDGES)
        return counts.images, counts.summed().as_dict(
            list(map(str, range(11))))


@pytest.mark.dist
def test_two_processes_measure_as_one(gloo_pool, digits, tmp_path):
    alone = _measured(0, 1, digits, tmp_path)
    shared = gloo_pool(_measured, 2, digits, str(tmp_path))
    assert [images for images, _ in shared] == [2, 2] and alone[0] == 4
    assert [found for _, found in shared] == [alone[1]] * 2
