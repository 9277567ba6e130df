# Copyright (c) mmseg_semi authors.
"""Protocol files, and the files that add pipelines to a data set."""
import textwrap
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from .families import FAMILIES, SPLITS, Family
from .leaf import Code, render, tidy
from .views import NOTES, PIPELINES

_SEMI = 'ImageSets/Semi'


def _comment(text: str) -> str:
    return '\n'.join(
        textwrap.wrap(text, 79, initial_indent='# ',
                      subsequent_indent='# ')) + '\n'


def protocol_text(family: Family) -> str:
    values = dict(name=family.name, images=family.images)
    if family.pool:
        values['pool'] = f'{_SEMI}/{family.pool}.txt'
    lists = {str(n): f'{_SEMI}/{s}.txt' for n, s in family.lists.items()}
    hashes = {
        str(n): SPLITS[s]['sha256']
        for n, s in family.lists.items() if SPLITS[s]['sha256']
    }
    text = _comment(family.about)
    if not hashes:
        text += _comment('Their hashes are not published.')
    return tidy(
        text + f'protocol = {render(dict(values, lists=lists, sha256=hashes))}'
        '\n')


@dataclass
class Views:
    """A file that adds pipelines to a data set.

    Args:
        name (str): Stem in configs/_base_/datasets.
        base (str): Stem of the file it adds to.
        kind (str): Key of :data:`views.PIPELINES`.
        crop (int, optional): Another crop than the data set's.
        counts (tuple, optional): Other numbers of images of an iteration.
        inference (dict, optional): Other inference than the data set's.
        note (str): Said after the note of the kind.
        short (tuple): Short and long side of MaskFormer's augmentation.
    """
    name: str
    base: str
    kind: str
    crop: Optional[int] = None
    counts: Optional[Tuple[int, int]] = None
    inference: Optional[Dict[str, object]] = None
    note: str = ''
    short: Tuple[int, int] = field(default=(0, 0))

    def text(self) -> str:
        note = f'{NOTES[self.kind]} {self.note}'.strip()
        body = PIPELINES[self.kind]
        if self.kind != 'two':
            crop = self.crop or '_base_.crop_size'
            body = f'crop_size = {crop}\n' + body
        if self.inference:
            body += f'inference = {render(self.inference)}\n'
        loader: Dict[str, object] = {}
        if self.counts:
            loader['batch_size'] = sum(self.counts)
            loader['sampler'] = dict(counts=self.counts)
        loader['dataset'] = dict(
            labeled=dict(pipeline=Code('train_pipeline')),
            unlabeled=dict(pipeline=Code('unlabeled_pipeline')))
        body += f'train_dataloader = {render(loader)}\n'
        text = f"_base_ = './{self.base}.py'\n{_comment(note)}{body}"
        short, long = map(str, self.short)
        text = text.replace('$SHORT', short).replace('$LONG', long)
        return tidy(text)


def _slide(crop: int, stride: int, **options: object) -> Dict[str, object]:
    return dict(
        mode='slide',
        crop_size=(crop, crop),
        stride=(stride, stride),
        **options)


_PASTED = ('In all 8 labelled and 8 + 8 unlabelled images, one half of the '
           'latter to be pasted into the other.')

VIEWS = [
    *(Views(f'{data}_{name}', f'{data}{base}', kind)
      for data in ('voc12', 'cityscapes')
      for name, base, kind in (('strong', '', 'strong'),
                               ('two-strong', '_strong', 'two'),
                               ('weak', '', 'weak'), ('plain', '', 'plain'))),
    Views(
        'voc12_cps',
        'voc12',
        'cps',
        512, (8, 16),
        _slide(512, 342, pad_to_crop=True),
        note=_PASTED),
    Views(
        'cityscapes_cps',
        'cityscapes',
        'cps',
        800, (8, 16),
        _slide(800, 534, pad_to_crop=True),
        note=_PASTED),
    Views('voc12_fixmatch', 'voc12', 'fixmatch', 321, (8, 8)),
    Views('voc12_fixmatch-513', 'voc12', 'fixmatch', None, (8, 8)),
    Views('cityscapes_fixmatch', 'cityscapes', 'fixmatch', 801, (8, 8),
          _slide(801, 534, windows='cut', average='probabilities')),
    Views('coco81_strong', 'coco81', 'strong'),
    Views('coco81_fixmatch', 'coco81', 'fixmatch', None, (8, 8)),
    Views('coco81_unimatch', 'coco81_fixmatch', 'two'),
    Views('voc12_unimatch', 'voc12_fixmatch', 'two'),
    Views('voc12_unimatch-513', 'voc12_fixmatch-513', 'two'),
    Views('cityscapes_unimatch', 'cityscapes_fixmatch', 'two'),
    Views('voc12_cmb', 'voc12', 'plain', 321, (14, 7)),
    Views('cityscapes_cmb', 'cityscapes', 'plain', 512, (7, 3),
          dict(_delete_=True, mode='whole')),
    Views('voc12_rc2l', 'voc12', 'rc2l', 512, (8, 8), short=(512, 2048)),
    Views(
        'cityscapes_rc2l',
        'cityscapes',
        'rc2l',
        768, (8, 8),
        dict(_delete_=True, mode='whole'),
        short=(1024, 4096)),
]


def files() -> Dict[str, str]:
    """Text by path below ``configs/``."""
    found = {
        f'_base_/protocols/{family.module}.py': protocol_text(family)
        for family in FAMILIES.values()
    }
    found.update({f'_base_/datasets/{v.name}.py': v.text() for v in VIEWS})
    return found
