# Copyright (c) mmseg_semi authors.
import math

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS

from .scores import score_of

_STATE_KEY = 'patience'


@HOOKS.register_module()
class PatienceHook(Hook):
    """End a training that no longer gets better.

    As mmengine's ``EarlyStoppingHook``, but how long it has waited is part of
    the checkpoint, an equal score is no better one, and a test does not build
    the training.

    Args:
        patience (int): Validations in a row without a better score.
        metric (str): Score of the validation, more is better. Defaults to
            ``mIoU``.

    Raises:
        ValueError: If ``patience`` is below 1.
    """

    # After SemiCheckpointHook has saved the best weights.
    priority = 'LOWEST'

    def __init__(self, patience: int, metric: str = 'mIoU') -> None:
        if patience < 1:
            raise ValueError('PatienceHook: patience counts validations, at '
                             f'least 1; got {patience}.')
        self.patience, self.metric = patience, metric
        self._state = dict(best=-math.inf, iteration=0, waited=0)
        self._training = False

    def before_train(self, runner) -> None:
        """A validation from now on is one of the training."""
        self._training = True

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Count, and stop when it is enough."""
        if not self._training:
            return
        state = self._state
        score = score_of(metrics, self.metric, type(self).__name__)
        if score > state['best']:
            state.update(best=score, iteration=runner.iter, waited=0)
            return
        state['waited'] += 1
        if state['waited'] >= self.patience:
            runner.train_loop.stop_training = True
            print_log(
                f'{self.metric} has not been above {state["best"]:.2f} of '
                f'iteration {state["iteration"]} for {state["waited"]} '
                f'validations: training stops at iteration {runner.iter} of '
                f'{runner.max_iters}.',
                logger='current')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store how long it has waited."""
        checkpoint[_STATE_KEY] = dict(self._state)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Go on waiting, if that run goes on."""
        if runner._resume:
            self._state.update(checkpoint.get(_STATE_KEY) or {})
