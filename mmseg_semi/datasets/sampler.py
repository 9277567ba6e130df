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

_NAMES = ('labelled', 'unlabelled', 'source')
_WITHOUT = dict(
    labelled='',
    unlabelled=', or set unlabeled=None',
    source=', or set labeled_source=None')


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

    With a labelled source domain (semi-supervised domain adaptation) there
    are three sources: labelled, unlabelled, source. Either every batch holds
    all three (``counts`` has three entries), or the labelled and the source
    images take turns (``alternate``, CMB spec 1.11): batch 0 has labelled
    ones, batch 1 source ones, and so on, and the last
    ``target_only_last`` batches have labelled ones again. :math:`b` above
    then counts the batches that draw from the source in question.

    Args:
        dataset (SemiSegDataset): Anything with ``source_lengths``, a tuple
            with the number of images per source; the indices of the sources
            follow one another.
        counts (Sequence[int]): Samples per source in the batch of one rank.
            Positive for a source with images, 0 for one without (an
            unlabelled source that is ``None``). With ``alternate`` two
            entries: the labelled and the source images share the first.
        seed (int, optional): Non-negative seed, equal on all ranks. Defaults
            to None: drawn once and shared by the ranks.
        shuffle (bool): Whether to permute every pass. Defaults to True.
        alternate (bool): Whether labelled and source images take turns.
            Defaults to False.
        target_only_last (int): Batches at the end of the training without
            source images, for ``alternate``. Defaults to 100.

    Attributes:
        total_batches (int, optional): Batches of the training, which
            ``alternate`` has to know; the training loop sets it.

    Raises:
        TypeError: If ``dataset`` has no ``source_lengths``.
        ValueError: If ``counts`` do not fit the sources, ``seed`` is
            negative, or there is nothing to alternate with.
    """

    def __init__(self,
                 dataset,
                 counts: Sequence[int] = (8, 8),
                 seed: int | None = None,
                 shuffle: bool = True,
                 alternate: bool = False,
                 target_only_last: int = 100) -> None:
        lengths = getattr(dataset, 'source_lengths', None)
        if lengths is None:
            raise TypeError(
                'SemiSampler needs a dataset with `source_lengths`, but got '
                f'{type(dataset).__name__}. Make SemiSegDataset the outermost '
                'dataset of train_dataloader (and leave num_batch_per_epoch '
                'unset).')
        self.source_lengths = tuple(int(length) for length in lengths)
        self.alternate, self.target_only_last = alternate, target_only_last
        self.total_batches: int | None = None
        if alternate:
            _check_alternation(self.source_lengths, counts, target_only_last)
            self.counts = _check_counts(counts, self.source_lengths[:2])
            self._draws = (*self.counts, self.counts[0])
        else:
            self.counts = _check_counts(counts, self.source_lengths)
            self._draws = self.counts
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
        end = self._alternation_end()
        slots = [(source, i) for source, count in enumerate(self.counts)
                 for i in range(count)]
        position = self._start
        while True:
            batch, slot = divmod(position, len(slots))
            source, i = slots[slot]
            source, earlier = _turn(source, batch, end)
            # Turn of this rank in the sequence of all ranks' batches.
            turn = earlier * self.world_size + self.rank
            index = self._draw(source, turn * self._draws[source] + i)
            place = (batch * self.world_size + self.rank) * len(slots) + slot
            position += 1
            self._position = position
            yield StreamIndex(index, place, self.seed)

    def __len__(self) -> int:
        """Samples of one rank in one pass over the unlabelled images.

        Over the labelled images if there are no unlabelled ones. The pass has
        :func:`iters_per_epoch` batches as in the published code, at least
        one, so ``len(dataloader)`` is the number of iterations of an
        "epoch". The stream itself does not stop there.
        """
        source = 1 if self.counts[1] else 0
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

    def _alternation_end(self) -> int | None:
        """First batch after the alternation; None without alternation."""
        if not self.alternate:
            return None
        if self.total_batches is None:
            raise RuntimeError(
                'SemiSampler(alternate=True) has to know when the training '
                'ends. Train with SemiIterBasedTrainLoop, which tells it, or '
                'set `sampler.total_batches` to the number of iterations.')
        return max(self.total_batches - self.target_only_last, 0)

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
        for name, length, count in zip(_NAMES, self.source_lengths,
                                       self._draws):
            if 0 < length < count * self.world_size:
                warnings.warn(
                    f'The {name} set has {length} image(s), fewer than the '
                    f'{count * self.world_size} drawn per iteration ({count} '
                    f'x {self.world_size} rank(s)): images repeat within a '
                    'batch. Lower `counts` if that is not meant.')


def _turn(source: int, batch: int, end: int | None) -> tuple[int, int]:
    """Whose turn a slot is, and how many earlier batches drew from it.

    Args:
        source (int): 0 for a labelled slot, 1 for an unlabelled one, 2 for a
            slot of the source domain.
        batch (int): Number of the batch.
        end (int, optional): Batches ``[0, end)`` give their labelled slots
            to source 0 (even) and source 2 (odd) in turn; None for none.

    Returns:
        tuple[int, int]: The source drawn from, and the number of batches
        before this one that drew from it.
    """
    if source != 0 or end is None:
        return source, batch
    if batch >= end:
        return 0, batch - end // 2
    return 2 * (batch % 2), batch // 2


def _check_counts(counts: Sequence[int], lengths: tuple) -> tuple:
    counts = tuple(counts) if isinstance(counts, Sequence) else (counts, )
    names = _NAMES[:len(lengths)]
    if len(counts) != len(lengths) or any(
            not isinstance(c, Integral) or isinstance(c, bool) or c < 0
            for c in counts):
        hint = ''
        if len(lengths) == 3:
            hint = (' Or set alternate=True and counts=(labelled or source, '
                    'unlabelled).')
        raise ValueError(
            f'SemiSampler needs counts=({", ".join(names)}), {len(lengths)} '
            f'non-negative integers, but got {counts}.{hint}')
    for name, length, count in zip(names, lengths, counts):
        if length and not count:
            raise ValueError(
                f'SemiSampler: counts={counts} draws none of the {length} '
                f'{name} images. Give the {name} source a positive count'
                f'{_WITHOUT[name]}.')
        if count and not length:
            raise ValueError(
                f'SemiSampler: counts={counts} asks for {count} {name} '
                f'image(s) per batch, but the dataset has none. '
                f'{_remedy(name, counts)}')
    return tuple(int(c) for c in counts)


def _remedy(name: str, counts: tuple) -> str:
    if name == 'labelled':
        return 'Check the labelled list.'
    if name == 'source':
        return 'Check the list of the source domain (labeled_source).'
    rest = (counts[0], 0, *counts[2:])
    return (f'For supervised training set counts={rest} and '
            f'batch_size={sum(rest)}; otherwise give SemiSegDataset '
            'an `unlabeled` set.')


def _check_alternation(lengths: tuple, counts, last: int) -> None:
    if len(lengths) != 3 or not lengths[2]:
        raise ValueError(
            'SemiSampler(alternate=True) needs a labelled source domain, but '
            f'the dataset has the sources {lengths} (labelled, unlabelled). '
            'Give SemiSegDataset a `labeled_source`, or set alternate=False.')
    if isinstance(counts, Sequence) and len(counts) == 3:
        raise ValueError(
            f'SemiSampler(alternate=True): counts={tuple(counts)} has three '
            'entries, but labelled and source images share one. Set counts='
            f'{tuple(counts[:2])}, or alternate=False for all three in every '
            'batch.')
    if not isinstance(last, Integral) or last < 0:
        raise ValueError('SemiSampler: target_only_last counts batches, but '
                         f'is {last!r}. Give a non-negative integer.')


def _check_seed(seed: int) -> int:
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError('SemiSampler needs a non-negative integer seed, but '
                         f'got {seed!r}.')
    return int(seed)
