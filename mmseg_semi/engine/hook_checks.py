# Copyright (c) mmseg_semi authors.
"""Hooks that would not do what they are there for, found before training."""
from collections.abc import Sequence

from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmseg.evaluation import IoUMetric

from .hooks.patience_hook import PatienceHook

_SCORES = dict(
    mIoU=('mIoU', 'mAcc'),
    mDice=('mDice', 'mAcc'),
    mFscore=('mFscore', 'mPrecision', 'mRecall'))


def check_epoch_hooks(hooks: Sequence[Hook]) -> None:
    """A training that counts iterations has no epochs to save after.

    Args:
        hooks (Sequence[Hook]): Of the runner.

    Raises:
        ValueError: If checkpoints are to be written after epochs: there
            would be one, at the end.
    """
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.by_epoch:
            raise ValueError(
                f'default_hooks.checkpoint ({type(hook).__name__}) counts '
                'epochs (by_epoch=True, its default), but this training '
                'counts iterations: only the end would be saved. Set '
                f'by_epoch=False, and interval ({hook.interval}) in '
                'iterations.')


def check_scores(hooks: Sequence[Hook], evaluator: Evaluator | None) -> None:
    """What decides which checkpoint is best must be among the scores.

    Args:
        hooks (Sequence[Hook]): Of the runner.
        evaluator (Evaluator, optional): Of the validation. Nothing is checked
            if it has a metric whose scores are not known beforehand.

    Raises:
        ValueError: If a hook asks for a score that nothing computes.
    """
    known = _scores(evaluator)
    if not known:
        return
    for hook in hooks:
        for setting, wanted in _wanted(hook):
            if wanted not in known:
                raise ValueError(
                    f'{type(hook).__name__} has {setting}={wanted!r}, but '
                    f'val_evaluator computes {", ".join(known)}. Set '
                    f'{setting} to one of them, or iou_metrics of '
                    'val_evaluator.')


def _scores(evaluator: Evaluator | None) -> list[str]:
    """Names of all scores; empty if they are not known."""
    names = []
    for metric in getattr(evaluator, 'metrics', ()):
        if type(metric) is not IoUMetric or not set(
                metric.metrics) <= set(_SCORES) or metric.format_only:
            return []
        prefix = f'{metric.prefix}/' if metric.prefix else ''
        found = ['aAcc'] + [s for m in metric.metrics for s in _SCORES[m]]
        names += [prefix + name for name in found]
    return list(dict.fromkeys(names))


def _wanted(hook: Hook) -> list[tuple[str, str]]:
    """Setting and score that a hook looks at."""
    if isinstance(hook, CheckpointHook):
        names = getattr(hook, 'key_indicators', None) or ()
        return [('save_best', name) for name in names if name != 'auto']
    if isinstance(hook, EarlyStoppingHook):
        return [('monitor', hook.monitor)]
    if isinstance(hook, PatienceHook):
        return [('metric', hook.metric)]
    return []
