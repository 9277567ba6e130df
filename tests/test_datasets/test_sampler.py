# Copyright (c) mmseg_semi authors.
import itertools
import pickle
import random
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmseg_semi.datasets import SemiSampler, StreamIndex, sampler
from mmseg_semi.datasets.seeding import position_seed


def make(lengths=(5, 12), share=(2, 3), seed=0, rank=0, world=1, **kwargs):
    """The sampler of a rank with this share of an iteration."""
    batches = world * kwargs.get('accumulate', 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, 'get_dist_info', lambda: (rank, world))
        return SemiSampler(
            SimpleNamespace(source_lengths=lengths),
            [count * batches for count in share], seed, **kwargs)


def take(source, num):
    return list(itertools.islice(iter(source), num))


def facts(indices):
    return [(int(i), i.position, i.seed) for i in indices]


class SeededNumbers(torch.utils.data.Dataset):
    """Draws that show the three generators and the index."""
    source_lengths = (5, 12)

    def __len__(self):
        return 17

    def __getitem__(self, idx):
        with position_seed(idx.seed, idx.position):
            return torch.tensor([
                int(idx), idx.position,
                np.random.rand(),
                torch.rand(()).item(),
                random.random()
            ],
                                dtype=torch.float64)


def test_stream_index_is_an_int_and_survives_pickling():
    index = StreamIndex(7, position=123, seed=9)
    copy = pickle.loads(pickle.dumps(index))
    assert copy == 7 and [10, 20, 30, 40, 50, 60, 70, 80][copy] == 80
    assert (copy.position, copy.seed) == (123, 9)


@pytest.mark.parametrize('world', [1, 2, 3])
@pytest.mark.filterwarnings('ignore:The labelled set has')
def test_every_batch_has_the_counts_in_order(world):
    for rank in range(world):
        draws = take(make(rank=rank, world=world), 50)
        for i, index in enumerate(draws):
            assert (index < 5) == (i % 5 < 2)


@pytest.mark.parametrize('world', [1, 2, 3])
@pytest.mark.parametrize('lengths, counts',
                         [((6, 12), (2, 3)), ((7, 7), (1, 1)),
                          ((1, 5), (2, 4))])
@pytest.mark.filterwarnings('ignore:The (un)?labelled set has')
def test_a_pass_visits_every_image_once_over_all_ranks(world, lengths, counts):
    ranks = [make(lengths, counts, rank=r, world=world) for r in range(world)]
    size = sum(counts)
    streams = [take(r, 30 * size) for r in ranks]
    for source, low in ((0, 0), (1, lengths[0])):
        high = low + lengths[source]
        order = [
            int(i) for b in range(30) for s in streams
            for i in s[b * size:(b + 1) * size] if low <= i < high
        ]
        passes = len(order) // lengths[source]
        assert passes >= 2
        for number in range(passes):
            begin = number * lengths[source]
            assert sorted(order[begin:begin + lengths[source]]) == list(
                range(low, high))


def test_ranks_are_disjoint_and_positions_unique():
    streams = [
        take(make((8, 24), (1, 3), rank=r, world=2), 16) for r in (0, 1)
    ]
    # 4 batches x 2 ranks x 3 = one pass of 24: no image twice.
    images = Counter(int(i) for s in streams for i in s)
    assert set(images.values()) == {1}
    positions = sorted(i.position for s in streams for i in s)
    assert positions == list(range(32))


def test_sources_of_equal_size_walk_different_orders():
    draws = take(make((50, 50), (1, 1)), 100)
    assert [int(i) for i in draws[::2]] != [i - 50 for i in draws[1::2]]


def test_passes_and_seeds_differ():
    draws = [int(i) for i in take(make((20, 20), (1, 1)), 80)][::2]
    assert draws[:20] != draws[20:]
    other = [int(i) for i in take(make((20, 20), (1, 1), seed=1), 80)][::2]
    assert draws != other


def test_without_shuffling_the_order_is_natural():
    draws = [int(i) for i in take(make((2, 4), (1, 2), shuffle=False), 9)]
    assert draws == [0, 2, 3, 1, 4, 5, 0, 2, 3]


@pytest.mark.parametrize('num', [0, 1, 5, 37, 100])
@pytest.mark.parametrize('rank, world', [(0, 1), (1, 2)])
def test_skip_equals_consuming(num, rank, world):
    skipped = make(rank=rank, world=world)
    skipped.skip(num)
    whole = take(make(rank=rank, world=world), num + 30)
    assert facts(take(skipped, 30)) == facts(whole[num:])


