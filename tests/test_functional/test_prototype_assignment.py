# Copyright (c) mmseg_semi authors.
"""PPS's assignment and activation regularisation against the paper, fp64."""
import pytest
import torch
import torch.nn.functional as F

from mmseg_semi.functional import cross_entropy
from mmseg_semi.functional.prototype_assignment import (ASSIGNMENTS,
                                                        activation_logits,
                                                        class_scores,
                                                        draw_prototypes,
                                                        prototypes_per_class)

C, N = 4, 3


def scores(seed=0, n=N, scale=2.):
    gen = torch.Generator().manual_seed(seed)
    shape = (2, n * C, 3, 5)
    return scale * torch.randn(*shape, generator=gen, dtype=torch.float64)


def odds(u):
    """psi of Eq. 9."""
    return u / (1 - u)


def printed(s, assign):
    """p_c of Eq. 8-9 for one pixel, s (n C,), in every reading."""
    if assign == 'softmax_sum':
        s = s.exp() / s.exp().sum()
    groups = [s[k * N:(k + 1) * N] for k in range(C)]
    if assign == 'lse':  # psi(sigmoid) inside the sum, then normalised
        sums = torch.stack([odds(g.sigmoid()).sum() for g in groups])
        return sums / sums.sum()
    sums = torch.stack([g.sum() for g in groups])
    if assign == 'sum_logits':
        return sums.softmax(0)
    if assign == 'softmax_sum':
        return sums.exp().softmax(0)
    return odds(sums.sigmoid()).softmax(0)


@pytest.mark.parametrize('assign', ASSIGNMENTS)
def test_class_probabilities_are_the_printed_ones(assign):
    s = scores(scale=.5 if assign == 'literal' else 2.)
    p = class_scores(s, C, assign).softmax(1)
    for b in range(2):
        for i in range(3):
            for j in range(5):
                torch.testing.assert_close(
                    p[b, :, i, j],
                    printed(s[b, :, i, j], assign),
                    rtol=0,
                    atol=1e-12)


def test_lse_is_the_sum_of_the_prototypes_probabilities():
    s = scores()
    summed = s.softmax(1).unflatten(1, (C, N)).sum(2)
    torch.testing.assert_close(
        class_scores(s, C).softmax(1), summed, rtol=0, atol=1e-14)


def test_one_prototype_is_plain_softmax_classification():
    s = scores(n=1)
    torch.testing.assert_close(class_scores(s, C).softmax(1), s.softmax(1))
    torch.testing.assert_close(class_scores(s, C), s)


@pytest.mark.parametrize('assign', ASSIGNMENTS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_large_scores_stay_finite(assign, dtype):
    s = (1e4 * scores().sign()).to(dtype).requires_grad_()
    z = class_scores(s, C, assign)
    assert z.dtype == torch.float32
    loss = F.cross_entropy(z, torch.zeros(2, 3, 5, dtype=torch.long))
    loss.backward()
    assert torch.isfinite(z).all() and torch.isfinite(loss)
    assert torch.isfinite(s.grad).all()


def train_xor(assign, seed):
    """Accuracy of 2 classes x 2 prototypes on four clusters, XOR labels."""
    gen = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[1., 1.], [-1., -1.], [1., -1.], [-1., 1.]])
    which = torch.randint(0, 4, (400, ), generator=gen)
    x = 3 * centres[which] + .3 * torch.randn(400, 2, generator=gen)
    x, y = torch.cat([x, torch.ones(400, 1)], 1), which // 2
    prototypes = torch.randn(3, 4, generator=gen).requires_grad_()
    optimizer = torch.optim.SGD([prototypes], lr=.3, momentum=.9)
    for _ in range(400):
        loss = F.cross_entropy(class_scores(x @ prototypes, 2, assign), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([prototypes], 1.)
        optimizer.step()
    z = class_scores(x @ prototypes.detach(), 2, assign)
    return (z.argmax(1) == y).float().mean().item()


@pytest.mark.parametrize('seed', range(5))
def test_prototypes_learn_what_no_single_centroid_can(seed):
    assert train_xor('lse', seed) > .99
    assert train_xor('sum_logits', seed) < .8


def test_activation_logits_are_one_prototype_of_every_class():
    gen = torch.Generator().manual_seed(0)
    seen = torch.zeros(N * C, dtype=torch.long)
    for _ in range(200):
        drawn = draw_prototypes(C, N, gen)
        assert (drawn // N).tolist() == list(range(C))
        seen[drawn] += 1
    assert (seen > 30).all()
    s = scores()
    for k, index in enumerate(drawn.tolist()):
        assert k * N <= index < (k + 1) * N
        assert torch.equal(activation_logits(s, drawn)[:, k], s[:, index])


def test_draws_differ_between_classes():
    gen = torch.Generator().manual_seed(0)
    draws = torch.stack([draw_prototypes(C, N, gen) % N for _ in range(50)])
    assert not (draws == draws[:, :1]).all()


def test_drawn_logits_renormalise_the_prototypes_probabilities():
    s, drawn = scores(), torch.tensor([2, 3, 7, 9])
    p = s.softmax(1)[:, drawn]
    torch.testing.assert_close(
        activation_logits(s, drawn).softmax(1), p / p.sum(1, keepdim=True))


def test_with_one_prototype_the_regulariser_is_the_cross_entropy():
    s, gen = scores(n=1), torch.Generator().manual_seed(0)
    labels = torch.randint(0, C, (2, 3, 5), generator=gen)
    drawn = draw_prototypes(C, 1, gen)
    torch.testing.assert_close(
        cross_entropy(activation_logits(s, drawn), labels),
        F.cross_entropy(class_scores(s, C), labels))


def test_only_drawn_prototypes_get_gradient():
    s = scores().requires_grad_()
    drawn = torch.tensor([2, 3, 7, 9])
    activation_logits(s, drawn).square().sum().backward()
    touched = s.grad.abs().sum((0, 2, 3)) > 0
    assert touched.nonzero().flatten().tolist() == drawn.tolist()


def test_bad_input():
    with pytest.raises(ValueError, match='assign='):
        class_scores(scores(), C, 'sum')
    with pytest.raises(ValueError, match='12 prototypes .* 5 classes.*10'):
        class_scores(scores(), 5)
    with pytest.raises(ValueError, match='for example 5'):
        prototypes_per_class(3, 5)
    assert prototypes_per_class(105, 21) == 5
