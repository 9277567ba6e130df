# Copyright (c) mmseg_semi authors.
"""metafile.yml of every method, and model-index.yml."""
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from .leaf import Leaf

DATASETS = dict(
    voc='PASCAL VOC 2012',
    city='Cityscapes',
    coco='COCO',
    digits='DigitScenes')
ARCHITECTURES = {
    'r101': ('R-101-D8', 'DeepLabV3+'),
    'r101-stock': ('R-101-D8', 'DeepLabV3+'),
    'r101-cps': ('R-101-D16', 'DeepLabV3+'),
    'r101-unimatch': ('R-101-D16', 'DeepLabV3+'),
    'segformer-b4': ('MIT-B4', 'SegFormer'),
    'xception65': ('Xception-65-D8', 'DeepLabV3+'),
    'xception65-unimatch': ('Xception-65-D16', 'DeepLabV3+'),
    'v2-r101': ('R-101-D8', 'DeepLabV2'),
    'v2-r101-coco': ('R-101-D8', 'DeepLabV2'),
    'v3plus-r50': ('R-50-D16', 'DeepLabV3+'),
    'maskformer-r101': ('R-101', 'MaskFormer'),
    'maskformer-r101-coco': ('R-101', 'MaskFormer'),
    'r18': ('R-18', 'DeepLabV3+'),
    'r18-mask-query': ('R-18', 'MaskFormer'),
}


@dataclass(frozen=True)
class Collection:
    """A method: its name, the paper's title and address."""
    name: str
    title: Optional[str] = None
    url: Optional[str] = None


COLLECTIONS = {
    'brpg':
    Collection(
        'BRPG', 'Boundary-Refined Prototype Generation: A General End-to-End '
        'Paradigm for Semi-Supervised Semantic Segmentation',
        'https://arxiv.org/abs/2307.10097'),
    'cmb':
    Collection(
        'CMB', 'Semi-Supervised Semantic Segmentation With Pixel-Level '
        'Contrastive Learning From a Class-Wise Memory Bank',
        'https://arxiv.org/abs/2104.13415'),
    'cps':
    Collection(
        'CPS',
        'Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision',
        'https://arxiv.org/abs/2106.01226'),
    'cutmix_seg':
    Collection(
        'CutMix-Seg', 'Semi-supervised semantic segmentation needs strong, '
        'varied perturbations', 'https://arxiv.org/abs/1906.01916'),
    'fixmatch':
    Collection(
        'FixMatch', 'FixMatch: Simplifying Semi-Supervised Learning with '
        'Consistency and Confidence', 'https://arxiv.org/abs/2001.07685'),
    'mean_teacher':
    Collection(
        'Mean Teacher', 'Mean teachers are better role models: '
        'Weight-averaged consistency targets improve semi-supervised deep '
        'learning results', 'https://arxiv.org/abs/1703.01780'),
    'pcr':
    Collection(
        'PCR', 'Semi-supervised Semantic Segmentation with Prototype-based '
        'Consistency Regularization', 'https://arxiv.org/abs/2210.04388'),
    'pps':
    Collection(
        'PPS', 'Semi-supervised Semantic Segmentation via Prototypical '
        'Contrastive Learning', 'https://doi.org/10.1145/3503161.3548353'),
    'rc2l':
    Collection(
        'RC2L', 'Region-level Contrastive and Consistency Learning for '
        'Semi-Supervised Semantic Segmentation',
        'https://arxiv.org/abs/2204.13314'),
    'supervised':
    Collection('Supervised only'),
    'u2pl':
    Collection(
        'U2PL', 'Semi-Supervised Semantic Segmentation Using Unreliable '
        'Pseudo-Labels', 'https://arxiv.org/abs/2203.03884'),
    'unimatch':
    Collection(
        'UniMatch', 'Revisiting Weak-to-Strong Consistency in Semi-Supervised '
        'Semantic Segmentation', 'https://arxiv.org/abs/2208.09910'),
}


def _header(folder: str, leaves: List[Leaf]) -> str:
    collection = COLLECTIONS[folder]
    trained = {leaf.data for leaf in leaves}
    lines = [
        'Collections:', f'- Name: {collection.name}',
        '  License: Apache License 2.0', '  Metadata:', '    Training Data:'
    ]
    lines += [
        f'    - {name}' for key, name in DATASETS.items() if key in trained
    ]
    if any('ssda' in leaf.name for leaf in leaves):
        lines.append('    - GTA5')
    if collection.title:
        lines += ['  Paper:', '    Title: >-']
        lines += textwrap.wrap(
            collection.title,
            79,
            initial_indent=' ' * 8,
            subsequent_indent=' ' * 8)
        lines.append(f'    URL: {collection.url}')
    lines += [
        f'  README: configs/{folder}/README.md', '  Frameworks:',
        '  - PyTorch', 'Models:'
    ]
    return '\n'.join(lines) + '\n'


def _entry(leaf: Leaf) -> str:
    labeled, unlabeled = leaf.counts
    batch = f'{labeled} labelled'
    if unlabeled:
        batch += f' + {unlabeled} unlabelled'
    lines = [
        f'- Name: {leaf.name}',
        f'  In Collection: {COLLECTIONS[leaf.folder].name}',
        f'  Config: configs/{leaf.path}.py', '  Metadata:',
        f'    Training Data: {DATASETS[leaf.data]}',
        f'    Batch Size: {batch}', '    Architecture:'
    ]
    lines += [f'    - {part}' for part in ARCHITECTURES[leaf.network]]
    return '\n'.join(lines) + '\n'


_RESULTS = re.compile(r'(?ms)^  # begin results\n.*?^  # end results\n')


def _results(path: Path) -> Dict[str, str]:
    """What benchmark_table.py put into the entries, by name."""
    if not path.is_file():
        return {}
    found = {}
    for entry in re.split(r'(?m)^(?=- Name: )', path.read_text('utf-8'))[1:]:
        block = _RESULTS.search(entry)
        if block:
            found[entry.split('\n', 1)[0][len('- Name: '):]] = block[0]
    return found


def files(leaves: List[Leaf], root: Path) -> Dict[str, str]:
    """Text by path below ``root``; results that are there stay."""
    found = {}
    folders = sorted({leaf.folder for leaf in leaves})
    for folder in folders:
        mine = [leaf for leaf in leaves if leaf.folder == folder]
        path = f'configs/{folder}/metafile.yml'
        results = _results(root / path)
        found[path] = _header(folder, mine) + ''.join(
            _entry(leaf) + results.get(leaf.name, '') for leaf in mine)
    found['model-index.yml'] = 'Import:\n' + ''.join(
        f'- configs/{folder}/metafile.yml\n' for folder in folders)
    return found