def test_skip_is_absolute_and_far_skips_are_cheap():
    source = make((5, 10_000))
    source.skip(3)
    source.skip(10**12)
    first = take(source, 1)[0]
    assert first.position == 10**12


def test_looking_at_a_batch_does_not_shift_the_stream():
    source = make()
    first = facts(take(source, 5))
    assert facts(take(source, 5)) == first


def test_state_dict_round_trip():
    source = make()
    stream = iter(source)
    list(itertools.islice(stream, 37))
    state = pickle.loads(pickle.dumps(source.state_dict()))
    other = make(seed=99)
    other.load_state_dict(state)
    assert facts(take(other, 20)) == facts(itertools.islice(stream, 20))
    assert other.position == 57


@pytest.mark.parametrize('start', [0, 40])
def test_samples_do_not_depend_on_workers(start):
    batches = []
    for workers in (0, 1, 2):
        dataset = SeededNumbers()
        source = SemiSampler(dataset, (2, 3), seed=3)
        source.skip(start)
        np.random.seed(workers)  # whatever the process did before
        loader = DataLoader(
            dataset, batch_size=5, sampler=source, num_workers=workers)
        batches.append(torch.stack(list(itertools.islice(iter(loader), 6))))
    assert batches[0][0, 0, 1] == start
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0], batches[2])


def test_position_seed_restores_the_caller_and_separates_positions():
    states = random.getstate(), torch.get_rng_state()
    np.random.seed(5)
    expected = np.random.RandomState(5).rand()
    draws = []
    for seed, position in ((0, 0), (0, 1), (1, 0), (0, 2**40), (0, 0)):
        with position_seed(seed, position):
            draws.append((np.random.rand(), random.random(), torch.rand(
                ()).item()))
    assert draws[0] == draws[-1]
    for values in zip(*draws[:4]):
        assert len(set(values)) == 4
    assert np.random.rand() == expected
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_position_seed_restores_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), position_seed(0, 0):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize('lengths, counts, words', [
    ((5, 12), (0, 3), 'draws none of the 5 labelled'),
    ((5, 12), (2, 0), 'draws none of the 12 unlabelled'),
    ((5, 0), (2, 3), r'set counts=\(2, 0\) and batch_size=2'),
    ((0, 12), (2, 3), 'Check the labelled list'),
    ((5, 12), (2, ), '2 non-negative integers'),
    ((5, 12), (2, -1), '2 non-negative integers'),
    ((5, 12), (2, 1.5), '2 non-negative integers'),
    ((5, 12), 4, '2 non-negative integers'),
])
def test_counts_that_cannot_work_are_refused(lengths, counts, words):
    with pytest.raises(ValueError, match=words):
        SemiSampler(SimpleNamespace(source_lengths=lengths), counts, 0)


@pytest.mark.parametrize('seed', [-1, 1.5, 'a'])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match='non-negative integer seed'):
        make(seed=seed)


@pytest.mark.parametrize('num', [-1, 2.5])
def test_bad_skips_are_refused(num):
    with pytest.raises(ValueError, match='non-negative integer'):
        make().skip(num)


def test_other_datasets_are_refused():
    with pytest.raises(TypeError, match='SemiSegDataset the outermost'):
        SemiSampler([1, 2, 3], (1, 1))


def stream_of_rank(rank):
    torch.manual_seed(rank)
    np.random.seed(rank)
    source = SemiSampler(SimpleNamespace(source_lengths=(4, 12)), (2, 6))
    return source.seed, facts(take(source, 8))


@pytest.mark.dist
def test_two_processes_share_the_seed_and_not_the_images(gloo_pool):
    (seed, one), (other_seed, other) = gloo_pool(stream_of_rank)
    assert seed == other_seed
    images = [index for index, _, _ in one + other]
    assert sorted(images) == list(range(16))
    assert sorted(p for _, p, _ in one + other) == list(range(16))


def test_no_seed_draws_one():
    assert SemiSampler(SeededNumbers(), (1, 1)).seed >= 0


def test_supervised_only():
    draws = take(make((5, 0), (2, 0)), 10)
    assert sorted(int(i) for i in draws[:5]) == list(range(5))


@pytest.mark.parametrize('lengths, name', [((1, 12), 'labelled'),
                                           ((5, 2), 'unlabelled')])
def test_tiny_sources_repeat_with_a_warning(lengths, name):
    with pytest.warns(UserWarning, match=f'The {name} set has'):
        source = make(lengths)
    draws = [int(i) for i in take(source, 10)]
    assert {i < lengths[0] for i in draws} == {True, False}


