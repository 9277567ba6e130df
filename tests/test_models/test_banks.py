# Copyright (c) mmseg_semi authors.
import io
from collections import deque

import pytest
import torch
from torch import nn

from mmseg_semi import dist
from mmseg_semi.models.banks import ClassBank

C, D = 4, 3


def _rows(number, seed, first=0):
    """Rows that carry their number of arrival."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, C, (number, ), generator=generator)
    labels[labels == 2] = 1  # class 2 stays empty, class 1 is frequent
    arrival = torch.arange(first, first + number).float()
    return arrival[:, None].repeat(1, D) + 0.1, labels, arrival


def _bank(capacity):
    bank = ClassBank(C, capacity, D)
    bank.allocate()
    return bank


def _reference(capacity, pushes):
    queues = [deque(maxlen=capacity) for _ in range(C)]
    for features, labels, confidence in pushes:
        for feature, label, score in zip(features, labels, confidence):
            if 0 <= label < C:
                queues[label].append((feature, score))
    return queues


def _assert_holds(bank, queues):
    for label, queue in enumerate(queues):
        features, confidence = bank.rows(label)
        assert len(features) == len(confidence) == len(queue)
        for index, (feature, score) in enumerate(queue):
            assert torch.equal(features[index], feature)
            assert confidence[index] == score
        assert bank.fill()[label].item() == pytest.approx(
            len(queue) / bank.capacity)


@pytest.mark.parametrize('capacity', [1, 4, 7, 50])
@pytest.mark.parametrize('sizes',
                         [[1], [5, 3, 8], [40], [0, 33, 1, 60, 2], [6] * 12])
def test_push_equals_deques(capacity, sizes):
    # Acceptance check 5: capacities that do not divide pushes, and pushes
    # larger than the capacity.
    bank, pushes = _bank(capacity), []
    for index, size in enumerate(sizes):
        pushes.append(_rows(size, index, first=100 * index))
        bank.push(*pushes[-1])
        _assert_holds(bank, _reference(capacity, pushes))


@pytest.mark.parametrize('capacity', [3, 10])
def test_one_push_equals_several(capacity):
    # Acceptance check 5.
    features, labels, confidence = _rows(60, 0)
    whole, parts = _bank(capacity), _bank(capacity)
    whole.push(features, labels, confidence)
    for part in torch.arange(60).split([1, 20, 2, 37]):
        parts.push(features[part], labels[part], confidence[part])
    for name in ('features', 'confidence', 'pointer', 'count'):
        assert torch.equal(getattr(whole, name), getattr(parts, name))


def test_push_skips_rows_that_do_not_belong():
    bank = _bank(5)
    bank.push(torch.ones(2, D), torch.tensor([0, 3]), torch.ones(2))
    before = {k: v.clone() for k, v in bank.state_dict().items()}
    bank.push(torch.zeros(3, D), torch.tensor([-1, 255, C]), torch.zeros(3))
    overflow = torch.tensor([[0., torch.inf, 0.], [torch.nan, 0., 0.]])
    bank.push(overflow, torch.tensor([0, 0]), torch.ones(2))
    assert bank.pushes == before.pop('pushes') + 2
    for name, value in before.items():
        assert torch.equal(bank.state_dict()[name], value)


def test_push_of_only_the_last_or_first_class():
    for label in (0, C - 1):
        bank = _bank(3)
        pushes = [(torch.arange(5.)[:, None].repeat(1, D),
                   torch.tensor([label, -1, label, label,
                                 -1]), torch.arange(5.))]
        bank.push(*pushes[0])
        _assert_holds(bank, _reference(3, pushes))


def test_rows_that_meet_in_one_place_agree_on_the_content():
    # On a GPU the order of writes is undefined; here the last one wins, so
    # that only this test would notice.
    bank = _bank(3)
    bank.push(*_rows(5, 0))
    _, labels, _ = _rows(40, 1)
    slots = labels.masked_fill(labels < 0, C)
    added = torch.bincount(slots, minlength=C + 1)
    source, place = bank._places(slots.sort(stable=True).values, added)
    content = {}
    for row, target in zip(source.tolist(), place.tolist()):
        assert content.setdefault(target, row) == row
    assert len(content) == added[:C].clamp_max(3).sum()


def test_age_counts_pushes():
    bank = ClassBank(C, 3, D)
    bank.allocate()
    assert bank.age() == (0, 0)

    def push(*labels):
        rows = torch.ones(len(labels), D)
        bank.push(rows, torch.tensor(labels).long(), torch.ones(len(labels)))

    push(0, 1)
    assert bank.age() == (0, 0)
    push()  # a push without rows is one too
    push(1, 1, -1)
    assert bank.age() == (pytest.approx((2 + 2 + 0 + 0) / 4), 2)
    push(1, 1)  # class 1 drops its oldest two
    assert bank.age() == (pytest.approx((3 + 1 + 0 + 0) / 4), 3)


def test_push_keeps_no_graph_and_converts_half():
    bank = _bank(3)
    features = torch.ones(1, D, dtype=torch.float16, requires_grad=True)
    bank.push(features, torch.tensor([1]), torch.ones(1).half())
    stored, confidence = bank.rows(1)
    assert stored.dtype == confidence.dtype == torch.float32
    assert not stored.requires_grad


def test_release_and_allocate():
    bank = ClassBank(C, 5, D)
    assert not bank.allocated and bank.features.numel() == 0
    with pytest.raises(RuntimeError, match='allocate'):
        bank.push(*_rows(3, 0))
    assert bank.rows(0)[0].shape == (0, D)
    bank.allocate()
    bank.push(*_rows(20, 0))
    filled = bank.count.clone()
    assert filled.sum() > 0
    bank.allocate()  # keeps the rows
    assert torch.equal(bank.count, filled)
    bank.release()
    assert not bank.allocated and bank.features.numel() == 0
    assert bank.count.sum() == bank.pointer.sum() == 0
    bank.allocate()
    assert bank.features.shape == (C, 5, D) and (bank.features == 0).all()


class Model(nn.Module):

    def __init__(self, *shape):
        super().__init__()
        self.bank = ClassBank(*shape)
        self.other = nn.Linear(2, 2)


def _saved(model):
    """Through a file that is read with weights_only=True."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize('target_allocated', [False, True])
