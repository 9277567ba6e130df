# Copyright (c) mmseg_semi authors.
import pytest
import torch
import torch.nn.functional as F

from mmseg_semi.functional import (draw_positions, features_at, grid_features,
                                   grid_positions)
from mmseg_semi.functional.sampling import (all_features, jittered_positions,
                                            row_features)


@pytest.mark.parametrize('side', [513, 769])
def test_grid_equals_official(side):
    # Acceptance check 1.
    rows, cols = grid_positions(side, side)
    step = (side - 1) // 32
    axis = torch.tensor([step * i for i in range(32)] + [side - 1])
    assert torch.equal(rows.view(33, 33), axis[:, None].expand(33, 33))
    assert torch.equal(cols.view(33, 33), axis.expand(33, 33))


def test_grid_of_any_size():
    rows, cols = grid_positions(40, 65, cells=4)
    assert rows.view(5, 5)[:, 0].tolist() == [0, 10, 20, 29, 39]
    assert cols.view(5, 5)[0].tolist() == [0, 16, 32, 48, 64]


@pytest.mark.parametrize('side,stride', [(513, 4), (769, 6)])
def test_grid_features_are_a_strided_slice(side, stride):
    # Acceptance check 1.
    features = torch.randn(1, 2, (side - 1) // 4 + 1, (side - 1) // 4 + 1)
    rows, cols = grid_positions(side, side)
    sampled = grid_features(features, rows, cols, (side, side), True)
    expected = features[:, :, ::stride, ::stride].flatten(2).transpose(1, 2)
    assert torch.equal(sampled, expected)
    full = F.interpolate(
        features.double(), (side, side), mode='bilinear', align_corners=True)
    torch.testing.assert_close(
        sampled.double(),
        full[:, :, rows, cols].transpose(1, 2),
        rtol=0,
        atol=1e-6)


SIZES = [
    # Full size, feature size.
    ((33, 33), (9, 9)),
    ((32, 48), (8, 12)),
    ((31, 50), (7, 13)),
    ((9, 9), (1, 3)),
    ((1, 8), (1, 2)),
    ((8, 8), (8, 8)),
    ((5, 6), (10, 11)),
]


@pytest.mark.parametrize('size,feature_size', SIZES)
@pytest.mark.parametrize('align_corners', [True, False])
def test_sampling_equals_upsampling(size, feature_size, align_corners):
    # Acceptance check 2, values and gradients.
    features = torch.randn(3, 4, *feature_size, dtype=torch.float64)
    features.requires_grad_()
    full = F.interpolate(
        features, size, mode='bilinear', align_corners=align_corners)
    number = 50
    image = torch.randint(0, 3, (number, ))
    rows = torch.randint(0, size[0], (number, ))
    cols = torch.randint(0, size[1], (number, ))
    cases = [
        (features_at(features, image, rows, cols, size,
                     align_corners), full[image, :, rows, cols]),
        (grid_features(features, rows, cols, size,
                       align_corners), full[:, :, rows, cols].transpose(1, 2)),
    ]
    grid = grid_positions(*size, cells=4)
    cases.append((grid_features(features, *grid, size,
                                align_corners), full[:, :, grid[0],
                                                     grid[1]].transpose(1, 2)))
    for sampled, expected in cases:
        torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-10)
        seed = torch.randn_like(expected)
        ours, = torch.autograd.grad(sampled, features, seed)
        theirs, = torch.autograd.grad(
            expected, features, seed, retain_graph=True)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_every_position_with_align_corners():
    # Acceptance check 2 against grid_sample, at every pixel.
    features = torch.randn(1, 3, 7, 5, dtype=torch.float64)
    size = (19, 23)
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, 19, dtype=torch.float64),
        torch.linspace(-1, 1, 23, dtype=torch.float64),
        indexing='ij')
    expected = F.grid_sample(
        features, torch.stack([x, y], -1)[None], align_corners=True)
    rows, cols = torch.meshgrid(
        torch.arange(19), torch.arange(23), indexing='ij')
    sampled = grid_features(features, rows.flatten(), cols.flatten(), size,
                            True)
    torch.testing.assert_close(
        sampled, expected.flatten(2).transpose(1, 2), rtol=0, atol=1e-10)


def test_half_features_are_interpolated_in_fp32():
    features = torch.randn(2, 4, 5, 5).bfloat16()
    image, rows, cols = torch.tensor([0, 1]), torch.tensor([3, 8]), \
        torch.tensor([1, 6])
    with torch.autocast('cpu', torch.bfloat16):
        sampled = features_at(features, image, rows, cols, (17, 17), True)
    expected = features_at(features.double(), image, rows, cols, (17, 17),
                           True)
    assert sampled.dtype == torch.float32
    torch.testing.assert_close(sampled.double(), expected, rtol=0, atol=1e-6)


def test_positions_that_look_like_a_grid_but_are_not():
    features = torch.randn(1, 1, 5, 5)
    upsampled = F.interpolate(
        features, (17, 17), mode='bilinear', align_corners=True)
    for rows, cols in [([0, 0, 4, 4], [0, 8, 0, 4]), ([0, 4, 12], [0, 0, 0]),
                       ([8, 4, 0], [0, 0, 0]), ([4, 4], [4, 4]),
                       ([0, 4, 0, 4], [0, 0, 4, 4]), ([4], [8])]:
        rows, cols = torch.tensor(rows), torch.tensor(cols)
        sampled = grid_features(features, rows, cols, (17, 17), True)
        torch.testing.assert_close(sampled[0, :, 0], upsampled[0, 0, rows,
                                                               cols])


