# Copyright (c) mmseg_semi authors.
"""Mistakes in a config that are found before the first iteration."""
import logging
from collections.abc import Sequence

import torch.nn as nn
from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.optim import ConstantLR, CosineAnnealingLR, LinearLR, PolyLR
from mmengine.optim.scheduler.param_scheduler import INF
from mmengine.runner import EpochBasedTrainLoop
from torch.nn.modules.batchnorm import _BatchNorm

from ..datasets.batches import batches_of
from ..datasets.sampler import SemiSampler
from ..models.head_adapters import adapter_class

_DECAYING = (PolyLR, CosineAnnealingLR)


def check_num_classes(model: nn.Module, dataset) -> None:
    """The heads must have the dataset's number of classes.

    Args:
        model (nn.Module): The unwrapped model. Nothing is checked if it has
            no ``decode_head`` that says ``num_classes``.
        dataset: Nothing is checked if its ``metainfo`` has no ``classes``.

    Raises:
        ValueError: If the decode head has another number, or an auxiliary
            head less; if there is one class.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    head = getattr(model, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade: the last one predicts
        head = head[-1]
    num_classes = getattr(head, 'num_classes', None)
    if classes is None or num_classes is None:
        return
    if num_classes != len(classes):
        raise ValueError(
            f'The decode head ({type(head).__name__}) has '
            f'num_classes={num_classes}, but the training set '
            f'({type(dataset).__name__}) has {len(classes)} classes: '
            f'{", ".join(map(str, classes))}. Set model.num_classes='
            f'{len(classes)}, which reaches every head, or give the dataset '
            f'`metainfo` with the {num_classes} classes that the model has.')
    if num_classes == 1:
        raise ValueError(
            f'There is one class, {classes[0]!r}: nothing to tell apart, and '
            "the loss is 0. Give the rest a class, too: metainfo=dict("
            f"classes=('background', {classes[0]!r})) with the ids 0 and 1 in "
            'the masks, and model.num_classes=2.')
    _check_auxiliary(getattr(model, 'auxiliary_head', None), num_classes)


def _check_auxiliary(heads: nn.Module | None, num_classes: int) -> None:
    if heads is None:
        return
    for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
        adapter = adapter_class(type(head))
        own = getattr(head, 'num_classes', num_classes)
        if own >= num_classes or (adapter and adapter.own_classes):
            continue  # more outputs than classes do no harm
        raise ValueError(
            f'An auxiliary head ({type(head).__name__}) has num_classes={own}'
            f', but there are {num_classes} classes. Set model.num_classes='
            f'{num_classes}, which reaches every head.')


def check_no_lr_scaling(runner) -> None:
    """MMEngine must not scale the learning rate by the number of processes.

    Args:
        runner (Runner): A runner whose batches are stated in all.

    Raises:
        ValueError: If ``auto_scale_lr`` is on, which takes ``batch_size`` for
            that of a process.
    """
    if (runner.auto_scale_lr or {}).get('enable'):
        raise ValueError(
            f'auto_scale_lr={dict(runner.auto_scale_lr)} would multiply the '
            'learning rate by the number of processes, but '
            'train_dataloader.batch_size states the images of an iteration '
            'in all, whatever that number is. Set auto_scale_lr=None; the '
            'learning rate of the config is right.')


# Stock constructors read layers off names that begin with "backbone.".
_FOR_ONE_NETWORK = ('LearningRateDecayOptimizerConstructor',
                    'LayerDecayOptimizerConstructor')


def check_layer_decay(optim_wrapper) -> None:
    """Stock layer-wise learning rates do not see the networks of a model.

    Args:
        optim_wrapper (dict): The config's; built ones are not looked at.

    Raises:
        ValueError: They would leave every parameter at the full rate.
    """
    if not isinstance(optim_wrapper, dict):
        return
    name = optim_wrapper.get('constructor')
    if name not in _FOR_ONE_NETWORK:
        return
    raise ValueError(
        f'optim_wrapper.constructor={name!r} looks for layers in '
        '"backbone.", but the networks of a semi-supervised model are '
        '"student.backbone." and so on: all would train at the full rate. '
        "Use constructor='SemiLayerDecayOptimizerConstructor', which takes "
        'the same paramwise_cfg.')


def check_one_average(model: nn.Module, hooks: Sequence[Hook]) -> None:
    """MMEngine's EMA hook does not go with a model that has a teacher.

    Args:
        model (nn.Module): The unwrapped model.
        hooks (Sequence[Hook]): Of the runner.

    Raises:
        ValueError: It would save the average of the student in the place of
            the student, and average the teacher once more.
    """
    if hasattr(model, 'update_teacher') and any(
            isinstance(hook, EMAHook) for hook in hooks):
        raise ValueError(
            f'custom_hooks has an EMAHook, but {type(model).__name__} has an '
            'averaged teacher already, which predicts. Take the EMAHook out; '
            'model.momentum sets how slowly the teacher follows.')


def warn_of_schedule(schedulers, max_iters: int, resumed: int = 0) -> None:
    """Say if the learning rate is not made for the training's length.

    Args:
        schedulers (list | dict | None): Built, as a runner has them.
        max_iters (int): Iterations of the training.
        resumed (int): Iterations of the checkpoint that is resumed, which
            brought the schedulers; 0 for none.
    """
    if isinstance(schedulers, dict):
        schedulers = [s for group in schedulers.values() for s in group]
    schedulers = list(schedulers or [])
    _warn_of_epochs([s for s in schedulers if s.by_epoch])
    _warn_of_warmup([s for s in schedulers if not s.by_epoch], max_iters)
    decaying = [
        s for s in schedulers if isinstance(s, _DECAYING) and not s.by_epoch
    ]
    if not decaying:
        return
    last = max(decaying, key=lambda s: s.end)
    if last.end == max_iters:
        return
    if resumed and last.end < max_iters:
        _warn_of_ended_schedule(last, max_iters, resumed)
        return
    effect = ('stays at its last value from there on'
              if last.end < max_iters else 'falls only a part of the way')
    print_log(
        f'{type(last).__name__} ends at iteration {last.end:,}, the training '
        f'at {max_iters:,}: the learning rate {effect}. Set `end` of '
        f'param_scheduler to {max_iters}, unless that is meant.',
        logger='current',
        level=logging.WARNING)


def _warn_of_epochs(schedulers: list) -> None:
    """There are no epochs in which they could take a step."""
    if schedulers:
        names = ', '.join(dict.fromkeys(type(s).__name__ for s in schedulers))
        print_log(
            f'param_scheduler: {names} counts epochs (by_epoch=True, the '
            'default), but this training counts iterations: the learning '
            'rate never changes. Set by_epoch=False, and begin, end and '
            'milestones in iterations.',
            logger='current',
            level=logging.WARNING)


def _warn_of_warmup(schedulers: list, max_iters: int) -> None:
    """A rate that rises, or falls by steps, for longer than the training."""
    for s in schedulers:
        ends = [s.end] if isinstance(s, (LinearLR, ConstantLR)) else []
        ends += sorted(getattr(s, 'milestones', ()))
        late = [end for end in ends if max_iters < end < INF]
        if late:
            print_log(
                f'{type(s).__name__} changes the learning rate at iteration '
                f'{late[0]:,}, the training ends at {max_iters:,}: it never '
                'comes to that. Set `end` or `milestones` of param_scheduler '
                f'to at most {max_iters}, unless that is meant.',
                logger='current',
                level=logging.WARNING)


def _warn_of_ended_schedule(last, max_iters: int, resumed: int) -> None:
    """A training was made longer, its schedule came from the checkpoint."""
    first = max(last.end, resumed) + 1
    rate = getattr(last, 'eta_min', None)
    if last.last_step >= last.end and last.get_last_value():
        rate = last.get_last_value()[0]
    value = 'its last value' if rate is None else f'{rate:g}'
    print_log(
        f'The schedule of the checkpoint ({type(last).__name__}, '
        f'{last.param_name}) ends at iteration {last.end:,} and is kept; '
        f'that of the config is not used. All added iterations, {first:,} to '
        f'{max_iters:,}, have the learning rate {value}. For a longer '
        'schedule train from the weights of the checkpoint (load_from=... '
        'without --resume) in another --work-dir.',
        logger='current',
        level=logging.WARNING)


def check_loop(runner) -> None:
    """A loop over epochs never ends with a sampler that never ends.

    Args:
        runner (Runner): A runner whose training loop is built.

    Raises:
        ValueError: If it counts epochs of :class:`.SemiSampler`.
    """
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    if isinstance(batches_of(loop.dataloader).sampler, SemiSampler):
        raise ValueError(
            f'train_cfg.type is {type(loop).__name__}, but SemiSampler is a '
            'stream without an end, so that the first epoch would last for '
            "ever. Set train_cfg=dict(_delete_=True, "
            "type='SemiIterBasedTrainLoop', max_iters=..., "
            'val_interval=...), as the bases of all methods do '
            '(configs/_base_/methods), and by_epoch=False in '
            'param_scheduler, default_hooks and log_processor.')


def check_norm_batches(model: nn.Module, share: tuple) -> None:
    """BatchNorm must see more than one image.

    Args:
        model (nn.Module): The unwrapped model, in train mode. Nothing is
            checked if it has no ``forward_sizes``.
        share (tuple[int]): Labelled and unlabelled images (and those of a
            source domain) in one batch of one process.

    Raises:
        ValueError: If a forward in train mode has one image and a BatchNorm
            layer that is not synchronised over several processes.
    """
    if not hasattr(model, 'forward_sizes'):
        return
    labeled, unlabeled = share[0] + sum(share[2:]), share[1]
    sizes = [labeled] if model.burn_in or not unlabeled else []
    if unlabeled:
        sizes += model.forward_sizes(labeled, unlabeled)
    if min(sizes) > 1:
        return
    alone = [
        name for net in model.learners
        for name, module in model.net(net).named_modules()
        if isinstance(module, _BatchNorm) and module.training and (
            get_world_size() == 1 or not isinstance(module, nn.SyncBatchNorm))
    ]
    if not alone:
        return
    raise ValueError(
        f'A batch of one process has {labeled} labelled and {unlabeled} '
        'unlabelled image(s), so that a forward sees a single image, and '
        f'{len(alone)} BatchNorm layers (the first is {alone[0]}) would take '
        'their statistics from it alone. Use fewer processes or accumulate '
        'fewer batches, more images (train_dataloader.sampler.counts and '
        "batch_size, their sum), norm_cfg=dict(type='SyncBN') on several "
        "GPUs, or norm_cfg=dict(type='GN', num_groups=32).")
