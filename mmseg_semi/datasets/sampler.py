# Copyright (c) mmseg_semi authors.
"""An infinite sampler with a fixed number of samples per source."""
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmseg_semi.functional.schedules import iters_per_epoch


class StreamIndex(int):
    """A dataset index that knows where in the sample stream it stands.

    It behaves as its integer value everywhere and survives pickling, which is
    how a DataLoader hands indices to its workers.

    Args:
        value (int): Index into the dataset.
        position (int): Position in the global stream, unique over ranks.
        seed (int): Seed of the stream.
    """

    def __new__(cls, value: int, position: int, seed: int) -> 'StreamIndex':
        index = super().__new__(cls, value)
        index.position = int(position)
        index.seed = int(seed)
        return index

    def __getnewargs__(self) -> tuple:
        return int(self), self.position, self.seed


@DATA_SAMPLERS.register_module()
class SemiSampler(Sampler):
    r"""Yield ``counts[0]`` labelled, then ``counts[1]`` unlabelled indices.

    The stream never ends. It is a plain ``sampler=`` whose samples the
    DataLoader cuts into batches, so the DataLoader's ``batch_size`` must equal
    :attr:`batch_size`.

    Every source is walked in passes, each a permutation drawn from ``(seed,
    source, pass)``: sources of equal size do not walk the same order. With
    :math:`W` ranks, batch :math:`b` of rank :math:`r` takes the draws
    :math:`(bW + r)c_s, \dots, (bW + r + 1)c_s - 1` of source :math:`s`, so
    ranks are disjoint within a pass and a pass visits every image once. The
    stream is a function of the position alone: :meth:`skip` costs nothing,
    and nothing but the position has to be saved.

    Iterating always begins at the position last set by :meth:`skip` or
    :meth:`load_state_dict` (0 at first), so looking at a batch before training
    does not shift the training data.

    Args:
        dataset (SemiSegDataset): Anything with ``source_lengths``, a tuple
            with the number of images per source; the indices of the sources
            follow one another.
        counts (Sequence[int]): Samples per source in the batch of one rank.
            Positive for a source with images, 0 for one without (an
            unlabelled source that is ``None``).
        seed (int, optional): Non-negative seed, equal on all ranks. Defaults
            to None: drawn once and shared by the ranks.
        shuffle (bool): Whether to permute every pass. Defaults to True.

    Raises:
        TypeError: If ``dataset`` has no ``source_lengths``.
        ValueError: If ``counts`` do not fit the sources, or ``seed`` is
            negative.
    """

    def __init__(self,
                 dataset,
                 counts: Sequence[int] = (8, 8),
                 seed: int | None = None,
                 shuffle: bool = True) -> None:
        lengths = getattr(dataset, 'source_lengths', None)
        if lengths is None:
            raise TypeError(
                'SemiSampler needs a dataset with `source_lengths`, but got '
                f'{type(dataset).__name__}. Make SemiSegDataset the outermost '
                'dataset of train_dataloader (and leave num_batch_per_epoch '
                'unset).')
        self.source_lengths = tuple(int(length) for length in lengths)
        self.counts = _check_counts(counts, self.source_lengths)
        self.rank, self.world_size = get_dist_info()
        self.seed = _check_seed(sync_random_seed() if seed is None else seed)
        self.shuffle = shuffle
        self._offsets = np.cumsum((0, ) + self.source_lengths[:-1]).tolist()
        self._orders = {}
        self._start = 0
        self._position = 0
        self._warn_small_sources()

    @property
    def batch_size(self) -> int:
        """int: Samples in the batch of one rank."""
        return sum(self.counts)

    @property
    def position(self) -> int:
        """int: Samples that this rank's newest iterator has handed out."""
        return self._position

    def __iter__(self) -> Iterator[StreamIndex]:
        slots = [(source, i) for source, count in enumerate(self.counts)
                 for i in range(count)]
        position = self._start
        while True:
            batch, slot = divmod(position, len(slots))
            # Turn of this rank in the sequence of all ranks' batches.
            turn = batch * self.world_size + self.rank
            source, i = slots[slot]
            index = self._draw(source, turn * self.counts[source] + i)
            position += 1
            self._position = position
            yield StreamIndex(index, turn * len(slots) + slot, self.seed)

    def __len__(self) -> int:
        """Samples of one rank in one pass over the unlabelled images.

        Over the labelled images if there are no unlabelled ones. The pass has
        :func:`iters_per_epoch` batches as in the published code, at least
        one, so ``len(dataloader)`` is the number of iterations of an
        "epoch". The stream itself does not stop there.
        """
        source = max(s for s, count in enumerate(self.counts) if count)
        batches = iters_per_epoch(self.source_lengths[source], self.world_size,
                                  self.counts[source])
        return max(1, batches) * self.batch_size

    def skip(self, num_samples: int) -> None:
        """Begin the next iteration after ``num_samples`` samples.

        Args:
            num_samples (int): Absolute number of samples of this rank, that
                is iterations done x :attr:`batch_size`. Constant time.
        """
        if not isinstance(num_samples, Integral) or num_samples < 0:
            raise ValueError('SemiSampler.skip takes the number of samples '
                             'that one rank has consumed, a non-negative '
                             f'integer, but got {num_samples!r}.')
        self._start = self._position = int(num_samples)

    def state_dict(self) -> dict:
        """Position and seed.

        ``position`` counts what was handed out. DataLoader workers prefetch,
        so a training loop knows better: iterations x :attr:`batch_size`.
        """
        return dict(position=self._position, seed=self.seed)

    def load_state_dict(self, state: dict) -> None:
        """Continue the stream that :meth:`state_dict` describes."""
        self.seed = _check_seed(state['seed'])
        self._orders.clear()
        self.skip(state['position'])

    def _draw(self, source: int, draw: int) -> int:
        """Dataset index of draw number ``draw`` of a source."""
        length = self.source_lengths[source]
        number, place = divmod(draw, length)
        if self.shuffle:
            known, order = self._orders.get(source, (None, None))
            if known != number:
                rng = np.random.default_rng([self.seed, source, number])
                order = rng.permutation(length)
                self._orders[source] = number, order
            place = int(order[place])
        return self._offsets[source] + place

    def _warn_small_sources(self) -> None:
        for name, length, count in zip(('labelled', 'unlabelled'),
                                       self.source_lengths, self.counts):
            if 0 < length < count * self.world_size:
                warnings.warn(
                    f'The {name} set has {length} image(s), fewer than the '
                    f'{count * self.world_size} drawn per iteration ({count} '
                    f'x {self.world_size} rank(s)): images repeat within a '
                    'batch. Lower `counts` if that is not meant.')


