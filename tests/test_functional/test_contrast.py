# Copyright (c) mmseg_semi authors.
"""CMB's equations against loops over classes and pairs, in fp64."""
import pytest
import torch
from torch import nn

from mmseg_semi.functional import (best_rows, class_cosine, class_directions,
                                   contrastive_loss, masked_batch_norm,
                                   memory_rows_per_image, quality_filter)

C, V, D = 6, 7, 5


def _case(seed=0, number=60):
    """Features of classes 0-5; memory of class 3 is empty, of 4 has one.

    Class 1 has no feature and class 5 a single one; some are ignored.
    """
    gen = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    choice = torch.tensor([0, 0, 2, 3, 4, 255, -1])
    labels = choice[torch.randint(0, 7, (number, ), generator=gen)]
    labels[7] = 5
    count = torch.tensor([V, V, 3, 0, 1, V])
    return dict(
        features=randn(number, D).requires_grad_(),
        labels=labels,
        bank=2 * randn(C, V, D),
        stored=torch.arange(V) < count[:, None],
        scores=randn(number).requires_grad_(),
        memory_scores=randn(C, V).requires_grad_())


def _factorised(case, attention=True, memory_attention=True):
    directions = class_directions(
        case['bank'], case['stored'],
        case['memory_scores'].sigmoid() if memory_attention else None)
    return _loss(case['features'], case['labels'], directions,
                 case['stored'].sum(1) > 1,
                 case['scores'].sigmoid() if attention else None)


def _loss(features, labels, directions, present, attention=None):
    cosine = class_cosine(features, labels, directions)
    return contrastive_loss(cosine, labels, present, attention)


def _pairwise(case, attention=True, memory_attention=True):
    """Eq. 8-11 as printed."""
    total = 0.
    for label in range(C):
        mine = case['labels'] == label
        p, z = case['features'][mine], case['bank'][label][case['stored']
                                                           [label]]
        if len(p) < 2 or len(z) < 2:
            continue
        w_p, w_z = torch.ones(len(p)).double(), torch.ones(len(z)).double()
        if attention:
            a = case['scores'][mine].sigmoid()
            w_p = len(p) * a / a.sum()
        if memory_attention:
            b = case['memory_scores'][label][case['stored'][label]].sigmoid()
            w_z = len(z) * b / b.sum()
        distance = torch.stack([
            torch.stack([
                w_p[i] * w_z[j] * (1 - p[i] @ z[j] /
                                   (p[i].norm() * z[j].norm()))
                for j in range(len(z))
            ]) for i in range(len(p))
        ])
        total = total + distance.mean()
    return total / C


@pytest.mark.parametrize('options', [(True, True), (True, False),
                                     (False, True), (False, False)])
def test_factorised_form_equals_the_pairs(options):
    # Oracle 1.
    case = _case()
    ours, theirs = _factorised(case, *options), _pairwise(case, *options)
    assert abs(ours - theirs) < 1e-12
    inputs = [case['features'], case['scores'], case['memory_scores']]
    gradients = [
        torch.autograd.grad(loss, inputs, allow_unused=True)
        for loss in (ours, theirs)
    ]
    for used, mine, other in zip((True, *options), *gradients):
        assert (mine is None) == (not used) == (other is None)
        if used:
            assert (mine - other).abs().max() < 1e-12
            assert mine.abs().max() > 1e-4


def test_gradients_are_those_of_the_values():
    case = _case(number=12)

    def loss(features, scores, memory_scores):
        return _factorised(
            dict(
                case,
                features=features,
                scores=scores,
                memory_scores=memory_scores))

    assert torch.autograd.gradcheck(
        loss, (case['features'], case['scores'], case['memory_scores']))


