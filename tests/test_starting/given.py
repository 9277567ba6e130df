# Copyright (c) mmseg_semi authors.
"""A tiny import, and work directories as trainings leave them."""
import numpy as np
import torch

from mmseg_semi.evaluation import PerImageAreas
from ..test_importing.helpers import add_photos, drawn, run, save

FAST_SCNN = 'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'


def imported(folder, labelled=5, unlabelled=3, **options):
    """Photos and masks in ``folder``, imported into ``folder/out``."""
    photos_and_masks(folder, labelled, unlabelled)
    run(folder, **dict(dict(val=.2), **options))
    return str(folder / 'out')


def photos_and_masks(folder, labelled=5, unlabelled=3):
    names = [f'p{index}.jpg' for index in range(labelled + unlabelled)]
    add_photos(folder / 'photos', *names)
    for name in names[:labelled]:
        save(drawn(), folder / 'masks' / name.replace('jpg', 'png'))


def areas(hits, ids=None):
    """Two classes of 100 pixels per image, of which ``hits`` are right."""
    hits = np.array(hits)[:, None].repeat(2, 1)
    ids = [f'v{i}' for i in range(len(hits))] if ids is None else ids
    return PerImageAreas(np.array(ids), hits, 200 - hits)


def work_dir(folder, config, found, iteration=40, log='', at=None):
    """What a training leaves: config, checkpoint, scores, log."""
    started = folder / '20260101_000000/vis_data'
    started.mkdir(parents=True)
    (started / 'config.py').write_text(config)
    (started / 'scalars.json').write_text(log)
    torch.save(
        dict(meta=dict(iter=iteration), state_dict={}, optimizer={}),
        folder / f'iter_{iteration}.pth')
    (folder / 'per_image').mkdir()
    (folder / 'per_image/last.npz').write_bytes(
        found.to_bytes(iteration if at is None else at))
    return str(folder)
