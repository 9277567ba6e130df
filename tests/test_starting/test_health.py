# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest

from mmseg_semi.starting.health import collapse, likely_reasons, wrong_labels

STEPS = np.arange(100, 3100, 100)
WELL = {
    'loss_unsup': .2,
    'pseudo/keep_ratio': .8,
    'pseudo/confidence': .9,
    'pseudo/agreement': .95
}


def reasons(method=60., supervised=60., steps=STEPS, scores=None, **changes):
    values = {**WELL, **{k.replace('__', '/'): v for k, v in changes.items()}}
    log = {
        name: (steps, np.broadcast_to(np.asarray(value, float), steps.shape))
        for name, value in values.items() if value is not None
    }
    if scores is not None:
        log['mIoU'] = np.arange(1, len(scores) + 1) * 500, np.array(scores)
    return likely_reasons(log, method, supervised)


def test_a_training_that_looks_well_has_none():
    assert reasons() == []


@pytest.mark.parametrize('changes, text', [
    (dict(pseudo__keep_ratio=.013), 'Only 1.3% of the unlabelled pixels'),
    (dict(pseudo__confidence=.4), r'mean confidence 0.40'),
    (dict(pseudo__agreement=.999), '99.9% of the pixels'),
    (dict(supervised=95.), 'labels alone reach 95.0'),
    (dict(method=20., supervised=25.), 'Both models are poor'),
    (dict(steps=np.arange(1, 400)), '399 iterations are a trial'),
    (dict(scores=[10., 20., 30., 40., 50., 60.]), 'still rising'),
])
def test_each_sign_is_told_alone(changes, text):
    found = reasons(**changes)
    assert len(found) == 1 and text in found[0]


def test_only_the_end_counts():
    """What was kept at first says nothing of the method."""
    assert reasons(pseudo__keep_ratio=np.linspace(0, .6, len(STEPS))) == []


def test_unlabelled_images_that_were_never_used():
    log = {'decode.loss_ce': (STEPS, np.ones(len(STEPS)))}
    found = likely_reasons(log, 60., 60.)
    assert len(found) == 1 and 'never learned from' in found[0]
    log['consistency.loss_unsup'] = STEPS, np.ones(len(STEPS))
    assert likely_reasons(log, 60., 60.) == []


def test_without_a_log():
    assert 'no log' in likely_reasons({}, 1., 1.)[0]


@pytest.mark.parametrize('iou, told', [((60., 0., 0.), True),
                                       ((60., 0., None), True),
                                       ((60., None, None), False),
                                       ((60., 1., 0.), False),
                                       ((0., 0., 0.), False)])
def test_a_model_of_one_class(iou, told):
    classes = 'background', 'leaf', 'sky'
    found = collapse(classes, iou, (60., 50., 0.))
    assert bool(found) == told
    assert not told or 'predicts background alone' in found[0]
    both = collapse(classes, iou, iou)
    assert not told or 'Both models predict background alone' in both[0]


def test_of_a_trial_the_length_comes_first():
    found = reasons(steps=np.arange(1, 20), pseudo__confidence=.4)
    assert len(found) == 2 and '19 iterations are a trial' in found[0]


@pytest.mark.parametrize('own, suggested, remedy', [
    (.8, .95, 'consistency.threshold=0.95'),
    (.8, .5, 'burn_in'),
    (.8, None, 'burn_in'),
    (None, .9, 'burn_in'),
])
def test_pseudo_labels_that_were_found_wrong(own, suggested, remedy):
    gate = dict(alarms=['Wrong.', 'Absent.'])
    gate.update(threshold=own, suggested=suggested)
    (reason, ) = wrong_labels(gate)
    assert reason.startswith('Wrong. Absent. ') and remedy in reason
    assert wrong_labels(None) == wrong_labels(dict(gate, alarms=[])) == []
