# Copyright (c) mmseg_semi authors.
"""The images of an iteration, and the share of a process."""
import pytest
import torch
from torch.utils.data import DataLoader

from mmseg_semi.datasets import SemiBatchSampler, batches_of, sampler
from .test_sampler import SeededNumbers, facts, make, take


@pytest.mark.parametrize('lengths, counts, world, accumulate, iters', [
    ((5, 100), (2, 3), 1, 1, 33),
    ((50, 101), (4, 6), 2, 1, 16),
    ((50, 101), (4, 6), 1, 2, 16),
    ((100, 0), (12, 0), 3, 2, 8),
    ((5, 2), (1, 2), 1, 1, 1),
])
def test_length_is_one_pass_over_the_unlabelled_images(lengths, counts, world,
                                                       accumulate, iters):
    batches = world * accumulate
    source = make(
        lengths, [c // batches for c in counts],
        world=world,
        accumulate=accumulate)
    assert source.counts == counts
    assert len(source) * world == iters * sum(counts)
    assert len(SemiBatchSampler(source, sum(counts))) == iters


def iterations(world, accumulate, lengths=(10, 31), number=9, **kwargs):
    """The images of every iteration, each with its place and seed."""
    share = [c // (world * accumulate) for c in (4, 8)]
    sources = [
        make(
            lengths,
            share,
            rank=r,
            world=world,
            accumulate=accumulate,
            **kwargs) for r in range(world)
    ]
    for source in sources:
        source.total_iters = number
    streams = [take(s, number * accumulate * sum(share)) for s in sources]
    size = len(streams[0]) // number
    return [
        sorted(facts(i for s in streams for i in s[t * size:(t + 1) * size]))
        for t in range(number)
    ]


@pytest.mark.parametrize('world, accumulate', [(2, 1), (4, 1), (1, 4), (2, 2)])
def test_an_iteration_is_the_same_however_it_is_shared(world, accumulate):
    """The same images, with the same random numbers for each."""
    assert iterations(world, accumulate) == iterations(1, 1)
    turns = dict(lengths=(10, 31, 9), alternate=True, target_only_last=3)
    assert iterations(world, accumulate, **turns) == iterations(1, 1, **turns)


@pytest.mark.parametrize('counts, world, accumulate, words', [
    ((16, 16), 5, 1, '16 [+] 16 images in all.*5 process.*1, 2, 4, 8 or 16 '),
    ((16, 0), 3, 1, '16 images in all.*1, 2, 4, 8 or 16 process'),
    ((8, 12), 8, 1, 'Train with 1, 2 or 4 process'),
    ((16, 16), 4, 8, '4 process.* x 8 accumulated.*Train with 1 or 2 process'),
    ((16, 16), 1, 3, 'Accumulate 1, 2, 4, 8 or 16 batch'),
    ((16, 16), 1, 0, 'at least 1; got 0'),
    ((16, 16), 1, 2.0, 'at least 1; got 2.0'),
])
def test_shares_that_are_not_equal_are_refused(counts, world, accumulate,
                                               words):
    with pytest.raises(ValueError, match=words):
        sampler.equal_shares(counts, world, accumulate)


def loader(counts=(2, 4), batch_size=6, batch_sampler=True, **kwargs):
    share = [c // kwargs.get('accumulate', 1) for c in counts]
    source = make(share=share, **kwargs)
    if not batch_sampler:
        return DataLoader(SeededNumbers(), batch_size, sampler=source)
    return DataLoader(
        SeededNumbers(), batch_sampler=SemiBatchSampler(source, batch_size))


@pytest.mark.parametrize('accumulate', [1, 2])
def test_batches_are_the_share_of_a_process(accumulate):
    whole = loader(accumulate=accumulate)
    batches = batches_of(whole)
    share = (2 // accumulate, 4 // accumulate)
    assert (batches.total, batches.share) == ((2, 4), share)
    assert batches.batch_size == len(next(iter(whole))) == sum(share)
    assert batches.sampler.counts == (2, 4)


def test_batches_of_one_process_need_no_batch_sampler():
    batches = batches_of(loader(batch_sampler=False))
    assert (batches.total, batches.batch_size) == ((2, 4), 6)


def test_samplers_without_sources_have_a_batch_size_alone():
    plain = DataLoader(SeededNumbers(), 4)
    batches = batches_of(plain)
    assert (batches.total, batches.share, batches.batch_size) == (None, None,
                                                                  4)
    assert batches.sampler is plain.sampler


def test_batch_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r'batch_size is 5.*6 images in all'):
        loader(batch_size=5)
    with pytest.raises(ValueError, match='batch_sampler=dict.*SemiBatchSamp'):
        batches_of(loader(accumulate=2, batch_sampler=False))
    with pytest.raises(TypeError, match='cuts the stream of a SemiSampler'):
        SemiBatchSampler(torch.utils.data.SequentialSampler([1]), 1)