def test_weights_have_mean_one_and_no_scale():
    # Oracle 2.
    case = _case()
    directions = class_directions(case['bank'], case['stored'])
    present, labels = case['stored'].sum(1) > 1, case['labels']
    alike = case['features'].detach()[labels.clamp(0, C - 1)]
    attention = case['scores'].sigmoid()
    plain = _loss(alike, labels, directions, present)
    weighted = _loss(alike, labels, directions, present, attention)
    assert abs(plain - weighted) < 1e-14
    case['bank'] = case['bank'][:, :1].expand_as(case['bank'])
    for scores in (None, case['memory_scores'].sigmoid()):
        same = class_directions(case['bank'], case['stored'], scores)
        unit = nn.functional.normalize(case['bank'][:, 0])
        assert torch.allclose(same[0], unit[0], rtol=0, atol=1e-14)

    case = _case()
    loss = _loss(case['features'], labels, directions, present, attention)
    scaled = _loss(case['features'], labels, directions, present,
                   1e-3 * attention)
    assert abs(loss - scaled) < 1e-14
    memory = case['memory_scores'].sigmoid()
    assert torch.allclose(
        class_directions(case['bank'], case['stored'], memory),
        class_directions(case['bank'], case['stored'], 50 * memory),
        rtol=0,
        atol=1e-14)


def test_the_bank_carries_no_gradient():
    case = _case()
    case['bank'].requires_grad_()
    _factorised(case).backward()
    assert case['bank'].grad is None
    assert not class_directions(case['bank'], case['stored']).requires_grad


def test_classes_that_are_absent_contribute_zero():
    # Oracle 4: the divisor stays C.
    case = _case()
    whole = _factorised(case)
    parts = 0.
    for label in range(C):
        only = case['labels'].masked_fill(case['labels'] != label, 255)
        part = _factorised(dict(case, labels=only))
        assert (part == 0) == (label in (1, 3, 4, 5))
        parts = parts + part
    assert abs(whole - parts) < 1e-14


@pytest.mark.parametrize('labels', [[255, -1, 255], [0, 255, 255], []])
def test_nothing_to_contrast_is_an_attached_zero(labels):
    case = _case(number=len(labels) + 8)
    for name in ('features', 'scores'):
        case[name] = case[name].detach()[:len(labels)].requires_grad_()
    case['labels'] = torch.tensor(labels).long()
    loss = _factorised(case)
    loss.backward()
    assert loss == 0
    for name in ('features', 'scores', 'memory_scores'):
        assert (case[name].grad == 0).all()


def test_zero_vectors_stay_finite():
    case = _case()
    with torch.no_grad():
        case['features'][::3] = 0
        case['bank'][0] = 0
    _factorised(case).backward()
    assert case['features'].grad.isfinite().all()
    assert (case['features'].grad[::3] == 0).all()


def test_half_precision_is_computed_in_full():
    case = _case()
    args = (case['labels'], class_directions(case['bank'], case['stored']),
            case['stored'].sum(1) > 1)
    half = case['features'].detach().to(torch.bfloat16)
    expected = _loss(half.float(), *args)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert _loss(half, *args) == expected
    assert expected.dtype == torch.float32


def _shared_loss(rank, sizes):
    """Rank r has sizes[r] of the 60 rows, the rest of them has no one."""
    case = _case()
    start = sum(sizes[:rank])
    mine = slice(start, start + sizes[rank])
    features = case['features'].detach()[mine].requires_grad_()
    scores = case['scores'].detach()[mine].requires_grad_()
    loss = _factorised(
        dict(
            case,
            features=features,
            scores=scores,
            labels=case['labels'][mine]))
    loss.backward()
    return loss.item(), features.grad, scores.grad, case['memory_scores'].grad


@pytest.mark.dist
@pytest.mark.parametrize('sizes', [(30, 30), (52, 8), (0, 60)])
def test_the_mean_over_ranks_is_the_loss_of_all_rows(gloo_pool, sizes):
    results = gloo_pool(_shared_loss, sizes)
    expected = _shared_loss(0, (60, ))
    losses, features, scores, memory = zip(*results)
    assert abs(sum(losses) / 2 - expected[0]) < 1e-12
    assert torch.allclose(torch.cat(features) / 2, expected[1], atol=1e-13)
    assert torch.allclose(torch.cat(scores) / 2, expected[2], atol=1e-13)
    assert torch.allclose(sum(memory) / 2, expected[3], atol=1e-13)


