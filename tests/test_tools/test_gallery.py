# Copyright (c) mmseg_semi authors.
"""gallery.py on the images of a toy."""
import json
from pathlib import Path

import cv2
import pytest
import torch

from ..test_models.test_pps_model import prototypes
from ..test_models.toys import segmentor
from . import test_prototype_pictures as toy

root = toy.root
gallery = toy.load('gallery')


def work_dir(root, name, cfg):
    """What a training leaves."""
    config, checkpoint, net = toy.saved(root, name, cfg)
    folder = root / 'work' / name
    folder.mkdir(parents=True)
    text = Path(config).read_text()
    (folder / 'config.py').write_text(
        f'{text}\ntest_pipeline = val_dataloader["dataset"]["pipeline"]\n')
    torch.save(
        dict(state_dict=net.state_dict(), meta=dict(iter=4)),
        folder / 'best_mIoU_iter_4.pth')
    (folder / 'record.json').write_text(
        json.dumps(
            dict(
                config='configs/mine.py',
                labels=7,
                unlabeled=9,
                metric='mIoU',
                curve=[[2, 1.], [4, 12.34]],
                seed=3)))
    return str(folder)


def arguments(root, *runs):
    return [
        *runs, '--weights', 'best', '--images', '2', '--pixels', '16', '--out',
        str(root / 'pictures')
    ]


def test_pictures_and_captions(root, capsys):
    run = work_dir(root, 'queries', prototypes())
    plain = work_dir(root, 'plain', segmentor())
    gallery.main(arguments(root, run, plain))
    said = capsys.readouterr().out
    assert ('queries (mine.py), 7 labels, 9 images without, 4 iterations, '
            'mIoU 12.3, seed 3') in said
    written = sorted(path.name for path in (root / 'pictures').iterdir())
    assert written == [
        f'gallery_{name}.png'
        for name in ('confidence', 'predictions', 'prototypes', 'tsne')
    ]
    shapes = {
        name: cv2.imread(str(root / 'pictures' / name)).shape
        for name in written
    }
    # Photo, label and two models.
    assert shapes['gallery_predictions.png'][1] == 1200
    with pytest.raises(SystemExit, match='exists already'):
        gallery.main(arguments(root, run))
    (root / 'pictures/gallery_tsne.png').write_bytes(b'old')
    gallery.main([*arguments(root, run), '--force'])
    assert (root / 'pictures/gallery_tsne.png').stat().st_size > 100


def test_a_model_without_prototypes_has_no_picture_of_them(root):
    gallery.main(arguments(root, work_dir(root, 'plain', segmentor())))
    written = sorted(path.name for path in (root / 'pictures').iterdir())
    assert written == [
        f'gallery_{name}.png' for name in ('confidence', 'predictions', 'tsne')
    ]


@pytest.mark.parametrize('run, message', [
    ('absent', 'absent'),
    ('images', 'work directory of one training'),
])
def test_mistakes_are_told(root, run, message):
    with pytest.raises(SystemExit, match=message):
        gallery.main(arguments(root, str(root / run)))
    assert not (root / 'pictures').exists()
