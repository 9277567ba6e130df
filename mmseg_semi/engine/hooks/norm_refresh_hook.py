# Copyright (c) mmseg_semi authors.
import io
from pathlib import Path

import torch
from mmengine.dist import get_rank, master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.runner.checkpoint import _load_checkpoint
from mmseg.registry import HOOKS

from ...datasets.batches import batches_of
from ...models.segmentors.framework import make_view
from ...models.segmentors.step_seeds import step_seed
from ...models.step import Pass
from ..atomic import write_atomically
from ..norm_stats import average_norm_stats
from ..unwrap import unwrap
from .scores import score_of

FILE_NAME = 'selected.pth'


@HOOKS.register_module()
class NormRefreshHook(Hook):
    """Estimate the BatchNorm statistics of the best model anew (CMB).

    After training, the network that predicts makes ``forwards`` passes in
    train mode over unlabelled images, from the weights of the best
    checkpoint, and is validated. The better of the two, before and after, is
    written to ``selected.pth`` in the work directory; no other file is
    touched, and the model that training returns is the last one. Off unless
    it is listed in ``custom_hooks``.

    The images are those that the training would have read next, so the
    result does not depend on interruptions.

    Args:
        forwards (int): Batches per process. Defaults to 1000, as in the
            official code.
        view (str): The unlabelled branch. Defaults to ``unsup_teacher``.
        metric (str): Score of the validation that ``save_best`` of the
            checkpoint hook names, more is better. Defaults to ``mIoU``.
    """

    def __init__(self,
                 forwards: int = 1000,
                 view: str = 'unsup_teacher',
                 metric: str = 'mIoU') -> None:
        if forwards < 1:
            raise ValueError('NormRefreshHook: forwards counts batches, at '
                             f'least 1; got {forwards}.')
        self.forwards, self.view, self.metric = forwards, view, metric

    def before_train(self, runner) -> None:
        """Make sure that there will be a best checkpoint."""
        keys = getattr(_checkpoint_hook(runner), 'key_indicators', None)
        if keys != [self.metric] or runner.val_loop is None:
            raise ValueError(
                'NormRefreshHook begins from the best checkpoint: train with '
                'a validation, and with default_hooks.checkpoint.save_best='
                f'{self.metric!r} (it is {keys}).')

    def after_train(self, runner) -> None:
        """Refresh, validate and write the better one."""
        path = _checkpoint_hook(runner).best_ckpt_path
        if path is None:
            print_log('NormRefreshHook: nothing was validated.', 'current')
            return
        model = unwrap(runner.model)
        net = model.predictor
        last = {k: v.clone() for k, v in net.state_dict().items()}
        best = _load_checkpoint(path, map_location='cpu')
        prefix = f'{model.predict_with}.'
        net.load_state_dict({
            key[len(prefix):]: value
            for key, value in best['state_dict'].items()
            if key.startswith(prefix)
        })
        before = float(runner.message_hub.get_info('best_score'))
        self._forward(runner)
        average_norm_stats(net)
        after = score_of(_validate(runner), self.metric, type(self).__name__)
        print_log(
            f'BatchNorm statistics of {Path(path).name} estimated anew: '
            f'{self.metric} {before:.2f} before, {after:.2f} after.',
            'current')
        if after > before:
            best['state_dict'].update({
                prefix + key: value.cpu()
                for key, value in net.state_dict().items()
            })
        self._write(runner, best, path, before, after)
        net.load_state_dict(last)

    @torch.no_grad()
    def _forward(self, runner) -> None:
        """Passes in train mode, which move the running statistics."""
        model, loader = unwrap(runner.model), runner.train_dataloader
        sampler, size = batches_of(loader).sampler, batches_of(
            loader).batch_size
        accumulate = getattr(runner.train_loop, 'accumulate', 1)
        if hasattr(sampler, 'skip'):
            sampler.skip(runner.max_iters * accumulate * size)
        item = Pass('refresh', model.predict_with, (self.view, ))
        batches = iter(loader)
        for i in range(self.forwards):
            try:
                batch = next(batches)
            except StopIteration:
                batches = iter(loader)
                batch = next(batches)
            data = model.data_preprocessor(batch, training=True)
            if self.view not in data['inputs']:
                raise KeyError(
                    f'NormRefreshHook: the batch has no branch {self.view!r}, '
                    f'only {sorted(data["inputs"])}. Set `view`.')
            torch.manual_seed(  # for dropout
                step_seed(model.seed, runner.max_iters + i, get_rank(),
                          'network'))
            view = make_view(data['inputs'][self.view],
                             data['data_samples'][self.view])
            model.adapter.forward(model.predictor, [view], item)

    @master_only
    def _write(self, runner, best: dict, path: str, before: float,
               after: float) -> None:
        record = dict(
            source=Path(path).name,
            forwards=self.forwards,
            before=before,
            after=after,
            refreshed=after > before)
        content = dict(
            meta=dict(best['meta'], norm_refresh=record),
            state_dict=best['state_dict'])
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomically(buffer.getvalue(), Path(runner.work_dir) / FILE_NAME)


def _checkpoint_hook(runner) -> CheckpointHook:
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            return hook
    return None


@torch.no_grad()
def _validate(runner) -> dict:
    """Scores of the model as it is.

    Without the hooks of a validation: they would save a best checkpoint.
    """
    loop = runner.val_loop
    runner.model.eval()
    for batch in loop.dataloader:
        outputs = runner.model.val_step(batch)
        loop.evaluator.process(data_samples=outputs, data_batch=batch)
    return loop.evaluator.evaluate(len(loop.dataloader.dataset))
