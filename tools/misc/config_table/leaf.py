# Copyright (c) mmseg_semi authors.
"""One config of the table and its text."""
import os.path as osp
import re
import textwrap
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple, Union

from yapf.yapflib.yapf_api import FormatCode

from .families import ROOT, Family


class Code(str):
    """An expression of the config, written as it stands."""


@dataclass
class Leaf:
    """A config below ``configs/``.

    Args:
        path (str): ``<folder>/<name>`` without suffix.
        bases (str | list[str]): What it inherits; paths below ``configs/``.
        data (str): Data set: ``voc``, ``city``, ``coco``, ``digits``.
        network (str): Key of :data:`metafiles.ARCHITECTURES`.
        counts (tuple[int, int]): Labelled and unlabelled images of one
            iteration over all processes.
        note (str): Comment below the bases.
        setup (list[str]): Lines before the settings.
        config (dict): The settings, top-level name to value.
        family (Family, optional): Its lists.
        labels (int): Labelled images.
    """
    path: str
    bases: Union[str, List[str]]
    data: str
    network: str
    counts: Tuple[int, int]
    note: str = ''
    setup: List[str] = field(default_factory=list)
    config: Dict[str, object] = field(default_factory=dict)
    family: Optional[Family] = None
    labels: int = 0

    @property
    def folder(self) -> str:
        return self.path.split('/')[0]

    @property
    def name(self) -> str:
        return self.path.rsplit('/', 1)[-1]

    def text(self) -> str:
        here = osp.dirname(self.path)
        lines = [f'_base_ = {_quoted(self.bases, here)}']
        if self.note:
            lines += textwrap.wrap(
                self.note, 79, initial_indent='# ', subsequent_indent='# ')
        lines += self.setup
        lines += [f'{k} = {render(v)}' for k, v in self.config.items()]
        return tidy('\n'.join(lines) + '\n')


def _quoted(bases: Union[str, List[str]], here: str) -> str:
    if isinstance(bases, str):
        return repr(_relative(bases, here))
    return '[' + ', '.join(repr(_relative(b, here)) for b in bases) + ']'


def _relative(base: str, here: str) -> str:
    path = osp.relpath(f'{base}.py', here)
    return path if path.startswith('.') else f'./{path}'


def render(value: object) -> str:
    """The value as the configs write it: dict(a=1), not {'a': 1}."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, dict):
        if all(re.fullmatch(r'[A-Za-z_]\w*', k) for k in value):
            return 'dict(' + ', '.join(f'{k}={render(v)}'
                                       for k, v in value.items()) + ')'
        return '{' + ', '.join(f'{k!r}: {render(v)}'
                               for k, v in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(render(v) for v in value) + ']'
    if isinstance(value, tuple):
        inner = ', '.join(render(v) for v in value)
        return f'({inner},)' if len(value) == 1 else f'({inner})'
    return repr(value)


def tidy(text: str) -> str:
    return FormatCode(text, style_config=str(ROOT / 'setup.cfg'))[0]


def merged(*parts: dict) -> dict:
    """Nested dicts joined; later ones win."""
    result: dict = {}
    for part in parts:
        for key, value in part.items():
            old = result.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                value = merged(old, value)
            result[key] = value
    return result


def on_top(leaves: Dict[str, Leaf],
           base: str,
           name: str,
           note: str,
           folder: str = '',
           setup: List[str] = (),
           extra_base: str = '',
           counts: Tuple[int, int] = None,
           **config: object) -> Leaf:
    """A leaf named ``name`` on ``base``, in ``folder`` of its method."""
    parent = leaves[base]
    path = f'{parent.folder}/{folder}{name}'
    return Leaf(
        path=path,
        bases=[base, extra_base] if extra_base else base,
        data=parent.data,
        network=parent.network,
        counts=counts or parent.counts,
        note=note,
        setup=list(setup),
        config=config,
        family=parent.family,
        labels=parent.labels)
