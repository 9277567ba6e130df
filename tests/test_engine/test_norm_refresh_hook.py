# Copyright (c) mmseg_semi authors.
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_semi.datasets import SemiSampler
from mmseg_semi.models.step import Out
from .engine_toys import CountingDataset, make_runner

FORWARDS = 3


class Stack(nn.Module):

    def forward(self, data, training=False):
        if not training:
            return data
        inputs = {name: torch.stack(x) for name, x in data['inputs'].items()}
        return dict(inputs=inputs, data_samples=data['data_samples'])


class ToyBranches(BaseModel):
    """One network with a BatchNorm, and a batch in branches."""
    predict_with = 'student'

    def __init__(self):
        super().__init__()
        self.data_preprocessor = Stack()
        torch.manual_seed(0)
        self.student = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
        self.adapter = SimpleNamespace(forward=self.run_pass)

    @property
    def predictor(self):
        return self.student

    def run_pass(self, net, views, item):
        assert item.train and not item.grad and item.net == 'student'
        net.train(item.train)
        return [Out(net(views[0].image), {}, [], False)]

    def forward(self, inputs, data_samples=None, mode='loss'):
        if mode == 'loss':
            image = inputs['unsup_teacher']
            return dict(loss=(self.student(image) - 1).square().mean())
        return [0]


class Branches(CountingDataset):

    def __getitem__(self, index):
        self.read.append(int(index))
        image = torch.full((3, 4, 4), float(index))
        image[:, index % 4] = 0
        return dict(
            inputs=dict(unsup_teacher=image),
            data_samples=dict(unsup_teacher=SegDataSample()))


def run(folder, scores, hook=None, max_iters=4, **kwargs):
    runner = make_runner(
        folder,
        max_iters=max_iters,
        val_interval=2,
        scores=scores,
        model=ToyBranches(),
        dataset=Branches(),
        hooks=[
            dict(
                type='NormRefreshHook',
                **{
                    'forwards': FORWARDS,
                    **(hook or {})
                })
        ],
        checkpoint=kwargs.pop('checkpoint', dict(save_best='mIoU')),
        **kwargs)
    runner.train()
    return runner


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize('after', [15., 25.])
def test_the_better_of_the_two_is_written(tmp_path, after):
    runner = run(tmp_path, [10., 20., after])
    best = load(tmp_path / 'best_mIoU_iter_4.pth')['state_dict']
    last = load(tmp_path / 'iter_4.pth')['state_dict']
    selected = load(tmp_path / 'selected.pth')
    assert selected['meta']['norm_refresh'] == dict(
        source='best_mIoU_iter_4.pth',
        forwards=FORWARDS,
        before=20.,
        after=after,
        refreshed=after > 20)
    assert 'mmseg_semi' in selected['meta']
    changed = {
        name
        for name, value in selected['state_dict'].items()
        if not torch.equal(value, best[name])
    }
    statistics = {
        f'student.1.{name}'
        for name in ('running_mean', 'running_var', 'num_batches_tracked')
    }
    assert changed == (statistics if after > 20 else set())
    if changed:
        name = 'student.1.num_batches_tracked'
        assert selected['state_dict'][name] == best[name] + FORWARDS
    # The model is the last one, and nothing else was written.
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value, last[name])
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == [
        'best_mIoU_iter_4.pth', 'iter_2.pth', 'iter_4.pth', 'selected.pth'
    ]


def test_it_begins_from_the_best_not_the_last(tmp_path):
    run(tmp_path, [20., 10., 30.])
    best = load(tmp_path / 'best_mIoU_iter_2.pth')['state_dict']
    selected = load(tmp_path / 'selected.pth')['state_dict']
    assert torch.equal(selected['student.0.weight'], best['student.0.weight'])


def test_interruptions_make_no_difference(tmp_path):
    one = run(tmp_path / 'one', [10., 20., 30.])
    two = run(
        tmp_path / 'two', [20., 30.],
        load_from=str(tmp_path / 'one/iter_2.pth'),
        resume=True)
    ours, theirs = (
        load(tmp_path / name / 'selected.pth')['state_dict']
        for name in ('one', 'two'))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    read = [
        r.train_dataloader.dataset.read[-3 * FORWARDS:] for r in (one, two)
    ]
    assert read[0] == read[1]


def test_accumulated_batches_are_read_on_from_where_training_ended(tmp_path):
    runner = run(
        tmp_path, [10., 20., 15.], counts=(2, 4), batch_size=6, accumulate=2)
    stream = iter(SemiSampler(CountingDataset(), (2, 4), 0, accumulate=2))
    number = 4 * 6 + FORWARDS * 3  # iterations, then batches of half of one
    assert runner.train_dataloader.dataset.read == [
        int(next(stream)) for _ in range(number)
    ]


def test_what_it_refuses(tmp_path):
    with pytest.raises(ValueError, match='forwards'):
        run(tmp_path, [1.], hook=dict(forwards=0))
    with pytest.raises(ValueError, match='save_best'):
        run(tmp_path, [1.], checkpoint={})
    with pytest.raises(KeyError, match='unsup_teacher'):
        run(tmp_path, [1.], hook=dict(view='unsup'))