# A labelled source domain: (labelled, unlabelled, source) images.
DOMAINS = (5, 12, 7)


def domain(index):
    return 0 if index < 5 else 1 if index < 17 else 2


def alternating(total=20, last=6, counts=(2, 3), **kwargs):
    source = make(
        DOMAINS, counts, alternate=True, target_only_last=last, **kwargs)
    source.total_iters = total
    return source


def test_three_sources_in_every_batch():
    draws = take(make(DOMAINS, (2, 3, 1)), 60)
    assert [domain(i) for i in draws] == [0, 0, 1, 1, 1, 2] * 10


def test_a_third_source_leaves_the_first_two_alone():
    """The stream of a config does not change when a source is added."""
    two = [int(i) for i in take(make(DOMAINS[:2], (2, 3)), 50)]
    three = [int(i) for i in take(make(DOMAINS, (2, 3, 1)), 60)]
    assert [i for i in three if i < 17] == two


@pytest.mark.parametrize('total, last', [(20, 6), (20, 7), (20, 0), (20, 99)])
def test_labelled_and_source_images_take_turns(total, last):
    draws = take(alternating(total, last), 5 * total)
    end = max(total - last, 0)
    for batch in range(total):
        who = 2 if batch < end and batch % 2 else 0
        found = [domain(i) for i in draws[5 * batch:5 * batch + 5]]
        assert found == [who, who, 1, 1, 1], batch


@pytest.mark.parametrize('world', [1, 2])
@pytest.mark.filterwarnings('ignore:The (labelled|source) set has')
def test_an_alternating_pass_visits_every_image_once(world):
    ranks = [alternating(40, 11, rank=r, world=world) for r in range(world)]
    streams = [take(r, 5 * 60) for r in ranks]
    for wanted, length in enumerate(DOMAINS):
        order = [
            int(i) for b in range(60) for s in streams
            for i in s[5 * b:5 * b + 5] if domain(i) == wanted
        ]
        assert len(order) // length >= 2
        for begin in range(0, len(order) - length + 1, length):
            assert len(set(order[begin:begin + length])) == length


@pytest.mark.parametrize('num', [0, 1, 5, 37, 69, 70, 71, 100])
@pytest.mark.parametrize('rank, world', [(0, 1), (1, 2)])
@pytest.mark.filterwarnings('ignore:The (labelled|source) set has')
def test_skip_equals_consuming_while_alternating(num, rank, world):
    skipped = alternating(rank=rank, world=world)
    skipped.skip(num)
    whole = take(alternating(rank=rank, world=world), num + 30)
    assert facts(take(skipped, 30)) == facts(whole[num:])
    assert [i.position for i in whole[::5]
            ] == [5 * world * b + 2 * rank for b in range(len(whole[::5]))]


def test_far_skips_are_cheap_while_alternating():
    source = alternating(total=10**12)
    source.skip(5 * (10**12 - 7))  # odd, and the last one with GTA5
    assert [domain(i) for i in take(source, 15)[::5]] == [2, 0, 0]


def test_alternation_has_to_know_the_end():
    source = alternating(total=None)
    with pytest.raises(RuntimeError, match='SemiIterBasedTrainLoop'):
        next(iter(source))


def test_length_of_an_alternating_epoch():
    assert len(alternating()) == 4 * 5  # 12 unlabelled images, 3 a batch


@pytest.mark.parametrize('lengths, counts, kwargs, words', [
    (DOMAINS, (2, 3), {}, r'counts=\(labelled, unlabelled, source\).*'
     'alternate=True'),
    (DOMAINS, (2, 3, 0), {}, 'draws none of the 7 source .*labeled_source='),
    ((5, 12, 0), (2, 3, 1), {}, 'list of the source domain'),
    ((5, 0, 7), (2, 3, 1), {}, r'set counts=\(2, 0, 1\) and batch_size=3'),
    (DOMAINS, (2, 3, 2), dict(alternate=True), r'Set counts=\(2, 3\)'),
    (DOMAINS, (0, 3), dict(alternate=True), 'draws none of the 5 labelled'),
    ((5, 12), (2, 3), dict(alternate=True), 'Give .* a `labeled_source`'),
    (DOMAINS, (2, 3), dict(alternate=True, target_only_last=-1),
     'target_only_last counts batches, but is -1'),
])
def test_domains_that_cannot_work_are_refused(lengths, counts, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make(lengths, counts, **kwargs)
