# Copyright (c) mmseg_semi authors.
"""Several batches that make one iteration."""
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmseg_semi.engine import accumulate_batches
from mmseg_semi.engine.record import batch_record
from .engine_toys import CountingDataset, ToySemi, make_runner
from .test_loops import StopAt, read, train


class Steps(Hook):
    """The weights and the learning rate after every iteration."""

    def __init__(self):
        self.weights, self.rates, self.logged = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.weights.append(
            torch.cat([
                p.detach().flatten() for p in runner.model.parameters()
            ]).clone())
        self.rates += runner.optim_wrapper.get_lr()['lr']
        # The graphs of several batches must not be kept until it is logged.
        assert runner.train_loop.accumulate == 1 or \
            outputs['loss'].grad_fn is None
        self.logged.append(float(outputs['loss'].detach()))


class Plain(ToySemi):
    """Without BatchNorm, in double precision."""

    def __init__(self):
        super().__init__()
        self.student = torch.nn.Sequential(
            torch.nn.Linear(2, 3), torch.nn.Tanh(),
            torch.nn.Linear(3, 1)).double()

    def forward(self, inputs, mode='loss', **kwargs):
        return super().forward([i.double() for i in inputs], mode)


def steps(folder, accumulate, **kwargs):
    hook = Steps()
    runner = train(
        folder,
        accumulate=accumulate,
        counts=(4, 8),
        batch_size=12,
        model=Plain(),
        hooks=[hook, *kwargs.pop('hooks', ())],
        **kwargs)
    return hook, runner


@pytest.mark.parametrize('accumulate', [2, 4])
def test_the_same_steps_as_with_whole_batches(tmp_path, accumulate):
    whole, _ = steps(tmp_path / 'whole', 1, max_iters=5)
    parts, runner = steps(tmp_path / 'parts', accumulate, max_iters=5)
    assert runner.iter == 5 and len(whole.weights) == len(parts.weights) == 5
    for one, other in zip(whole.weights, parts.weights):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    assert parts.rates == whole.rates
    assert parts.logged == pytest.approx(whole.logged, abs=1e-12)
    assert not torch.equal(whole.weights[0], whole.weights[1])


def test_a_killed_run_resumes_at_an_iteration(tmp_path):
    whole, _ = steps(tmp_path / 'whole', 4, max_iters=6)
    steps(
        tmp_path / 'cut',
        4,
        max_iters=6,
        hooks=[StopAt('before_train_iter', 3)])
    resumed, runner = steps(tmp_path / 'cut', 4, max_iters=6, resume=True)
    assert len(resumed.weights) == 4  # from iter_2.pth
    for one, other in zip(whole.weights[2:], resumed.weights):
        assert torch.equal(one, other)
    assert len(read(runner)) == 4 * 12


def test_a_run_may_go_on_with_other_batches(tmp_path):
    whole, _ = steps(tmp_path / 'whole', 1, max_iters=6)
    steps(tmp_path / 'cut', 1, max_iters=4)
    resumed, _ = steps(tmp_path / 'cut', 2, max_iters=6, resume=True)
    torch.testing.assert_close(
        whole.weights[-1], resumed.weights[-1], rtol=0, atol=1e-12)


def test_the_model_is_told(tmp_path):
    _, runner = steps(tmp_path, 2)
    assert runner.model.accumulate == 2
    assert runner.model.loss_scaler is False
    assert runner.train_loop.batches.share == (2, 4)
    assert batch_record(runner) == dict(
        total_batch=[4, 8], world_size=1, accumulate=2, batch_size=6)


@pytest.mark.parametrize('kwargs, words', [
    (dict(accumulate=3), '4 [+] 8 images .* Accumulate 1, 2 or 4 batch'),
    (dict(accumulate=2, sampler=dict(type='InfiniteSampler')),
     'only SemiSampler knows.*is InfiniteSampler'),
    (dict(
        accumulate=2,
        optim=dict(optimizer=dict(type='SGD', lr=.1), accumulative_counts=4)),
     'accumulative_counts is 4, but train_cfg.accumulate is 2'),
    (dict(sampler=dict(type='SemiSampler', counts=(4, 8), accumulate=2)),
     'sampler.accumulate is 2, but train_cfg.accumulate is 1'),
])
def test_what_cannot_be_accumulated_is_refused(tmp_path, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make_runner(tmp_path, counts=(4, 8), batch_size=12, **kwargs).train()


def test_mmengines_own_accumulation_is_warned_of(tmp_path, capsys):
    optim = dict(optimizer=dict(type='SGD', lr=.1), accumulative_counts=2)
    steps(tmp_path, 1, optim=optim)
    log = capsys.readouterr().out
    assert '2 times as many images as the config states' in log
    assert 'train_cfg.accumulate=2' in log
    steps(tmp_path / 'plain', 1)
    assert 'times as many images' not in capsys.readouterr().out


def test_scaling_by_the_number_of_processes_is_refused(tmp_path):
    scaling = dict(enable=True, base_batch_size=12)
    with pytest.raises(ValueError, match='auto_scale_lr=.*states the images'):
        make_runner(tmp_path, auto_scale_lr=scaling).train()
    scaling['enable'] = False
    make_runner(tmp_path, auto_scale_lr=scaling).train()


def test_a_config_is_told_by_a_function():
    cfg = Config(
        dict(train_cfg=dict(type='SemiIterBasedTrainLoop', max_iters=3)))
    accumulate_batches(cfg, 4)
    assert cfg.train_cfg == dict(
        type='SemiIterBasedTrainLoop', max_iters=3, accumulate=4)
    cfg.train_cfg.type = 'IterBasedTrainLoop'
    with pytest.raises(ValueError, match='loop of this config is IterBased'):
        accumulate_batches(cfg, 4)


def test_the_log_says_what_is_trained(tmp_path, capsys):
    make_runner(
        tmp_path,
        accumulate=2,
        counts=(2, 4),
        batch_size=6,
        dataset=CountingDataset()).train()
    log = capsys.readouterr().out
    assert '2 labelled + 4 unlabelled' in log
    assert '2 batches of 1 labelled + 2 unlabelled' in log
    assert log.count('This training:') == 1
