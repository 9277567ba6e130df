# Copyright (c) mmseg_semi authors.
"""Tables of the READMEs: what there is to train, and what was published.

A README has the text; between ``<!-- begin NAME -->`` and ``<!-- end NAME
-->`` stands what is made here. Cells with results of one's own stay.
"""
import re
from itertools import groupby
from pathlib import Path
from typing import Dict, List, Tuple

from mmseg_semi.benchmarking.published import Figure, Published
from .differences import DIFFERENCES
from .families import FAMILIES, SPLITS
from .leaf import Leaf

# Rows of configs/published.json by the part of a config's name before its
# lists. A row holds for the configs with its lists and number of labels.
_MAIN = ('brpg/t2', 'brpg/t3', 'brpg/t4')


def _of(row: str, *tables: str) -> List[Tuple[str, str]]:
    return [(table, row) for table in tables]


PUBLISHED_ROWS = {
    'supervised_r101': _of('supervised', *_MAIN),
    'supervised_segformer-b4': _of('supervised-segformer', *_MAIN),
    'supervised_xception65': _of('supervised', 'brpg/t5'),
    'supervised-u2pl-own_r101': _of('supervised', 'brpg/t4'),
    'mean-teacher_r101': _of('II', 'brpg/t6'),
    'mean-teacher-mse_r101': _of('mt', *_MAIN),
    'cutmix-seg_r101': _of('cutmix-seg', *_MAIN),
    'u2pl_r101': _of('u2pl', 'brpg/t2', 'brpg/t3'),
    'u2pl-own_r101': _of('u2pl', 'brpg/t4'),
    'brpg_r101': _of('brpg', *_MAIN),
    'brpg_segformer-b4': _of('brpg-segformer', *_MAIN),
    'brpg_xception65': _of('brpg', 'brpg/t5'),
    'brpg-cps_r101': _of('cps-brpg', 'brpg/t10'),
    'brpg-cps-own_r101': _of('cps-brpg', 'brpg/t10'),
    'brpg-fixmatch_r101': _of('fixmatch-brpg', 'brpg/t10'),
    'brpg-fixmatch-own_r101': _of('fixmatch-brpg', 'brpg/t10'),
    'pcr_r101': _of('pcr', 'pcr/t1', 'pcr/t2'),
    'pcr-own_r101': _of('pcr', 'pcr/t3'),
    'cps_r101': _of('cps', 'brpg/t4'),
    'cps-own_r101': _of('cps', 'cps/voc', 'cps/city', 'pps/t3'),
    'cps-nocutmix-own_r101': _of('cps-nocutmix', 'cps/voc'),
    'fixmatch-own_r101': _of('fixmatch', 'brpg/t10'),
    'unimatch-own_r101': [
        *_of('unimatch', 'unimatch/voc', 'unimatch/city',
             'unimatch/logs-513'),
        *(('unimatch/logs-blended', f'run{n}') for n in (1, 2, 3))
    ],
    'unimatch-own_xception65': _of('unimatch', 'unimatch/coco'),
    'cmb-own_v2-r101': _of('cmb', 'cmb/t2', 'cmb/t3', 'cmb/t4'),
    'cmb-own_v2-r101-coco': _of('cmb-coco', 'cmb/t2', 'cmb/t3'),
    'cmb-own_v3plus-r50': _of('cmb-v3plus', 'cmb/t3'),
    'cmb-ssda-own_v2-r101': _of('cmb-ssda', 'cmb/t4'),
    'pps-own_r101': _of('pps', 'pps/t1', 'pps/t2', 'pps/t3'),
    'rc2l-own_r101': _of('rc2l', 'rc2l/t1', 'rc2l/t2'),
    'rc2l-own_r101-coco': _of('rc2l', 'rc2l/t1', 'rc2l/t2'),
}  # yapf: disable
FAMILY_TITLES = {
    'voc': 'PASCAL VOC 2012, classic lists',
    'voc-blended': "PASCAL VOC 2012, U2PL's blended lists",
    'voc-blended-cps': "PASCAL VOC 2012, CPS' blended lists",
    'voc-pseudoseg': 'PASCAL VOC 2012, the 1,464 images alone',
    'voc-cmb': "PASCAL VOC 2012, CMB's lists",
    'city': "Cityscapes, U2PL's lists",
    'city-cps': "Cityscapes, CPS' lists",
    'city-cmb': "Cityscapes, CMB's lists",
    'coco': 'COCO, 81 classes',
}
NETWORK_TITLES = {
    'r101': 'ResNet-101',
    'r101-cps': "ResNet-101, CPS' DeepLabV3+",
    'r101-unimatch': "ResNet-101, UniMatch's DeepLabV3+",
    'segformer-b4': 'SegFormer-B4',
    'xception65': 'Xception-65',
    'xception65-unimatch': "Xception-65, UniMatch's DeepLabV3+",
    'v2-r101': 'DeepLabV2, ImageNet weights',
    'v2-r101-coco': 'DeepLabV2, COCO weights',
    'v3plus-r50': 'DeepLabV3+ with ResNet-50',
    'maskformer-r101': 'MaskFormer, ImageNet weights',
    'maskformer-r101-coco': 'MaskFormer, COCO weights',
}
_HEAD = ('| config | list | SHA-256 | published | ours, last | best | seed '
         '| s/iter |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n')
_OURS = ('ours', 'ours, last', 'best', 'seed', 's/iter')


