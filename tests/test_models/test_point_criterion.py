# Copyright (c) mmseg_semi authors.
"""Mask2Former's loss against loops over images, masks and points."""
from unittest import mock

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from mmseg_semi.models.decode_heads.point_criterion import (PointSetCriterion,
                                                            label_corners,
                                                            point_costs,
                                                            sample_maps)
from mmseg_semi.models.step import QueryOut

B, C, Q, D, SIDE, POINTS, L = 2, 4, 5, 6, 16, 24, 2
FEW = dict(num_points=POINTS)


def queries(seed=0, grad=False):
    gen = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=gen).double().requires_grad_(grad)

    return QueryOut([draw(B, Q, C + 1) for _ in range(L)],
                    [draw(B, Q, D) for _ in range(L)], draw(B, D, 8, 8))


def truth(seed=1):
    gen = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, C, (B, 4, 4), generator=gen)
    labels[0][labels[0] == 1] = 0
    labels[:, 0] = 255
    return labels.repeat_interleave(4, 1).repeat_interleave(4, 2)


def test_labels_between_pixels_are_shares_of_masks():
    labels = truth()
    points = torch.rand(3, 50, 2).double() * 1.2 - .1  # some are outside
    image = torch.tensor([1, 0, 1])
    found, weights = label_corners(labels, image, points)
    for c in (0, 2, 255):
        share = (weights * (found == c)).sum(-1)
        mask = (labels == c).double()[image]
        torch.testing.assert_close(share,
                                   sample_maps(mask[:, None], points)[:, 0])


def test_points_are_where_a_mask_is_least_sure():
    """Half of the columns are sure; three quarters of the points avoid it."""
    criterion = PointSetCriterion(C, train_cfg=dict(num_points=400))
    masks = torch.full((2, 1, 8, 8), 9.)
    masks[..., 4:] = torch.linspace(-.1, .1, 4)
    torch.manual_seed(0)
    points = criterion.choose_points(masks)
    assert points.shape == (2, 400, 2)
    assert points.min() >= 0 and points.max() <= 1
    unsure = (points[..., 0] > .5).float().mean(1)
    torch.testing.assert_close(
        unsure, torch.full((2, ), .875), rtol=0, atol=.05)
    assert not torch.equal(points[0], points[1])
    first = points[0, :300]
    doubt = sample_maps(masks[:1], first[None]).abs()
    assert doubt.max() < 9.  # all 300 of them


def slow_losses(criterion, out, labels, points):
    """What the criterion computes, all masks at the given points."""
    result = {}
    for i in range(L):
        ce, bce, dice, weights, segments = 0., 0., 0., 0., 0
        for b in range(B):
            masks = torch.einsum('qd,dhw->qhw', out.mask_embed[i][b],
                                 out.pixel_embed[b])
            scores = out.class_logits[i][b]
            classes = [c for c in labels[b].unique().tolist() if c != 255]
            at = points[POINTS]
            x = sample_maps(masks[:, None], at.expand(Q, -1, -1))[:, 0]
            costs = torch.zeros(Q, len(classes)).double()
            for n, c in enumerate(classes):
                t = sample_maps((labels[b] == c)[None, None].double(),
                                at[None])[0, 0]
                for q in range(Q):
                    p = x[q].sigmoid()
                    costs[q, n] = -2 * scores[q].softmax(0)[c]
                    costs[q, n] -= 5 * (t * p.log() + (1 - t) *
                                        (1 - p).log()).mean()
                    costs[q, n] += 5 * (1 - (2 * (p * t).sum() + 1) /
                                        (p.sum() + t.sum() + 1))
            target = torch.full((Q, ), C)
            for q, n in zip(*linear_sum_assignment(costs.detach().numpy())):
                target[q] = classes[n]
                many = points[3 * POINTS]
                doubt = sample_maps(masks[None, q:q + 1], many[None])[0, 0]
                best = doubt.abs().topk(18, largest=False)[1]
                own = torch.cat([many[best], points[POINTS - 18]])[None]
                p = sample_maps(masks[None, q:q + 1], own)[0, 0].sigmoid()
                t = sample_maps((labels[b] == classes[n])[None, None].double(),
                                own)[0, 0]
                bce -= (t * p.log() + (1 - t) * (1 - p).log()).mean()
                dice += 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
                segments += 1
            w = torch.where(target == C, .1, 1.).double()
            ce += (w * F.cross_entropy(scores, target, reduction='none')).sum()
            weights += w.sum()
        prefix = '' if i == L - 1 else f'd{i}.'
        for name, weight, value in (('cls', 2, ce / weights), ('mask', 5,
                                                               bce / segments),
                                    ('dice', 5, dice / segments)):
            result[f'{prefix}loss_{name}'] = weight * value
    return result


