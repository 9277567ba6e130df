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


def check_phases(memory_start: int, contrast_start: int) -> None:
    """Memory fills before the loss compares with it."""
    if not 0 <= memory_start <= contrast_start:
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
