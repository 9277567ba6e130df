# Copyright (c) mmseg_semi authors.
"""RC²L where there are few segments, few queries or bad numbers."""
import math
import warnings

import pytest
import torch

from mmseg_semi.functional import Segments
from .given_segments import CLASSES, SIDE, C, D, maps, step_of, term, total


class TestFewSegments:

    @pytest.mark.parametrize('classes', [((2, ), (0, )), ((), ())])
    def test_one_class_or_none(self, classes):
        # Oracle 10.
        step, leaf = step_of(maps(classes=classes))
        losses = term().loss(step)
        assert losses['loss_rmc'] == losses['loss_rfc'] == 0
        assert (losses['loss_rcc'] > 0) == bool(classes[0])
        for grad in torch.autograd.grad(
                total(losses), leaf, allow_unused=True):
            assert grad is None or torch.isfinite(grad).all()

    def test_two_segments_give_a_difference(self):
        # Oracle 10: perfect disjoint masks, -1 / tau each.
        given = maps(classes=((0, 1), ), number=2)
        given['labels'][0, :8], given['labels'][0, 8:] = 0, 1
        rows = (torch.arange(SIDE)
                < SIDE // 2).double()[:, None].expand(-1, SIDE)
        given['pixels'] = torch.stack([rows, 1 - rows, 0 * rows])[None] - .5
        given['pixels'][:, 2] = 0
        given['embed'] = 2 * [2e3 * torch.eye(3).double()[None, :2]]
        step, _ = step_of(given)
        losses = term(tau=(.5, .5)).loss(step)
        assert losses['loss_rmc'].item() == pytest.approx(4 * -2.)
        # opposite features: cosine 1 of the own region, -1 of the other
        assert losses['loss_rfc'].item() == pytest.approx(4 * -4.)

    def test_fewer_queries_than_segments(self):
        given = maps(number=3)
        step, leaf = step_of(given)
        with pytest.warns(UserWarning, match='Raise num_queries'):
            loss = total(term().loss(step))
        assert torch.isfinite(loss) and loss != 0
        assert step.log['regions/segments'] == pytest.approx(
            sum(min(len(c), 3) for c in CLASSES) / len(CLASSES))

    def test_burn_in_has_no_loss(self):
        step, _ = step_of(maps(), semi=False)
        assert term().loss(step) == {}


class TestBadNumbers:

    @pytest.mark.parametrize('queries', [slice(2, 3), slice(None)])
    def test_a_broken_query_is_not_matched_but_heard(self, queries):
        given = maps()
        given['embed'][-1][0, queries] = math.nan
        step, _ = step_of(given)
        loss = term(union='matched').loss(step)['loss_smc']
        assert loss.isnan() == (queries == slice(None))

    def test_huge_logits(self):
        given = maps()
        for key in ('embed', 'classes'):
            given[key] = [1e4 * t for t in given[key]]
        step, leaf = step_of(given)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            loss = total(term().loss(step))
        for grad in torch.autograd.grad(loss, leaf, allow_unused=True):
            assert grad is None or torch.isfinite(grad).all()

    def test_half_precision(self):
        given = maps()
        given = {
            k: [t.bfloat16() for t in v] if isinstance(v, list) else v
            for k, v in given.items()
        }
        given['pixels'] = given['pixels'].bfloat16()
        with torch.autocast('cpu', torch.bfloat16):
            losses = term().loss(step_of(given)[0])
        for value in losses.values():
            assert value.dtype == torch.float32 and torch.isfinite(value)

    def test_cosines_do_not_notice_autocast(self):
        gen = torch.Generator().manual_seed(0)
        features = 3 + torch.randn(2, D, SIDE, SIDE, generator=gen)
        regions = torch.rand(2, C, SIDE, SIDE, generator=gen)
        valid = torch.ones(2, SIDE, SIDE, dtype=torch.bool)
        segments = Segments(regions > .5, valid[:, 0, :1], valid)
        plain = term()._cosines(features, regions, segments)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = term()._cosines(features, regions, segments)
        assert torch.equal(plain, mixed)
