# Copyright (c) mmseg_semi authors.
import copy

import pytest
import torch
from mmengine.hooks import Hook

from .engine_toys import ToySemi, make_runner

SCORES = [1., 5., 2., 2., 2., 3., 3., 3., 3.]


class ToyTeacher(ToySemi):
    predict_with = 'student'

    def __init__(self):
        super().__init__()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def restart_teacher(self):
        self.teacher.load_state_dict(self.student.state_dict())


class Weights(Hook):
    """State after every validation, when all other hooks have run."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = {}

    def after_val_epoch(self, runner, metrics):
        self.seen[runner.iter] = copy.deepcopy(runner.model.state_dict())


def train(folder, scores=SCORES, patience=3, max_iters=9, **kwargs):
    weights = Weights()
    runner = make_runner(
        folder,
        max_iters=max_iters,
        val_interval=1,
        interval=1,
        scores=scores,
        model=ToyTeacher(),
        hooks=[dict(type='BestWeightsHook', patience=patience), weights],
        checkpoint=dict(save_best='mIoU'),
        **kwargs)
    runner.train()
    return runner, weights.seen


def student(state, network='student'):
    return {
        key.split('.', 1)[1]: value
        for key, value in state.items() if key.startswith(f'{network}.')
    }


def same(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_it_goes_back_when_nothing_improves(tmp_path):
    runner, seen = train(tmp_path)
    best = student(seen[2])
    back = [i for i in seen if i > 2 and same(best, student(seen[i]))]
    assert back == [5, 8]  # patience begins anew
    assert same(best, student(seen[5], 'teacher'))
    assert not same(best, student(seen[5 - 1], 'teacher'))
    momentum = runner.optim_wrapper.optimizer.state_dict()['state']
    assert any(value['momentum_buffer'].any() for value in momentum.values())


def test_a_better_score_is_kept(tmp_path):
    _, seen = train(tmp_path, scores=[1., 2., 2.5, 2., 2., 3., 3., 3., 3.])
    assert not any(
        same(student(seen[a]), student(seen[b])) for a in seen
        for b in seen if a < b < 9)
    assert same(student(seen[6]), student(seen[9]))


def test_patience_is_a_fifth_of_the_training(tmp_path):
    _, seen = train(tmp_path, patience=None, scores=[5., 1.], max_iters=10)
    assert same(student(seen[1]), student(seen[3]))
    assert not same(student(seen[1]), student(seen[2]))


@pytest.mark.parametrize('iteration,first', [(2, 3), (4, 4), (5, 5)])
def test_a_resumed_run_goes_back_at_the_same_time(tmp_path, iteration, first):
    whole, seen = train(tmp_path / 'whole')
    # A checkpoint is written before the validation of its iteration, and
    # once more after the best one.
    resumed, again = train(
        tmp_path / 'resumed',
        scores=SCORES[first - 1:],
        load_from=str(tmp_path / f'whole/iter_{iteration}.pth'),
        resume=True)
    assert again.keys() == set(range(first, 10))
    for key, state in again.items():
        assert same(state, seen[key]), key


def test_weights_alone_bring_no_history(tmp_path):
    train(tmp_path / 'first')
    _, seen = train(
        tmp_path / 'second',
        scores=[1.],
        patience=2,
        max_iters=2,
        load_from=str(tmp_path / 'first/iter_4.pth'))
    assert not same(student(seen[1]), student(seen[2]))


def test_what_it_refuses(tmp_path):
    with pytest.raises(ValueError, match='patience'):
        train(tmp_path, patience=0)
    with pytest.raises(KeyError, match='aAcc'):
        make_runner(
            tmp_path,
            val_interval=1,
            model=ToyTeacher(),
            hooks=[dict(type='BestWeightsHook', metric='mDice')]).train()
    with pytest.raises(TypeError, match='MeanTeacher'):
        make_runner(tmp_path, hooks=[dict(type='BestWeightsHook')]).train()
