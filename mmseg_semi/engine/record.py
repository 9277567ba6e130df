# Copyright (c) mmseg_semi authors.
"""What a checkpoint remembers of how it was trained."""
from mmengine.dist import get_world_size

from ..version import __version__
from .plain import to_plain

RECORD_KEY = 'mmseg_semi'
VALIDATED_KEY = 'last_val_iter'

_WORDS = dict(
    world_size='number of processes',
    batch_size='batch size of one process',
    split_info='data split')


def training_record(runner) -> dict:
    """Facts a resumed run must agree on, and the version that wrote them.

    Args:
        runner (Runner): A runner whose training loop is built.

    Returns:
        dict: ``version``, ``world_size``, ``batch_size`` of one process,
        ``sampler_seed`` and the dataset's ``split_info`` (None if it has
        none).
    """
    loader = runner.train_dataloader
    return dict(
        version=__version__,
        world_size=get_world_size(),
        batch_size=loader.batch_size,
        sampler_seed=getattr(loader.sampler, 'seed', None),
        split_info=to_plain(
            getattr(loader.dataset, 'split_info', None), 'split_info'))


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
