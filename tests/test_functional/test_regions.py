# Copyright (c) mmseg_semi authors.
"""RC²L's equations against loops over images, segments and pixels, fp64."""
import math

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_semi.functional.regions import (matched_rows, pseudo_segments,
                                           region_classification,
                                           region_contrast, region_cosines,
                                           region_features, region_similarity,
                                           union_logits)

B, Q, C, H, W, D = 4, 7, 5, 6, 8, 3
TAU = .5


@pytest.fixture
def case():
    """Images with 3, 1, 2 and no segments; some pixels are not valid."""
    gen = torch.Generator().manual_seed(0)
    labels = torch.full((B, H, W), 255)
    for b, classes in enumerate([(0, 2, 4), (3, ), (1, 4)]):
        choice = torch.tensor([*classes, 255])
        labels[b] = choice[torch.randint(
            0, len(choice), (H, W), generator=gen)]
    segments = pseudo_segments(labels, C, (H, W), min_area=1)
    assigned = torch.full((B, C), -1)
    for b in range(B):
        number = int(segments.present[b].sum())
        assigned[b, segments.present[b]] = torch.randperm(
            Q, generator=gen)[:number]

    def randn(*shape):
        return torch.randn(
            *shape, generator=gen, dtype=torch.float64).requires_grad_()

    return dict(
        labels=labels,
        segments=segments,
        assigned=assigned,
        class_logits=randn(B, Q, C + 1),
        masks=randn(B, Q, H, W),
        features=randn(B, D, H, W))


def pairs(case):
    """(image, class, query) of every segment."""
    return [(b, c, int(case['assigned'][b, c])) for b in range(B)
            for c in range(C) if case['assigned'][b, c] >= 0]


def same(ours, theirs, inputs, atol=1e-12):
    """Values and gradients agree."""
    assert torch.allclose(ours, theirs, rtol=0, atol=atol)
    for mine, other in zip(*(torch.autograd.grad(
            x, inputs, allow_unused=True, retain_graph=True)
                             for x in (ours, theirs))):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert torch.isfinite(mine).all()
            assert torch.allclose(mine, other, rtol=0, atol=atol)


class TestClassification:

    @pytest.mark.parametrize('empty_weight', [0., .1])
    def test_it_is_equation_9(self, case, empty_weight):
        ours, weight = region_classification(case['class_logits'],
                                             case['assigned'], empty_weight)
        expected, count = 0., 0.
        classes = {(b, q): c for b, c, q in pairs(case)}
        for b in range(B):
            for q in range(Q):
                p = case['class_logits'][b, q].exp()
                w = 1. if (b, q) in classes else empty_weight
                target = classes.get((b, q), C)
                expected = expected - w * (p[target] / p.sum()).log()
                count += w
        same(ours.sum(), expected, [case['class_logits']])
        assert abs(weight.sum() - count) < 1e-12


def slow_union(case, b, c, kind, empty_competes=True):
    """Probability map of the student's regions of a class."""
    logits = case['class_logits'][b]
    masks = case['masks'][b].sigmoid()
    if kind == 'soft':
        return (logits.softmax(-1)[:, c, None, None] * masks).sum(0).clamp(
            0, 1)
    matched = int(case['assigned'][b, c])
    scores = logits if empty_competes else logits[:, :-1]
    members = {matched} if kind == 'matched' else {
        q
        for q in range(Q) if int(scores[q].argmax()) == c
    } | {matched}
    union, none = None, 1.
    for q in members:
        union = masks[q] if union is None else torch.maximum(union, masks[q])
        none = none * (1 - masks[q])
    return 1 - none if kind == 'noisy_or' else union


