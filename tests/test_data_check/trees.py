# Copyright (c) mmseg_semi authors.
"""A small tree of scenes whose masks follow the images."""
import numpy as np
from PIL import Image

from mmseg_semi.data_check import check_sets, folder_set

CLASSES = ('ground', 'disc', 'box')
_COLOURS = np.array([[60, 140, 60], [200, 60, 60], [60, 60, 210]])


def scene(rng, size=(32, 32)):
    """An image (H, W, 3) and its ids (H, W); all classes occur."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    ids = np.zeros(size, np.uint8)
    cy, cx = rng.integers(8, h - 8), rng.integers(8, w - 8)
    ids[(y - cy)**2 + (x - cx)**2 < 30] = 1
    top, left = rng.integers(0, h - 9), rng.integers(0, w - 9)
    ids[top:top + 7, left:left + 7] = 2
    noise = rng.integers(-20, 21, (h, w, 3))
    return (_COLOURS[ids] + noise).clip(0, 255).astype(np.uint8), ids


class Tree:
    """``photos/<name>.png`` and ``masks/<name>.png`` of three sets."""

    def __init__(self, root, labelled=6, validation=4, unlabelled=5):
        self.root, self.rng = root, np.random.default_rng(0)
        for name, count in (('labelled', labelled), ('validation', validation),
                            ('unlabelled', unlabelled)):
            for i in range(count):
                self.add(name, f'{name[0]}{i:02}', name != 'unlabelled')

    def add(self, name, stem, with_mask=True, size=(32, 32)):
        image, ids = scene(self.rng, size)
        self.save(f'{name}/photos/{stem}.png', image)
        if with_mask:
            self.save(f'{name}/masks/{stem}.png', ids)

    def path(self, name):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, name, array, **kwargs):
        Image.fromarray(array).save(self.path(name), **kwargs)
        return str(self.root / name)

    def masks(self, name='labelled'):
        return sorted((self.root / name / 'masks').glob('*'))

    def photos(self, name='labelled'):
        return sorted((self.root / name / 'photos').glob('*'))

    def change(self, change, name='labelled', only=None):
        """Apply a function to the ids of masks."""
        for path in self.masks(name)[:only]:
            ids = np.asarray(Image.open(path))
            Image.fromarray(change(ids)).save(path)

    def set(self, name, classes=CLASSES, **kwargs):
        folder = self.root / name
        masks = folder / 'masks'
        return folder_set(name, str(folder / 'photos'),
                          str(masks) if masks.exists() else None, classes,
                          **kwargs)

    def check(self, *names, **kwargs):
        names = names or ('labelled', 'unlabelled', 'validation')
        return check_sets([self.set(name, **kwargs) for name in names])


def kinds(report):
    """(severity, kind, set) of all findings."""
    return [(f.severity, f.kind, f.set) for f in report.findings]


def only(report, kind, severity, name='labelled'):
    """The one finding of a report, which must be of this kind."""
    assert kinds(report) == [(severity, kind, name)], report.as_table()
    return report.findings[0]
