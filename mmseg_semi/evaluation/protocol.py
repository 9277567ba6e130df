# Copyright (c) mmseg_semi authors.
"""The name of what an evaluation scores."""
from typing import Iterator

WHOLE = 'whole'


def _transforms(node) -> Iterator[dict]:
    """Every dict with a type below a part of a config."""
    if isinstance(node, dict):
        if 'type' in node:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _transforms(child)


def evaluation_protocol(cfg: dict, loader: str = 'val_dataloader') -> str:
    """What a config scores: scores of different protocols do not compare.

    Args:
        cfg (dict): A whole config. ``eval_protocol`` in it must agree with
            its pipeline; without it the pipeline decides.
        loader (str): ``val_dataloader`` or ``test_dataloader``.

    Returns:
        str: 'whole', or 'padded-513' where :class:`PadCenterCrop` gives all
        images one size ('padded-300x400' where it is no square).

    Raises:
        ValueError: The config states another protocol than it has, or
            crops twice.
    """
    found = set()
    for step in _transforms(cfg.get(loader) or {}):
        name = step['type']
        name = name if isinstance(name, str) else name.__name__
        if name.rsplit('.')[-1] == 'PadCenterCrop':
            size = step['crop_size']
            size = (size, size) if isinstance(size, int) else tuple(size)
            found.add(f'{size[0]}' if size[0] ==
                      size[1] else f'{size[0]}x{size[1]}')
    if len(found) > 1:
        raise ValueError(f'{loader} has PadCenterCrop to {sorted(found)}: '
                         'keep one of them.')
    protocol = f'padded-{found.pop()}' if found else WHOLE
    stated = cfg.get('eval_protocol', protocol)
    if stated != protocol:
        raise ValueError(
            f'The config states eval_protocol={stated!r} but the pipeline of '
            f'{loader} is {protocol!r}: set {loader}.dataset.pipeline to the '
            f'eval_pipeline of configs/_base_/protocols/eval_{stated}.py, or '
            f'eval_protocol={protocol!r}.')
    return protocol