@pytest.mark.parametrize('source_allocated', [False, True])
def test_checkpoint_restores_rows_and_state(source_allocated,
                                            target_allocated):
    # Acceptance check 12, the bank's part.
    source, target = Model(C, 5, D), Model(C, 5, D)
    if source_allocated:
        source.bank.allocate()
        source.bank.push(*_rows(30, 0))
    if target_allocated:
        target.bank.allocate()
        target.bank.push(*_rows(9, 1))
    target.load_state_dict(_saved(source))
    assert target.bank.allocated == source_allocated
    for name, value in source.bank.state_dict().items():
        assert torch.equal(target.bank.state_dict()[name], value)
    if source_allocated:  # and it goes on alike
        for model in (source, target):
            model.bank.push(*_rows(7, 2))
        for name, value in source.bank.state_dict().items():
            assert torch.equal(target.bank.state_dict()[name], value)


@pytest.mark.parametrize('allocated', [False, True])
@pytest.mark.parametrize('shape', [(C + 1, 5, D), (C, 6, D), (C, 5, D + 1)])
def test_checkpoint_of_another_shape_raises(shape, allocated):
    source, target = Model(C, 5, D), Model(*shape)
    if allocated or shape[1] != 5:  # a released bank has no capacity
        source.bank.allocate()
    # strict=False must not turn it into a message.
    with pytest.raises(RuntimeError, match='bank.features.*capacity'):
        target.load_state_dict(_saved(source), strict=False)


def test_checkpoint_without_the_bank():
    target = Model(C, 5, D)
    state = {k: v for k, v in _saved(target).items() if 'bank' not in k}
    missing = target.load_state_dict(state, strict=False).missing_keys
    assert sorted(missing) == [
        'bank.' + name for name in ('arrival', 'confidence', 'count',
                                    'features', 'pointer', 'pushes')
    ]


def _gathered_push(rank, sizes):
    bank = _bank(4)
    for step in range(3):
        rows = _rows(sizes[rank], 10 * step + rank, first=1000 * rank)
        bank.push(*map(dist.gather_rows, rows))
    return bank.state_dict()


@pytest.mark.dist
@pytest.mark.parametrize('sizes', [(9, 9), (0, 13)])
def test_ranks_hold_the_same_bank(gloo_pool, sizes):
    ours, theirs = gloo_pool(_gathered_push, sizes)
    pushes = [
        _rows(sizes[rank], 10 * step + rank, first=1000 * rank)
        for step in range(3) for rank in range(2)
    ]
    bank = _bank(4)
    bank.load_state_dict(ours)
    _assert_holds(bank, _reference(4, pushes))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])


@pytest.mark.parametrize('capacity', [0, -3])
def test_a_bank_without_room_is_refused(capacity):
    with pytest.raises(ValueError, match='capacity'):
        ClassBank(C, capacity, D)
