# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_semi.functional import Placement, draw_placements, host, place

B, H, W = 8, 11, 8
FILL = dict(
    image=torch.tensor([-1., -2., -3.]).view(3, 1, 1),
    cls=255,
    conf=0.,
    valid=False)


@pytest.fixture(autouse=True, params=[('cpu', ), ()], ids=['host', 'device'])
def hosts(request, monkeypatch):
    """Image by image as on the CPU, and all at once as on a GPU."""
    monkeypatch.setattr(host, 'HOST', request.param)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _maps(batch=B, seed=0, dtype=torch.float64):
    gen = _generator(seed)
    return dict(
        image=torch.randn(batch, 3, H, W, generator=gen, dtype=dtype),
        cls=torch.randint(0, 9, (batch, H, W), generator=gen),
        conf=torch.rand(batch, H, W, generator=gen, dtype=dtype),
        valid=torch.rand(batch, H, W, generator=gen) < .8)


def _placement(*images):
    """From (height, row offset, width, column offset, flip) per image."""
    columns = [torch.tensor(column) for column in zip(*images)]
    return Placement((columns[0], columns[1]), (columns[2], columns[3]),
                     columns[4].bool())


def _slow(value, height, row, width, col, flip, fill):
    """One map (H, W) of one image, pixel by pixel."""
    out = np.empty((H, W), dtype=value.dtype)
    for y, x in np.ndindex(H, W):
        i, j = y + row, (W - 1 - x if flip else x) + col
        if not (0 <= i < height and 0 <= j < width):
            out[y, x] = fill
        elif value.dtype.kind != 'f':
            out[y, x] = value[i * H // height, j * W // width]
        else:
            v = i * (H - 1) / (height - 1) if height > 1 else 0.
            u = j * (W - 1) / (width - 1) if width > 1 else 0.
            i0, j0 = int(v + 1e-12), int(u + 1e-12)
            i1, j1 = min(i0 + 1, H - 1), min(j0 + 1, W - 1)
            top = value[i0, j0] + (u - j0) * (value[i0, j1] - value[i0, j0])
            end = value[i1, j0] + (u - j0) * (value[i1, j1] - value[i1, j0])
            out[y, x] = top + (v - i0) * (end - top)
    return out


CASES = [(8, -1, 6, -1, 0), (9, -1, 7, 0, 1), (11, 0, 8, 0, 0),
         (11, 0, 8, 0, 1), (19, 5, 14, 6, 1), (12, 1, 9, 0, 0),
         (8, -1, 14, 6, 1), (11, 0, 6, -1, 0)]


def test_equals_loops():
    maps = _maps()
    moved = place(maps, _placement(*CASES), FILL)
    for name, value in maps.items():
        assert moved[name].dtype == value.dtype
        assert moved[name].shape == value.shape
        for image, case in enumerate(CASES):
            layers = value[image].reshape(-1, H, W).numpy()
            fills = np.broadcast_to(
                np.asarray(FILL[name]).reshape(-1), len(layers))
            for channel, (layer, fill) in enumerate(zip(layers, fills)):
                found = moved[name][image].reshape(-1, H, W)[channel].numpy()
                np.testing.assert_allclose(
                    found, _slow(layer, *case, fill), atol=1e-12)


def test_smaller_images_are_centred_as_torch_resizes():
    maps = _maps(1)
    moved = place(maps, _placement((8, -1, 6, -1, 0)), FILL)
    small = F.interpolate(
        maps['image'], (8, 6), mode='bilinear', align_corners=True)
    torch.testing.assert_close(moved['image'][:, :, 1:9, 1:7], small)
    labels = F.interpolate(maps['cls'][None].double(), (8, 6)).long()[0]
    assert torch.equal(moved['cls'][:, 1:9, 1:7], labels)
    border = torch.ones(1, H, W, dtype=torch.bool)
    border[:, 1:9, 1:7] = False
    assert (moved['cls'][border] == 255).all()
    assert (moved['conf'][border] == 0).all()
    assert not moved['valid'][border].any()
    assert (moved['image'][:, 1][border] == -2).all()


def test_larger_images_are_cropped():
    maps = _maps(1)
    moved = place(maps, _placement((19, 5, 14, 6, 0)), FILL)
    large = F.interpolate(
        maps['image'], (19, 14), mode='bilinear', align_corners=True)
    torch.testing.assert_close(moved['image'], large[:, :, 5:16, 6:14])


def test_nothing_drawn_changes_nothing():
    for dtype in (torch.float32, torch.float16):
        maps = _maps(dtype=dtype)
        same = place(
            maps,
            draw_placements(
                B, H, W, _generator(), scale_prob=0., flip_prob=0.), FILL)
        assert all(torch.equal(same[name], maps[name]) for name in maps)


def test_labels_stay_labels():
    maps = _maps(64)
    moved = place(maps, draw_placements(64, H, W, _generator()), FILL)
    for image in range(64):
        assert set(moved['cls'][image].unique().tolist()) <= set(
            maps['cls'][image].unique().tolist()) | {255}
    assert moved['conf'].min() >= 0 and moved['conf'].max() <= 1


def test_law_of_the_draws():
    number, height, width = 4000, 60, 40
    drawn = draw_placements(number, height, width, _generator(), scale_prob=.8)
    (rows, top), (cols, left) = drawn.rows, drawn.cols
    resized = rows != height
    assert .76 < resized.float().mean() < .84
    factor = rows[resized] / height
    assert .73 < factor.min() < .77 and 1.7 < factor.max() <= 1.75
    assert factor.mean().item() == pytest.approx(1.25, abs=.02)
    assert drawn.flip.float().mean().item() == pytest.approx(.5, abs=.03)
    # One factor for both sides, rounded down.
    assert ((rows / height - cols / width).abs() <= 1 / width).all()
    smaller, larger = rows < height, rows > height
    assert torch.equal(top[smaller], -((height - rows[smaller]) // 2))
    assert (top[larger] >= 0).all()
    assert (top + height <= rows)[larger].all()
    wide = cols - width >= 10
    place_in = left[wide] / (cols - width)[wide]
    assert place_in.min() == 0 and place_in.max() == 1
    assert place_in.mean().item() == pytest.approx(.5, abs=.03)


def test_shared_draw():
    drawn = draw_placements(5, H, W, _generator(3), scale_prob=1., shared=True)
    for value in (*drawn.rows, *drawn.cols, drawn.flip):
        assert value.shape == (5, ) and len(value.unique()) == 1
    assert drawn.rows[0][0] != H
    own = draw_placements(5, 200, 200, _generator(3), scale_prob=1.)
    assert len(own.rows[0].unique()) > 1


def test_a_map_without_fill():
    with pytest.raises(KeyError, match='entropy'):
        place(
            dict(entropy=torch.zeros(1, H, W)),
            draw_placements(1, H, W, _generator()), FILL)