class TestUnion:

    @pytest.mark.parametrize('empty_competes', [True, False])
    @pytest.mark.parametrize('kind', ['max', 'noisy_or', 'soft', 'matched'])
    def test_it_is_the_union_of_the_members(self, case, kind, empty_competes):
        union = union_logits(case['masks'], case['class_logits'],
                             case['assigned'], kind, empty_competes)
        weight = torch.randn(H, W, dtype=torch.float64)
        for b, c, _ in pairs(case):
            slow = slow_union(case, b, c, kind, empty_competes)
            ours = union[b, c].sigmoid()
            assert torch.allclose(ours, slow, rtol=0, atol=1e-12)
            same((ours * weight).sum(), (slow * weight).sum(),
                 [case['masks'], case['class_logits']])

    def test_no_query_names_the_class(self, case):
        with torch.no_grad():
            case['class_logits'][..., -1] = 100.
        union = union_logits(case['masks'], case['class_logits'],
                             case['assigned'])
        for b, c, q in pairs(case):
            assert torch.equal(union[b, c], case['masks'][b, q])

    def test_gradient_reaches_only_members(self, case):
        # Oracle 11, SMC.
        union = union_logits(case['masks'], case['class_logits'],
                             case['assigned'])
        total = sum(union[b, c].sum() for b, c, _ in pairs(case))
        grad, = torch.autograd.grad(total, case['masks'])
        reached = grad.flatten(2).abs().sum(2) > 0
        named = case['class_logits'].argmax(-1)
        for b in range(B):
            present = {c for i, c, _ in pairs(case) if i == b}
            matched = {q for i, _, q in pairs(case) if i == b}
            for q in range(Q):
                if reached[b, q]:
                    assert q in matched or int(named[b, q]) in present
        assert reached.sum() > len(pairs(case)) / 2

    @pytest.mark.parametrize('kind', ['max', 'noisy_or', 'soft'])
    def test_extreme_logits_stay_finite(self, kind):
        masks = torch.tensor([-1e4, -200., -50., 0., 50., 1e4])
        masks = masks.view(1, 1, 1, -1).repeat(1, 2, 1, 1).requires_grad_()
        union = union_logits(masks, torch.zeros(1, 2, C + 1),
                             torch.tensor([[0, -1, -1, -1, -1]]), kind)
        F.binary_cross_entropy_with_logits(union[:, 0],
                                           torch.ones(1, 1, 6)).backward()
        assert torch.isfinite(union[:, 0]).all()
        assert torch.isfinite(masks.grad).all()

    def test_unknown_kind(self, case):
        with pytest.raises(ValueError, match='unknown: use one of'):
            union_logits(case['masks'], case['class_logits'], case['assigned'],
                         'sum')


def slow_similarity(case, kind):
    """(b, j, i) -> d of the region matched to j and of segment i."""
    masks, targets, valid = case['masks'].sigmoid(), *case['segments'][::2]
    result = {}
    for b, j, q in pairs(case):
        for e, i, _ in pairs(case):
            if e != b:
                continue
            both = first = second = 0.
            for y in range(H):
                for x in range(W):
                    if valid[b, y, x]:
                        m, t = masks[b, q, y, x], float(targets[b, i, y, x])
                        both, first = both + m * t, first + m
                        second = second + t
            if kind == 'dice':
                result[b, j, i] = 2 * both / (first + second)
            else:
                result[b, j, i] = 2 * both / (first + second - both)
    return result


def slow_contrast(case, similarity, include_positive=False):
    """Eq. 5 and 8: (b, i) -> loss, of images with two segments or more."""
    losses = {}
    for b, i, _ in pairs(case):
        own = [j for e, j, _ in pairs(case) if e == b]
        if len(own) < 2:
            continue
        total = sum(
            torch.exp(similarity[b, j, i] / TAU) for j in own
            if j != i or include_positive)
        losses[b, i] = -similarity[b, i, i] / TAU + torch.log(total)
    return losses


def contrast(case, similarity, **kwargs):
    losses, counts = region_contrast(similarity, case['segments'].present, TAU,
                                     **kwargs)
    return losses, {(b, i) for b, i in counts.nonzero().tolist()}


