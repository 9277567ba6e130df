# Copyright (c) mmseg_semi authors.
"""RC²L: label maps split into one segment per class."""

import pytest
import torch

from mmseg_semi.functional.regions import pseudo_segments

B, C = 4, 5


class TestSegments:

    def test_they_are_disjoint_and_cover_the_known_pixels(self):
        # Oracle 13.
        gen = torch.Generator().manual_seed(1)
        labels = torch.randint(0, C + 1, (B, 33, 47), generator=gen)
        labels[labels == C] = 255
        for size in ((33, 47), (9, 12)):
            masks, present, valid = pseudo_segments(labels, C, size, 0)
            assert torch.equal(masks.sum(1), valid.long())
            assert torch.equal(present, masks.flatten(2).any(2))
        small = labels[:,
                       torch.arange(9) * 33 // 9][:, :,
                                                  torch.arange(12) * 47 // 12]
        for c in range(C):
            assert torch.equal(masks[:, c], small == c)
        assert torch.equal(valid, small != 255)

    def test_small_segments_are_left_out(self):
        labels = torch.zeros(1, 16, 16, dtype=torch.long)
        labels[0, 4:8, 4:8] = 1  # 16 pixels, one on the grid
        labels[0, 8:12, 4:9] = 2
        labels[0, 13:16, 1:4] = 3  # between the grid's points
        labels[0, 0, 15] = 255
        masks, present, valid = pseudo_segments(labels, C, (4, 4), 16)
        assert present.tolist() == [[True, True, True, False, False]]
        masks, present, valid = pseudo_segments(labels, C, (4, 4), 17)
        assert present.tolist() == [[True, False, True, False, False]]
        assert not masks[0, 1].any() and valid.all()

    def test_what_the_grid_does_not_see_is_left_out(self):
        labels = torch.zeros(1, 32, 16, dtype=torch.long)
        labels[0, 1, :] = 1  # 16 pixels, but every fourth row is sampled
        _, present, _ = pseudo_segments(labels, C, (8, 4), 16)
        assert present.tolist() == [[True, False, False, False, False]]

    @pytest.mark.parametrize('value', [0, 255])
    def test_one_class_or_none(self, value):
        labels = torch.full((2, 8, 8), value)
        masks, present, valid = pseudo_segments(labels, C, (4, 4))
        assert present.sum() == (2 if value == 0 else 0)
        assert valid.all() == (value == 0)
