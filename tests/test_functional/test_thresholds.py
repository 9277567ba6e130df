# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch

from mmseg_semi.functional import class_confidence_sums, moved_thresholds

IGNORE = 255


def test_class_thresholds_equal_loops():
    logits = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    probabilities = logits.softmax(1)
    target = torch.randint(0, 3, (2, 5, 6))  # class 3 is absent
    target[torch.rand(2, 5, 6) < 0.3] = IGNORE
    seen = {c: [] for c in range(4)}
    for i, y, x in np.ndindex(2, 5, 6):
        label = int(target[i, y, x])
        if label != IGNORE:
            seen[label].append(float(probabilities[i, label, y, x]))
    sums, counts = class_confidence_sums(probabilities, target)
    assert counts.tolist() == [len(seen[c]) for c in range(4)]
    assert sums.tolist() == pytest.approx([sum(seen[c]) for c in range(4)])
    start = torch.tensor([0.8, 0.7, 0.9, 0.8], dtype=torch.float64)
    moved = moved_thresholds(start, sums, counts, momentum=0.9)
    expected = [
        0.9 * t + 0.1 * np.mean(seen[c]) if seen[c] else t
        for c, t in enumerate(start.tolist())
    ]
    assert moved.tolist() == pytest.approx(expected, rel=1e-12)
    assert moved[3] == start[3]


def test_thresholds_of_nothing():
    probabilities = torch.full((1, 3, 2, 2), torch.nan)
    target = torch.full((1, 2, 2), IGNORE)
    sums, counts = class_confidence_sums(probabilities, target)
    start = torch.full((3, ), 0.8)
    assert torch.equal(moved_thresholds(start, sums, counts), start)


def test_sums_of_many_half_precision_pixels():
    # An fp16 or fp32 running sum would stop growing evenly.
    probabilities = torch.full((1, 1, 2048, 1024), 0.9).bfloat16()
    target = torch.zeros(1, 2048, 1024, dtype=torch.long)
    sums, counts = class_confidence_sums(probabilities, target)
    assert counts.item() == 2**21
    expected = probabilities[0, 0, 0, 0].item()
    assert (sums / counts).item() == pytest.approx(expected, rel=1e-12)
