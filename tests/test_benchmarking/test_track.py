# Copyright (c) mmseg_semi authors.
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_semi.benchmarking.band import departures
from mmseg_semi.benchmarking.causes import likely_causes
from mmseg_semi.benchmarking.curves import (METRICS, LoggedRun, TrackError,
                                            _means_over_epochs, find_reference,
                                            published_references, read_run)
from mmseg_semi.benchmarking.run_facts import facts_of
from mmseg_semi.benchmarking.track import track
from .test_published import ROOT

CONFIG = '''
model = dict(
    type='FixMatch',
    segmentor=dict(backbone=dict(type='ResNetV1c', depth=101,
        init_cfg={init})),
    terms=dict(strong1=dict(type='PixelConsistency', threshold={threshold})))
train_cfg = dict(max_iters={iters})
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=1e-3),
    paramwise_cfg=dict(custom_keys=dict(
        backbone=dict(lr_mult={encoder}), decode_head=dict(lr_mult=10.))))
train_dataloader = dict(
    batch_size=16,
    sampler=dict(type='SemiSampler', counts={counts}),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(labeled=dict(
        ann_file='ImageSets/Semi/{list}.txt',
        pipeline=[dict(type='RandomPadCrop', crop_size=321)])))
'''
SETTINGS = dict(
    init="dict(checkpoint='r101')",
    threshold=.95,
    iters=104000,
    encoder=1.,
    counts=(8, 8),
    list='voc12-classic-92')
RECIPE = 'unimatch_r101_voc_92'
EPOCHS = 80

REFERENCE = published_references()[RECIPE]


def published_mean(metric, epochs):
    """Mean of the published runs at points of one epoch."""
    number, values = np.ceil(epochs[-1] - 1e-9), []
    for curve in REFERENCE.curves:
        known, points = curve.points[metric]
        inside = np.ceil(known - 1e-9) == max(number, 1.)
        if not inside.any():  # epochs that were left out
            inside = np.abs(known - number) <= 1
        values.append(np.interp(epochs, known[inside], points[inside]))
    return np.mean(values, axis=0)


