# Copyright (c) mmseg_semi authors.
import json

import numpy as np
import pytest

from mmseg_semi.engine.checkpoint import CheckpointError
from mmseg_semi.starting.comparison import compare
from mmseg_semi.starting.trained import find_trained, read_log
from .given import areas, work_dir

CONFIG = '''
default_scope = 'mmseg'
model = dict(segmentor='lite0')
randomness = dict(seed={seed})
train_cfg = dict(max_iters={iters})
train_dataloader = dict(dataset=dict(
    labeled=dict(ann_file='train.txt'), unlabeled={unlabelled}))
val_dataloader = dict(dataset=dict(
    type='BaseSegDataset', lazy_init=True,
    metainfo=dict(classes={classes}, palette=[[0] * 3, [9] * 3]),
    pipeline={pipeline}))
'''
SETTINGS = dict(
    seed=0,
    iters=2000,
    unlabelled='dict()',
    classes=('background', 'leaf'),
    pipeline=[])
GOOD, BAD = np.arange(60, 90), np.arange(50, 80)


@pytest.fixture
def trained(tmp_path):

    def make(name, hits, log='', ids=None, **settings):
        if name == 'twin':
            settings.setdefault('unlabelled', None)
        folder = work_dir(
            tmp_path / name,
            CONFIG.format(**{
                **SETTINGS,
                **settings
            }),
            areas(hits, ids),
            log=log)
        return find_trained(folder)

    return make


def test_help_is_said(trained):
    found = compare(trained('method', GOOD), trained('twin', BAD))
    assert found.helped is True and found.reasons == []
    assert found.difference.low > 0
    # Each image has 100 pixels a class: IoU = hits / (200 - hits).
    expected = 100 * GOOD.sum() / (200 - GOOD).sum()
    assert found.method.miou == pytest.approx(expected, abs=.01)
    assert found.method.iou == pytest.approx([expected] * 2, abs=.01)
    assert (found.images, found.method.iteration) == (30, 40)
    text = found.describe()
    assert 'The unlabelled images helped: +' in text
    assert [line.split()[0] for line in text.splitlines()[1:4]
            ] == ['background', 'leaf', 'mIoU']
    assert json.loads(json.dumps(found.as_dict()))['difference']['low'] > 0
    assert not any('trainings differ' in note for note in found.notes)


def test_how_right_pseudo_labels_were_is_said(trained):
    runs = trained('method', BAD), trained('twin', GOOD)
    assert compare(*runs).gate == []
    gate = dict(
        source='held_out',
        network='teacher',
        iteration=40,
        images=5,
        thresholds=[0., .8],
        precision=dict(background=[.9, .95], leaf=[.5, .6]),
        precision_of_all=[.8, .9],
        kept=[1., .7],
        threshold=.8,
        suggested=.9,
        suggestion='From confidence 0.9 on all is well.',
        alarms=['Pseudo-labels of leaf are wrong.'])
    record = runs[0].folder / 'record.json'
    record.write_text(json.dumps(dict(gate=gate)))
    found = compare(*runs)
    lines = found.describe().splitlines()
    first = lines.index(found.gate[0])
    assert '5 held-out labelled images) from confidence 0.8 on: 90.0%' in (
        lines[first])
    assert lines[first + 1].startswith('Suggested threshold 0.9: From')
    assert any('leaf are wrong. Try model.terms' in r for r in found.reasons)
    assert found.as_dict()['gate'] == found.gate
    record.write_text('[')
    with pytest.raises(ValueError, match='record.json is no record'):
        compare(*runs)


def test_held_out_images_are_compared(trained):
    runs = trained('method', GOOD), trained('twin', BAD)
    runs[0].cfg.train_dataloader.dataset.held_out = .1
    assert any('held-out images (0.1, None)' in note
               for note in compare(*runs).notes)


