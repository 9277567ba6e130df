# Copyright (c) mmseg_semi authors.
import pytest

from mmseg_semi.models.segmentors.other_classes import differs_in_classes


@pytest.mark.parametrize(
    'pairs',
    [
        [((3, 8, 1, 1), (21, 8, 1, 1)), ((3, ), (21, ))],
        [((4, 8), (22, 8)), ((3, ), (21, ))],  # with "no object"
        [((3, 8), (21, 8)), ((3, 5, 8), (21, 5, 8))],  # a bank
        [((3, 8), (21, 8)), ((15, 8), (105, 8))],  # five queries a class
        [((3, 3), (21, 21))],
        [((3, 8), (2, 8))],
    ])
def test_other_classes(pairs):
    assert differs_in_classes(pairs, 3)


@pytest.mark.parametrize(
    'pairs',
    [
        [],
        [((3, 8), (21, 8, 1, 1))],
        [((3, 8), (21, 16))],  # another width, too
        [((3, 8), (21, 8)), ((3, ), (19, ))],
        [((3, 8), (21, 8)), ((64, 3, 3, 3), (64, 3, 1, 1))],
        [((6, 8), (12, 8)), ((30, 6), (60, 12))],  # a wider network
        [((3, 8), (1, 8))],
        [((3, 8), (21, 8)), ((16, 8), (106, 8))],
    ])
def test_other_networks(pairs):
    assert not differs_in_classes(pairs, 3)