@pytest.mark.parametrize('size,feature_size', SIZES)
@pytest.mark.parametrize('align_corners', [True, False])
def test_features_at_every_pixel(size, feature_size, align_corners):
    features = torch.randn(2, 4, *feature_size, dtype=torch.float64)
    rows, cols = torch.meshgrid(
        torch.arange(size[0]), torch.arange(size[1]), indexing='ij')
    expected = grid_features(features, rows.flatten(), cols.flatten(), size,
                             align_corners)
    torch.testing.assert_close(
        all_features(features, size, align_corners),
        expected,
        rtol=0,
        atol=1e-12)
    for part in torch.arange(size[0]).split(3):
        stripe = row_features(features, part, size, align_corners)
        torch.testing.assert_close(
            stripe.flatten(2).transpose(1, 2),
            expected.view(2, *size, 4)[:, part].flatten(1, 2),
            rtol=0,
            atol=1e-12)
    half = all_features(features.bfloat16(), size, align_corners)
    assert half.dtype == torch.float32


def _offsets(side, cells, draws):
    """Offsets (draws, cells, cells) in the cells, by row and by column."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(draws):
        rows, cols = jittered_positions(side, side, cells, generator)
        found.append(
            torch.stack([
                axis.view(cells, cells) % (side // cells)
                for axis in (rows, cols)
            ]))
    return torch.stack(found, 1)


@pytest.mark.parametrize('side', [513, 769])
def test_one_jittered_position_in_every_cell(side):
    # Acceptance check 13.
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        rows, cols = jittered_positions(side, side, 32, generator)
        cell = side // 32
        assert max(rows.max(), cols.max()) < side - 1
        assert (rows // cell * 32 + cols // cell).tolist() == list(range(1024))


@pytest.mark.parametrize('side', [513, 769])
def test_jittered_positions_cover_their_cells(side):
    # Acceptance check 13: every offset of every cell, as often as others.
    cell = side // 32
    for axis in _offsets(side, 32, 400):
        counts = axis.flatten().bincount(minlength=cell)
        assert len(counts) == cell
        assert (counts * cell / counts.sum() - 1).abs().max() < .04
        assert axis.amin(0).max() <= 2 and axis.amax(0).min() >= cell - 3


def test_jittered_offsets_are_independent():
    # Of the other axis, of the neighbouring cells, and of the last draw.
    rows, cols = _offsets(513, 32, 200).double()
    pairs = [(rows, cols), (rows[:, 1:], rows[:, :-1]),
             (rows[:, :, 1:], rows[:, :, :-1]), (rows[1:], rows[:-1]),
             (cols[:, 1:], cols[:, :-1]), (cols[:, :, 1:], cols[:, :, :-1])]
    for one, other in pairs:
        both = torch.stack([one.flatten(), other.flatten()])
        assert both.corrcoef()[0, 1].abs() < .01


def test_jittered_positions_of_any_size():
    rows, cols = jittered_positions(9, 23, 4, torch.Generator().manual_seed(0))
    assert torch.equal(
        rows.view(4, 4) // 2,
        torch.arange(4)[:, None].repeat(1, 4))
    assert torch.equal(cols.view(4, 4) // 5, torch.arange(4).repeat(4, 1))
    with pytest.raises(ValueError, match='10 x 10 cells do not fit.*9 x 23'):
        jittered_positions(9, 23, 10, torch.Generator())


def _draw(candidates, num, seed=0):
    return draw_positions(candidates, num, torch.Generator().manual_seed(seed))


def test_draw_positions_without_replacement():
    candidates = torch.rand(3, 6, 7) < 0.5
    image, rows, cols, valid = _draw(candidates, 20)
    assert image.shape == rows.shape == cols.shape == valid.shape == (20, )
    assert valid.all()
    assert candidates[image, rows, cols].all()
    assert len(set(zip(*map(torch.Tensor.tolist, (image, rows, cols))))) == 20


@pytest.mark.parametrize('num', [50, 300])
def test_draw_positions_takes_all_when_candidates_run_out(num):
    # 300 is also more than there are pixels.
    candidates = torch.rand(3, 6, 7) < 0.1
    image, rows, cols, valid = _draw(candidates, num)
    assert valid.shape == (num, )
    drawn = torch.zeros_like(candidates)
    drawn[image[valid], rows[valid], cols[valid]] = True
    assert torch.equal(drawn, candidates)
    assert valid.sum() == candidates.sum()
    assert image.max() < 3 and rows.max() < 6 and cols.max() < 7


def test_draw_positions_from_nothing():
    assert not _draw(torch.zeros(1, 3, 3).bool(), 4)[3].any()


def test_draw_positions_is_uniform_over_the_batch():
    candidates = torch.zeros(2, 5, 5, dtype=torch.bool)
    candidates[0, 0] = True  # 5 candidates in one image, 10 in the other
    candidates[1, 1:3] = True
    counts = torch.zeros(candidates.shape)
    for seed in range(600):
        image, rows, cols, _ = _draw(candidates, 6, seed)
        counts[image, rows, cols] += 1
    share = counts / 600
    assert (share[~candidates] == 0).all()
    assert (share[candidates] - 6 / 15).abs().max() < 0.1
