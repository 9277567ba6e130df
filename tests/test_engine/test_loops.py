# Copyright (c) mmseg_semi authors.
import logging

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import LinearLR, MultiStepLR, PolyLR
from torch import nn

from mmseg_semi.datasets import SemiSampler
from mmseg_semi.engine.checks import check_num_classes, warn_of_schedule
from .engine_toys import CountingDataset, ToySemi, make_runner


class StopAt(Hook):
    """Ends a run as a kill would: nothing after this stage happens."""

    priority = 'VERY_HIGH'

    def __init__(self, stage, iteration):
        self.iteration = iteration
        setattr(self, stage, self._stop)

    def get_triggered_stages(self):
        return ['before_val', 'before_train_iter']

    def _stop(self, runner, **kwargs):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


class Validations(Hook):
    """Remembers at which iterations validation was run."""

    def __init__(self):
        self.at = []

    def before_val(self, runner):
        self.at.append(runner.iter)


def train(*args, **kwargs):
    runner = make_runner(*args, **kwargs)
    try:
        runner.train()
    except KeyboardInterrupt:
        pass
    return runner


def read(runner):
    return runner.train_dataloader.dataset.read


def expected_order(seed, iters, counts=(1, 2)):
    stream = iter(SemiSampler(CountingDataset(), counts, seed))
    return [int(next(stream)) for _ in range(iters * sum(counts))]


def test_resume_reads_no_past_sample_and_continues_the_order(tmp_path):
    train(tmp_path, max_iters=4)
    resumed = train(tmp_path, max_iters=7, resume=True)
    assert read(resumed) == expected_order(0, 7)[4 * 3:]


def test_resumed_run_equals_uninterrupted_one_to_the_bit(tmp_path):
    whole = train(tmp_path / 'whole', max_iters=9)
    train(
        tmp_path / 'cut', max_iters=9, hooks=[StopAt('before_train_iter', 5)])
    resumed = train(tmp_path / 'cut', max_iters=9, resume=True)
    assert read(resumed) == expected_order(0, 9)[4 * 3:]  # iter_4.pth
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


class TwoDomains(CountingDataset):
    """Four labelled, four unlabelled and four source images."""
    source_lengths = (4, 4, 4)


