# Copyright (c) mmseg_semi authors.
"""An infinite sampler with a fixed number of samples per source."""
import math
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from .rare_classes import RareClasses

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
    r"""Yield labelled, then unlabelled indices, again and again.

    ``counts`` are the images of one iteration (one step of the optimizer)
    **in all**: over all processes, and over all batches whose gradients are
    accumulated. With :math:`W` ranks and :math:`K` accumulated batches a batch
    of one rank has the share :math:`s_i = c_i / (WK)` of every source. The
    DataLoader cuts the stream into such batches by means of
    :class:`SemiBatchSampler`.

    The stream never ends. Every source is walked in passes, each a
    permutation drawn from ``(seed, source, pass)``: sources of equal size do
    not walk the same order. Batch :math:`k` of iteration :math:`t` on rank
    :math:`r` takes the draws :math:`tc_i + (kW + r)s_i, \dots,
    tc_i + (kW + r + 1)s_i - 1` of source :math:`i`. So the ranks are disjoint
    within a pass, a pass visits every image once, and an iteration sees the
    same images, augmented by the same random numbers, however many ranks and
    batches share it. The stream is a function of the position alone:
    :meth:`skip` costs nothing, and nothing but the position has to be saved.

    Iterating always begins at the position last set by :meth:`skip` or
    :meth:`load_state_dict` (0 at first), so looking at a batch before training
    does not shift the training data.

    With a labelled source domain (semi-supervised domain adaptation) there
    are three sources: labelled, unlabelled, source. Either every iteration has
    all three (``counts`` has three entries), or the labelled and the source
    images take turns (``alternate``, CMB): iteration 0 has labelled
    ones, iteration 1 source ones, and so on, and the last
    ``target_only_last`` iterations have labelled ones again. :math:`t` above
    then counts the iterations that draw from the source in question.

    Args:
        dataset (SemiSegDataset): Anything with ``source_lengths``, a tuple
            with the number of images per source; the indices of the sources
            follow one another.
        counts (Sequence[int]): Images per source of one iteration in all,
            multiples of W x ``accumulate``. Positive for a source with
            images, 0 for one without (an unlabelled source that is
            ``None``). With ``alternate`` two entries: the labelled and the
            source images share the first.
        seed (int, optional): Non-negative seed, equal on all ranks. Defaults
            to None: drawn once and shared by the ranks.
        shuffle (bool): Whether to permute every pass. Defaults to True.
        alternate (bool): Whether labelled and source images take turns.
            Defaults to False.
        target_only_last (int): Iterations at the end of the training without
            source images, for ``alternate``. Defaults to 100.
        accumulate (int): K, batches of one rank that make an iteration. The
            training loop sets it by its own ``accumulate``. Defaults to 1.
        rare_class_temperature (float, optional): T of rare class sampling
            (DAFormer, CVPR'22, Eq. 9): instead of walking in passes, every
            draw from the labelled images chooses a class c with the
            probability softmax((1 - f_c) / T), f_c being its share of the
            labelled pixels, and an image that shows it. Small T prefers rare
            classes more; the paper has 0.01. Defaults to None: passes.

    Attributes:
        counts (tuple[int]): As given, in all.
        share (tuple[int]): Those in one batch of one rank.
        total_iters (int, optional): Iterations of the training, which
            ``alternate`` has to know; the training loop sets it.

    Raises:
        TypeError: If ``dataset`` has no ``source_lengths``.
        ValueError: If ``counts`` do not fit the sources, W x ``accumulate``
            does not divide them, ``seed`` is negative, there is nothing to
            alternate with, or ``rare_class_temperature`` is not positive.
    """

    def __init__(self,
                 dataset,
                 counts: Sequence[int] = (8, 8),
                 seed: int | None = None,
                 shuffle: bool = True,
                 alternate: bool = False,
                 target_only_last: int = 100,
                 accumulate: int = 1,
                 rare_class_temperature: float | None = None) -> None:
        lengths = getattr(dataset, 'source_lengths', None)
        if lengths is None:
            raise TypeError(
                'SemiSampler needs a dataset with `source_lengths`, but got '
                f'{type(dataset).__name__}. Make SemiSegDataset the outermost '
                'dataset of train_dataloader (and leave num_batch_per_epoch '
                'unset).')
        self.source_lengths = tuple(int(length) for length in lengths)
        self.alternate, self.target_only_last = alternate, target_only_last
        self.total_iters: int | None = None
        if alternate:
            _check_alternation(self.source_lengths, counts, target_only_last)
            self.counts = _check_counts(counts, self.source_lengths[:2])
            self._draws = (*self.counts, self.counts[0])
        else:
            self.counts = _check_counts(counts, self.source_lengths)
            self._draws = self.counts
        self.rank, self.world_size = get_dist_info()
        self.accumulate = accumulate
        self.share = equal_shares(self.counts, self.world_size, accumulate)
        self.seed = _check_seed(sync_random_seed() if seed is None else seed)
        self.shuffle = shuffle
        self._offsets = np.cumsum((0, ) + self.source_lengths[:-1]).tolist()
        self._orders = {}
        self._rare = None
        if rare_class_temperature is not None:
            self._rare = RareClasses(dataset, rare_class_temperature)
        self._start = 0
        self._position = 0
        self._warn_small_sources()

    @property
    def batch_size(self) -> int:
        """int: Samples in one batch of one rank."""
        return sum(self.share)

    @property
    def position(self) -> int:
        """int: Samples that this rank's newest iterator has handed out."""
        return self._position

    def __iter__(self) -> Iterator[StreamIndex]:
        end = self._alternation_end()
        slots = [(source, i) for source, share in enumerate(self.share)
                 for i in range(share)]
        starts = np.cumsum((0, ) + self.counts[:-1]).tolist()
        position = self._start
        while True:
            batch, slot = divmod(position, len(slots))
            iteration, part = divmod(batch, self.accumulate)
            kind, i = slots[slot]
            source, earlier = _turn(kind, iteration, end)
            # Place among the images of this kind in this iteration.
            i += (part * self.world_size + self.rank) * self.share[kind]
            index = self._draw(source, earlier * self._draws[source] + i)
            place = iteration * sum(self.counts) + starts[kind] + i
            position += 1
            self._position = position
            yield StreamIndex(index, place, self.seed)

    def __len__(self) -> int:
        """Samples of one rank in one pass over the unlabelled images.

        Over the labelled images if there are no unlabelled ones. The last,
        incomplete iteration is left out, but there is at least one. The
        stream itself does not stop there.
        """
        source = 1 if self.counts[1] else 0
        iters = self.source_lengths[source] // self.counts[source]
        return max(1, iters) * self.accumulate * self.batch_size

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
        so a training loop knows better: batches x :attr:`batch_size`.
        """
        return dict(position=self._position, seed=self.seed)

    def load_state_dict(self, state: dict) -> None:
        """Continue the stream that :meth:`state_dict` describes."""
        self.seed = _check_seed(state['seed'])
        self._orders.clear()
        self.skip(state['position'])

    def _alternation_end(self) -> int | None:
        """First iteration after the alternation; None without one."""
        if not self.alternate:
            return None
        if self.total_iters is None:
            raise RuntimeError(
                'SemiSampler(alternate=True) has to know when the training '
                'ends. Train with SemiIterBasedTrainLoop, which tells it, or '
                'set `sampler.total_iters` to the number of iterations.')
        return max(self.total_iters - self.target_only_last, 0)

    def _draw(self, source: int, draw: int) -> int:
        """Dataset index of draw number ``draw`` of a source."""
        if self._rare is not None and source == 0:
            return self._rare.draw(
                np.random.default_rng([self.seed, source, draw, 1]))
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
            if 0 < length < count:
                warnings.warn(
                    f'The {name} set has {length} image(s), fewer than the '
                    f'{count} drawn per iteration: images repeat within an '
                    'iteration. Lower `counts` if that is not meant.')


def equal_shares(counts: Sequence[int], processes: int,
                 accumulate: int) -> tuple[int, ...]:
    """Images per source in one batch of one process.

    Args:
        counts (Sequence[int]): Images of one iteration in all.
        processes (int): W.
        accumulate (int): K, batches of a process that make an iteration.

    Returns:
        tuple[int]: ``counts`` / (W K).

    Raises:
        ValueError: If that is no whole number; says for which W it is one.
    """
    if not isinstance(accumulate, Integral) or isinstance(
            accumulate, bool) or accumulate < 1:
        raise ValueError('accumulate counts the batches of an iteration, at '
                         f'least 1; got {accumulate!r}.')
    batches = processes * accumulate
    if not any(count % batches for count in counts):
        return tuple(count // batches for count in counts)
    images = ' + '.join(str(count) for count in counts if count)
    common = math.gcd(*counts)
    known = [n for n in range(1, common + 1) if common % n == 0]
    fitting = [n // accumulate for n in known if n % accumulate == 0]
    if fitting:
        advice = f'Train with {_either(fitting)} process(es)'
    else:  # so many batches on as many processes, or else on one
        here = [n for n in known if common % (n * processes) == 0]
        advice = f'Accumulate {_either(here or known)} batch(es)' + (
            '' if here else ' on one process')
    way = f'{processes} process(es)'
    if accumulate > 1:
        way += f' x {accumulate} accumulated batches'
    raise ValueError(
        f'An iteration has {images} images in all (train_dataloader.sampler.'
        f'counts={tuple(counts)}), which {way} cannot share equally. '
        f'{advice}, or change `counts` and batch_size, their sum.')


def _either(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return f'{", ".join(others)} or {last}' if others else last


def _turn(source: int, iteration: int, end: int | None) -> tuple[int, int]:
    """Whose turn a slot is, and how many earlier iterations drew from it.

    Args:
        source (int): 0 for a labelled slot, 1 for an unlabelled one, 2 for a
            slot of the source domain.
        iteration (int): Number of the iteration.
        end (int, optional): Iterations ``[0, end)`` give their labelled slots
            to source 0 (even) and source 2 (odd) in turn; None for none.

    Returns:
        tuple[int, int]: The source drawn from, and the number of iterations
        before this one that drew from it.
    """
    if source != 0 or end is None:
        return source, iteration
    if iteration >= end:
        return 0, iteration - end // 2
    return 2 * (iteration % 2), iteration // 2


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
                f'image(s) per iteration, but the dataset has none. '
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
            'iteration.')
    if not isinstance(last, Integral) or last < 0:
        raise ValueError('SemiSampler: target_only_last counts iterations, '
                         f'but is {last!r}. Give a non-negative integer.')


def _check_seed(seed: int) -> int:
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError('SemiSampler needs a non-negative integer seed, but '
                         f'got {seed!r}.')
    return int(seed)