def _check_counts(counts: Sequence[int], lengths: tuple) -> tuple:
    counts = tuple(counts) if isinstance(counts, Sequence) else (counts, )
    if len(counts) != len(lengths) or any(
            not isinstance(c, Integral) or isinstance(c, bool) or c < 0
            for c in counts):
        raise ValueError(
            f'SemiSampler needs counts=(labelled, unlabelled), {len(lengths)} '
            f'non-negative integers, but got {counts}.')
    for name, length, count in zip(('labelled', 'unlabelled'), lengths,
                                   counts):
        if length and not count:
            raise ValueError(
                f'SemiSampler: counts={counts} draws none of the {length} '
                f'{name} images. Give the {name} source a positive count'
                f'{"" if name == "labelled" else ", or set unlabeled=None"}.')
        if count and not length:
            raise ValueError(
                f'SemiSampler: counts={counts} asks for {count} {name} '
                f'image(s) per batch, but the dataset has none. '
                f'{_remedy(name, counts)}')
    return tuple(int(c) for c in counts)


def _remedy(name: str, counts: tuple) -> str:
    if name == 'labelled':
        return 'Check the labelled list.'
    return (f'For supervised training set counts=({counts[0]}, 0) and '
            f'batch_size={counts[0]}; otherwise give SemiSegDataset '
            'an `unlabeled` set.')


def _check_seed(seed: int) -> int:
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError('SemiSampler needs a non-negative integer seed, but '
                         f'got {seed!r}.')
    return int(seed)
