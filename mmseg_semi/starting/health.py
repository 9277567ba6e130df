# Copyright (c) mmseg_semi authors.
"""Why unlabelled images may not have helped, from what was logged."""
from collections.abc import Sequence

import numpy as np

Log = dict[str, tuple[np.ndarray, np.ndarray]]

# Shares of the unlabelled pixels that were learned from.
_KEPT = ('pseudo/keep_ratio', 'pseudo/confident_ratio')
_CONFIDENCE, _AGREEMENT = 'pseudo/confidence', 'pseudo/agreement'
_FEW_KEPT, _UNSURE, _SAME = 0.05, 0.6, 0.995
_SHORT, _RISING = 1000, 1.0
_POOR, _FULL = 30.0, 90.0


def likely_reasons(log: Log, method_miou: float,
                   supervised_miou: float) -> list[str]:
    """What the log of a semi-supervised training hints at.

    Args:
        log (Log): Of :func:`.read_log`.
        method_miou (float): Score of the method, in percent.
        supervised_miou (float): Score of its supervised twin, in percent.

    Returns:
        list[str]: Sentences, the likeliest first; empty if all looks well.
    """
    if not log:
        return ['There is no log of the training, so no reason can be seen.']
    reasons = [*_unlabelled_loss(log), *_pseudo_labels(log)]
    reasons += _levels(method_miou, supervised_miou)
    # Of a trial the others are symptoms.
    return [*_trial(log), *reasons, *_rising(log)]


def collapse(classes: Sequence[str], iou: Sequence[float | None],
             supervised: Sequence[float | None]) -> list[str]:
    """Whether a model predicts one class alone.

    Args:
        classes (Sequence[str]): Names.
        iou (Sequence[float | None]): Of every class, in percent; None where
            it is in no label.
        supervised (Sequence[float | None]): Those of its supervised twin.

    Returns:
        list[str]: A sentence, if it does and labels have more classes.
    """
    seen, before = ([name for name, value in zip(classes, found) if value]
                    for found in (iou, supervised))
    if len(seen) != 1 or sum(value is not None for value in iou) < 2:
        return []
    if before == seen:
        return [
            f'Both models predict {seen[0]} alone: nothing else was learned '
            'yet, from labels either. Train longer.'
        ]
    return [
        f'The model predicts {seen[0]} alone: pseudo-labels taught it the '
        'largest class before it knew the others. Train longer, or longer on '
        'labels alone at first (model.burn_in, a share below 1).'
    ]


def wrong_labels(gate: dict | None) -> list[str]:
    """Whether pseudo-labels were found to be often wrong.

    Args:
        gate (dict, optional): What :class:`.PrecisionGateHook` has measured.

    Returns:
        list[str]: A sentence, if there were alarms.
    """
    if not gate or not gate['alarms']:
        return []
    own, suggested = gate['threshold'], gate['suggested']
    remedy = 'Train longer on labels alone (model.burn_in), or label more.'
    if own is not None and suggested is not None and suggested > own:
        remedy = f'Try model.terms.consistency.threshold={suggested:g}.'
    return [' '.join([*gate['alarms'], remedy])]


def _unlabelled_loss(log: Log) -> list[str]:
    losses = [
        name for name in log
        if name.split('.')[-1].startswith('loss_') and 'unsup' in name
    ]
    known = losses + [name for name in _KEPT if name in log]
    if known and any((log[name][1] > 0).any() for name in known):
        return []
    if any(name.startswith(('pseudo/', 'proto/')) for name in log):
        return []
    return [
        'The unlabelled images were never learned from: no loss of theirs '
        'was logged above 0. The supervised start (model.burn_in) may be as '
        'long as the training, or pseudo-labels are never sure enough.'
    ]


def _pseudo_labels(log: Log) -> list[str]:
    reasons = []
    kept = next((_late(log, name) for name in _KEPT if name in log), None)
    sure, same = _late(log, _CONFIDENCE), _late(log, _AGREEMENT)
    if kept is not None and kept < _FEW_KEPT:
        reasons.append(
            f'Only {kept:.1%} of the unlabelled pixels were sure enough to '
            'learn from. Train longer, or lower '
            'model.terms.consistency.threshold.')
    if sure is not None and sure < _UNSURE:
        reasons.append(
            f'Pseudo-labels were unsure (mean confidence {sure:.2f}), so '
            'many of them are wrong. Train longer or add labels.')
    if same is not None and same > _SAME:
        reasons.append(
            f'The pseudo-labels say what the student predicts already '
            f'({same:.1%} of the pixels), so there is little to learn from '
            'them: stronger augmentation makes a difference.')
    return reasons


def _levels(method: float, supervised: float) -> list[str]:
    if supervised > _FULL:
        return [
            f'The labels alone reach {supervised:.1f}: little is left to gain.'
        ]
    if max(method, supervised) < _POOR:
        return [
            f'Both models are poor (below {_POOR:.0f}), so most pseudo-labels '
            'are wrong. Train longer, start from pretrained weights, or add '
            'labels.'
        ]
    return []


def _trial(log: Log) -> list[str]:
    last = max((points[0].max() for points in log.values()), default=0)
    if last >= _SHORT:
        return []
    return [
        f'{last} iterations are a trial, not a training: methods with a '
        'teacher need longer than supervised ones. Take --iters 1000 or more.'
    ]


def _rising(log: Log) -> list[str]:
    scores = log.get('mIoU', (np.zeros(0), np.zeros(0)))[1]
    if _trial(log) or len(scores) <= 3:
        return []
    if scores[-1] - scores[len(scores) * 2 // 3] <= _RISING:
        return []
    return ['The score was still rising at the end: train longer.']


def _late(log: Log, name: str) -> float | None:
    """Mean over the last third, where a training shows what it came to."""
    if name not in log:
        return None
    values = log[name][1]
    return float(values[len(values) * 2 // 3:].mean())
