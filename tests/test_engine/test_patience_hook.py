# Copyright (c) mmseg_semi authors.
import pytest

from mmseg_semi.engine.hooks import PatienceHook
from .engine_toys import make_runner


def trained(folder, scores, patience=2, **kwargs):
    runner = make_runner(
        folder,
        max_iters=9,
        val_interval=1,
        interval=1,
        scores=scores,
        hooks=[dict(type='PatienceHook', patience=patience)],
        **kwargs)
    runner.train()
    return runner


@pytest.mark.parametrize('scores, stops', [
    ([1., 5., 4., 4., 6., 7., 8., 8., 8.], 4),
    ([5., 5., 5.], 3),
    ([1., float('nan'), float('nan')], 3),
    ([1., 2., 3., 4., 5., 6., 7., 8., 9.], 9),
])
def test_it_stops_after_so_many_validations(tmp_path, scores, stops):
    """An equal score is no better one."""
    assert trained(tmp_path, scores).iter == stops


def test_a_resumed_training_waits_on(tmp_path):
    """What was waited before an interruption counts."""
    first = make_runner(
        tmp_path,
        max_iters=4,
        val_interval=1,
        interval=1,
        scores=[5., 4., 4., 4.],
        hooks=[dict(type='PatienceHook', patience=5)])
    first.train()
    second = trained(tmp_path, [1.] * 9, patience=5, resume=True)
    assert second.iter == 6  # worse at 2, 3, 4, 5, 6


def test_a_single_validation_stops_nothing(tmp_path):
    hook = PatienceHook(1)
    runner = make_runner(tmp_path, hooks=[hook], scores=[1., 1., 1.])
    runner.val()
    runner.val()
    assert not hook._state['waited']


def test_no_patience_is_refused():
    with pytest.raises(ValueError, match='at least 1; got 0'):
        PatienceHook(0)
