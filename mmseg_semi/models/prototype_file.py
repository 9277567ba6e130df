# Copyright (c) mmseg_semi authors.
"""A file of class prototypes, to start a training from (PCR, Algorithm 2).

Tensors and plain values only, so that it is read without running code.
"""
import os
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor

FORMAT = 'mmseg_semi prototypes 1'
TOOL = 'tools/misc/init_prototypes.py'


def save_prototypes(path: str, prototypes: Tensor, valid: Tensor,
                    classes: Sequence[str], **source: str) -> None:
    """Write prototypes; an interrupted write leaves no half file.

    Args:
        path (str): Missing folders are made.
        prototypes (Tensor): (C, K, D), floating point.
        valid (Tensor): (C, K) bool.
        classes (Sequence[str]): C names, in the order of the class ids.
        **source (str): Where they come from (config, checkpoint, ...).
    """
    content = dict(
        format=FORMAT,
        prototypes=prototypes.detach().float().cpu(),
        valid=valid.cpu(),
        classes=list(classes),
        source=source)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    torch.save(content, partial)
    partial.replace(path)


def load_prototypes(
        path: str,
        shape: Tuple[int, int, int],
        classes: Optional[Sequence[str]] = None) -> Tuple[Tensor, Tensor]:
    """Read prototypes for a model.

    Args:
        path (str): A file of :func:`save_prototypes`.
        shape (tuple[int, int, int]): (C, K, D) of the model.
        classes (Sequence[str], optional): Of the training set; None skips
            the comparison of the names.

    Returns:
        tuple[Tensor, Tensor]: prototypes (C, K, D) fp32 and valid (C, K).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, or its shape or classes are others.
    """
    content = _read(path)
    prototypes, valid = content['prototypes'], content['valid']
    found = tuple(prototypes.shape)
    names = ('classes', 'prototypes per class', 'feature channels')
    wrong = [
        f'{a} {name}, the model has {b}'
        for name, a, b in zip(names, found, shape) if a != b
    ]
    if wrong:
        raise ValueError(
            f'{path} holds {"; ".join(wrong)}. Make a file for this model '
            f'with {TOOL}, or set `num_prototypes` and `head.in_channels` of '
            'the term to those of the file.')
    if classes is not None:
        _compare_classes(path, content['classes'], classes)
    if not bool(prototypes[valid].isfinite().all()):
        raise ValueError(f'{path} holds values that are not finite: make it '
                         f'again with {TOOL}.')
    absent = [
        content['classes'][c] for c in range(len(valid)) if not valid[c].any()
    ]
    if len(absent) == len(valid):
        raise ValueError(f'{path} holds no prototype for any class.')
    print_log(
        f'Prototypes: {int(valid.sum())} over {len(valid)} classes from '
        f'{path}' + (f'; {absent} have none and take no part in the '
                     'prototype loss' if absent else ''), 'current')
    return prototypes, valid


def _read(path: str) -> dict:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'There is no prototype file {path}. Make it from a supervised '
            f'model, python {TOOL} CONFIG CHECKPOINT --out {path}, or set '
            '`prototypes` of the term to None to sample within the training.')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
        known = dict(content)['format'] == FORMAT
    except Exception as error:  # whatever else the file may be
        raise ValueError(f'{path} is not a prototype file: make one with '
                         f'{TOOL}.') from error
    if not known:
        raise ValueError(f'{path} has the format {content["format"]!r}, this '
                         f'version reads {FORMAT!r}: make it again with '
                         f'{TOOL}.')
    return content


def _compare_classes(path: str, found: List[str],
                     expected: Sequence[str]) -> None:
    """The order of the names is the order of the ids."""
    pairs = list(zip(found, expected))
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if first is None:
        return
    same = 'in another order' if sorted(found) == sorted(
        expected) else 'of other classes'
    raise ValueError(
        f'{path} holds prototypes {same}: class {first} is '
        f'{found[first]!r} there and {expected[first]!r} in the training '
        f'set. Make it again with {TOOL} on this data set.')
