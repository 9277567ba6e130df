# Copyright (c) mmseg_semi authors.
"""PPS Eq. 7 against a loop over anchors, and the draws behind it."""
import pytest
import torch
import torch.nn.functional as F

from mmseg_semi import dist
from mmseg_semi.functional.prototype_contrast import (draw_partners,
                                                      draw_per_prototype,
                                                      prototype_contrast)

P, S, D = 5, 4, 6
# Prototype 1 is in both networks, 2 in the first alone, 3 has one entry in
# all, 4 is absent.
COUNTS = torch.tensor([[4, 2, 3, 0, 0], [4, 1, 0, 1, 0]])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pool(seed=0):
    return torch.randn(
        2, P, S, D, generator=generator(seed),
        dtype=torch.float64).requires_grad_()


def entries(vectors):
    """The used entries: (network, prototype, slot) -> unit vector."""
    return {
        (b, k, j): vectors[b, k, j] / vectors[b, k, j].norm()
        for b in range(2)
        for k in range(P)
        for j in range(COUNTS[b, k])
    }


def printed(vectors,
            partner,
            exists,
            temperature,
            network=None,
            both_sides=True):
    """The mean of Eq. 7 over the anchors (of one network: its share)."""
    used = entries(vectors)
    pool = used if both_sides else {k: v.detach() for k, v in used.items()}
    total, number = 0., 0
    for key, v in used.items():
        if not exists[key]:
            continue
        number += 1
        if network is not None and key[0] != network:
            continue
        other, k, j = torch.unravel_index(partner[key], (2, P, S))
        positive = pool[int(other), int(k), int(j)]
        numerator = (v @ positive / temperature).exp()
        denominator = numerator + sum(
            (v @ o / temperature).exp()
            for where, o in pool.items() if where[1] != key[1])
        total = total - (numerator / denominator).log()
    return total / number


@pytest.mark.parametrize('temperature', [.1, 1.])
def test_loss_is_equation_7(temperature):
    vectors = pool()
    partner, exists = draw_partners(COUNTS, S, generator())
    parts = [
        prototype_contrast(vectors, COUNTS, partner, exists, network,
                           temperature) for network in (0, 1)
    ]
    slow = printed(vectors, partner, exists, temperature)
    torch.testing.assert_close(sum(parts), slow, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        parts[1], printed(vectors, partner, exists, temperature, 1))
    fast, = torch.autograd.grad(sum(parts), vectors)
    wanted, = torch.autograd.grad(slow, vectors)
    torch.testing.assert_close(fast, wanted, rtol=1e-10, atol=1e-14)


def test_a_gradient_of_the_anchors_alone():
    """The entries of the anchors' own network are constants too."""
    vectors = pool()
    partner, exists = draw_partners(COUNTS, S, generator())
    args = (partner, exists, .1, 0)
    alone = prototype_contrast(
        vectors, COUNTS, partner, exists, 0, both_sides=False)
    both = printed(vectors, *args)
    torch.testing.assert_close(alone, both, rtol=1e-12, atol=0)
    fast, = torch.autograd.grad(alone, vectors)
    wanted, = torch.autograd.grad(
        printed(vectors, *args, both_sides=False), vectors)
    torch.testing.assert_close(fast, wanted, rtol=1e-10, atol=1e-14)
    assert not torch.allclose(fast[0],
                              torch.autograd.grad(both, vectors)[0][0])


def test_unused_slots_do_not_matter():
    vectors = pool().detach()
    partner, exists = draw_partners(COUNTS, S, generator())
    losses = []
    for filler in (0., float('nan'), 1e30):
        changed = vectors.clone()
        for b in range(2):
            for k in range(P):
                changed[b, k, COUNTS[b, k]:] = filler
        changed.requires_grad_()
        loss = prototype_contrast(changed, COUNTS, partner, exists, 0)
        loss.backward()
        losses.append(loss)
        assert torch.isfinite(changed.grad).all()
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize('seed', range(20))
def test_partners(seed):
    partner, exists = draw_partners(COUNTS, S, generator(seed))
    total = COUNTS.sum(0)
    for b in range(2):
        for k in range(P):
            for j in range(S):
                assert exists[b, k, j] == (j < COUNTS[b, k] and total[k] > 1)
                assert 0 <= partner[b, k, j] < 2 * P * S
                if not exists[b, k, j]:
                    continue
                other, proto, slot = torch.unravel_index(
                    partner[b, k, j], (2, P, S))
                assert proto == k and slot < COUNTS[other, k]
                assert (other, slot) != (b, j)
                assert (other == 1 - b) == (COUNTS[1 - b, k] > 0)