def test_losses_against_loops():
    points = {}
    gen = torch.Generator().manual_seed(3)

    for number in (POINTS, 3 * POINTS, POINTS - 18):
        points[number] = torch.rand(number, 2, generator=gen).double()

    def given(*shape, **kwargs):
        return points[shape[-2]].expand(*shape).clone()

    criterion = PointSetCriterion(C, train_cfg=FEW).double()
    criterion.class_weight[-1] = .1
    out, labels = queries(grad=True), truth()
    with mock.patch.object(torch, 'rand', given):
        losses = criterion(out, labels)
    wanted = slow_losses(criterion, out, labels, points)
    assert losses.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(losses[name], value)
    leaves = [*out.class_logits, *out.mask_embed, out.pixel_embed]
    for got, want in zip(
            torch.autograd.grad(sum(losses.values()), leaves),
            torch.autograd.grad(sum(wanted.values()), leaves)):
        torch.testing.assert_close(got, want)


def test_costs_against_loops():
    out, gen = queries(), torch.Generator().manual_seed(5)
    x = torch.randn(B, Q, 7, generator=gen).double()
    shares = torch.rand(B, 7, C, generator=gen).double()
    slots = torch.arange(C).repeat(B, 1)
    slots[0, 2] = -1
    costs = point_costs(x, out.class_logits[0], shares, slots,
                        dict(cls=2., mask=3., dice=4.), 1.)
    for b in range(B):
        for q in range(Q):
            p = x[b, q].sigmoid()
            for c in range(C):
                t = shares[b, :, c]
                wanted = 3 * F.binary_cross_entropy(p, t) - 2 * (
                    out.class_logits[0][b, q].softmax(0)[c])
                wanted += 4 * (1 - (2 * (p * t).sum() + 1) /
                               (p.sum() + t.sum() + 1))
                if (b, c) == (0, 2):
                    wanted = torch.tensor(torch.inf).double()
                torch.testing.assert_close(costs[b, q, c], wanted)


def test_every_layer_and_image_has_its_own_points():
    drawn = []
    rand = torch.rand

    def watch(*shape, **kwargs):
        drawn.append(rand(*shape, **kwargs))
        return drawn[-1]

    criterion = PointSetCriterion(C, train_cfg=FEW).double()
    with mock.patch.object(torch, 'rand', watch):
        criterion(queries(), truth())
    rows = torch.cat([d[:, :6] for d in drawn])
    assert len(rows.unique(dim=0)) == len(rows)
    assert sum(d.shape == (B, POINTS, 2) for d in drawn) == L


def test_no_labelled_pixel_is_an_exact_zero_in_the_graph():
    criterion = PointSetCriterion(C, train_cfg=FEW).double()
    out = queries(grad=True)
    losses = criterion(out, torch.full_like(truth(), 255))
    for name, value in losses.items():
        assert value.requires_grad
        assert value == 0 or 'cls' in name  # "no object" is still learnt
    sum(losses.values()).backward()
    assert out.pixel_embed.grad is not None


def test_an_overflow_reaches_the_loss_not_the_solver():
    out = queries()
    out.mask_embed[-1][0, 0] = torch.nan
    with pytest.warns(UserWarning, match='matching cost is NaN'):
        criterion = PointSetCriterion(C, train_cfg=FEW).double()
        criterion.match(out, truth())


@pytest.mark.parametrize('cfg, message', [
    (dict(num_points=0), 'num_points=0'),
    (dict(oversample_ratio=.5), 'oversample_ratio=0.5'),
    (dict(importance_sample_ratio=1.5), 'importance_sample_ratio=1.5'),
    (dict(assigner=dict(match_costs=[dict(type='mmdet.FocalLossCost')])),
     'FocalLossCost is unknown'),
])
def test_messages(cfg, message):
    with pytest.raises(ValueError, match=message):
        PointSetCriterion(C, train_cfg=cfg)
