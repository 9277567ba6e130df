# Copyright (c) mmseg_semi authors.
"""What a checkpoint remembers of how it was trained."""
from mmengine.dist import get_world_size

from ..datasets.batches import batches_of
from ..version import __version__
from .plain import to_plain

RECORD_KEY = 'mmseg_semi'
VALIDATED_KEY = 'last_val_iter'

_WORDS = dict(
    world_size='number of processes',
    accumulate='accumulated batches',
    total_batch='images of an iteration in all',
    split_info='data split')


def training_record(runner) -> dict:
    """Facts a resumed run must agree on, and the version that wrote them.

    Args:
        runner (Runner): A runner whose training loop is built.

    Returns:
        dict: ``version``, the entries of :func:`batch_record`,
        ``sampler_seed`` and the dataset's ``split_info`` (None if it has
        none).
    """
    loader = runner.train_dataloader
    return dict(
        version=__version__,
        **batch_record(runner),
        sampler_seed=getattr(batches_of(loader).sampler, 'seed', None),
        split_info=to_plain(
            getattr(loader.dataset, 'split_info', None), 'split_info'))


def batch_record(runner) -> dict:
    """The images of an iteration, and how they were shared.

    Args:
        runner (Runner): A runner whose training loop is built.

    Returns:
        dict: ``total_batch``, the images of one iteration in all by source
        (a list; for a sampler without sources their sum), ``world_size``,
        ``accumulate``, and ``batch_size``, images in one batch of one
        process.
    """
    batches = batches_of(runner.train_dataloader)
    accumulate = getattr(runner.train_loop, 'accumulate', 1)
    world_size, size = get_world_size(), batches.batch_size
    total = batches.total
    if total is None and size is not None:
        total = [size * world_size * accumulate]
    return dict(
        total_batch=total and list(total),
        world_size=world_size,
        accumulate=accumulate,
        batch_size=size)


def differences(before: dict, now: dict) -> list[str]:
    """Say in words what changed between two records.

    Args:
        before (dict): The record in the checkpoint.
        now (dict): The record of this run.

    Returns:
        list[str]: One phrase per difference that alters training.
    """
    return [
        f'{words}: {before[key]} before, {now[key]} now'
        for key, words in _WORDS.items()
        if key in before and before[key] != now[key]
    ]
