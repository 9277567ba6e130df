# Copyright (c) mmseg_semi authors.
"""Work directories as trainings leave them, with tiny models and images."""
import json

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_semi.engine.run_records import versions
from mmseg_semi.starting.scoring import image_areas, load_model
from mmseg_semi.starting.trained import Trained

SIDE = 32
_CONFIG = '''
default_scope = 'mmseg'
norm = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', size=({side}, {side}), bgr_to_rgb=True,
        mean=[120] * 3, std=[60] * 3, test_cfg=dict(size_divisor=1)),
    backbone=dict(
        type='UNet', base_channels=4, num_stages=2, strides=(1, 1),
        enc_num_convs=(1, 1), dec_num_convs=(1, ), downsamples=(True, ),
        enc_dilations=(1, 1), dec_dilations=(1, ), norm_cfg=norm),
    decode_head=dict(
        type='FCNHead', in_channels=4, in_index=1, channels=4, num_convs=1,
        num_classes={count}, norm_cfg=norm, dropout_ratio=0),
    test_cfg=dict(mode='whole'))
randomness = dict(seed={seed})
train_cfg = dict(type='IterBasedTrainLoop', max_iters={planned})
train_dataloader = dict(dataset=dict(
    labeled=dict(ann_file='lists/train.txt'), unlabeled={unlabelled}))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
'''
_VALIDATION = '''
val_dataloader = dict(dataset=dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.png',
    data_prefix=dict(img_path='images', seg_map_path='masks'),
    metainfo=dict(classes={classes!r}, palette={palette!r}),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
              dict(type='PackSegInputs')]))
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
'''


def images(folder, classes=3, count=6, side=SIDE):
    """Boxes in the colours of their classes, and a border not labelled."""
    random = np.random.default_rng(0)
    palette = colours(classes)
    for index in range(count):
        mask = np.zeros((side, side), np.uint8)
        for _ in range(4):
            y, x = random.integers(0, side - 8, 2)
            mask[y:y + 14, x:x + 14] = random.integers(0, classes)
        photo = np.array(palette, np.int64)[mask]
        photo = photo + random.integers(-30, 30, photo.shape)
        mask[:2] = 255
        for name, array in (('images', photo.clip(0, 255)), ('masks', mask)):
            path = folder / name / f'v{index}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(path)
    return str(folder)


def colours(count):
    return np.random.default_rng(1).integers(0, 256, (count, 3)).tolist()


def work_dir(folder,
             root=None,
             classes=3,
             seed=0,
             planned=40,
             reached=None,
             unlabelled=True,
             scores=(20., 45., 50.),
             nan_from=None,
             scalars=(),
             weights=True,
             gate=None,
             fit=True,
             **record):
    """A training, whose model is fitted to its images for a moment.

    Args:
        folder (Path): Its work directory.
        root (str, optional): Of :func:`images`; None for no validation.
        classes (int): Number of classes.
        seed (int): Of the weights.
        planned (int): Iterations.
        reached (int, optional): Where it was killed.
        unlabelled (bool): Whether it learned from unlabelled images.
        scores (tuple[float]): mIoU of evenly spaced validations.
        nan_from (int, optional): Iteration from which losses are NaN.
        scalars (tuple[str]): More names that were logged.
        weights (bool): Whether there is a checkpoint.
        gate (dict, optional): For the record.
        fit (bool): Whether to fit the model.
        **record: More entries of the record.
    """
    last = reached or planned
    names = [f'kind {i}' for i in range(classes)]
    text = _CONFIG.format(
        side=SIDE,
        count=classes,
        seed=seed,
        planned=planned,
        unlabelled="dict(ann_file='lists/more.txt')" if unlabelled else None)
    if root is not None:
        text += _VALIDATION.format(
            root=root, classes=tuple(names), palette=colours(classes))
    started = folder / '20260101_000000/vis_data'
    started.mkdir(parents=True)
    (started / 'config.py').write_text(text)
    (started / 'scalars.json').write_text(
        _log(last, unlabelled, scores if root else (), nan_from, scalars))
    (started.parent / '20260101_000000.log').write_text(
        '2026/01/01 00:00:00 - mmengine - WARNING - The prefix is not set in '
        'metric class IoUMetric.\n2026/01/01 00:00:01 - mmengine - WARNING - '
        'A <b>warning</b> of this training.\n')
    if weights:
        _save_weights(folder, text, seed, last, root if fit else None)
    if reached is None:
        content = dict(
            method='mean_teacher' if unlabelled else 'supervised',
            config='mine.py',
            seed=seed,
            labels=5,
            unlabeled=7 if unlabelled else 0,
            total_batch=[4, 4 if unlabelled else 0],
            iterations=last,
            versions=versions(),
            host=dict(machine='x86_64', gpu=None, cores=2),
            **record)
        if gate is not None:
            content['gate'] = gate
        (folder / 'record.json').write_text(json.dumps(content))
    return str(folder)


