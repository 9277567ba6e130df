# Copyright (c) mmseg_semi authors.
"""CMB's term against loops over classes and pixels, in fp64."""
import pytest
import torch
from torch.nn import functional as F

from .given_cmb import (FULL, SIZE, C, D, assert_same_rows, expected_push,
                        make_step, make_term, mlp, nearest, only_target,
                        selector, trained)


@pytest.mark.parametrize('options,reference', [
    (dict(), dict()),
    (dict(rows_per_image=1), dict(number=3)),
    (dict(rows_per_image=1,
          memory_select='lowest'), dict(number=3, highest=False)),
    (dict(rows_per_image=1,
          rank_with='feature'), dict(number=3, rank='selectors')),
    (dict(rows_per_image=1,
          memory_attention=False), dict(number=3, rank='selectors')),
    (dict(rows_per_image=1, quality_filter=False), dict(
        number=3, filter=False)),
    (dict(memory_network='student'), dict(source='learn')),
    (dict(rows_per_image=9), dict(number=9)),
    (dict(feat_stride=6, quality_filter=False), dict(side=3, filter=False)),
    (dict(feat_stride=2), dict()),
])
def test_memory_takes_the_right_vectors(options, reference):
    term, student, teacher = make_term(**options)
    step = make_step((student, teacher), iteration=1)
    head = (student if reference.get('source') else teacher)['cmb']
    entering = expected_push(step, head, **reference)
    with torch.no_grad():
        term.update_before(step)
    assert_same_rows(term.bank, entering)
    assert sum(map(len, entering.values())) > 8
    if reference.get('number', 6) == 3:  # the ranking had a choice
        assert max(map(len, entering.values())) == 3


def test_memory_is_first_in_first_out():
    # Oracle 3: the best of a push are the last to leave.
    term, student, teacher = make_term(rows_per_image=2, capacity=7)
    both = []
    for seed in range(2):
        step = make_step((student, teacher), seed=seed, iteration=1)
        both.append(expected_push(step, teacher['cmb']))
        with torch.no_grad():
            term.update_before(step)
    assert_same_rows(
        term.bank, {
            label: torch.cat([both[0][label], both[1][label]])[-7:]
            for label in range(C)
        })


def test_memory_is_of_the_target_domain():
    term, student, teacher = make_term()
    step = make_step((student, teacher), iteration=1)
    target = torch.ones(3, *FULL, dtype=torch.bool)
    target[1] = False
    step.views['sup'].target = target
    entering = expected_push(step, teacher['cmb'])
    with torch.no_grad():
        term.update_before(step)
    assert_same_rows(term.bank, entering)
    step.views['sup'].target = torch.zeros_like(target)
    before = term.bank.count.clone()
    with torch.no_grad():
        term.update_before(step)
    assert torch.equal(term.bank.count, before)
    # The source domain takes part in the loss.
    step.iteration = 2
    term.loss(step)['loss_contrast'].backward()
    grad = step.learner('student', 'sup').features['cmb'].grad
    assert (grad[1] != 0).any()


def test_random_choice_without_selectors():
    term, student, teacher = make_term(rows_per_image=1, class_attention=False)
    step = make_step((student, teacher), iteration=1)
    everything = expected_push(step, teacher['cmb'], rank=None)
    with torch.no_grad():
        term.update_before(step)
    for label, rows in everything.items():
        stored = term.bank.rows(label)[0]
        assert len(stored) == min(3, len(rows))
        for row in stored:
            assert (rows - row).abs().sum(1).min() < 1e-9


def contrasted(term, step, views, head):
    """Labels, predictions and their attention, on the kept positions."""
    rows, labels = [], []
    for view in views:
        source = step.views[view].labels
        if source is None:
            source = step.labels['student', view]['cls']
        at = nearest(SIZE)
        labels.append(source[:, at][:, :, at].flatten())
        feature = step.learner('student', view).features['cmb']
        rows.append(feature.permute(0, 2, 3, 1).reshape(-1, D))
    rows, labels = torch.cat(rows), torch.cat(labels)
    rows, labels = rows[labels != 255], labels[labels != 255]
    attention = torch.ones(len(rows)).double()
    if len(rows) < 2:
        return labels, rows, attention
    projected = mlp(head.projector, rows)
    predicted = mlp(head.predictor, head.predictor_in(projected))
    if term.class_attention:
        scores = [
            selector(head.selectors, label,
                     predicted[labels == label].detach()).sigmoid()
            for label in range(C)
        ]
        order = labels.argsort(stable=True)
        attention = torch.cat(scores)[order.argsort()]
    return labels, predicted, attention


