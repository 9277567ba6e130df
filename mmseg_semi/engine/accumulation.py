# Copyright (c) mmseg_semi authors.
"""Several batches that make one iteration."""
import logging
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from torch import Tensor

LOOP = 'SemiIterBasedTrainLoop'


def accumulate_batches(cfg: Config, number: int) -> None:
    """Let ``number`` batches of each process make one iteration.

    The batches hold that fraction of the images, so the experiment stays the
    one that the config describes, and nothing that counts iterations changes:
    the loop takes ``number`` batches where it took one. For training scripts
    that read the config themselves; ``--cfg-options train_cfg.accumulate=4``
    does the same.

    Args:
        cfg (Config): A training config, changed in place.
        number (int): At least 1.

    Raises:
        ValueError: If the config trains with another loop.
    """
    loop = (cfg.get('train_cfg') or {}).get('type')
    if str(loop).rpartition('.')[2] != LOOP:
        raise ValueError(
            f'The training loop of this config is {loop}, which makes an '
            f'iteration of one batch. Set train_cfg.type={LOOP!r} to '
            'accumulate batches.')
    cfg.train_cfg.accumulate = number


def with_accumulation(dataloader: dict, number: int) -> dict:
    """Tell the sampler in a dataloader's config of the accumulated batches.

    Args:
        dataloader (dict): Config of the training dataloader.
        number (int): Batches of a process that make an iteration.

    Returns:
        dict: The config, changed if there is anything to tell.

    Raises:
        ValueError: If the sampler does not know the images of an iteration.
    """
    if number == 1:
        return dataloader
    sampler = dataloader.get('sampler') or {}
    if sampler.get('type') != 'SemiSampler':
        raise ValueError(
            f'accumulate={number} cuts the images of an iteration into '
            'batches, and only SemiSampler knows how many there are. Set '
            "train_dataloader.sampler to dict(type='SemiSampler', "
            'counts=(labelled, unlabelled)); train_dataloader.sampler is '
            f'{sampler.get("type")}.')
    return dict(dataloader, sampler=dict(sampler, accumulate=number))


def check_same_number(sampler, number: int) -> None:
    """Sampler and loop must cut an iteration into as many batches.

    Args:
        sampler (Sampler): That of the training dataloader. Nothing is
            checked if it has no ``accumulate``.
        number (int): Batches that the loop makes an iteration of.

    Raises:
        ValueError: If the numbers differ: the optimizer would take its steps
            after another number of images than the config says.
    """
    cut = getattr(sampler, 'accumulate', number)
    if cut != number:
        raise ValueError(
            f'train_dataloader.sampler.accumulate is {cut}, but '
            f'train_cfg.accumulate is {number}. Set train_cfg.accumulate '
            'alone, which tells the sampler; a dataloader that is built '
            f'already needs SemiSampler(accumulate={number}).')


def count_batches(runner, number: int) -> None:
    """Let the optimizer take a step after so many batches.

    Args:
        runner (Runner): A runner that is about to train.
        number (int): Batches of an iteration.

    Raises:
        ValueError: If ``optim_wrapper.accumulative_counts`` says otherwise.
    """
    wrapper = runner.optim_wrapper
    wrappers = list(wrapper.values()) if isinstance(
        wrapper, OptimWrapperDict) else [wrapper]
    for each in wrappers:
        if number == 1:
            _warn_of_larger_batches(each._accumulative_counts)
            continue
        if each._accumulative_counts not in (1, number):
            raise ValueError(
                f'optim_wrapper.accumulative_counts is '
                f'{each._accumulative_counts}, but train_cfg.accumulate is '
                f'{number}. Leave accumulative_counts out.')
        each._accumulative_counts = number
        each.initialize_count_status(runner.model, runner.iter * number,
                                     runner.max_iters * number)


def _warn_of_larger_batches(counts: int) -> None:
    if counts > 1:
        print_log(
            f'optim_wrapper.accumulative_counts={counts} takes one step of '
            f'the optimizer in {counts} iterations, of {counts} times as many '
            'images as the config states. For the same training in less '
            f'memory leave it out and set train_cfg.accumulate={counts}.',
            logger='current',
            level=logging.WARNING)


@torch.no_grad()
def mean_outputs(outputs: Sequence[dict]) -> dict[str, Tensor]:
    """Means of what the batches of an iteration log.

    Args:
        outputs (Sequence[dict[str, Tensor]]): Scalars by name.

    Returns:
        dict[str, Tensor]: By every name the mean over those that have it.
    """
    names = dict.fromkeys(name for output in outputs for name in output)
    means = {}
    for name in names:
        values = [output[name] for output in outputs if name in output]
        means[name] = sum(values) / len(values)
    return means
