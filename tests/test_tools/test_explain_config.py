# Copyright (c) mmseg_semi authors.
"""tools/misc/explain_config.py."""
import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/misc/explain_config.py'
BRPG = ROOT / 'configs/brpg/brpg_r101_voc_366.py'


@pytest.fixture(scope='module')
def main():
    return runpy.run_path(str(TOOL))['main']


@pytest.fixture
def explained(main, capsys):

    def run(config, *arguments):
        main([str(config), *map(str, arguments), '--json'])
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize('gpus, accumulate', [(1, 1), (8, 1), (2, 4)])
def test_the_published_config(explained, gpus, accumulate):
    plan = explained(BRPG, '--gpus', gpus, '--accumulate', accumulate)
    assert plan['gpus'] == gpus
    assert plan['total'] == dict(labeled=16, unlabeled=16)
    share = 16 // gpus // accumulate
    assert plan['per_gpu'] == dict(labeled=share, unlabeled=share)
    assert plan['iterations'] == 51_040
    assert plan['epochs_unlabeled'] == 80
    stages = {
        stage['stage']: stage['epochs']
        for stage in plan['stages'] if stage['term'] == 'brpg'
    }
    assert stages == dict(before=[0, 1], sampling=[1, 2], prototypes=[2, 80])
    rates = {
        module: group['lr']
        for group in plan['lr']
        for module in group['modules']
    }
    assert rates == {
        'student.backbone': 1e-3,
        'student.decode_head': 1e-2,
        'student.semi_heads': 1e-2
    }
    assert plan['optimizer']['type'] == 'SGD'
    assert plan['schedule'][0]['end'] == 51_040
    assert plan['lists'][0]['sha256'].startswith('f0e702c6')
    assert {loss['name']
            for loss in plan['losses']
            } == {'supervised', 'consistency', 'brpg'}
    assert plan['evaluation']['test_cfg'] == dict(mode='whole')
    assert plan['weights'] == ['open-mmlab://resnet101_v1c']


def test_the_config_may_say_how_many_batches(explained):
    plan = explained(BRPG, '--cfg-options', 'train_cfg.accumulate=4')
    assert plan['accumulate'] == 4
    assert plan['per_gpu'] == dict(labeled=4, unlabeled=4)


def test_the_experiment_does_not_depend_on_the_gpus(explained):
    one, other = (explained(BRPG, '--gpus', gpus) for gpus in (1, 8))
    for plan in (one, other):
        for key in ('gpus', 'per_gpu'):
            plan.pop(key)
    assert one == other


def test_a_person_reads_it(main, capsys):
    main([str(BRPG), '--gpus', '2', '--accumulate', '2'])
    text = capsys.readouterr().out
    for words in ('2 batches of 4 labelled + 4 unlabelled', 'cutmix: partners',
                  'percentile', 'BatchNorm: statistics', 'means over valid',
                  'brpg: sampling', '638 to   1,276; 1 to 2', 'lr=0.01',
                  'student.semi_heads',
                  'starts from  open-mmlab://resnet101_v1c'):
        assert words in text


def test_weights_and_lists_that_nobody_publishes(main, capsys):
    main([
        str(BRPG), '--cfg-options', 'model.segmentor.backbone.init_cfg=None',
        'train_dataloader.dataset.labeled.ann_file=lists/mine.txt'
    ])
    text = capsys.readouterr().out
    assert 'starts from  no weights' in text
    assert 'mine: not a published list' in text


@pytest.mark.parametrize('arguments, words', [
    ([BRPG, '--gpus', '5'], '5 process.*1, 2, 4, 8 or 16 process'),
    ([ROOT / 'configs/_base_/semi_runtime.py'], 'no training config'),
])
def test_what_cannot_be_trained_is_refused(main, arguments, words, capsys):
    with pytest.raises(SystemExit) as error:
        main([str(a) for a in arguments])
    assert re.search(words, str(error.value))


def test_misuse_ends_with_status_2(main):
    with pytest.raises(SystemExit) as error:
        main([str(BRPG), '--gpus', '0'])
    assert error.value.code == 2


def test_a_config_by_its_name(explained, main):
    plan = explained('mmseg_semi::brpg/brpg_r101_voc_366.py', '--gpus', 2)
    assert plan['per_gpu'] == dict(labeled=8, unlabeled=8)
    with pytest.raises(SystemExit, match='367.*brpg_r101_voc_366.py'):
        main(['mmseg_semi::brpg/brpg_r101_voc_367.py', '--gpus', '2'])


@pytest.mark.parametrize('held_out, said', [
    (.25, '0.25 of the labelled images, which are not trained on'),
    (66, '66 labelled images, which are not trained on'),
])
def test_held_out_images_are_said(main, capsys, held_out, said):
    option = f'train_dataloader.dataset.held_out={held_out}'
    main([str(BRPG), '--cfg-options', option])
    assert f'held out  {said}' in capsys.readouterr().out