def expected_loss(term, steps, views, head):
    """Eq. 8-11 over the pairs of all ranks; BatchNorm is each rank's own."""
    parts = [contrasted(term, step, views, head) for step in steps]
    labels, predicted, attention = (torch.cat(part) for part in zip(*parts))
    loss = 0.
    for label in range(C):
        p, z = predicted[labels == label], term.bank.rows(label)[0]
        if len(p) < 2 or len(z) < 2:
            continue
        a, w_z = attention[labels == label], torch.ones(len(z)).double()
        w_p = len(p) * a / a.sum()
        if term.memory_attention:
            seen = F.normalize(z) if term.normalize_memory else z
            b = selector(head.memory_selectors, label, seen).sigmoid()
            w_z = len(z) * b / b.sum()
        distance = 1 - F.cosine_similarity(p[:, None], z[None], dim=2)
        loss = loss + (w_p[:, None] * w_z[None] * distance).mean()
    return loss / C


@pytest.mark.parametrize('options', [
    dict(),
    dict(memory_attention=False),
    dict(class_attention=False),
    dict(normalize_memory=True),
    dict(fidelity='official'),
    dict(loss_weight=(.3, .7)),
])
def test_loss_equals_the_pairs(options):
    term, student, teacher = make_term(**options)
    step = make_step((student, teacher))
    with torch.no_grad():
        term.update_before(step)
    term.bank.count[3] = 1  # not enough in memory
    losses = term.loss(step)
    weights = options.get('loss_weight', (.1, .1))
    head = student['cmb']
    expected = [
        weight * expected_loss(term, [step], views, head)
        for weight, views in zip(weights, (
            ['sup'], ['unsup_student', 'unsup_student2']))
    ]
    assert list(losses) == ['loss_contrast', 'loss_contrast_unsup']
    inputs = [
        step.learner('student', view).features['cmb'] for view in step.views
    ] + list(trained(student).values())
    # A class without features in the step may leave a parameter alone.
    ours, theirs = (
        torch.autograd.grad(sum(x), inputs, materialize_grads=True)
        for x in (losses.values(), expected))
    for loss, value in zip(losses.values(), expected):
        assert loss.item() == pytest.approx(value.item(), abs=1e-12)
        assert loss > 0
    for mine, other in zip(ours, theirs):
        assert torch.allclose(mine, other, rtol=1e-7, atol=1e-11)
        assert (other != 0).any()


def test_gradient_reaches_what_it_should():
    # Oracle 2.
    term, student, teacher = make_term()
    step = make_step((student, teacher))
    with torch.no_grad():
        term.update_before(step)
    stored = term.bank.features.clone()
    sum(term.loss(step).values()).backward()
    for name, parameter in trained(student).items():
        assert (parameter.grad != 0).any(), name
    assert all(p.grad is None for p in teacher.parameters())
    assert not term.bank.features.requires_grad
    assert torch.equal(term.bank.features, stored)
    assert step.outs['bank', 'sup'].features['cmb'].grad is None


def test_no_gradient_passes_through_the_weights():
    """With the attention frozen, features get the same gradient."""
    gradients, scores = [], []
    for constant in (False, True):
        term, student, teacher = make_term()
        selectors = student['cmb'].selectors
        score = iter(scores) if constant else None

        def forward(rows, labels, score=score, real=selectors.forward):
            if score is not None:  # the same weights, without a graph
                return next(score)
            scores.append(real(rows, labels).detach())
            return real(rows, labels)

        selectors.forward = forward
        step = make_step((student, teacher))
        with torch.no_grad():
            term.update_before(step)
        sum(term.loss(step).values()).backward()
        gradients.append(
            step.learner('student', 'unsup_student').features['cmb'].grad)
    assert torch.equal(*gradients)
    assert (gradients[0] != 0).any()


