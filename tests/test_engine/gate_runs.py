# Copyright (c) mmseg_semi authors.
"""Short trainings on a small DigitScenes that measure pseudo-labels."""
import json
import uuid

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmseg_semi.config_files import configs_dir
from mmseg_semi.datasets.digit_scenes import (DigitScenesRecipe,
                                              write_digit_scenes)
from mmseg_semi.models.segmentors.framework import make_view
from mmseg_semi.models.step import Pass

EDGES = [0., .1, .12, .15]  # around chance: nothing is learned here
HOOK = dict(type='PrecisionGateHook', thresholds=EDGES, min_pixels=10)


def write_digits(root):
    """80 scenes to train on, 40 of them labelled, 3 to test."""
    recipe = DigitScenesRecipe(num_train=80, num_val=3, labeled=(40, ))
    write_digit_scenes(root, recipe)
    return str(root)


def config(root,
           work_dir,
           name='mean_teacher/mean-teacher',
           held_out=4,
           hook=HOOK,
           **changes):
    cfg = Config.fromfile(configs_dir() / f'{name}_r18_digits_50.py')
    data = dict(data_root=root)
    unlabelled = cfg.train_dataloader.dataset.unlabeled is not None
    halves = (2 if name.startswith('cps') else 1) * unlabelled
    cfg.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            experiment_name=uuid.uuid4().hex,
            train_cfg=dict(max_iters=2, val_interval=1),
            default_hooks=dict(
                logger=dict(interval=1), checkpoint=dict(interval=1)),
            train_dataloader=dict(
                batch_size=2 + 2 * halves,
                sampler=dict(counts=(2, 2 * halves)),
                dataset=dict(
                    held_out=held_out,
                    labeled=dict(
                        data, ann_file='ImageSets/Semi/digits-40.txt'),
                    **(dict(unlabeled=data) if unlabelled else {}))),
            val_dataloader=dict(dataset=data),
            test_dataloader=dict(dataset=data),
            visualizer=dict(name=uuid.uuid4().hex)))
    cfg.model.burn_in = 0
    cfg.merge_from_dict(changes)
    if hook:
        cfg.custom_hooks = [*cfg.custom_hooks, hook]
    return cfg


def train(*args, **kwargs):
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(config(*args, **kwargs))
        runner.train()
    return runner


def gate_of(folder):
    return json.loads((folder / 'record.json').read_text()).get('gate')


def log_of(folder):
    (path, ) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def brute_force(model, dataset, net, edges):
    """Pixel counts by class, from the pass that labels in training."""
    model.eval()
    right = np.zeros((11, len(edges)), int)
    kept = np.zeros_like(right)
    for index in range(len(dataset)):
        sample = dataset[index]
        data = model.data_preprocessor(
            dict(
                inputs=[sample['inputs']],
                data_samples=[sample['data_samples']]), False)
        view = make_view(data['inputs'], data['data_samples'])
        out, = model.adapter.forward(
            model.net(net), [view], Pass('x', net, ('v', ), train=False))
        labels = model.pseudo_labels(out, view)
        cls, conf = labels['cls'][0].numpy(), labels['conf'][0].numpy()
        truth = sample['data_samples'].gt_sem_seg.data[0].numpy()
        for place, edge in enumerate(edges):
            for c in range(11):
                chosen = (cls == c) & (conf >= edge) & (truth != 255)
                kept[c, place] += chosen.sum()
                right[c, place] += (chosen & (truth == c)).sum()
    return right, kept
