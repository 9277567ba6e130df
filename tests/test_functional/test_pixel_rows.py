# Copyright (c) mmseg_semi authors.
"""Pixels of several maps as one list, against the list."""
import numpy as np
import pytest
import torch

from mmseg_semi.functional import nearest, rows_at

B, D, SIDE = 2, 6, 7


def randn(*shape, seed=0):
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=gen, dtype=torch.float64)


class TestPixelRows:

    def test_rows_at(self):
        maps = [randn(B, D, 3, 4), randn(1, D, 5, 2, seed=1)]
        table = torch.cat([m.permute(0, 2, 3, 1).reshape(-1, D) for m in maps])
        index = torch.tensor([0, 33, 24, 23, 7, 7, 30])
        assert torch.equal(rows_at(maps, index), table[index])

    def test_gradient_stays_in_its_map(self):
        maps = [randn(1, D, 2, 2).requires_grad_() for _ in range(2)]
        rows_at(maps, torch.tensor([5, 5])).sum().backward()
        expected = torch.zeros(1, D, 2, 2, dtype=torch.float64)
        assert torch.equal(maps[0].grad, expected)
        expected[:, :, 0, 1] = 2
        assert torch.equal(maps[1].grad, expected)

    @pytest.mark.parametrize('size', [(3, 3), (7, 7), (5, 2)])
    def test_nearest(self, size):
        values = torch.randint(
            0, 9, (B, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
        small = nearest(values, size)
        for b, i, j in np.ndindex(B, *size):
            row, col = i * SIDE // size[0], j * SIDE // size[1]
            assert small[b, i, j] == values[b, row, col]
