# Copyright (c) mmseg_semi authors.
import math

import pytest
import torch

from mmseg_semi.functional import mask_dice_loss, mask_focal_loss

N, H, W = 3, 4, 5


def given(seed=0):
    gen = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(N, H, W, generator=gen, dtype=torch.float64)
    targets = torch.rand(N, H, W, generator=gen) < .4
    valid = torch.rand(N, H, W, generator=gen) < .8
    return logits, targets, valid


def slow_focal(logits, targets, valid, alpha=.25, gamma=2.):
    """RetinaNet's Eq. 5 in a loop, mean over the pixels of a mask."""
    result = []
    for n in range(N):
        values = []
        for y in range(H):
            for x in range(W):
                if not valid[n, y, x]:
                    continue
                p = 1 / (1 + math.exp(-logits[n, y, x]))
                p_t = p if targets[n, y, x] else 1 - p
                alpha_t = alpha if targets[n, y, x] else 1 - alpha
                values.append(-alpha_t * (1 - p_t)**gamma * math.log(p_t))
        result.append(sum(values) / len(values))
    return torch.tensor(result, dtype=torch.float64)


def slow_dice(logits, targets, valid):
    """MaskFormer's criterion.py, dice_loss."""
    result = []
    for n in range(N):
        p = 1 / (1 + (-logits[n][valid[n]]).exp())
        g = targets[n][valid[n]].double()
        result.append(1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1))
    return torch.stack(result)


@pytest.mark.parametrize('fast, slow', [(mask_focal_loss, slow_focal),
                                        (mask_dice_loss, slow_dice)])
@pytest.mark.parametrize('partly', [False, True])
def test_against_a_loop(fast, slow, partly):
    logits, targets, valid = given()
    if not partly:
        valid = torch.ones_like(valid)
    wanted = slow(logits, targets, valid)
    value = fast(logits, targets, valid if partly else None)
    torch.testing.assert_close(value, wanted, rtol=1e-12, atol=1e-12)


def test_other_alpha_and_gamma():
    logits, targets, _ = given()
    torch.testing.assert_close(
        mask_focal_loss(logits, targets, alpha=.6, gamma=1.5),
        slow_focal(logits, targets, torch.ones_like(targets), .6, 1.5))


@pytest.mark.parametrize('loss', [mask_focal_loss, mask_dice_loss])
def test_what_is_not_valid_has_no_influence(loss):
    logits, targets, valid = given()
    logits.requires_grad_()
    value = loss(logits, targets, valid)
    value.sum().backward()
    assert not logits.grad[~valid].any()
    other = torch.where(valid, logits, -logits).detach()
    assert torch.equal(value, loss(other, targets ^ ~valid, valid))


@pytest.mark.parametrize('loss', [mask_focal_loss, mask_dice_loss])
def test_a_mask_without_valid_pixel_is_an_exact_zero(loss):
    logits, targets, valid = given()
    logits.requires_grad_()
    value = loss(logits, targets, torch.zeros_like(valid))
    value.sum().backward()
    assert not value.any() and not logits.grad.any()


@pytest.mark.parametrize('loss', [mask_focal_loss, mask_dice_loss])
@pytest.mark.parametrize('scale', [1e4, -1e4])
def test_extreme_logits_are_finite(loss, scale):
    logits = torch.full((N, H, W), scale, requires_grad=True)
    targets = given()[1]
    value = loss(logits, targets)
    value.sum().backward()
    assert value.isfinite().all() and logits.grad.isfinite().all()


@pytest.mark.parametrize('loss', [mask_focal_loss, mask_dice_loss])
def test_full_precision(loss):
    logits, targets, _ = given()
    logits = logits.float()
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(logits, targets)
    assert torch.equal(value, loss(logits, targets))
    assert loss(logits.half(), targets).dtype == torch.float32


@pytest.mark.parametrize('loss', [mask_focal_loss, mask_dice_loss])
def test_gradient(loss):
    logits, targets, valid = given()
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, valid), logits)