def _stem(leaf: Leaf) -> str:
    """``cps-own_r101`` of ``cps-own_r101_voc-pseudoseg_92``."""
    return '_'.join(leaf.name.split('_')[:2])


def _figures(leaf: Leaf, published: Published) -> List[Figure]:
    wanted = PUBLISHED_ROWS.get(_stem(leaf), [])
    return [
        figure for figure in published.figures.values()
        if tuple(figure.id.rsplit('/', 2)[:2]) in wanted and figure.labels ==
        leaf.labels and figure.protocol == leaf.family.name
    ]


def published_cell(leaf: Leaf, published: Published) -> str:
    figures = _figures(leaf, published)
    if not figures:
        return '-'
    names = {
        f'{published.papers[f.paper]["name"]}, {f.table}': None
        for f in figures
    }
    return (' / '.join(f.text for f in figures) +
            f' ({"; ".join(names)})').replace(', paper)', ')')


def _link(leaf: Leaf) -> str:
    return f'[{leaf.name}](./{leaf.path.split("/", 1)[1]}.py)'


def _row(leaf: Leaf, published: Published) -> str:
    name = leaf.family.lists[leaf.labels]
    digest = SPLITS[name]['sha256']
    shown = f'`{digest[:8]}`' if digest else '-'
    return (f'| {_link(leaf)} | {name} | {shown} | '
            f'{published_cell(leaf, published)} | not yet run | not yet run | '
            '- | - |\n')


def results(leaves: List[Leaf], published: Published) -> str:
    """All configs that start from bases, a table for lists and networks."""
    text = ''
    for title, own in (('The common protocol', False),
                       ("The paper's own protocol", True)):
        rows = [
            leaf for leaf in leaves
            if leaf.family and not isinstance(leaf.bases, str) and (
                '-own_' in leaf.name) == own and not leaf.name.endswith(
                    '_official') and leaf.network != 'r101-stock'
        ]
        if not rows:
            continue
        text += f'\n### {title}\n'
        rows.sort(key=_order)
        for (family, network, method), group in groupby(rows, _order_of_table):
            what = '' if len({_method(r) for r in rows}) == 1 else \
                f'{method}: '
            text += (f'\n#### {what}{FAMILY_TITLES[family]}, '
                     f'{NETWORK_TITLES[network]}\n\n{_HEAD}')
            text += ''.join(_row(leaf, published) for leaf in group)
    variants = [
        leaf for leaf in leaves
        if leaf.network == 'r101-stock' or leaf.name.endswith('_official')
    ]
    if variants:
        text += ('\n### Variants\n\n| config | what | ours |\n| --- | --- | '
                 '--- |\n')
        for leaf in variants:
            what = "MMSegmentation's own DeepLabV3+" if leaf.network == \
                'r101-stock' else 'what made the published numbers'
            text += f'| {_link(leaf)} | {what} | not yet run |\n'
    return text.lstrip('\n')


def _method(leaf: Leaf) -> str:
    return leaf.name.split('_')[0]


def _order_of_table(leaf: Leaf) -> Tuple[str, str, str]:
    return leaf.family.name, leaf.network, _method(leaf)


def _order(leaf: Leaf):
    families = list(FAMILIES)
    networks = list(NETWORK_TITLES)
    return (networks.index(leaf.network), _method(leaf),
            families.index(leaf.family.name), leaf.labels)


def differences(folder: str) -> str:
    text = ('| what | paper | authors\' code | the configs | `_official` |\n'
            '| --- | --- | --- | --- | --- |\n')
    return text + ''.join('| ' + ' | '.join(row) + ' |\n'
                          for row in DIFFERENCES[folder])


def replace(text: str, name: str, new: str) -> str:
    """The text with ``new`` between the marks of ``name``."""
    begin, end = f'<!-- begin {name} -->', f'<!-- end {name} -->'
    if begin not in text or end not in text:
        raise ValueError(f'The marks of {name!r} are missing: put {begin} and '
                         f'{end} where the table shall stand.')
    head, rest = text.split(begin, 1)
    return f'{head}{begin}\n{new}{end}{rest.split(end, 1)[1]}'


def with_results(new: str, old: str) -> str:
    """``new`` with the cells of results that ``old`` has."""
    kept: Dict[Tuple[str, str], str] = {}
    _cells(old, lambda link, column, cell: kept.setdefault(
        (link, column), cell))
    return _cells(new, lambda link, column, cell: kept.get(
        (link, column), cell))


def _cells(text: str, change) -> str:
    lines, header = text.split('\n'), []
    for i, line in enumerate(lines):
        if not line.startswith('|'):
            header = []
            continue
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        link = re.match(r'\[[^\]]*\]\(([^)]*)\)', cells[0])
        if not header:
            header = cells
        elif link and len(cells) == len(header):
            lines[i] = '| ' + ' | '.join(
                change(link[1], column, cell) if column in _OURS else cell
                for column, cell in zip(header, cells)) + ' |'
    return '\n'.join(lines)


def files(leaves: List[Leaf], root: Path) -> Dict[str, str]:
    """Text by path below ``root``."""
    published = Published()
    found = {}
    for folder in sorted({leaf.folder for leaf in leaves}):
        mine = [leaf for leaf in leaves if leaf.folder == folder]
        path = f'configs/{folder}/README.md'
        old = (root / path).read_text('utf-8')
        text = replace(old, 'results', results(mine, published))
        if folder in DIFFERENCES:
            text = replace(text, 'paper and code', differences(folder))
        found[path] = with_results(text, old)
    return found