@pytest.mark.parametrize('kept', [0, 1, 2, 9, 12])
def test_batch_norm_of_some_rows(kept):
    gen = torch.Generator().manual_seed(0)
    rows, weight, bias = (
        torch.randn(*shape, generator=gen, dtype=torch.float64)
        for shape in ((12, D), (D, ), (D, )))
    keep = torch.randperm(12, generator=gen) < kept
    inputs = [x.requires_grad_() for x in (rows, weight, bias)]
    result = masked_batch_norm(rows, keep, weight, bias)
    gradients = torch.autograd.grad(result[keep].square().sum(), inputs)
    if kept > 1:
        expected = nn.functional.batch_norm(rows[keep], None, None, weight,
                                            bias, True)
        others = torch.autograd.grad(expected.square().sum(), inputs)
        for mine, other in zip(gradients, others):
            assert torch.allclose(mine, other, rtol=1e-10, atol=1e-10)
    else:
        expected = bias.expand(kept, D)
        assert (gradients[0] == 0).all()
    assert torch.allclose(result[keep], expected, rtol=1e-10, atol=1e-12)
    assert result.isfinite().all()
    assert (gradients[0][~keep] == 0).all()


@pytest.mark.parametrize('number', [1, 2, 5, 40])
@pytest.mark.parametrize('sign', [1, -1])
def test_best_rows_equal_sorting_every_class(number, sign):
    # Oracle 3; with the scores negated these are the lowest.
    gen = torch.Generator().manual_seed(0)
    scores = sign * torch.randn(30, generator=gen)
    labels = torch.tensor([0, 0, 0, 1, 3, -1,
                           255])[torch.randint(0, 7, (30, ), generator=gen)]
    index, valid = best_rows(scores, labels, 4, number)
    assert index.shape == valid.shape == (4, min(number, 30))
    for label in range(4):
        mine = torch.nonzero(labels == label)[:, 0]
        best = sorted(mine.tolist(), key=lambda i: scores[i].item())[-number:]
        assert index[label][valid[label]].tolist() == best  # worst first


def test_quality_filter():
    # Sec. 3.4: predicted right, and with more than the threshold.
    probabilities = torch.tensor([[.96, .04], [.96, .04], [.95, .05],
                                  [.02, .98], [.03, .97]])
    labels = torch.tensor([0, 1, 0, 1, 255])
    passed = quality_filter(probabilities, labels, .95)
    assert passed.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(
    'rule,labeled,classes,batch,expected',
    [
        # The table of vectors per iteration, DeepLabV2 batches.
        ('city', 100, 19, 5, 15),
        ('city', 372, 19, 5, 5),
        ('city', 744, 19, 5, 5),
        ('voc', 212, 21, 14, 98),
        ('voc', 530, 21, 14, 14),
        ('voc', 1323, 21, 14, 14),
        ('paper', 100, 19, 5, 12),
        ('paper', 372, 19, 5, 5),
        (4, None, 19, 5, 20),
        (.5, None, 19, 5, 2),
        (2.5, None, 19, 5, 12),
    ])
def test_memory_rows_per_iteration(rule, labeled, classes, batch, expected):
    rows = memory_rows_per_image(rule, 256, labeled, classes)
    assert int(rows * batch) == expected


def test_unknown_rule():
    with pytest.raises(ValueError, match='rows_per_image'):
        memory_rows_per_image('coco', 256, 100, 19)


@pytest.mark.parametrize('rule', [0, -1, 0., float('inf'), float('nan')])
def test_a_number_that_is_none(rule):
    with pytest.raises(ValueError, match='more than 0'):
        memory_rows_per_image(rule, 256, 100, 19)
