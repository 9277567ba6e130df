# Copyright (c) mmseg_semi authors.
import logging
import os.path as osp
from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop
from mmseg.registry import HOOKS

from ...dist import call_on_main
from ...models.loss_watch import check_weights_finite
from ..atomic import TEMPORARY_SUFFIX, write_atomically
from ..checkpoint import (check_checkpoint, check_resumable, check_weights_fit,
                          find_resumable_checkpoint, plain_checkpoint)
from ..checks import check_loop
from ..norm_stats import average_norm_stats
from ..plain import from_plain
from ..record import RECORD_KEY, VALIDATED_KEY, training_record
from ..unwrap import unwrap
from ..work_dir import claim, release


@HOOKS.register_module()
class SemiCheckpointHook(CheckpointHook):
    """Checkpoints that survive a kill and load without trust.

    A drop-in for mmengine's hook, with the same arguments. It differs so:

    - Files appear whole or not at all, and an older file is deleted only
      after its successor and the new ``last_checkpoint`` are on disk.
    - The content is plain data and tensors: ``torch.load`` reads it with
      ``weights_only=True``. The message hub's history is restored exactly.
    - With ``--resume``, a newest file that is truncated or corrupt is passed
      over, loudly. A foreign file is refused with the remedy.
    - With several processes, running statistics of normalisation layers are
      averaged before saving and before validation, so that the file is
      everybody's model, not that of process 0.
    - ``checkpoint['meta']['mmseg_semi']`` records version, number of
      processes, batch size, sampler seed, data split, optimizer and schedule.
    - A model with losses or weights that are not finite is neither validated
      nor saved: the training ends.
    - With every training loop, a folder in which another training writes, or
      left checkpoints and is not resumed, is refused.

    Args:
        *args: Of :class:`mmengine.hooks.CheckpointHook`.
        backend_args (dict, optional): File backend. Defaults to None: the
            atomic local one, or the one that a URI in ``out_dir`` means.
        **kwargs: Of :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(self,
                 *args,
                 backend_args: dict | None = None,
                 **kwargs) -> None:
        is_remote = '://' in str(kwargs.get('out_dir') or '')
        if (backend_args is None and not is_remote
                and kwargs.get('file_client_args') is None):
            backend_args = dict(backend='atomic_local')
        super().__init__(*args, backend_args=backend_args, **kwargs)
        self._claimed: list[str] = []

    def before_run(self, runner) -> None:
        """Decide which file to resume from, and look at it first.

        The runner loads right after this stage, in training, validation and
        testing.

        Args:
            runner (Runner): The runner.

        Raises:
            CheckpointError: If the file cannot be used.
            FileNotFoundError: If the file is not there.
        """
        path = runner._load_from
        if path is None and runner._resume:
            path = call_on_main(find_resumable_checkpoint, runner.work_dir)
            runner._load_from = path
        elif path is not None and '://' not in str(path):
            call_on_main(check_resumable if runner._resume else _check_only,
                         path)

    def before_train(self, runner) -> None:
        """Prepare the folder; see mmengine's hook.

        It looks at the run first, for those without our training loop.

        Raises:
            ValueError: If the loop would never end.
            WorkDirError: If the folder is another training's.
        """
        check_loop(runner)
        super().before_train(runner)
        folders = dict.fromkeys([str(runner.work_dir), str(self.out_dir)])
        self._claimed = [
            folder for folder in folders
            if '://' not in folder and claim(runner, folder)
        ]
        self._remove_unfinished()
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if not self.by_epoch and self.interval > 0 and \
                self.interval % counts:
            print_log(
                f'Checkpoints every {self.interval} iterations fall between '
                f'optimizer steps (accumulative_counts={counts}); gradients '
                'accumulated so far are lost on resume. Make `interval` a '
                f'multiple of {counts}.',
                logger='current',
                level=logging.WARNING)

    def before_val(self, runner) -> None:
        """Validate the model that would be saved.

        Raises:
            NotFiniteError: If a training has lost its weights.
        """
        average_norm_stats(runner.model)
        if isinstance(runner._train_loop, BaseLoop):
            model = unwrap(runner.model)
            _read_losses(model)
            check_weights_finite(model, model.state_dict())

    def after_train(self, runner) -> None:
        """Give the folder back.

        Raises:
            NotFiniteError: If the losses of the last iteration are not
                finite.
        """
        super().after_train(runner)
        for folder in self._claimed:
            release(folder)
        _read_losses(unwrap(runner.model))

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Save the best checkpoint; see mmengine's hook."""
        runner.message_hub.update_info(VALIDATED_KEY, runner.iter)
        super().after_val_epoch(runner, metrics)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add our record and make everything plain, in place.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What is going to be written.

        Raises:
            NotFiniteError: If losses or weights are not finite; nothing is
                written, and no older file deleted.
        """
        model = unwrap(runner.model)
        _read_losses(model)
        check_weights_finite(model, checkpoint['state_dict'])
        checkpoint['meta'][RECORD_KEY] = training_record(runner)
        checkpoint.update(plain_checkpoint(checkpoint))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Undo :meth:`before_save_checkpoint`, in place.

        The runner gives the message hub its history only after this.

        Raises:
            CheckpointError: If the weights are those of something else.
        """
        check_weights_fit(runner._load_from,
                          checkpoint.get('state_dict', checkpoint),
                          unwrap(runner.model))
        for name in set(checkpoint) - {'state_dict'}:
            checkpoint[name] = from_plain(checkpoint[name])

    def _save_checkpoint_with_step(self, runner, step: int,
                                   meta: dict) -> None:
        """Save, say so in ``last_checkpoint``, then delete older files."""
        average_norm_stats(runner.model)
        outdated = []
        if self.max_keep_ckpts > 0:
            steps = [s for s in self.keep_ckpt_ids if s != step] + [step]
            # Those about to be deleted stay on the list that is saved: if
            # that is interrupted, the resumed run deletes them.
            runner.message_hub.update_info('keep_ckpt_ids', steps)
            outdated = steps[:-self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(steps[-self.max_keep_ckpts:],
                                       self.max_keep_ckpts)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        if is_main_process():
            write_atomically(self.last_ckpt.encode(),
                             osp.join(runner.work_dir, 'last_checkpoint'))
            for old in outdated:
                self._remove(
                    self.file_backend.join_path(
                        self.out_dir, self.filename_tmpl.format(old)))

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Save the best checkpoint, then delete the one it replaces."""
        before = self._best_paths()
        # The stock method deletes the old file first, unless it knows none.
        self._set_best_paths(dict.fromkeys(before))
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            now = self._best_paths()
            self._set_best_paths({k: now[k] or before[k] for k in before})
        if is_main_process():
            for key, path in before.items():
                # A resumed run knows that of another folder, which stays.
                if path and now[key] not in (None, path) and osp.abspath(
                        osp.dirname(path)) == osp.abspath(self.out_dir):
                    self._remove(path)

    def _best_paths(self) -> dict:
        """Path of the best checkpoint so far, per metric."""
        if not self.save_best:
            return {}
        if hasattr(self, 'best_ckpt_path_dict'):
            return dict(self.best_ckpt_path_dict)
        return dict(only=self.best_ckpt_path)

    def _set_best_paths(self, paths: dict) -> None:
        if hasattr(self, 'best_ckpt_path_dict'):
            self.best_ckpt_path_dict = paths
        elif paths:
            self.best_ckpt_path = paths['only']

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)

    @master_only
    def _remove_unfinished(self) -> None:
        """Delete what a killed run had only begun to write."""
        folder = Path(self.out_dir)
        if folder.is_dir():
            for path in folder.glob(f'*.pth{TEMPORARY_SUFFIX}'):
                path.unlink()


def _read_losses(model) -> None:
    """Read the losses that a framework still has to look at."""
    watch = getattr(model, 'loss_watch', None)
    if watch is not None:
        watch.finish()


def _check_only(path: str) -> None:
    """Check without handing the content, which is not to be sent around."""
    check_checkpoint(path)
