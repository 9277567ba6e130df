# Copyright (c) mmseg_semi authors.
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmseg.registry import HOOKS

from ..checks import check_loop
from ..unwrap import unwrap


@HOOKS.register_module()
class EMATeacherHook(Hook):
    """Move the teacher once per optimizer step that was really taken.

    Called per iteration instead, an average of momentum 0.99 becomes one of
    0.961 under fourfold gradient accumulation, and goes on while the loss
    scaler of mixed precision skips steps. So the hook listens to the
    optimizer: after an iteration with a step it calls the model's
    ``update_teacher()``, which knows momentum, ramp and buffer policy.

    It runs before the hooks that log and save.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self._stepped = False
        self._handles = []

    def before_train(self, runner) -> None:
        """Attach to the optimizers.

        Args:
            runner (Runner): The runner.

        Raises:
            TypeError: If the model has no teacher to update, or an optimizer
                is not a ``torch.optim.Optimizer``.
            ValueError: If the training loop would never end.
        """
        check_loop(runner)
        model = unwrap(runner.model)
        if not callable(getattr(model, 'update_teacher', None)):
            raise TypeError(
                f'EMATeacherHook: {type(model).__name__} has no '
                '`update_teacher()`, so there is no teacher to move. Remove '
                "dict(type='EMATeacherHook') from custom_hooks, or choose a "
                'framework with an EMA teacher.')
        self._detach()
        self._stepped = False
        for optimizer in _optimizers(runner.optim_wrapper):
            if not hasattr(optimizer, 'register_step_post_hook'):
                raise TypeError(
                    f'EMATeacherHook: {type(optimizer).__name__} is no '
                    'torch.optim.Optimizer, so it cannot be known when it '
                    'really stepped. Use one that is.')
            self._handles.append(
                optimizer.register_step_post_hook(self._note_step))

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs=None) -> None:
        """Update the teacher if an optimizer stepped in this iteration."""
        if self._stepped:
            self._stepped = False
            unwrap(runner.model).update_teacher()

    def after_train(self, runner) -> None:
        """Let go of the optimizers."""
        self._detach()

    def _note_step(self, optimizer, args, kwargs) -> None:
        # GradScaler does not call `step` when gradients overflowed, except
        # that of a fused optimizer, which gets `found_inf` and does nothing
        # by itself. Only then a device value is read here; GradScaler reads
        # one per step for every other optimizer.
        found_inf = getattr(optimizer, 'found_inf', None)
        if found_inf is None or not found_inf.item():
            self._stepped = True

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _optimizers(optim_wrapper) -> list:
    if isinstance(optim_wrapper, OptimWrapperDict):
        return [wrapper.optimizer for wrapper in optim_wrapper.values()]
    return [optim_wrapper.optimizer]