@pytest.mark.parametrize('accepted', [0, 1])
def test_memory_without_or_with_one_vector(accepted):
    term, student, teacher = make_term()
    step = make_step((student, teacher))
    labels = step.views['sup'].labels
    keep = torch.zeros_like(labels, dtype=torch.bool)
    if accepted:
        out = step.outs['bank', 'sup']
        dense = F.interpolate(
            out.logits, FULL, mode='bilinear', align_corners=True).softmax(1)
        at = torch.tensor(nearest(SIZE))
        good = ((dense.argmax(1) == labels) & (dense.amax(1) > .6))
        image, row, col = torch.nonzero(good[:, at][:, :, at])[0]
        keep[image, at[row], at[col]] = True
    step.views['sup'].target = keep
    with torch.no_grad():
        term.update_before(step)
    assert term.bank.count.sum() == 0  # one row has no statistics
    assert term.bank.features.isfinite().all()
    losses = term.loss(step)
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    for parameter in trained(student).values():
        assert (parameter.grad == 0).all()


def test_two_classes():
    term, student, teacher = make_term(num_classes=2)
    step = make_step((student, teacher))
    with torch.no_grad():
        term.update_before(step)
    losses = term.loss(step)
    assert all(value > 0 for value in losses.values())


def test_labels_that_are_all_ignored():
    term, student, teacher = make_term()
    with torch.no_grad():
        term.update_before(make_step((student, teacher)))
    step = make_step((student, teacher))
    step.views['sup'].labels[:] = 255
    before = term.bank.count.clone()
    with torch.no_grad():
        term.update_before(step)
    loss = term.loss(step)['loss_contrast']
    loss.backward()
    assert loss == 0 and torch.equal(term.bank.count, before)
    assert all((p.grad == 0).all() for p in trained(student).values())


def test_only_images_of_the_target_domain_make_room():
    """K is m times the target images of a batch with both domains."""
    term, student, teacher = make_term(rows_per_image=1)
    step = only_target(make_step((student, teacher), iteration=1), [0, 2])
    expected = expected_push(step, teacher['cmb'], number=2)
    with torch.no_grad():
        term.update_before(step)
    assert_same_rows(term.bank, expected)
    assert max(map(len, expected.values())) == 2


def test_a_share_of_a_row_per_image():
    term, student, teacher = make_term(rows_per_image=.5)
    for images, number in (([0, 1, 2], 1), ([1], 1)):
        step = only_target(make_step((student, teacher), iteration=1), images)
        term.bank.release()
        with torch.no_grad():
            term.update_before(step)
        assert term.bank.count.max() == number


@pytest.mark.parametrize('rows, entered', [
    (.3, [0, 0, 0, 1]),
    (.1, [0, 0, 0, 1]),
    (.5, [0, 1, 0, 1]),
    (1, [1, 1, 1, 1]),
    (1.4, [1, 1, 2, 1]),
])
def test_the_batches_of_an_iteration_bring_what_one_would(rows, entered):
    """floor(4 m), at least 1, of four batches with an image each."""
    term, student, teacher = make_term(
        rows_per_image=rows, capacity=20, quality_filter=False)
    found = []
    for part in range(4):
        step = make_step((student, teacher), iteration=1, images=1)
        step.part, step.accumulate = part, 4
        before = term.bank.count.max() if term.bank.allocated else 0
        with torch.no_grad():
            term.update_before(step)
        found.append(int(term.bank.count.max() - before))
    assert found == entered
    assert sum(found) == max(1, int(4 * rows))


def test_a_batch_of_the_source_domain_needs_no_pass():
    term, student, teacher = make_term()
    step = make_step((student, teacher), iteration=1)
    assert len(term.passes(None, step)) == 1
    only_target(step, [])
    del step.outs['bank', 'sup']
    assert term.passes(None, step) == []
    with torch.no_grad():
        term.update_before(step)
    assert term.bank.allocated and term.bank.count.sum() == 0
    step.iteration = 2
    assert term.loss(step)['loss_contrast'] == 0
