# Copyright (c) mmseg_semi authors.
"""The config of docs/pixel_formats.md trains, with other bands and methods."""
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_semi.pixel_statistics import measure_pixels
from ..test_datasets.band_images import write_png, write_tiff
from ..test_end_to_end.harness import ROOT, STOCK, run_tools

PAGE = (ROOT / 'docs/pixel_formats.md').read_text()
SIDE = 40


def write_data(root, bands, suffix):
    """Squares on a dark ground, 12 bits in 16."""
    generator = np.random.default_rng(0)
    for folder in ('images', 'masks', 'lists'):
        (root / folder).mkdir(parents=True)
    names = [f'scene{i}' for i in range(12)]
    for name in names:
        pixels = generator.uniform(200, 900, (SIDE, SIDE, bands))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for number in (1, 2):
            top, left = generator.integers(0, SIDE - 16, 2)
            mask[top:top + 15, left:left + 15] = number
        pixels += 1500. * mask[..., None]
        write = write_tiff if suffix == '.tif' else write_png
        write(root / f'images/{name}{suffix}', pixels.astype(np.uint16))
        Image.fromarray(mask).save(root / f'masks/{name}.png')
    for name, chosen in dict(labelled=names[:4], val=names[9:]).items():
        (root / f'lists/{name}.txt').write_text('\n'.join(chosen) + '\n')
    return [str(root / f'images/{name}{suffix}') for name in names[:9]]


def write_config(folder, method, statistics, suffix):
    text, = re.findall(r'```python\n(_base_.*?)```', PAGE, re.S)
    given = statistics.as_config()
    for name in given:
        text, count = re.subn(rf'^{name} = dict\(.*?\)$',
                              f'{name} = {given[name]!r}', text, 1,
                              re.S | re.M)
        assert count == 1
    for old, new in dict({
            'methods/mean_teacher.py': f'methods/{method}.py',
            'crop = 256': 'crop = 32',
            "'.tif'": repr(suffix),
            'num_workers=2': 'num_workers=0',
            'data/mine': str(folder),
            'model = dict(': 'model = dict(pretrained=False, '
    }).items():
        assert old in text
        text = text.replace(old, new)
    (folder / 'config.py').write_text(text)
    return folder / 'config.py'


@pytest.mark.slow
@pytest.mark.parametrize('bands, suffix, method', [
    (4, '.tif', 'mean_teacher'),
    (4, '.png', 'unimatch'),
    (4, '.png', 'brpg'),
    (1, '.png', 'mean_teacher'),
    (1, '.png', 'unimatch'),
    (1, '.tif', 'brpg'),
    (3, '.tif', 'mean_teacher'),
    (6, '.tif', 'cmb'),
])
def test_it_trains(tmp_path, bands, suffix, method):
    if suffix == '.tif':
        pytest.importorskip('tifffile')
    statistics = measure_pixels(write_data(tmp_path, bands, suffix))
    assert statistics.bits == 12
    config = write_config(tmp_path, method, statistics, suffix)
    finished = run_tools([
        STOCK / 'train.py', config, '--work-dir', tmp_path / 'train',
        '--cfg-options', 'train_cfg.max_iters=12', 'train_cfg.val_interval=12',
        'default_hooks.logger.interval=1'
    ],
                         log=tmp_path / 'log.txt')
    assert finished.code == 0, finished.output[-3000:]
    if bands != 3:
        assert f'in_channels={bands}' in finished.output
        said = 'SemiColorJitter: saturation and hue need three'
        assert finished.output.count(said) == 1
    lines = [
        json.loads(line)
        for path in tmp_path.glob('train/*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert len(losses) == 12 and np.isfinite(losses).all()
    assert any('mIoU' in line for line in lines)
    state = torch.load(
        tmp_path / 'train/iter_12.pth', weights_only=False)['state_dict']
    stems = [w for n, w in state.items() if n.endswith('stem.conv.weight')]
    assert stems and all(w.shape[1] == bands for w in stems)


def test_the_page_shows_what_is_printed():
    """The printed lines have the form that the page shows."""
    text, = re.findall(r'```text\n(.*?)```', PAGE, re.S)
    lines = {}
    exec(text, lines)
    assert lines['loader']['type'] == 'LoadBands'
    assert set(lines['data_preprocessor']) == {'mean', 'std', 'bgr_to_rgb'}
