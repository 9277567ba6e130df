# Copyright (c) mmseg_semi authors.
import logging
from typing import Optional

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS

from ..unwrap import unwrap
from .scores import score_of

STATE_KEY = 'best_weights'


@HOOKS.register_module()
class BestWeightsHook(Hook):
    """Go back to the best weights when validation stops improving (CMB).

    After ``patience`` iterations without a better score the student gets the
    weights it had at its best validation, and the teacher becomes a copy of
    it. The optimizer keeps its momentum, memory and counters stay, and the
    patience begins anew. Off unless it is listed in ``custom_hooks``.

    The best weights are part of every checkpoint, which grows by those of
    one network: a resumed run goes back when the undisturbed one would.

    Args:
        patience (int, optional): Iterations. Defaults to None: a fifth of
            the training, as in the official code.
        metric (str): Score of the validation, more is better. Defaults to
            ``mIoU``.
    """

    def __init__(self,
                 patience: Optional[int] = None,
                 metric: str = 'mIoU') -> None:
        if patience is not None and patience < 1:
            raise ValueError('BestWeightsHook: patience counts iterations, at '
                             f'least 1; got {patience}.')
        self.patience, self.metric = patience, metric
        self._best: Optional[dict] = None

    def before_train(self, runner) -> None:
        """Refuse what has no student that is validated, and no teacher."""
        model = unwrap(runner.model)
        if getattr(model, 'predict_with', None) != 'student' or not callable(
                getattr(model, 'restart_teacher', None)):
            raise TypeError(
                'BestWeightsHook goes back to the weights of a student that '
                'is validated, and makes the teacher a copy of it: it needs '
                f'MeanTeacher(predict_with="student"), not '
                f'{type(model).__name__} predicting with '
                f'{getattr(model, "predict_with", None)!r}.')

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Keep the weights if they are the best so far, or go back."""
        score = score_of(metrics, self.metric, type(self).__name__)
        model, now = unwrap(runner.model), runner.iter
        if self._best is None or score > self._best['score']:
            self._best = dict(
                score=score, iter=now, since=now, weights=_copy(model.student))
            return
        patience = self.patience or max(runner.max_iters // 5, 1)
        if now - self._best['since'] < patience:
            return
        print_log(
            f'No better {self.metric} for {now - self._best["since"]} '
            f'iterations: back to the weights of iteration '
            f'{self._best["iter"]} ({self._best["score"]:.2f}).',
            logger='current',
            level=logging.WARNING)
        model.student.load_state_dict(self._best['weights'])
        model.restart_teacher()
        self._best['since'] = now

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the best weights so far."""
        if self._best is not None:
            checkpoint[STATE_KEY] = dict(self._best)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take them back, if that run goes on."""
        best = checkpoint.get(STATE_KEY)
        if runner._resume and best is not None:
            weights = {k: v.cpu() for k, v in best['weights'].items()}
            self._best = dict(best, weights=weights)


@torch.no_grad()
def _copy(net: torch.nn.Module) -> dict:
    """The state of a network, on the CPU."""
    return {
        name: value.detach().to('cpu', copy=True)
        for name, value in net.state_dict().items()
    }
