# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch

from mmseg_semi.functional import (class_masks, cutout, half_area_boxes, mix,
                                   mixing, single_boxes, xor_boxes)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _box(mask):
    """(top, left, height, width) of a mask that must be one full box."""
    rows = np.flatnonzero(mask.any(1))
    cols = np.flatnonzero(mask.any(0))
    box = rows[0], cols[0], len(rows), len(cols)
    assert mask.sum() == len(rows) * len(cols)
    assert rows[-1] - rows[0] + 1 == len(rows)
    assert cols[-1] - cols[0] + 1 == len(cols)
    return box


@pytest.mark.parametrize('height,width', [(33, 33), (24, 40), (40, 24)])
def test_half_area_boxes_law(height, width):
    masks = half_area_boxes(600, height, width, _generator()).numpy()
    boxes = [_box(mask) for mask in masks]
    for _, _, box_height, box_width in boxes:
        assert width // 2 + 1 <= box_width <= width - 1
        assert box_height == np.round(height * width / 2 / box_width)
    widths = [box[3] for box in boxes]
    assert set(widths) == set(range(width // 2 + 1, width))
    # Uniform widths, positions over all that fit.
    expected = (width // 2 + width) / 2
    assert np.mean(widths) == pytest.approx(expected, abs=0.08 * width)
    assert min(box[1] for box in boxes) == 0
    assert any(left + w == width for _, left, _, w in boxes)
    assert any(top + h == height for top, _, h, _ in boxes)


def _single_box_reference(random, height, width):
    """The published sampling loop: redraw all but the area until it fits."""
    area = random.uniform(0.02, 0.4) * height * width
    while True:
        ratio = random.uniform(0.3, 1 / 0.3)
        box_width = int(np.sqrt(area / ratio))
        box_height = int(np.sqrt(area * ratio))
        left, top = random.randint(0, width), random.randint(0, height)
        if left + box_width <= width and top + box_height <= height:
            return top, left, box_height, box_width


def test_single_boxes_follow_the_rejection_law():
    side, number = 40, 4000
    masks = single_boxes(number, side, side, _generator()).numpy()
    boxes = np.array([_box(mask) for mask in masks], dtype=float)
    random = np.random.RandomState(0)
    expected = np.array(
        [_single_box_reference(random, side, side) for _ in range(number)])
    # Mean and spread of position and size within 5 standard errors.
    for ours, theirs in zip(boxes.T, expected.T):
        error = np.sqrt((ours.var() + theirs.var()) / number)
        assert abs(ours.mean() - theirs.mean()) < 5 * error
        assert ours.std() == pytest.approx(theirs.std(), rel=0.06)
    area = boxes[:, 2] * boxes[:, 3] / side**2
    assert 0.01 < area.min() < 0.03 and 0.36 < area.max() <= 0.4


def _xor_reference(random, height, width):
    """CPS' mask generator, one mask."""
    mask = np.zeros((height, width))
    for _ in range(3):
        share = random.uniform(0.25, 0.5)
        tall = share**random.uniform()
        size = np.array([tall, share / tall]) * np.sqrt(1 / 3)
        size = np.round(size * (height, width))
        place = np.round(((height, width) - size) * random.uniform(size=2))
        (top, left), (bottom, right) = place.astype(int), \
            (place + size).astype(int)
        inside = mask[top:bottom, left:right]
        inside[:] = 1 - inside
    return mask


def test_xor_boxes_follow_the_published_law():
    height, width, number = 24, 32, 4000
    masks = xor_boxes(number, height, width, _generator())
    assert masks.dtype == torch.bool
    ours = masks.numpy().astype(float)
    random = np.random.RandomState(0)
    theirs = np.stack(
        [_xor_reference(random, height, width) for _ in range(number)])
    assert ours.mean() == pytest.approx(0.25, abs=0.01)
    cover, expected = ours.mean((1, 2)), theirs.mean((1, 2))
    error = np.sqrt((cover.var() + expected.var()) / number)
    assert abs(cover.mean() - expected.mean()) < 5 * error
    assert cover.std() == pytest.approx(expected.std(), rel=0.06)
    # Where: every pixel alike often, within the noise of so many draws.
    assert np.abs(ours.mean(0) - theirs.mean(0)).max() < 0.05


@pytest.mark.parametrize('boxes', [1, 3, 7])
def test_masks_of_given_boxes_equal_slices(boxes):
    """Empty boxes, boxes that touch, coincide and leave the image."""
    height, width, number = 9, 13, 300
    random = np.random.RandomState(boxes)
    top, left, tall, wide = (
        random.randint(0, high, (number, boxes))
        for high in (height, width, height, width))
    expected = np.zeros((number, height, width), dtype=bool)
    for mask, index in zip(expected, range(number)):
        for y, x, h, w in zip(top[index], left[index], tall[index],
                              wide[index]):
            mask[y:y + h, x:x + w] ^= True
    box = [torch.as_tensor(part) for part in (top, left, tall, wide)]
    masks = mixing._parity(*box, height, width)
    assert torch.equal(masks, torch.as_tensor(expected))
    if boxes == 1:
        masks = mixing._inside(*(part[:, 0] for part in box), height, width)
        assert torch.equal(masks, torch.as_tensor(expected))


def test_one_xor_box_is_a_box():
    for mask in xor_boxes(50, 40, 60, _generator(), boxes=1).numpy():
        _, _, height, width = _box(mask)
        assert 0.22 < height * width / (40 * 60) < 0.53


def test_xor_boxes_toggle():
    """Where two of three boxes overlap nothing is pasted."""
    masks = xor_boxes(200, 40, 40, _generator()).numpy()
    bounding = [
        mask[rows[0]:rows[-1] + 1, cols[0]:cols[-1] + 1] for mask in masks
        for rows, cols in [(np.flatnonzero(mask.any(1)),
                            np.flatnonzero(mask.any(0)))]
    ]
    assert sum(not part.all() for part in bounding) > 150


@pytest.mark.parametrize('draw', [half_area_boxes, single_boxes, xor_boxes])
def test_boxes_depend_on_the_generator_alone(draw):
    torch.manual_seed(1)
    first = draw(3, 20, 30, _generator(5))
    torch.manual_seed(2)
    assert torch.equal(draw(3, 20, 30, _generator(5)), first)
    assert not torch.equal(draw(3, 20, 30, _generator(6)), first)
    assert first.dtype == torch.bool and first.shape == (3, 20, 30)


def _labels(present, side=8, seed=0):
    """A label map that contains exactly these values."""
    random = np.random.RandomState(seed)
    values = np.concatenate(
        [present, random.choice(present, side * side - len(present))])
    random.shuffle(values)
    return torch.as_tensor(values).view(side, side)


@pytest.mark.parametrize('extra', [0, 1])
@pytest.mark.parametrize('background', [None, 0])
def test_class_masks_law(extra, background):
    present = [[3], [0], [0, 5], [0, 1, 2], [1, 2, 3, 255], [255],
               [0, 1, 2, 3, 4, 5, 6, 255], [255, 6]]
    labels = torch.stack([_labels(values) for values in present])
    masks = class_masks(
        labels, 7, _generator(), extra=extra, background=background)
    for index in range(len(labels)):
        partner = (index + 1) % len(labels)
        label, mask = labels[partner], masks[index]
        eligible = [value for value in present[partner] if value != 255]
        if background in eligible and len(eligible) > 1:
            eligible.remove(background)
        chosen = set(label[mask].tolist())
        number = len(eligible)
        assert len(chosen) == min(number // 2 + extra, number)
        assert chosen <= set(eligible)
        # A chosen class is taken whole.
        for value in chosen:
            assert mask[label == value].all()


def test_class_count_of_the_official_code():
    # n = 1..8 -> 1, 2, 2, 3, 3, 4, 4, 5.
    labels = torch.stack([_labels(range(n)) for n in range(1, 9)])
    masks = class_masks(labels, 8, _generator()).roll(1, dims=0)
    counts = [len(set(x[m].tolist())) for x, m in zip(labels, masks)]
    assert counts == [1, 2, 2, 3, 3, 4, 4, 5]


def test_class_masks_choose_uniformly():
    labels = _labels([0, 1, 2, 3]).expand(3000, 8, 8)
    masks = class_masks(labels, 4, _generator(), extra=0)
    for value in range(4):
        share = masks[labels == value].float().mean().item()
        assert share == pytest.approx(0.5, abs=0.05)


def test_mix_equals_loops():
    maps = dict(
        image=torch.randn(3, 2, 4, 5),
        label=torch.randint(0, 9, (3, 4, 5)),
        valid=torch.rand(3, 4, 5) < 0.5)
    mask = torch.rand(3, 4, 5) < 0.5
    mixed = mix(maps, mask)
    assert mixed.keys() == maps.keys()
    for name, value in maps.items():
        for i, y, x in np.ndindex(3, 4, 5):
            source = (i + 1) % 3 if mask[i, y, x] else i
            assert torch.equal(mixed[name][i, ..., y, x], value[source, ..., y,
                                                                x])
        assert mixed[name].dtype == value.dtype


def test_class_masks_paste_the_chosen_classes():
    labels = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 2)]).long()
    labels[1, :2] = 1
    mask = class_masks(labels, 3, _generator(), extra=0)
    mixed = mix(dict(label=labels), mask)['label']
    pasted = set(mixed[0].unique().tolist()) - {0}
    assert len(pasted) == 1  # one of the partner's two classes, as it stood
    value = pasted.pop()
    assert torch.equal(mixed[0] == value, labels[1] == value)
    # The only class of image 0 has floor(1 / 2) = 0 draws without extra.
    assert torch.equal(mixed[1], labels[1])


def test_cutout():
    maps = dict(image=torch.ones(2, 3, 4, 4), label=torch.ones(2, 4, 4).long())
    mask = half_area_boxes(2, 4, 4, _generator())
    cut = cutout(maps, mask, dict(image=0., label=255))
    assert torch.equal(cut['image'], (~mask)[:, None].expand(2, 3, 4,
                                                             4).float())
    assert torch.equal(cut['label'] == 255, mask)
    with pytest.raises(KeyError, match='confidence'):
        cutout(dict(confidence=torch.ones(2, 4, 4)), mask, dict(image=0))


def test_mix_with_another_batch():
    maps = dict(image=torch.zeros(2, 3, 4, 5), cls=torch.zeros(2, 4, 5).long())
    partner = {name: value + 1 for name, value in maps.items()}
    mask = torch.rand(2, 4, 5, generator=_generator()) < .5
    mixed = mix(maps, mask, partner)
    assert torch.equal(mixed['cls'], mask.long())
    assert torch.equal(mixed['image'], mask[:, None].expand(-1, 3, -1,
                                                            -1).float())
