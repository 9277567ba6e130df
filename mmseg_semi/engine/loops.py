# Copyright (c) mmseg_semi authors.
"""The training loop."""
import logging
from collections.abc import Sequence
from dataclasses import replace

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmseg.registry import HOOKS, LOOPS

from ..datasets.batches import batches_of
from ..datasets.sampler import SemiSampler
from ..models.loss_watch import has_loss_scaler
from ..models.regularizers.training_plan import TrainingPlan
from .accumulation import (check_same_number, count_batches, mean_outputs,
                           with_accumulation)
from .checked_data import as_checked, check_training_data
from .checks import (check_layer_decay, check_no_lr_scaling,
                     check_norm_batches, check_num_classes, check_one_average,
                     warn_of_schedule)
from .hook_checks import check_epoch_hooks, check_scores
from .plan import batch_plan, plan_text, training_plan
from .record import RECORD_KEY, VALIDATED_KEY, resume_warnings, training_record
from .unwrap import unwrap
from .work_dir import claimed


class _Unopened:
    """Stands in for the dataloader while the stock loop is constructed.

    The stock constructor iterates the dataloader, which starts the workers
    before a checkpoint has said where in the data the run is.
    """

    def __init__(self, dataset) -> None:
        self.dataset = dataset

    def __iter__(self):
        return iter(())


def _is_evaluating(runner) -> bool:
    """Whether the loop is built by a hook that asks a test for its iteration.

    A training builds its loop first.
    """
    return any(
        isinstance(loop, BaseLoop)
        for loop in (runner._val_loop, runner._test_loop))


def add_hooks(runner) -> None:
    """Register the hooks that the model needs and the config leaves out.

    Args:
        runner (Runner): Before its training.
    """
    needed = getattr(unwrap(runner.model), 'hooks', list)()
    for cfg in needed:
        cls = HOOKS.get(cfg['type'])
        if not any(isinstance(hook, cls) for hook in runner.hooks):
            runner.register_hook(cfg)
            print_log(f'The model needs {cfg["type"]}: added.', 'current')


