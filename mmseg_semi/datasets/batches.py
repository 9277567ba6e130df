# Copyright (c) mmseg_semi authors.
"""The images of an iteration, and the share that a process loads at a time."""
from collections.abc import Iterator
from dataclasses import dataclass

from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, Sampler

from .sampler import SemiSampler

CONFIG = "batch_sampler=dict(type='SemiBatchSampler')"


@DATA_SAMPLERS.register_module()
class SemiBatchSampler(Sampler):
    """Cut the stream of :class:`SemiSampler` into the batches of a process.

    A config states the images of one iteration in all, and every process
    loads its share::

        train_dataloader = dict(
            batch_size=32,
            sampler=dict(type='SemiSampler', counts=(16, 16)),
            batch_sampler=dict(type='SemiBatchSampler'),
            ...)

    Args:
        sampler (SemiSampler): The stream.
        batch_size (int): Images of one iteration in all, the sum of
            ``sampler.counts``. MMEngine hands on what the config says.

    Raises:
        TypeError: If the sampler is another one.
        ValueError: If ``batch_size`` is not that sum.
    """

    def __init__(self, sampler: SemiSampler, batch_size: int) -> None:
        if not isinstance(sampler, SemiSampler):
            raise TypeError(
                'SemiBatchSampler cuts the stream of a SemiSampler, not of '
                f'a {type(sampler).__name__}. Set train_dataloader.sampler to '
                "dict(type='SemiSampler', counts=(labelled, unlabelled)), or "
                'leave batch_sampler out.')
        check_size(batch_size, sampler.counts)
        self.sampler = sampler

    def __iter__(self) -> Iterator[list]:
        batch = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.sampler.batch_size:
                yield batch
                batch = []

    def __len__(self) -> int:
        """Iterations of one pass, see :meth:`SemiSampler.__len__`."""
        batches = len(self.sampler) // self.sampler.batch_size
        return batches // self.sampler.accumulate


def check_size(batch_size: int,
               counts: tuple[int, ...],
               share: tuple[int, ...] | None = None) -> None:
    """A dataloader must load as many images as its sampler hands out.

    Args:
        batch_size (int): As the config says.
        counts (tuple[int]): Images of one iteration in all.
        share (tuple[int], optional): Those in one batch of a process, where
            no :class:`SemiBatchSampler` cuts them.

    Raises:
        ValueError: If the number is another one.
    """
    total = sum(counts)
    if share is None and batch_size != total:
        raise ValueError(
            f'train_dataloader.batch_size is {batch_size}, but an iteration '
            f'has {total} images in all (sampler.counts={counts}). Set '
            f'batch_size={total}, or change `counts`.')
    if share is not None and batch_size != sum(share):
        raise ValueError(
            f'train_dataloader loads batches of {batch_size} images, but its '
            f'sampler fills batches of {sum(share)}, {share} of the {counts} '
            'images (labelled, unlabelled) that an iteration has in all. Set '
            f'train_dataloader.batch_size={total} and '
            f'train_dataloader.{CONFIG}.')


@dataclass(frozen=True)
class Batches:
    """What one iteration of a training loads.

    Attributes:
        sampler (Sampler): What decides which images those are.
        total (tuple[int], optional): Images of one iteration in all by
            source: labelled, unlabelled, and those of a source domain. None
            if the sampler does not tell sources apart.
        share (tuple[int], optional): Those in one batch of one process.
        batch_size (int): Images in one batch of one process.
    """
    sampler: Sampler
    total: tuple[int, ...] | None
    share: tuple[int, ...] | None
    batch_size: int


def batches_of(dataloader: DataLoader) -> Batches:
    """Counts and sampler of a training dataloader, however it was built.

    A DataLoader with a batch sampler has the ``batch_size`` None and as
    ``sampler`` one that nobody asked for.

    Args:
        dataloader (DataLoader): The training dataloader.

    Returns:
        Batches: What it loads.

    Raises:
        ValueError: If a :class:`SemiSampler` fills batches of another size
            than the dataloader's: every batch would mix the sources in
            another proportion.
    """
    batch_sampler = dataloader.batch_sampler
    if isinstance(batch_sampler, SemiBatchSampler):
        sampler = batch_sampler.sampler
        return Batches(sampler, sampler.counts, sampler.share,
                       sampler.batch_size)
    sampler, size = dataloader.sampler, dataloader.batch_size
    if not isinstance(sampler, SemiSampler):
        return Batches(sampler, None, None, size)
    check_size(size, sampler.counts, sampler.share)
    return Batches(sampler, sampler.counts, sampler.share, size)
