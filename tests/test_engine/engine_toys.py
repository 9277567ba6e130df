# Copyright (c) mmseg_semi authors.
"""A model, a dataset and a runner that train in milliseconds."""
import uuid

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import mmseg_semi  # noqa: F401
import mmseg_semi.engine  # noqa: F401


class ToySemi(BaseModel):
    """Has what the engine uses of a semi-supervised segmentor."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Sequential(
            nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.register_buffer('teacher_updates', torch.tensor(0))

    def update_teacher(self):
        self.teacher_updates += 1

    def forward(self, inputs, mode='loss', **kwargs):
        inputs = torch.stack(list(inputs))
        outputs = self.student(inputs)
        if mode == 'loss':
            return dict(loss=outputs.square().mean())
        return [outputs]


class CountingDataset(Dataset):
    """Remembers which samples were read. Two sources, as SemiSampler."""

    source_lengths = (4, 8)
    metainfo = dict(classes=('background', 'digit'))
    split_info = dict(name='toy-4', sha256='0' * 64)

    def __init__(self):
        self.read = []
        self.work_dir = None

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.read.append(int(index))
        torch.manual_seed(int(index))
        return dict(inputs=torch.randn(2))

    def set_work_dir(self, path):
        self.work_dir = path


class NumpyMetric(BaseMetric):
    """Scores as mmseg's metrics give them: numpy scalars and arrays.

    The score of the n-th validation of a process is ``scores[n]``.
    """

    def __init__(self, scores=(50., )):
        super().__init__(collect_device='cpu')
        self.scores = list(scores)
        self.runs = 0

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        score = self.scores[min(self.runs, len(self.scores) - 1)]
        self.runs += 1
        return dict(
            mIoU=np.float64(score),
            aAcc=np.float32(score / 2),
            per_class=np.array([score, np.nan]))


def make_runner(work_dir,
                max_iters=4,
                accumulate=1,
                val_interval=100,
                interval=2,
                counts=(1, 2),
                batch_size=3,
                sampler=None,
                scores=(50., ),
                checkpoint=None,
                hooks=(),
                optim=None,
                model=None,
                dataset=None,
                seed=0,
                **kwargs):
    """A runner on CPU with the engine's loop and checkpoint hook."""
    sampler = sampler or dict(type='SemiSampler', counts=counts)
    loader = dict(
        dataset=dataset or CountingDataset(),
        sampler=sampler,
        batch_size=batch_size,
        num_workers=0)
    if sampler['type'] == 'SemiSampler':
        loader['batch_sampler'] = dict(type='SemiBatchSampler')
    val_loader = dict(
        dataset=CountingDataset(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=12,
        num_workers=0)
    return Runner(
        model=model or ToySemi(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=val_loader,
        train_cfg=dict(
            type='SemiIterBasedTrainLoop',
            max_iters=max_iters,
            accumulate=accumulate,
            val_interval=val_interval),
        val_cfg=dict(),
        val_evaluator=[NumpyMetric(scores)],
        optim_wrapper=optim
        or dict(optimizer=dict(type='SGD', lr=.1, momentum=.9)),
        param_scheduler=dict(type='PolyLR', power=.9, end=100, by_epoch=False),
        default_hooks=dict(
            logger=dict(
                type='LoggerHook', interval=1, log_metric_by_epoch=False),
            checkpoint=dict(
                type='SemiCheckpointHook',
                interval=interval,
                by_epoch=False,
                **(checkpoint or {}))),
        custom_hooks=list(hooks),
        log_processor=dict(by_epoch=False),
        default_scope='mmseg',
        randomness=dict(seed=seed),
        experiment_name=uuid.uuid4().hex,
        **kwargs)