def test_alternating_run_resumes_in_its_order(tmp_path):
    sampler = dict(
        type='SemiSampler', counts=(1, 2), alternate=True, target_only_last=3)
    given = dict(max_iters=9, sampler=sampler)
    whole = train(tmp_path / 'whole', dataset=TwoDomains(), **given)
    domains = [index // 4 for index in read(whole)[::3]]
    assert domains == [0, 2, 0, 2, 0, 2, 0, 0, 0]
    train(
        tmp_path / 'cut',
        dataset=TwoDomains(),
        hooks=[StopAt('before_train_iter', 5)],
        **given)
    resumed = train(
        tmp_path / 'cut', dataset=TwoDomains(), resume=True, **given)
    assert read(resumed) == read(whole)[4 * 3:]  # iter_4.pth


def test_unseeded_run_resumes_in_its_own_order(tmp_path):
    first = train(tmp_path, max_iters=4, seed=None)
    resumed = train(tmp_path, max_iters=6, seed=None, resume=True)
    assert read(first) + read(resumed) == expected_order(first.seed, 6)


def test_other_samplers_are_advanced_as_in_the_stock_loop(tmp_path):
    sampler = dict(type='InfiniteSampler', shuffle=False)
    train(tmp_path, sampler=sampler)
    resumed = train(tmp_path, sampler=sampler, max_iters=5, resume=True)
    assert read(resumed) == [i % 12 for i in range(15)]


def test_dataloader_is_not_opened_before_training(tmp_path):
    runner = make_runner(tmp_path)
    loop = runner.build_train_loop(runner._train_loop)
    assert loop.dataloader_iterator is None
    assert loop.dataloader.dataset.read == []
    assert loop.batches.sampler.position == 0


def test_pending_validation_is_run_first(tmp_path):
    seen = Validations()
    train(tmp_path, val_interval=2, hooks=[StopAt('before_val', 4)])
    resumed = train(
        tmp_path, max_iters=5, val_interval=2, hooks=[seen], resume=True)
    assert seen.at == [4, 5]
    assert read(resumed) == expected_order(0, 5)[4 * 3:]


def test_pending_validation_of_the_last_iteration(tmp_path):
    seen = Validations()
    train(tmp_path, hooks=[StopAt('before_val', 4)])
    resumed = train(tmp_path, hooks=[seen], resume=True)
    assert seen.at == [4]
    assert read(resumed) == []


def test_validation_in_the_checkpoint_is_not_repeated(tmp_path):
    # The better score made the hook save iteration 4 again, now with it.
    train(
        tmp_path,
        val_interval=2,
        scores=(10., 20.),
        checkpoint=dict(save_best='mIoU'))
    seen = Validations()
    train(tmp_path, max_iters=5, val_interval=2, hooks=[seen], resume=True)
    assert seen.at == [5]


@pytest.mark.parametrize('iteration,begin,expected', [
    (4, 1, True),
    (3, 1, False),
    (4, 5, False),
    (7, 1, True),
])
def test_when_validation_is_owed(tmp_path, iteration, begin, expected):
    runner = make_runner(tmp_path, max_iters=7, val_interval=4)
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    loop = runner._train_loop = runner.build_train_loop(runner._train_loop)
    loop._iter, loop.val_begin = iteration, begin
    assert loop._owes_validation() is expected
    runner.message_hub.update_info('last_val_iter', iteration)
    assert not loop._owes_validation()


def test_model_and_dataset_are_told_what_they_need(tmp_path):
    runner = train(tmp_path, max_iters=2, seed=7)
    assert runner.model.total_iters == 2
    assert runner.model.seed == 7
    assert runner.train_dataloader.dataset.work_dir == str(tmp_path)


class Scheduled(ToySemi):
    """Counts its steps in the checkpoint, as frameworks do."""

    def __init__(self):
        super().__init__()
        self.register_buffer('_iteration', torch.tensor(0))

    @property
    def iteration(self):
        return int(self._iteration)

    @iteration.setter
    def iteration(self, value):
        self._iteration.fill_(value)

    def forward(self, inputs, mode='loss', **kwargs):
        if mode == 'loss':
            self.iteration += 1
        return super().forward(inputs, mode)


@pytest.mark.parametrize('resume', [True, False])
def test_schedule_goes_on_only_when_resuming(tmp_path, resume):
    """With load_from a checkpoint brings weights, not its iteration."""
    train(tmp_path / 'old', max_iters=2, model=Scheduled())
    runner = train(
        tmp_path / 'new',
        max_iters=3,
        model=Scheduled(),
        load_from=str(tmp_path / 'old/iter_2.pth'),
        resume=resume)
    assert runner.iter == runner.model.iteration == 3


def test_batch_size_must_fit_the_sampler(tmp_path):
    with pytest.raises(ValueError, match=r'batch_size is 4.*has 3 .*\(1, 2\)'):
        make_runner(tmp_path, batch_size=4).train()


class Head(nn.Module):

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes


def with_head(head):
    model = ToySemi()
    model.decode_head = head
    return model


def test_num_classes_must_fit_the_dataset(tmp_path):
    with pytest.raises(ValueError, match='num_classes=3.*2 classes.*digit'):
        make_runner(tmp_path, model=with_head(Head(3))).train()


def test_cascades_are_judged_by_the_last_head():
    dataset = CountingDataset()
    cascade = nn.ModuleList([Head(3), Head(2)])
    check_num_classes(with_head(cascade), dataset)
    with pytest.raises(ValueError, match='num_classes=3'):
        check_num_classes(with_head(cascade[:1]), dataset)


class Classes:
    """A data set that only names its classes."""

    def __init__(self, *classes):
        self.metainfo = dict(classes=classes)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"'leaf'.*'background', 'leaf'"):
        check_num_classes(with_head(Head(1)), Classes('leaf'))


@pytest.mark.parametrize('head', [Head(2), nn.ModuleList([Head(3), Head(2)])])
def test_auxiliary_heads_have_the_classes_too(head):
    model = with_head(Head(3))
    model.auxiliary_head = head
    with pytest.raises(ValueError, match='auxiliary head.*num_classes=2'):
        check_num_classes(model, Classes(*'abc'))
    model.auxiliary_head = Head(19)  # of a stock config: does no harm
    check_num_classes(model, Classes(*'abc'))


def test_a_second_average_is_refused(tmp_path):
    with pytest.raises(ValueError, match='EMAHook.*ToySemi has an averaged'):
        make_runner(tmp_path, hooks=[dict(type='EMAHook')]).train()


def scheduler(kind, end, by_epoch=False):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.)
    return kind(optimizer, end=end, by_epoch=by_epoch)


