# Copyright (c) mmseg_semi authors.
import pytest
import torch
from torch import nn

from mmseg_semi.functional import ema_momentum, ema_update


class Net(nn.Module):

    def __init__(self, seed, width=4):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.instance = nn.InstanceNorm2d(
            width, affine=True, track_running_stats=True)
        self.register_buffer('step', torch.tensor(seed))
        self.register_buffer('table', torch.randn(2, 3))
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x):
        return self.instance(self.norm(self.conv(x)))


def _pair():
    teacher, student = Net(0), Net(1)
    for net in (teacher, student, student):
        net.train()(torch.randn(2, 3, 5, 5))
    return teacher, student


def _state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize('buffers', ['copy', 'ema', 'own'])
@pytest.mark.parametrize('decay', [0., 0.5, 0.99])
def test_every_tensor_follows_its_rule(decay, buffers):
    teacher, student = _pair()
    before, source = _state(teacher), _state(student)
    ema_update(teacher, student, decay, buffers)
    parameters = dict(teacher.named_parameters())
    for name, value in teacher.state_dict().items():
        statistic = name.startswith(('norm.', 'instance.'))
        counter = name.endswith('num_batches_tracked')
        if name in parameters or (statistic and buffers == 'ema'
                                  and not counter):
            expected = decay * before[name].double() + (
                1 - decay) * source[name].double()
            torch.testing.assert_close(
                value.double(), expected, rtol=1e-6, atol=1e-6)
        elif statistic and name not in parameters and buffers == 'own':
            assert torch.equal(value, before[name])
            # InstanceNorm never counts its batches.
            assert name == 'instance.num_batches_tracked' or not torch.equal(
                value, source[name])
        else:
            assert torch.equal(value, source[name])
    for name, value in student.state_dict().items():
        assert torch.equal(value, source[name])


def test_first_update_copies_exactly():
    # Acceptance check 9; and the copy shares no memory with the student.
    teacher, student = _pair()
    ema_update(teacher, student, ema_momentum(0, 0.99), buffers='ema')
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, student.state_dict()[name])
        assert value.data_ptr() != student.state_dict()[name].data_ptr()


def test_own_statistics_change_only_in_train_mode():
    # Acceptance check 9.
    teacher, student = _pair()
    images = torch.randn(2, 3, 5, 5)
    mean = teacher.norm.running_mean.clone()
    ema_update(teacher, student, 0.5, buffers='own')
    teacher.eval()(images)
    assert torch.equal(teacher.norm.running_mean, mean)
    teacher.train()(images)
    assert not torch.equal(teacher.norm.running_mean, mean)


def test_frozen_teacher_and_no_graph():
    teacher, student = _pair()
    teacher.requires_grad_(False)
    ema_update(teacher, student, 0.9)
    assert not any(p.requires_grad or p.grad_fn for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())


def test_matches_by_name_not_by_order():
    teacher, student = nn.Module(), nn.Module()
    for net, names in ((teacher, 'ab'), (student, 'ba')):
        for name in names:
            setattr(net, name, nn.Linear(1, 1, bias=False))
    ema_update(teacher, student, 0.)
    assert torch.equal(teacher.a.weight, student.a.weight)
    assert torch.equal(teacher.b.weight, student.b.weight)


def test_rejects_other_names_shapes_and_policies():
    teacher, student = _pair()
    with pytest.raises(ValueError, match="'mean' is not one of"):
        ema_update(teacher, student, 0.9, buffers='mean')
    with pytest.raises(ValueError, match='conv.weight'):
        ema_update(teacher, Net(0, width=5), 0.9)
    student.extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match='extra.bias'):
        ema_update(teacher, student, 0.9)
    del student.extra
    student.register_buffer('bank', torch.zeros(1))
    with pytest.raises(ValueError, match='bank'):
        ema_update(teacher, student, 0.9)


def test_follows_networks_that_change_between_updates():
    teacher, student = _pair()
    ema_update(teacher, student, 0.5)
    for net, width in ((teacher, 2), (student, 2)):
        net.table = torch.randn(3, width)
    student.conv.weight = nn.Parameter(torch.ones(4, 3, 1, 1))
    ema_update(teacher, student, 0.)
    assert torch.equal(teacher.table, student.table)
    assert torch.equal(teacher.conv.weight, student.conv.weight)
    student.extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match='extra.bias'):
        ema_update(teacher, student, 0.9)


def test_two_students_of_one_teacher():
    teacher, student = _pair()
    other = Net(2)
    ema_update(teacher, student, 0.)
    ema_update(teacher, other, 0.)
    assert torch.equal(teacher.conv.weight, other.conv.weight)