def test_harm_is_said_with_the_likely_reason(trained):
    log = '\n'.join(
        json.dumps({
            'iter': step,
            'loss_unsup': .1,
            'pseudo/keep_ratio': .01
        }) for step in range(50, 2050, 50))
    found = compare(trained('method', BAD, log), trained('twin', GOOD))
    assert found.helped is False and 'did harm' in found.verdict
    assert any('Only 1.0% of the unlabelled' in r for r in found.reasons)


def test_too_small_a_difference_is_none(trained):
    noise = np.random.default_rng(0).integers(-9, 10, 30)
    found = compare(trained('method', GOOD + noise), trained('twin', GOOD))
    assert found.helped is None
    assert found.difference.low < 0 < found.difference.high
    assert 'did not help' in found.verdict and found.reasons


def test_unequal_trainings_are_noted(trained):
    twin = trained('twin', BAD[:5], seed=1, iters=7, unlabelled='dict(a=1)')
    notes = ' '.join(compare(trained('method', GOOD[:5]), twin).notes)
    assert 'seed (0, 1)' in notes and 'length (2000, 7)' in notes
    assert 'trained with unlabelled images, too' in notes
    assert '5 validation images are few' in notes


@pytest.mark.parametrize('settings, message', [
    (dict(ids=[f'w{i}' for i in range(30)]), 'different images'),
    (dict(classes=('background', 'tree')), 'differ in their classes'),
    (dict(pipeline=[dict(type='PadCenterCrop', crop_size=64)]),
     'differ in their evaluation'),
])
def test_what_cannot_be_compared_is_refused(trained, settings, message):
    twin = trained('twin', BAD, **settings)
    with pytest.raises(ValueError, match=message):
        compare(trained('method', GOOD), twin)


def test_a_validation_set_is_needed(trained):
    method = trained('method', GOOD)
    method.cfg.val_dataloader = None
    with pytest.raises(ValueError, match='no validation images'):
        compare(method, method)


class TestFinding:

    def test_last_and_best(self, trained, tmp_path):
        method = trained('method', GOOD)
        folder = tmp_path / 'method'
        with pytest.raises(FileNotFoundError, match='no best checkpoint'):
            find_trained(str(folder), weights='best')
        data = (folder / 'iter_40.pth').read_bytes()
        for number in (9, 30):
            (folder / f'best_mIoU_iter_{number}.pth').write_bytes(data)
        best = find_trained(str(folder), weights='best')
        assert best.checkpoint.endswith('best_mIoU_iter_30.pth')
        assert method.checkpoint.endswith('iter_40.pth')
        assert (method.name, method.iteration) == ('method', 40)

    def test_config_and_checkpoint(self, trained, tmp_path):
        method = trained('method', GOOD)
        config = tmp_path / 'mine.py'
        config.write_text(CONFIG.format(**SETTINGS))
        found = find_trained(str(config), method.checkpoint)
        assert (found.name, found.folder) == ('mine', tmp_path / 'method')
        with pytest.raises(FileNotFoundError, match='--checkpoints'):
            find_trained(str(config))

    def test_a_damaged_checkpoint(self, trained, tmp_path):
        path = trained('method', GOOD).checkpoint
        open(path, 'wb').write(b'no')
        with pytest.raises(CheckpointError, match='iter_40'):
            find_trained(str(tmp_path / 'method'))

    def test_an_untrained_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='holds 0 configs'):
            find_trained(str(tmp_path))


def test_the_log_of_a_resumed_training(tmp_path):
    """The later line of an iteration counts; a line cut short does not."""
    for stamp, text in (('20260101_1', '{"iter": 1, "loss": 3.0}\n'
                         '{"iter": 2, "loss": 2.0}\n{"mIoU": 50.0, '
                         '"step": 2}\n{"it'), ('20260101_2',
                                               '{"iter": 2, "loss": 1.0}\n')):
        folder = tmp_path / stamp / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(text)
    log = read_log(tmp_path)
    assert [values.tolist() for values in log['loss']] == [[1, 2], [3., 1.]]
    assert [values.tolist() for values in log['mIoU']] == [[2], [50.]]
