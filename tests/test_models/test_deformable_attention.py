# Copyright (c) mmseg_semi authors.
import pytest
import torch

from mmseg_semi.models.decode_heads.deformable_attention import (
    DeformableAttention, DeformableEncoder, grid_of, sample_levels)
from mmseg_semi.models.decode_heads.mask2former_query_head import \
    deformable_layer

B, M, W, P, N = 2, 2, 3, 2, 5
SIZES = [(2, 3), (4, 5)]
L = len(SIZES)


def slow_sample(values, points, weights):
    """One point after the other, from its four neighbours."""
    total = torch.zeros(B, N, M * W, dtype=values.dtype)
    for b in range(B):
        for n in range(N):
            for m in range(M):
                first = 0
                for level, (height, width) in enumerate(SIZES):
                    for p in range(P):
                        x, y = points[b, n, m, level, p].tolist()
                        x, y = x * width - .5, y * height - .5
                        for row in range(height):
                            for col in range(width):
                                near = max(0, 1 - abs(y - row)) * max(
                                    0, 1 - abs(x - col))
                                total[b, n, m * W:(m + 1) * W] += near * \
                                    weights[b, n, m, level, p] * \
                                    values[b, first + row * width + col, m]
                    first += height * width
    return total


def test_sampling_against_loops():
    gen = torch.Generator().manual_seed(0)
    pixels = sum(h * w for h, w in SIZES)
    values = torch.randn(B, pixels, M, W, generator=gen).double()
    # Some points are off the maps.
    points = torch.rand(B, N, M, L, P, 2, generator=gen).double() * 1.4 - .2
    weights = torch.rand(B, N, M, L, P, generator=gen).double()
    torch.testing.assert_close(
        sample_levels(values, SIZES, points, weights),
        slow_sample(values, points, weights))


def test_centres():
    grid = grid_of([torch.zeros(1, 1, h, w) for h, w in SIZES])
    assert grid.sizes == SIZES
    assert grid.scales.tolist() == [[3., 2.], [5., 4.]]
    # Row 1, column 2 of the second map.
    torch.testing.assert_close(grid.centres[6 + 7],
                               torch.tensor([2.5 / 5, 1.5 / 4]))


def test_a_position_reads_where_its_offsets_point():
    """Attention by hand: one head, one point, one step to the right."""
    module = DeformableAttention(
        2, num_heads=1, num_levels=1, num_points=1, dropout=0.)
    with torch.no_grad():
        for linear in (module.value_proj, module.output_proj):
            linear.weight.copy_(torch.eye(2))
            linear.bias.zero_()
        module.sampling_offsets.weight.zero_()
        module.sampling_offsets.bias.copy_(torch.tensor([1., 0.]))
    query = torch.arange(12.).view(1, 6, 2)
    grid = grid_of([torch.zeros(1, 2, 2, 3)])
    out = module(query, torch.zeros_like(query), grid)
    right = query.view(2, 3, 2).roll(-1, 1)
    right[:, -1] = 0.  # off the map
    torch.testing.assert_close(out, query + right.view(1, 6, 2))


def test_where_heads_look_at_first():
    module = DeformableAttention(8, num_heads=4, num_levels=2, num_points=3)
    module.init_weights()
    offsets = module.sampling_offsets.bias.view(4, 2, 3, 2)
    ways = torch.tensor([[1., 0.], [0., 1.], [-1., 0.], [0., -1.]])
    for p in range(3):
        for level in range(2):
            torch.testing.assert_close(offsets[:, level, p], (p + 1) * ways)
    assert not module.sampling_offsets.weight.any()
    assert not module.attention_weights.weight.any()


def test_the_encoder_reads_all_maps():
    torch.manual_seed(0)
    encoder = DeformableEncoder(2, deformable_layer(8, L)).double()
    maps = [
        torch.randn(1, 8, h, w).double().requires_grad_() for h, w in SIZES
    ]
    positions = [torch.randn(1, 8, h, w).double() for h, w in SIZES]
    out = encoder(maps, positions)
    assert [o.shape for o in out] == [m.shape for m in maps]
    out[0].sum().backward()
    assert all(m.grad.abs().sum() > 0 for m in maps)
    moved = encoder(maps, [p + 1. for p in positions])
    assert not torch.allclose(out[0], moved[0])


def test_messages():
    with pytest.raises(ValueError, match='embed_dims=6'):
        DeformableAttention(6, num_heads=4)
    with pytest.raises(ValueError, match='batch_first'):
        DeformableAttention(8, batch_first=False)