def _log(last, unlabelled, scores, nan_from, scalars):
    random = np.random.default_rng(last)
    lines = []
    for step in range(5, last + 1, 5):
        loss = 3 / (1 + step / 10) + random.normal() / 20
        if nan_from is not None and step >= nan_from:
            loss = float('nan')
        entry = {'lr': 0.01 * (1 - step / last), 'loss': loss, 'time': 0.1}
        entry['decode.loss_ce'] = loss
        if unlabelled:
            share = 1 - 1 / (1 + step / 10)
            entry.update({
                'loss_unsup': loss / 3,
                'pseudo/keep_ratio': share,
                'pseudo/confidence': .5 + share / 2,
            })
        entry.update({name: float(random.uniform()) for name in scalars})
        lines.append(dict(entry, iter=step, step=step))
    for index, score in enumerate(scores, 1):
        lines.append(dict(mIoU=score, step=last * index // len(scores)))
    return ''.join(f'{json.dumps(line)}\n' for line in lines)


def _save_weights(folder, text, seed, iteration, root):
    path = folder / f'iter_{iteration}.pth'
    torch.manual_seed(seed)
    cfg = Config.fromstring(text, '.py')
    known = dict(classes=['x'], palette=[[0] * 3])
    if 'val_dataloader' in cfg:
        known = cfg.val_dataloader.dataset.metainfo.to_dict()
    meta = dict(iter=iteration, dataset_meta=known)
    content = dict(meta=meta, optimizer={}, state_dict={})
    torch.save(content, path)
    trained = Trained(folder.name, cfg, str(path), iteration, folder)
    model = load_model(trained)
    if root is not None:
        _fit(model, root, steps=60 + 10 * seed)
    torch.save(dict(content, state_dict=model.state_dict()), path)
    if root is not None:
        areas = image_areas(trained, lambda items, text: items)
        (folder / 'per_image').mkdir()
        (folder / 'per_image/last.npz').write_bytes(areas.to_bytes(iteration))


def _fit(model, root, steps):
    from pathlib import Path
    photos, masks = (
        torch.from_numpy(
            np.stack([
                np.asarray(Image.open(path))
                for path in sorted(Path(root, name).glob('*.png'))
            ]).astype(np.int64)) for name in ('images', 'masks'))
    inputs = (photos.permute(0, 3, 1, 2).float() - 120) / 60
    optimizer = torch.optim.Adam(model.parameters(), lr=.02)
    model.train()
    for _ in range(steps):
        logits = torch.nn.functional.interpolate(
            model._forward(inputs), size=masks.shape[-2:])
        loss = torch.nn.functional.cross_entropy(
            logits, masks, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


GATE = dict(
    thresholds=[.5, .7, .9, .95],
    precision={
        'kind 0': [.8, .9, .97, .99],
        'kind 1': [.4, .5, .8, None],
        'kind 2': [.6, .7, .9, .95]
    },
    precision_of_all=[.6, .7, .9, .97],
    kept=[.9, .8, .5, .2],
    threshold=.9,
    suggested=.95,
    suggestion='Every class is right.',
    alarms=[],
    source='held_out',
    network='teacher',
    iteration=40,
    images=12)
