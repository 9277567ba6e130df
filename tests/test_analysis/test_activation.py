# Copyright (c) mmseg_semi authors.
import pytest
import torch
from torch.nn import functional as F

from mmseg_semi.analysis import Activation, choose_prototypes
from mmseg_semi.analysis.activation import at_file_size, pixel_shares


def found(best=None):
    """Prototypes 0, 1 of class 0; 2 of class 1; 4, 5 of class 2."""
    best = torch.zeros(2, 2, dtype=torch.long) if best is None else best
    return Activation(
        torch.zeros(5, *best.shape), torch.tensor([0, 0, 1, 2, 2]),
        torch.tensor([0, 1, 2, 4, 5]), best, False)


SHARE = torch.tensor([.1, .4, .0, .2, .3], dtype=torch.double)


@pytest.mark.parametrize(
    'options,expected',
    [
        (dict(), [1, 4, 3, 0]),  # one without a pixel is not used
        (dict(number=2), [1, 4]),
        (dict(classes=[2]), [4, 3]),
        (dict(classes=[1, 0]), [1, 0, 2]),
        (dict(classes=[0, 2], number=1), [1]),
        (dict(index=[5, 2]), [4, 2]),
        (dict(index=[4], classes=[2, 1]), [3, 4, 2]),
    ])
def test_chosen(options, expected):
    assert choose_prototypes(found(), SHARE, **options).tolist() == expected


def test_choices_that_are_not_there():
    with pytest.raises(ValueError, match='no prototype 3: .* 0-2, 4-5'):
        choose_prototypes(found(), SHARE, index=[3])
    with pytest.raises(ValueError, match=r'Class 7 .* have: \[0, 1, 2\]'):
        choose_prototypes(found(), SHARE, classes=[0, 7])


def test_shares_leave_out_padding():
    best = torch.tensor([[0, 1, 4], [0, 1, 4], [3, 3, 3]])
    # Input 6 x 6, two pixels per point; the image is its 4 x 3.
    share = pixel_shares(found(best), (6, 6), (4, 3))
    expected = torch.tensor([2 / 3, 1 / 3, 0, 0, 0], dtype=torch.double)
    torch.testing.assert_close(share, expected)


def test_maps_return_to_the_file():
    maps = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    done = at_file_size(maps, (20, 24), (18, 22), (9, 11), False)
    expected = F.interpolate(maps[None], (20, 24), mode='bilinear')
    expected = F.interpolate(expected[..., :18, :22], (9, 11), mode='bilinear')
    assert torch.equal(done, expected[0])
