# Copyright (c) mmseg_semi authors.
"""Families of lists: which images are labelled, which may be unlabelled.

A family is a part of a config's name, ``<method>_<network>_<family>_<N>``.
"""
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict

ROOT = Path(__file__).resolve().parents[3]
SPLITS = json.loads(
    (ROOT / 'mmseg_semi/datasets/known_splits.json').read_text())


@dataclass(frozen=True)
class Family:
    """Lists of one origin.

    Args:
        name (str): As in names of configs.
        data (str): ``voc``, ``city``, ``coco``: what sets batch, crop, epochs.
        images (int): Size of the pool, labelled images included.
        pool (str): List of the pool; empty: every image of the folder.
        lists (dict[int, str]): Published name by number of labels.
        about (str): What the lists are, for the protocol file.
    """
    name: str
    data: str
    images: int
    pool: str
    lists: Dict[int, str]
    about: str

    @property
    def module(self) -> str:
        """Stem of its file in configs/_base_/protocols."""
        return self.name

    def sha256(self, labels: int):
        return SPLITS[self.lists[labels]]['sha256']


def _numbered(pattern: str, *labels: int) -> Dict[int, str]:
    return {n: pattern.format(n) for n in labels}


_VOC = (10582, 'voc12-trainaug')
_CITY = (2975, '')
FAMILIES = {
    f.name: f
    for f in (
        Family(
            'voc', 'voc', *_VOC,
            _numbered('voc12-classic-{}', 92, 183, 366, 732, 1464),
            'PASCAL VOC 2012, classic lists: parts of the 1,464 images of '
            'the original training set. Every other one of all 10,582 '
            'images is unlabelled.'),
        Family(
            'voc-blended', 'voc', *_VOC,
            _numbered('voc12-blended-u2pl-{}', 662, 1323, 2646, 5291),
            'PASCAL VOC 2012, blended lists of U2PL: parts of all 10,582 '
            'images, those with masks of SBD included.'),
        Family(
            'voc-blended-cps', 'voc', *_VOC,
            _numbered('voc12-blended-cps-{}', 662, 1323, 2646, 5291),
            'PASCAL VOC 2012, blended lists of CPS: parts of all 10,582 '
            'images, other ones than U2PL\'s.'),
        Family(
            'voc-pseudoseg', 'voc', 1464, 'voc12-classic-1464', {
                92: 'voc12-pseudoseg-1_16',
                183: 'voc12-pseudoseg-1_8',
                366: 'voc12-pseudoseg-1_4',
                732: 'voc12-pseudoseg-1_2'
            }, 'PASCAL VOC 2012, lists of PseudoSeg as CPS uses them: the '
            'unlabelled images are the rest of the 1,464. Up to 366 labels '
            'the lists are the classic ones, the unlabelled images are not.'),
        Family(
            'voc-cmb', 'voc', *_VOC, _numbered('voc12-cmb0-{}', 212, 530,
                                               1323),
            'PASCAL VOC 2012, first permutation of CMB. Its lists are made '
            'by tools/dataset_converters/permutation_splits.py.'),
        Family(
            'city', 'city', *_CITY,
            _numbered('city-u2pl-{}', 186, 372, 744, 1488),
            'Cityscapes, lists of U2PL. Every other image of '
            'leftImg8bit/train is unlabelled.'),
        Family(
            'city-cps', 'city', *_CITY,
            _numbered('city-cps-{}', 186, 372, 744, 1488),
            'Cityscapes, lists of CPS, which UniMatch uses too. Every other '
            'image of leftImg8bit/train is unlabelled.'),
        Family(
            'city-cmb', 'city', *_CITY,
            _numbered('city-cmb0-{}', 100, 200, 372, 500, 744, 1000),
            'Cityscapes, first permutation of CMB, applied to the sorted '
            'images. Its lists are made by '
            'tools/dataset_converters/permutation_splits.py.'),
        Family(
            'coco', 'coco', 118287, '', {
                232: 'coco-unimatch-1_512',
                463: 'coco-unimatch-1_256',
                925: 'coco-brpg-1_128',
                1849: 'coco-brpg-1_64',
                3697: 'coco-brpg-1_32',
                7393: 'coco-brpg-1_16'
            }, 'COCO with 81 classes, lists of PseudoSeg as UniMatch and BRPG '
            'publish them; from 925 to 3,697 labels both are equal. Every '
            'other image of train2017 is unlabelled.'),
    )
}


def loader_epoch(unlabeled: int, gpus: int, share: int) -> int:
    """Iterations of an epoch: each of ``gpus`` takes ``share`` at a time."""
    return -(-unlabeled // gpus) // share
