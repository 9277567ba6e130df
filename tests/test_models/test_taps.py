# Copyright (c) mmseg_semi authors.
import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmseg_semi.models.taps import TapRecorder, resolve_tap
from .given import build_stock
from .toys import SIZE, segmentor


class Net(nn.Module):
    """Calls ``twice`` twice and ``never`` never."""

    def __init__(self, names=()):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.twice = nn.Linear(3, 3)
        self.never = nn.Linear(3, 3)
        self.taps = TapRecorder(self, names)

    def forward(self, x):
        return self.twice(self.twice(self.first(x)))


def build(**kwargs):
    return build_stock(segmentor(**kwargs))


def tapped(net, names, x, grad=False, forward=None):
    with net.taps.capture(names, grad=grad) as recorded:
        out = net(x) if forward is None else forward(x)
    return out, recorded


class TestNames:

    @pytest.mark.parametrize('name, head, expected', [
        ('decoder', 'published', 'decode_head.fuse:output'),
        ('pre_cls', 'published', 'decode_head.classifier:output'),
        ('decoder', 'fcn', 'decode_head.dropout:input'),
        ('pre_cls', 'fcn', 'decode_head.dropout:input'),
        ('backbone.layer2:output', 'fcn', 'backbone.layer2:output'),
    ])
    def test_logical_names(self, name, head, expected):
        assert resolve_tap(build(head=head), name) == expected

    def test_head_without_dropout(self):
        net = build(head='fcn')
        net.decode_head.dropout = None
        assert resolve_tap(net, 'pre_cls') == 'decode_head.conv_seg:input'

    def test_pre_cls_is_read_before_dropout(self):
        net = build(head='fcn').train()
        net.decode_head.dropout.p = .9
        net.taps = TapRecorder(net, ['pre_cls'])
        x = torch.randn(2, 3, SIZE, SIZE)
        _, recorded = tapped(
            net, ['pre_cls'],
            x,
            forward=lambda x: net.decode_head(net.extract_feat(x)))
        channels = recorded['pre_cls'].abs().sum((2, 3))
        assert (channels > 0).float().mean() > .5

    def test_decoder_is_what_the_classifier_reads(self):
        net = build().eval()
        net.taps = TapRecorder(net, ['decoder', 'pre_cls'])
        head = net.decode_head
        out, recorded = tapped(
            net, ['decoder', 'pre_cls'],
            torch.randn(1, 3, SIZE, SIZE),
            forward=lambda x: head(net.extract_feat(x)))
        assert recorded['decoder'].shape == (1, 16, 9, 9)
        assert torch.equal(
            head.classifier(recorded['decoder']), recorded['pre_cls'])
        assert torch.equal(head.conv_seg(recorded['pre_cls']), out)

    def test_unknown_names(self):
        with pytest.raises(KeyError, match='neckline.*FCNHead'):
            TapRecorder(build(head='fcn'), ['neckline'])
        with pytest.raises(KeyError, match='no.*module .*decode_head.nothing'):
            TapRecorder(build(), ['decode_head.nothing:input'])
        with pytest.raises(KeyError, match='side'):
            TapRecorder(build(), ['decode_head.fuse:middle'])


class TestCapture:

    def test_sides(self):
        net = Net(['first:input', 'first:output'])
        x = torch.randn(2, 3)
        _, recorded = tapped(net, ['first:input', 'first:output'], x)
        assert torch.equal(recorded['first:input'], x)
        assert torch.equal(recorded['first:output'], net.first(x))

    def test_records_only_inside(self):
        net = Net(['first:output'])
        net(torch.randn(1, 3))
        assert not net.taps.recorded
        _, recorded = tapped(net, ['first:output'], torch.randn(1, 3))
        held = recorded['first:output']
        net(torch.randn(1, 3))
        assert recorded['first:output'] is held and not net.taps.recorded

    def test_missing(self):
        net = Net(['never:output'])
        with pytest.raises(RuntimeError, match='not reached'):
            tapped(net, ['never:output'], torch.randn(1, 3))

    def test_repeated(self):
        net = Net(['twice:output'])
        with pytest.raises(RuntimeError, match='recorded twice'):
            tapped(net, ['twice:output'], torch.randn(1, 3))
        tapped(Net(['first:output']), ['first:output'], torch.randn(1, 3))

    def test_a_named_call(self):
        names = ['twice:output:0', 'twice:output:1']
        net = Net(names)
        for _ in range(2):  # calls are counted anew
            x = torch.randn(1, 3)
            out, recorded = tapped(net, names, x)
            assert torch.equal(recorded[names[0]], net.twice(net.first(x)))
            assert torch.equal(recorded[names[1]], out)

    def test_lost_graph(self):
        net = Net(['first:output'])
        x = torch.randn(1, 3, requires_grad=True)
        with pytest.raises(RuntimeError, match='carries no graph'):
            tapped(
                net, ['first:output'],
                x,
                grad=True,
                forward=lambda x: checkpoint(net, x, use_reentrant=True))
        with torch.no_grad():  # nobody asked for a graph here
            tapped(net, ['first:output'], x)

    def test_an_error_in_the_forward_closes_the_capture(self):
        net = Net(['first:output'])
        with pytest.raises(ZeroDivisionError):
            tapped(net, ['first:output'], 0, forward=lambda x: 1 / x)
        net(torch.randn(1, 3))
        assert not net.taps.recorded

    def test_deepcopy_has_its_own_recorder(self):
        """A teacher must not overwrite its student's tap."""
        net = Net(['first:output'])
        other = copy.deepcopy(net)
        assert other.taps is not net.taps
        x = torch.randn(1, 3)
        with torch.no_grad():
            other.first.weight.mul_(2)
        with net.taps.capture(['first:output'], grad=False) as recorded:
            net(x)
            other(x)
        assert torch.equal(recorded['first:output'], net.first(x))
        _, recorded = tapped(other, ['first:output'], x)
        assert torch.equal(recorded['first:output'], other.first(x))

    def test_compiled_network(self):
        """Hooks that were there before torch.compile fire, with a graph."""
        net = Net(['first:output'])
        compiled = torch.compile(net, backend='eager')
        x = torch.randn(2, 3)
        for _ in range(2):
            out, recorded = tapped(
                net, ['first:output'], x, grad=True, forward=compiled)
            assert torch.equal(recorded['first:output'], net.first(x))
            assert recorded['first:output'].requires_grad
        recorded['first:output'].sum().backward()
        assert net.first.weight.grad is not None
        compiled(x)
        assert not net.taps.recorded