class TestMaskContrast:

    @pytest.mark.parametrize('kind', ['dice', 'iou'])
    @pytest.mark.parametrize('include_positive', [False, True])
    def test_it_is_equation_5(self, case, kind, include_positive):
        masks = matched_rows(case['masks'], case['assigned']).sigmoid()
        similarity = region_similarity(masks, case['segments'].masks,
                                       case['segments'].valid, kind)
        slow = slow_similarity(case, kind)
        for place, value in slow.items():
            assert abs(similarity[place] - value) < 1e-12
        losses, counted = contrast(
            case, similarity, include_positive=include_positive)
        expected = slow_contrast(case, slow, include_positive)
        assert counted == set(expected) and len(counted) == 5
        for place, value in expected.items():
            assert abs(losses[place] - value) < 1e-12
        same(losses.sum(), sum(expected.values()), [case['masks']])

    def test_one_segment_counts_nothing(self):
        # Oracle 10.
        similarity = torch.rand(1, C, C, requires_grad=True)
        present = torch.tensor([[False, True, False, False, False]])
        losses, counts = region_contrast(similarity, present, TAU)
        losses.sum().backward()
        assert not counts.any() and torch.equal(losses, 0 * losses)
        assert torch.equal(similarity.grad, torch.zeros(1, C, C))

    def test_two_segments_give_a_difference(self):
        # Oracle 10.
        d = torch.rand(1, C, C, dtype=torch.float64)
        present = torch.tensor([[False, True, False, True, False]])
        losses, counts = region_contrast(d, present, TAU)
        expected = [-(d[0, 1, 1] - d[0, 3, 1]) / TAU,
                    -(d[0, 3, 3] - d[0, 1, 3]) / TAU]  # yapf: disable
        assert torch.allclose(losses[counts], torch.stack(expected))

    @pytest.mark.parametrize('number', [2, 5])
    def test_the_optimum(self, number):
        # Oracle 10: perfect disjoint masks.
        labels = torch.arange(number).repeat_interleave(8).view(1, 1, -1)
        masks, present, valid = pseudo_segments(labels, number,
                                                labels.shape[1:], 1)
        similarity = region_similarity(masks.double(), masks, valid)
        losses, counts = region_contrast(similarity, present, TAU)
        best = -1 / TAU + math.log(number - 1)
        assert torch.allclose(losses, torch.full_like(losses, best))
        assert counts.all()

    def test_alike_regions(self):
        losses, _ = region_contrast(
            torch.full((1, 4, 4), .3), torch.ones(1, 4, dtype=torch.bool), TAU)
        assert torch.allclose(losses, torch.full((1, 4), math.log(3)))

    def test_invalid_pixels_do_not_count(self, case):
        valid = case['segments'].valid
        noise = torch.randn_like(case['masks']) * ~valid[:, None]
        results = []
        for masks in (case['masks'], case['masks'] + 9 * noise):
            rows = matched_rows(masks, case['assigned']).sigmoid()
            results.append(
                region_similarity(rows, case['segments'].masks, valid))
            results[-1] = results[-1].masked_fill(
                ~case['segments'].present[:, :, None], 0.)
        assert torch.equal(*results)


