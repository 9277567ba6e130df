# Copyright (c) mmseg_semi authors.
"""Checks of the options of :class:`CMB`; wrong ones fail before training."""
from numbers import Integral, Real
from typing import Optional, Sequence

SELECTIONS = ('highest', 'lowest', 'random')


def check_choices(**chosen: str) -> None:
    """Each of ``memory_network``, ``memory_select`` and ``rank_with``."""
    known = dict(
        memory_network=('teacher', 'student'),
        memory_select=SELECTIONS,
        rank_with=('memory', 'feature'))
    for name, value in chosen.items():
        if value not in known[name]:
            raise ValueError(f'CMB: {name}={value!r} is unknown: use one of '
                             f'{known[name]}.')


def contrast_head(head: Optional[dict], class_attention: bool,
                  memory_attention: bool) -> dict:
    """Options of the head, which has the selectors that are trained."""
    selectors = dict(
        selectors=class_attention, memory_selectors=memory_attention)
    given = sorted(set(selectors) & set(head or {}))
    if given:
        raise ValueError(f'CMB: head.{given[0]} follows from '
                         'class_attention and memory_attention: set these.')
    return dict(head or {}, **selectors)


def check_phases(memory_start: Optional[int],
                 contrast_start: Optional[int]) -> None:
    """Memory fills before the loss compares with it; None fits."""
    starts = [s for s in (memory_start, contrast_start) if s is not None]
    if starts and not 0 <= starts[0] <= starts[-1]:
        raise ValueError(
            f'CMB: memory_start={memory_start} must not be negative and '
            f'not come after contrast_start={contrast_start}.')


def check_memory(capacity: int, threshold: float,
                 feat_stride: Optional[int]) -> None:
    """What decides which features memory holds."""
    if not _integer(capacity) or capacity < 2:
        raise ValueError(
            f'CMB: capacity={capacity!r} must be an integer of at least 2: '
            'a class with fewer vectors in memory has no loss.')
    if not _number(threshold) or not 0 <= threshold < 1:
        raise ValueError(
            f'CMB: threshold={threshold!r} must be in [0, 1): no confidence '
            'exceeds 1.')
    if feat_stride is not None and (not _integer(feat_stride)
                                    or feat_stride < 1):
        raise ValueError(
            f'CMB: feat_stride={feat_stride!r} must be an integer of at '
            "least 1, or None for the network's own.")


def check_loss_weight(loss_weight: Sequence[float]) -> None:
    """One for labelled and one for unlabelled features."""
    fits = isinstance(loss_weight,
                      (tuple, list)) and len(loss_weight) == 2 and all(
                          _number(weight) and weight >= 0
                          for weight in loss_weight)
    if not fits:
        raise ValueError(
            f'CMB: loss_weight={loss_weight!r} must be two numbers of at '
            'least 0, the weights of labelled and of unlabelled features, '
            'for example (0.1, 0.1).')


def _integer(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