def write_run(folder,
              until=80,
              change=None,
              first=0,
              name='20260101',
              **settings):
    """A made-up run that goes as the published ones, or is ``change``d."""
    settings = dict(SETTINGS, **settings)
    log = folder / name / 'vis_data'
    log.mkdir(parents=True)
    text = CONFIG.format(**settings)
    (log / 'config.py').write_text(text)
    (folder / 'unimatch_r101_voc_92.py').write_text(text)
    per_epoch, lines = settings['iters'] // EPOCHS, []
    for number in range(first // per_epoch, until):
        epochs = number + np.arange(1, 11) / 10
        curves = np.array(
            [published_mean(metric, epochs) for metric in METRICS])
        if change:
            curves = np.array([
                change(epoch, *point)
                for epoch, point in zip(epochs, curves.T)
            ]).T
        # What is logged is not the mean so far, but what makes it.
        count = np.arange(1, 11)
        logged = np.diff(curves[:2] * count, prepend=0.)
        for epoch, loss, kept in zip(epochs, *logged):
            step = round(epoch * per_epoch)
            lines.append({
                'iter': step,
                'step': step,
                'loss': loss,
                'pseudo/keep_ratio': kept,
                'lr': 1e-3
            })
        step = (number + 1) * per_epoch
        lines.append({'step': step, 'mIoU': curves[2][-1], 'aAcc': 90.})
    (log / 'scalars.json').write_text(''.join(
        json.dumps(line) + '\n' for line in lines))
    return folder


def too_fast(epoch, loss, kept, score):
    """What an encoder does whose learning rate is ten times too large."""
    if epoch <= 2:
        return loss, kept, score
    return loss * 1.6, kept - .2, score - 15


def test_means_are_those_of_the_epoch_so_far():
    epochs, values = _means_over_epochs(
        np.array([.5, 1., 1.5, 2., 2.5]), np.array([1., 3., 5., 7., 9.]))
    assert values.tolist() == [1., 2., 5., 6., 9.]
    assert epochs.tolist() == [.5, 1., 1.5, 2., 2.5]


@pytest.mark.parametrize('until', [3, 80])
def test_a_run_as_published_is_on_track(tmp_path, capsys, until):
    run = write_run(tmp_path / 'right', until)
    assert track(run) == 0
    out = capsys.readouterr().out
    assert 'On track so far: loss, kept ratio, mIoU inside the band' in out
    assert f'iteration {until * 1300} of 104000' in out and RECIPE in out
    assert 'causes' not in out
    with Image.open(run / 'track.png') as picture:
        assert picture.format == 'PNG' and picture.height > 500


def test_encoder_that_learns_too_fast(tmp_path, capsys):
    run = write_run(tmp_path / 'wrong', 20, too_fast, encoder=10.)
    assert track(run, out=tmp_path / 'x.png') == 1
    out = capsys.readouterr().out
    assert re.search(r'Left the band by iteration (26|27|28|29|3)\d{2,3}:',
                     out)
    assert 'learning rate of the encoder: 0.01 is 10 times' in out
    assert 'decoder' not in out and 'batch' not in out
    assert (tmp_path / 'x.png').is_file()


@pytest.mark.parametrize('settings, cause', [
    (dict(counts=(16, 16)), 'batch: 16 + 16'),
    (dict(list='voc12-classic-183'), 'lists: trained on voc12-classic-183'),
    (dict(init=None), 'initial weights: the encoder starts from random'),
    (dict(iters=52000), 'length: 52000 iterations, the recipe has about'),
    (dict(threshold=.8), 'filter: pseudo-labels from a confidence of 0.8'),
])  # yapf: disable
def test_each_cause_is_named(tmp_path, capsys, settings, cause):
    run = write_run(tmp_path / 'wrong', 10, too_fast, **settings)
    assert track(run, recipe=RECIPE) == 1
    out = capsys.readouterr().out
    assert f'  - {cause}' in out and out.count('  - ') == 1


def test_another_list_under_the_same_name(tmp_path, capsys):
    run = write_run(tmp_path / 'wrong', 10, too_fast)
    (run / 'record.json').write_text(
        json.dumps(
            dict(config=f'configs/x/{RECIPE}.py', split_sha256='f' * 64)))
    assert track(run) == 1
    assert 'has other images than the published list' in capsys.readouterr(
    ).out


@pytest.mark.parametrize('factor, kept_by, score_by, words', [
    (3, 0, 0, 'initial weights: the loss is too'),
    (1, -.3, 0, 'filter: another share of pixels'),
    (1, 0, -9, 'evaluation: training goes as'),
])  # yapf: disable
def test_curves_alone_hint_at_a_cause(tmp_path, capsys, factor, kept_by,
                                      score_by, words):

    def change(epoch, loss, kept, score):
        return factor * loss, kept + kept_by, score + score_by

    assert track(write_run(tmp_path / 'wrong', 10, change)) == 1
    assert words in capsys.readouterr().out


def test_loss_that_is_not_finite_leaves_at_once(tmp_path, capsys):

    def broken(epoch, loss, kept, score):
        return (loss if epoch < 3.95 else float('nan')), kept, score

    assert track(write_run(tmp_path / 'nan', 5, broken)) == 1
    assert 'Left the band by iteration 5200: loss nan' in capsys.readouterr(
    ).out


def test_three_runs_of_one_setting_are_in_the_band_of_the_others():
    settings = 0
    for name, reference in published_references().items():
        for i, curve in enumerate(reference.curves):
            others = reference.curves[:i] + reference.curves[i + 1:]
            if others:
                settings += 1
                assert departures(
                    curve, replace(reference, curves=others),
                    ours=False) == [], (name, curve.name)
    assert settings == 24


@pytest.mark.parametrize('other', [
    'unimatch_r101_voc_366', 'unimatch_r50_voc_92',
    'unimatch_r101_voc-blended-cps_662'
])  # yapf: disable
def test_other_settings_leave_it(other):
    references = published_references()
    found = departures(
        references[other].curves[0], references[RECIPE], ours=False)
    assert found and found[0].epoch <= 5


def test_shipped_configs_are_the_published_recipes():
    """Those of UniMatch's own protocol, without their weights."""
    compared = 0
    for path in sorted(ROOT.glob('configs/unimatch/unimatch-own_*.py')):
        cfg = Config.fromfile(str(path))
        run = LoggedRun(path, 'unimatch-own', facts_of(cfg),
                        cfg.train_cfg.max_iters, [], {})
        try:
            reference = find_reference(run)
        except TrackError:  # nobody published this one
            assert path.stem.endswith('_5291')
            continue
        compared += 1
        assert likely_causes(run, reference, []) == [], path.stem
    assert compared >= 17


def test_own_earlier_runs(tmp_path, capsys):
    earlier = [write_run(tmp_path / name, init=None) for name in 'ab']
    same = write_run(tmp_path / 'same', 10, init=None)
    assert track(same, earlier) == 0
    wrong = write_run(tmp_path / 'wrong', 10, too_fast, init=None, encoder=10.)
    assert track(wrong, earlier) == 1
    out = capsys.readouterr().out
    assert 'compared with 2 run(s) of a, b' in out
    assert 'learning rate of the encoder' in out and 'weights' not in out
    longer = write_run(tmp_path / 'longer', 10, init=None, iters=208000)
    with pytest.raises(TrackError, match='different lengths'):
        track(wrong, [*earlier, longer])


def test_resumed_training_goes_on_in_its_own_log(tmp_path):
    run = write_run(tmp_path / 'r', 4)
    write_run(
        tmp_path / 'r',
        6,
        lambda epoch, loss, kept, score: (9., kept, score),
        first=3900,
        name='20260102')
    loss = read_run(run).curve(EPOCHS).points['loss']
    assert loss[0][-1] == 6. and len(loss[0]) == 60
    assert loss[1][29] < 1 < 8 < loss[1][30]


def test_what_cannot_be_followed(tmp_path):
    with pytest.raises(TrackError, match='holds no log of a training'):
        track(tmp_path)
    run = write_run(tmp_path / 'r', 3, list='my-list')
    with pytest.raises(TrackError, match='--against WORK_DIR'):
        track(run)
    with pytest.raises(TrackError, match=f'Nearest: {RECIPE}'):
        track(run, recipe='unimatch_r101_voc_29')
    log = next(run.glob('*/vis_data/scalars.json'))
    log.write_text('{"iter": 1\n' + log.read_text())
    with pytest.raises(TrackError, match='scalars.json is broken'):
        track(run)
