# Copyright (c) mmseg_semi authors.
"""Pipelines of MMSegmentation's configs in a semi-supervised training."""
from collections.abc import Iterator

from mmengine.logging import print_log

_PACKERS = ('PackSegInputs', 'PackSemiInputs')


def branch_labelled(labeled: dict, unlabeled: dict | None) -> None:
    """Let labelled pipelines that end with a packer make the branch ``sup``.

    A pipeline of MMSegmentation's own configs returns one view of an image
    without a name; a training of this package has named ones.

    Args:
        labeled (dict): Config of a data set, of a wrapper or of a
            concatenation; changed in place.
        unlabeled (dict, optional): Config of the unlabelled set, whose
            branches the labelled samples must name, too.
    """
    branches = ['sup'] if unlabeled is None else _branches(unlabeled)
    if not branches:  # plain samples of both, for a model of another kind
        return
    for cfg in _outermost(labeled):
        last = cfg['pipeline'][-1]
        if isinstance(last, dict) and str(
                last.get('type')).rpartition('.')[2] in _PACKERS:
            cfg['pipeline'] = [
                *cfg['pipeline'][:-1],
                dict(type='MultiBranch', branch_field=branches, sup=[last])
            ]
            print_log(
                f'A labelled pipeline ends with {last["type"]}: its images '
                'become the branch "sup".', 'current')


def _branches(unlabeled: dict) -> list[str]:
    """Those that the unlabelled pipeline names; empty if it names none."""
    pipeline = unlabeled.get('pipeline') if isinstance(unlabeled,
                                                       dict) else None
    last = pipeline[-1] if pipeline else None
    return last.get('branch_field', []) if isinstance(last, dict) else []


def _outermost(cfg: dict) -> Iterator[dict]:
    """The configs whose pipelines come last."""
    if cfg.get('pipeline'):
        yield cfg
    elif 'datasets' in cfg:
        for inner in cfg['datasets']:
            yield from _outermost(inner)
    elif 'dataset' in cfg:
        yield from _outermost(cfg['dataset'])