def test_every_partner_is_as_likely():
    gen, seen = generator(), torch.zeros(2 * P * S)
    for _ in range(600):
        partner, _ = draw_partners(COUNTS, S, gen)
        seen[partner[0, 0, 1]] += 1  # four in the other network
        seen[partner[0, 2, 1]] += 1  # two left in its own
    first = seen.view(2, P, S)
    assert (first[1, 0] > 100).all() and first[1, 0].sum() == 600
    assert first[0, 2, 1] == 0 and (first[0, 2, [0, 2]] > 240).all()


def test_pixels_are_drawn_from_their_prototype():
    labels = torch.tensor([0] * 10 + [1] * 3 + [255] * 4 + [-1] * 2 + [4] * 5)
    labels = labels[torch.randperm(len(labels), generator=generator())]
    found = set()
    gen = generator()
    for _ in range(30):
        pixels, counts = draw_per_prototype(labels, P, S, gen)
        assert pixels.shape == (P, S)
        assert counts.tolist() == [4, 3, 0, 0, 4]
        for k in range(P):
            mine = pixels[k, :counts[k]].tolist()
            assert len(set(mine)) == len(mine)
            assert all(labels[i] == k for i in mine)
            found.update(mine)
    assert found == set((labels % 255 >= 0).logical_and(
        labels.clamp(0, 4) == labels).nonzero().flatten().tolist())


def test_random_negatives():
    """r of at least all negatives is all; r = 1 is one of them."""
    vectors = pool().detach()
    partner, exists = draw_partners(COUNTS, S, generator())
    args = (vectors, COUNTS, partner, exists, 0)
    every = prototype_contrast(*args)
    torch.testing.assert_close(
        prototype_contrast(*args, negatives=100, generator=generator()), every)
    few = torch.stack([
        prototype_contrast(*args, negatives=1, generator=generator(i))
        for i in range(50)
    ])
    assert (few < every).all() and few.unique().numel() > 1


def test_one_negative_is_the_two_way_softmax():
    vectors = pool().detach()
    counts = torch.tensor([[2, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    partner, exists = draw_partners(counts, S, generator())
    v = F.normalize(vectors[0], dim=-1)
    wanted = sum(
        F.softplus((v[0, i] @ v[1, 0] - v[0, 0] @ v[0, 1]) / .1)
        for i in range(2)) / 2
    torch.testing.assert_close(
        prototype_contrast(vectors, counts, partner, exists, 0), wanted)


@pytest.mark.parametrize(
    'counts',
    [
        torch.zeros(2, P, dtype=torch.long),
        torch.tensor([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]),  # no partner
        torch.tensor([[3, 0, 0, 0, 0], [2, 0, 0, 0, 0]]),  # no negative
    ])
def test_nothing_to_contrast_is_an_exact_zero(counts):
    vectors = pool()
    partner, exists = draw_partners(counts, S, generator())
    loss = prototype_contrast(vectors, counts, partner, exists, 0)
    loss.backward()
    assert loss == 0 and (vectors.grad == 0).all()


def test_half_precision_is_computed_in_full():
    vectors = pool().detach()
    partner, exists = draw_partners(COUNTS, S, generator())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = prototype_contrast(vectors.bfloat16(), COUNTS, partner, exists,
                                  0)
    assert loss.dtype == torch.float32
    wanted = prototype_contrast(vectors.bfloat16().double(), COUNTS, partner,
                                exists, 0)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-5, atol=0)


def rank_loss(rank):
    """Rank 1 has fewer anchors than rank 0."""
    counts = COUNTS if rank == 0 else COUNTS.clamp_max(1)
    partner, exists = draw_partners(counts, S, generator(rank))
    vectors = pool(rank)
    loss = prototype_contrast(vectors, counts, partner, exists, 0)
    grad, = torch.autograd.grad(loss, vectors)
    number = exists.sum()
    assert dist.world_size() == 2
    return loss.detach(), grad, number, vectors.detach(), exists, partner


def test_mean_over_the_anchors_of_all_ranks(gloo_pool):
    results = gloo_pool(rank_loss)
    number = sum(r[2] for r in results)
    losses, grads = [], []
    for rank, (_, _, mine, vectors, exists, partner) in enumerate(results):
        counts = COUNTS if rank == 0 else COUNTS.clamp_max(1)
        vectors.requires_grad_()
        alone = prototype_contrast(vectors, counts, partner, exists, 0)
        alone = alone * mine / number
        losses.append(alone.detach())
        grads.append(torch.autograd.grad(alone, vectors)[0])
    # DDP averages: the mean over ranks is the mean over all anchors.
    torch.testing.assert_close(sum(r[0] for r in results) / 2, sum(losses))
    for result, grad in zip(results, grads):
        torch.testing.assert_close(result[1] / 2, grad)
