# Copyright (c) mmseg_semi authors.
"""Tiny photographs and masks."""
import numpy as np
from PIL import Image

from mmseg_semi.importing import DataFaultsError, ImportOptions, import_labels

WIDTH, HEIGHT = 20, 14


def drawn(first=1, second=2):
    """A mask (H, W) of two boxes on 0; the second covers the first."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:8, 3:11] = first
    mask[5:12, 8:16] = second
    return mask


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def add_photos(folder, *names, size=(WIDTH, HEIGHT), **options):
    """Photographs of noise, each another one."""
    for name in names:
        noise = np.random.default_rng(len(name) + sum(map(ord, name)))
        pixels = noise.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        save(pixels, folder / name, **options)


def load(out, name):
    """A mask that was written."""
    with Image.open(out / 'masks' / f'{name}.png') as image:
        assert image.mode == 'L'
        return np.asarray(image)


def run(tmp_path, masks='masks', force=False, **options):
    """Import ``photos`` and labels of ``tmp_path`` into ``out``."""
    options.setdefault('val', 0)
    return import_labels(
        str(tmp_path / 'photos'),
        str(tmp_path / masks),
        str(tmp_path / 'out'),
        ImportOptions(**options),
        force=force)


def faults(call, *args, **kwargs):
    """Message and findings of a call that must fail on the data."""
    try:
        call(*args, **kwargs)
    except DataFaultsError as error:
        return str(error), error.findings
    raise AssertionError('no fault was found')


def lines(out, name):
    return (out / 'lists' / f'{name}.txt').read_text('utf-8').splitlines()