@LOOPS.register_module()
class SemiIterBasedTrainLoop(IterBasedTrainLoop):
    """Iteration-based training that resumes where it was, at once.

    In comparison with the stock loop it

    - opens the dataloader only after a checkpoint was loaded, and moves a
      sampler that has ``skip(num_samples)`` to the right place instead of
      reading every past sample again. Other samplers are advanced as in the
      stock loop;
    - runs a validation that a killed run still owed. A checkpoint is written
      before the validation of the same iteration, so one that was resumed may
      lack that validation's result;
    - checks the data of all sets, before any is built (docs/data_check.md):
      errors stop the training, warnings are printed;
    - refuses, before training, a batch that the processes cannot share
      equally and a number of classes that does not fit the dataset; warns if
      the number of processes, the batch size, the split, the optimizer or the
      schedule changed since the checkpoint;
    - has the work directory for itself: refuses one in which another training
      writes, or left checkpoints and is not resumed;
    - gives the model ``total_iters``, ``seed``, ``iteration``,
      ``accumulate`` and ``loss_scaler`` (whether one is at work), the
      sampler, if it has them, ``total_iters``, and the dataset, if it has
      ``set_work_dir``, the work directory;
    - lets weights that come by ``load_from`` be those of other classes, all
      but the layers of the classes;
    - tells the model how long the training is (``model.plan_training()``);
    - registers the hooks that the model needs (``model.hooks()``) and the
      config does not have;
    - can make one iteration of several batches, see ``accumulate``.

    An iteration is one step of the optimizer. Everything that counts
    iterations, or moves once in each, means the same however many processes
    and batches share the images of one.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader or dict): The training dataloader.
        max_iters (int): Number of training iterations.
        accumulate (int): Batches per process whose gradients make one
            iteration: a batch has that fraction of the images, so that a
            small GPU trains the same experiment. Needs :class:`SemiSampler`
            and :class:`SemiBatchSampler`. Defaults to 1.
        check_data (bool | Sequence[str]): Whether to check the data; kinds of
            findings, such as ``['shared-image']``, whose errors shall count
            as warnings. Defaults to True.
        **kwargs: ``val_begin``, ``val_interval`` and the other arguments of
            :class:`mmengine.runner.IterBasedTrainLoop`.

    Raises:
        DataError: If the data are not fit for training.
        ValueError: If batch size and sampler do not fit, or the processes
            and batches cannot share the images of an iteration equally; if
            a number of iterations is not positive.
    """

    def __init__(self,
                 runner,
                 dataloader,
                 max_iters: int,
                 accumulate: int = 1,
                 check_data: bool | Sequence[str] = True,
                 **kwargs) -> None:
        for name, value in dict(max_iters=max_iters, **kwargs).items():
            if name in ('max_iters', 'val_interval') and value < 1:
                raise ValueError(
                    f'train_cfg.{name}={value} must be at least 1.')
        self.check_data, self._given_dataloader = check_data, dataloader
        if check_data is not False and not _is_evaluating(runner):
            self._check_data(runner)
            dataloader = as_checked(dataloader)
        if isinstance(dataloader, dict):
            dataloader = runner.build_dataloader(
                with_accumulation(dataloader, accumulate),
                seed=runner.seed,
                diff_rank_seed=runner._randomness_cfg.get(
                    'diff_rank_seed', False))
        self.batches = batches_of(dataloader)
        check_same_number(self.batches.sampler, accumulate)
        if self.batches.total is not None:
            check_no_lr_scaling(runner)
        if hasattr(unwrap(runner.model), 'learners'):
            check_layer_decay(runner.optim_wrapper)
        super().__init__(runner, _Unopened(dataloader.dataset), max_iters,
                         **kwargs)
        add_hooks(runner)
        model = unwrap(runner.model)
        if hasattr(model, 'takes_other_classes'):
            model.takes_other_classes = not (runner._resume
                                             or _is_evaluating(runner))
        self.accumulate = accumulate
        self.dataloader = dataloader
        self._plan_training()
        self.dataloader_iterator = None

    def run(self):
        """Train.

        Returns:
            nn.Module: The trained model.

        Raises:
            ValueError: If head and dataset do not fit, or BatchNorm would
                see single images.
            WorkDirError: If the work directory is another training's.
        """
        with claimed(self.runner):
            return self._train()

    def _train(self):
        if self.check_data is not False:
            self._check_data(self.runner)
        self._introduce()
        before = self._exchange_records()
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self._decide_current_val_interval()
        if self._owes_validation():
            print_log(
                f'Running the validation of iteration {self._iter}, which '
                'this checkpoint does not contain.',
                logger='current')
            self._validate()
        if self._iter < self._max_iters:
            self._open_dataloader(before)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            if self._validation_is_due():
                self._validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batch) -> None:
        """One step of the optimizer.

        Args:
            data_batch (Sequence[dict]): The first of its batches.
        """
        if self.accumulate == 1:
            super().run_iter(data_batch)
            return
        runner, place = self.runner, dict(batch_idx=self._iter)
        runner.call_hook('before_train_iter', data_batch=data_batch, **place)
        outputs = []
        for part in range(self.accumulate):
            if part:
                data_batch = next(self.dataloader_iterator)
            outputs.append(
                runner.model.train_step(
                    data_batch, optim_wrapper=runner.optim_wrapper))
        runner.call_hook(
            'after_train_iter',
            data_batch=data_batch,
            outputs=mean_outputs(outputs),
            **place)
        self._iter += 1

    def _check_data(self, runner) -> None:
        """Look at the data once."""
        accept = () if self.check_data is True else self.check_data
        self.check_data = False
        check_training_data(runner, self._given_dataloader, accept)

    def _plan_training(self) -> None:
        """Let options that follow from the training's length be settled.

        State may get its shape from them, so it happens before a checkpoint
        is loaded.
        """
        model = unwrap(self.runner.model)
        if not hasattr(model, 'plan_training'):
            return
        if self.batches.total is None:  # another sampler, which cannot tell
            plan = TrainingPlan(self._max_iters, None, None, 0, 0)
        else:
            plan = training_plan(self._batch_plan())
        dataset = self.dataloader.dataset
        if hasattr(dataset, 'class_pixels'):
            plan = replace(
                plan, class_pixels=lambda: dataset.class_pixels().sum(0))
        model.plan_training(plan)

    def _batch_plan(self) -> dict:
        sampler = self.batches.sampler
        return batch_plan(self.batches.total, self._max_iters,
                          get_world_size(), self.accumulate,
                          sampler.source_lengths,
                          self.runner.cfg.get('epoch_iters'),
                          sampler.alternate)

    def _introduce(self) -> None:
        """Check that the parts fit, and tell each what it must know."""
        model = unwrap(self.runner.model)
        dataset = self.dataloader.dataset
        check_num_classes(model, dataset)
        check_one_average(model, self.runner.hooks)
        check_epoch_hooks(self.runner.hooks)
        if self.runner.val_loop is not None:
            check_scores(self.runner.hooks, self.runner.val_loop.evaluator)
        warn_of_schedule(self.runner.param_schedulers, self._max_iters,
                         self._iter if self.runner._resume else 0)
        if self.batches.share is not None:
            self.runner.model.train()
            check_norm_batches(model, self.batches.share)
            self._log_plan(model)
        model.total_iters = self._max_iters  # own models, too
        model.seed = self.runner.seed
        model.accumulate = self.accumulate
        model.loss_scaler = has_loss_scaler(self.runner.optim_wrapper)
        if hasattr(self.batches.sampler, 'total_iters'):
            self.batches.sampler.total_iters = self._max_iters
        # Equal already when resuming; a checkpoint that came by load_from
        # brings weights, not its place in the schedule.
        model.iteration = self._iter
        if hasattr(dataset, 'set_work_dir'):
            dataset.set_work_dir(self.runner.work_dir)

    def _log_plan(self, model) -> None:
        """Say once what is trained, and what depends on the hardware."""
        rules = []
        if hasattr(model, 'local_rules'):
            rules = model.local_rules(self.accumulate)
        print_log(
            f'This training:\n{plan_text(self._batch_plan(), rules)}',
            logger='current')

    def _exchange_records(self) -> dict:
        """Put this run's record where checkpoints take it from.

        Returns:
            dict: The record of the run that is resumed, else empty.
        """
        hub = self.runner.message_hub
        now = training_record(self.runner)
        before = hub.runtime_info.get(RECORD_KEY, {}) if self._iter else {}
        for warning in resume_warnings(before, now):
            print_log(warning, logger='current', level=logging.WARNING)
        hub.update_info(RECORD_KEY, now)
        return before

    def _open_dataloader(self, before: dict) -> None:
        """Start reading at the current iteration."""
        count_batches(self.runner, self.accumulate)
        sampler, batch_size = self.batches.sampler, self.batches.batch_size
        to_read = self._iter
        if self._iter and batch_size and hasattr(sampler, 'skip'):
            position, to_read = self._iter * self.accumulate * batch_size, 0
            seed = before.get('sampler_seed')
            if isinstance(sampler, SemiSampler) and seed is not None:
                # A run without a configured seed drew another one by now.
                sampler.load_state_dict(dict(position=position, seed=seed))
            else:
                sampler.skip(position)
        self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        if to_read:
            print_log(
                f'{type(sampler).__name__} has no `skip`: reading '
                f'{to_read} past batches again. SemiSampler avoids this.',
                logger='current',
                level=logging.WARNING)
        for _ in range(to_read):
            next(self.dataloader_iterator)

    def _validation_is_due(self) -> bool:
        return (self.runner.val_loop is not None
                and self._iter >= self.val_begin
                and (self._iter % self.val_interval == 0
                     or self._iter == self._max_iters))

    def _owes_validation(self) -> bool:
        validated = self.runner.message_hub.runtime_info.get(VALIDATED_KEY)
        return (self._iter > 0 and validated != self._iter
                and self._validation_is_due())

    def _validate(self) -> None:
        self.runner.val_loop.run()
        # SemiCheckpointHook has said so before it saved the best checkpoint;
        # here it is said for other checkpoint hooks.
        self.runner.message_hub.update_info(VALIDATED_KEY, self._iter)