class TestFeatureContrast:

    def test_it_is_equation_8(self, case):
        # Oracle 12: the paper's average over the map against ours.
        masks = matched_rows(case['masks'], case['assigned']).sigmoid()
        targets, present, valid = case['segments']
        mine = region_features(case['features'], masks, valid)
        theirs = region_features(case['features'], targets, valid)
        similarity = region_cosines(mine, theirs)
        slow = {}
        for b, j, q in pairs(case):
            mean = 0.
            for y, x in valid[b].nonzero().tolist():
                mean = mean + case['masks'][
                    b, q, y, x].sigmoid() * case['features'][b, :, y, x] / (
                        H * W)
            for e, i, _ in pairs(case):
                if e == b:
                    other = (targets[b, i] * case['features'][b]).mean((1, 2))
                    slow[b, j, i] = mean @ other / mean.norm() / other.norm()
        for place, value in slow.items():
            assert abs(similarity[place] - value) < 1e-12
        losses, counted = contrast(case, similarity)
        expected = slow_contrast(case, slow)
        assert counted == set(expected)
        for place, value in expected.items():
            assert abs(losses[place] - value) < 1e-12
        same(losses.sum(), sum(expected.values()),
             [case['masks'], case['features']])

    def test_no_mask_has_a_finite_gradient(self):
        features = torch.randn(1, D, 4, 4, requires_grad=True)
        masks = torch.zeros(1, 2, 4, 4)
        valid = torch.ones(1, 4, 4, dtype=torch.bool)
        F.normalize(
            region_features(features, masks, valid), dim=-1).sum().backward()
        assert torch.equal(features.grad, torch.zeros_like(features))


def test_only_matched_queries_get_gradients(case):
    # Oracle 11, RCC, RMC and RFC.
    masks = matched_rows(case['masks'], case['assigned']).sigmoid()
    targets, present, valid = case['segments']
    similarity = region_similarity(masks, targets, valid)
    mine = region_features(case['features'], masks, valid)
    total = region_classification(
        case['class_logits'], case['assigned'])[0].sum() + sum(
            region_contrast(s, present, TAU)[0].sum()
            for s in (similarity, mine @ mine.mT))
    classes, grad = torch.autograd.grad(total,
                                        [case['class_logits'], case['masks']])
    for b in range(B):
        matched = {q for i, _, q in pairs(case) if i == b}
        number = len(matched)
        for q in range(Q):
            assert (classes[b, q] != 0).any() == (q in matched)
            assert (grad[b, q] != 0).any() == (q in matched and number > 1)


@pytest.mark.parametrize('name', ['dice', 'iou'])
def test_half_precision_is_computed_in_full(name):
    masks = torch.rand(1, 2, 64, 64).bfloat16()
    labels = torch.arange(2).view(1, 2, 1).expand(1, 2, 64)
    targets, _, valid = pseudo_segments(labels, 2, (64, 64), 1)
    with torch.autocast('cpu', torch.bfloat16):
        ours = region_similarity(masks, targets, valid, name)
    assert ours.dtype == torch.float32
    assert torch.allclose(
        ours, region_similarity(masks.float(), targets, valid, name))


def test_cosines_of_half_precision_are_computed_in_full():
    """Features with a common part have cosines near 1."""
    rows = (3 + torch.randn(1, 4, 64)).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        ours = region_cosines(rows, rows.flip(1))
    assert ours.dtype == torch.float32
    exact = region_cosines(rows.double(), rows.double().flip(1))
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-6)


def test_unknown_similarity(case):
    with pytest.raises(ValueError, match='unknown: use one of'):
        region_similarity(case['masks'], case['masks'] > 0,
                          case['segments'].valid, 'cosine')


def test_nothing_waits_for_the_device():
    """Fake tensors have no data to read."""
    with FakeTensorMode():
        labels = torch.zeros(B, H, W, dtype=torch.long)
        masks, present, valid = pseudo_segments(labels, C, (3, 4))
        assigned = torch.zeros(B, C, dtype=torch.long)
        logits = torch.randn(B, Q, 3, 4, requires_grad=True)
        classes = torch.randn(B, Q, C + 1, requires_grad=True)
        regions = matched_rows(logits, assigned).sigmoid()
        features = region_features(torch.randn(B, D, 3, 4), regions, valid)
        losses = [region_classification(classes, assigned, .1)[0]]
        for similarity in (region_similarity(regions, masks,
                                             valid), features @ features.mT):
            losses.append(region_contrast(similarity, present, TAU)[0])
        for kind in ('max', 'noisy_or', 'soft', 'matched'):
            losses.append(union_logits(logits, classes, assigned, kind))
        sum(loss.sum() for loss in losses).backward()