def multi_step(*milestones):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.)
    return MultiStepLR(optimizer, milestones=list(milestones), by_epoch=False)


@pytest.mark.parametrize('schedulers,words', [
    ([scheduler(PolyLR, 10)], None),
    ([scheduler(LinearLR, 3), scheduler(PolyLR, 10)], None),
    ([scheduler(LinearLR, 3)], None),
    (None, None),
    ([scheduler(PolyLR, 5, by_epoch=True)], 'counts epochs'),
    ([multi_step(5)], None),
    ([multi_step(5, 500)], 'at iteration 500'),
    ([scheduler(LinearLR, 1500)], 'at iteration 1,500'),
    ([scheduler(PolyLR, 4)], 'stays at its last value'),
    (dict(lr=[scheduler(PolyLR, 3000)]), 'falls only a part'),
])
def test_schedules_of_another_length_are_said(monkeypatch, schedulers, words):
    said = []
    monkeypatch.setattr('mmseg_semi.engine.checks.print_log',
                        lambda text, **kwargs: said.append(text))
    warn_of_schedule(schedulers, 10)
    assert len(said) == bool(words)
    assert not words or words in said[0]
    assert not words or words.startswith(
        ('counts', 'at it')) or ('training at 10' in said[0])


@pytest.mark.parametrize('resume', [True, False])
def test_the_data_of_a_training_are_checked_once(tmp_path, monkeypatch,
                                                 resume):
    calls = []
    monkeypatch.setattr('mmseg_semi.engine.loops.check_training_data',
                        lambda *args: calls.append(args[2]))
    train(tmp_path, max_iters=2, resume=resume)
    assert calls == [()]
    runner = make_runner(tmp_path / 'accepted')
    runner._train_loop['check_data'] = ['shared-image']
    runner.train()
    assert calls == [(), ['shared-image']]
    runner = make_runner(tmp_path / 'unchecked')
    runner._train_loop['check_data'] = False
    runner.train()
    assert len(calls) == 2


def test_a_validation_does_not_check_them(tmp_path, monkeypatch):
    """Hooks ask for the iteration, and so have the training's loop built."""
    calls = []
    monkeypatch.setattr('mmseg_semi.engine.loops.check_training_data',
                        lambda *args: calls.append(args))
    runner = make_runner(tmp_path, model=ToySemi())
    runner.model.takes_other_classes = None
    runner.val()
    assert runner.iter == 0 and not calls
    assert runner.model.takes_other_classes is False
    runner.train()  # now it is a training
    assert len(calls) == 1


@pytest.mark.parametrize('resume', [True, False])
def test_only_a_new_training_takes_weights_of_other_classes(tmp_path, resume):
    train(tmp_path / 'old', max_iters=2)
    model = ToySemi()
    model.takes_other_classes = None
    train(
        tmp_path / 'new',
        max_iters=3,
        model=model,
        load_from=str(tmp_path / 'old/iter_2.pth'),
        resume=resume)
    assert model.takes_other_classes is not resume


@pytest.fixture
def warnings_logged(monkeypatch):
    messages = []

    def note(message, *args, level=logging.INFO, **kwargs):
        if level == logging.WARNING:
            messages.append(message)

    monkeypatch.setattr('mmseg_semi.engine.loops.print_log', note)
    return messages


def test_changed_batch_and_split_are_reported_on_resume(
        tmp_path, warnings_logged):
    train(tmp_path)
    dataset = CountingDataset()
    dataset.split_info = dict(name='toy-5', sha256='1' * 64)
    train(
        tmp_path,
        max_iters=5,
        counts=(1, 1),
        batch_size=2,
        dataset=dataset,
        resume=True)
    message, = warnings_logged
    assert 'iteration in all: [1, 2] before, [1, 1] now' in message
    assert "'toy-4'" in message and "'toy-5'" in message


def test_unchanged_run_is_resumed_in_silence(tmp_path, warnings_logged):
    train(tmp_path, max_iters=5, hooks=[StopAt('before_train_iter', 4)])
    train(tmp_path, max_iters=5, resume=True)
    assert warnings_logged == []


@pytest.mark.parametrize('name', ['max_iters', 'val_interval'])
@pytest.mark.parametrize('value', [0, -5])
def test_numbers_of_iterations_are_positive(tmp_path, name, value):
    runner = make_runner(tmp_path)
    runner._train_loop[name] = value
    with pytest.raises(ValueError, match=f'train_cfg.{name}={value} must'):
        runner.train()
