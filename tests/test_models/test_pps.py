# Copyright (c) mmseg_semi authors.
"""PPS's term on hand-made outputs, against loops written from the paper."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_semi.functional import prototype_contrast
from mmseg_semi.models.regularizers.pps import PPS, at_grid
from .given_prototypes import (NETS, OTHER, SIZE, VIEW, C, N, P, losses_of,
                               make_step, nearest, scores, terms, total)


def test_the_grid_undoes_the_enlargement():
    for small, size in ((9, 33), (8, 64), (10, 37), (7, 7)):
        gen = torch.Generator().manual_seed(small)
        best = torch.randint(0, P, (2, small, small), generator=gen)
        index = torch.arange(size) * small // size
        full = best[:, index][:, :, index]
        assert torch.equal(at_grid(full, (small, small)), best)


def test_cross_supervision_is_equation_6():
    step = make_step()
    pair = terms(contrast_weight=0., activation_weight=0.)
    for net, losses in zip(NETS, losses_of(pair, step)):
        assert set(losses) == {'loss_sp'}
        target = nearest(step.labels[net, VIEW]['proto'],
                         step.labels[net, VIEW]['valid'])
        s, wanted, number = scores(step, net, VIEW), 0., 0
        for b, i, j in (target >= 0).nonzero().tolist():
            pixel = s[b, :, i, j]
            wanted -= pixel[target[b, i, j]] - pixel.exp().sum().log()
            number += 1
        torch.testing.assert_close(losses['loss_sp'], 1.5 * wanted / number)


def test_at_image_resolution():
    step = make_step()
    pair = terms(
        contrast_weight=0., activation_weight=0., sp_resolution='image')
    labels = step.labels['student1', VIEW]
    full = F.interpolate(
        scores(step, 'student1', VIEW), (SIZE, SIZE), mode='bilinear')
    target = labels['proto'].masked_fill(~labels['valid'], -1)
    torch.testing.assert_close(
        pair[0].loss(step)['loss_sp'],
        1.5 * F.cross_entropy(full, target, ignore_index=-1))


def test_labelled_images_may_be_cross_supervised_too():
    step = make_step()
    pair = terms(contrast_weight=0., activation_weight=0., sp_labeled=True)
    s = [scores(step, 'student1', view) for view in (VIEW, 'sup')]
    labels = step.labels['student1', VIEW]
    target = [
        nearest(labels['proto'], labels['valid']),
        scores(step, 'student2', 'sup').argmax(1)
    ]
    torch.testing.assert_close(
        pair[0].loss(step)['loss_sp'], 1.5 *
        F.cross_entropy(torch.cat(s), torch.cat(target), ignore_index=-1))


@pytest.mark.parametrize('source', ['other', 'own', 'none'])
def test_activation_regularisation_is_equation_10(source):
    """Logits of class k come from prototypes n k ... n k + n - 1 only."""
    step = make_step()
    pair = terms(contrast_weight=0., activation_labels=source)
    losses = losses_of(pair, step)
    drawn = step.shared['pps.drawn']
    assert (drawn // N).tolist() == list(range(C))
    for net, part in zip(NETS, losses):
        wanted = 0.
        for view in ('sup', VIEW):
            logits = F.interpolate(
                torch.stack(
                    [scores(step, net, view)[:, drawn[k]] for k in range(C)],
                    1), (SIZE, SIZE),
                mode='bilinear')
            target = step.views['sup'].labels
            if view == VIEW:
                if source == 'none':
                    continue
                owner = net if source == 'other' else OTHER[net]
                target = step.labels[owner, VIEW]['cls']
            wanted += F.cross_entropy(logits, target, ignore_index=255)
        torch.testing.assert_close(part['loss_r'], .01 * wanted)


def test_with_one_prototype_activation_is_the_class_cross_entropy():
    step = make_step(n=1)
    pair = terms(contrast_weight=0., activation_weight=1.)
    for net, part in zip(NETS, losses_of(pair, step)):
        wanted = sum(
            F.cross_entropy(
                step.learner(net, view).at((SIZE, SIZE)),
                target,
                ignore_index=255)
            for view, target in (('sup', step.views['sup'].labels),
                                 (VIEW, step.labels[net, VIEW]['cls'])))
        torch.testing.assert_close(part['loss_r'], wanted)


def own_labels(step, net):
    """What a network's own forward on the unmixed images says (row 16)."""
    labels = step.labels[OTHER[net], VIEW]
    return nearest(labels['proto'], labels['valid'])


def projected(pair, rows, keep):
    """Phi with the BatchNorm statistics of the kept rows."""
    head = pair[0]._head[0]
    hidden = rows @ head.reduce.weight.T
    mean, var = hidden[keep].mean(0), hidden[keep].var(0, unbiased=False)
    hidden = (hidden - mean) / (var + 1e-5).sqrt()
    hidden = hidden * head.project.weight + head.project.bias
    return hidden.relu() @ head.project.linear.weight.T \
        + head.project.linear.bias


@pytest.mark.parametrize('labelled', [False, True])
def test_the_pool_holds_pixels_of_both_networks(labelled):
    step = make_step()
    pair = terms(samples=300, contrast_labeled=labelled)
    losses = losses_of(pair, step)
    pool = step.shared['pps.pool']
    assert pool.vectors.shape == (2, P, 150, 5)
    rows, where = [], []
    for b, net in enumerate(NETS):
        parts = [(VIEW, own_labels(step, net))]
        if labelled:
            cls = nearest(step.views['sup'].labels, torch.ones(2, SIZE, SIZE))
            s = scores(step, net, 'sup').unflatten(1, (C, N)).argmax(2)
            best = torch.full_like(cls, -1)
            for i, r, c in ((cls != 255) & (cls >= 0)).nonzero().tolist():
                k = cls[i, r, c]
                best[i, r, c] = k * N + s[i, k, r, c]
            parts.append(('sup', best))
        for view, labels in parts:
            features = step.learner(net, view).features['pps']
            for i, r, c in (labels >= 0).nonzero().tolist():
                rows.append(features[i, :, r, c])
                where.append((b, int(labels[i, r, c])))
    rows = torch.stack(rows)
    vectors = projected(pair, rows, torch.ones(len(rows), dtype=torch.bool))
    for b in range(2):
        for k in range(P):
            mine = [v for v, w in zip(vectors, where) if w == (b, k)]
            found = pool.vectors[b, k, :pool.counts[b, k]]
            assert len(mine) == len(found)
            if mine:
                mine = torch.stack(sorted(mine, key=lambda v: v[0].item()))
                found = found[found[:, 0].argsort()]
                torch.testing.assert_close(found, mine)
    for b, part in enumerate(losses):
        wanted = prototype_contrast(*pool, b)
        torch.testing.assert_close(part['loss_contra'], .5 * wanted)
        assert wanted > 0


def test_at_most_half_of_the_samples_come_from_each_network():
    step = make_step()
    losses_of(terms(samples=6), step)
    pool = step.shared['pps.pool']
    for b, net in enumerate(NETS):
        present = own_labels(step, net).flatten()
        expected = [int((present == k).sum().clamp(max=3)) for k in range(P)]
        assert pool.counts[b].tolist() == expected
    assert step.log['proto/used_ratio'] == (pool.counts > 0).double().mean()


def test_total_is_the_weighted_sum_of_both_networks():
    """Eq. 4 without L_s."""
    everything = total(losses_of(terms(), make_step()))
    weights = dict(
        prototype_weight=1.5, contrast_weight=.5, activation_weight=.01)
    parts = 0.
    for name, weight in weights.items():
        alone = {n: 0. for n in weights}
        alone[name] = 1.
        # The draws of the pool come first in a step with all of them.
        if name != 'activation_weight':
            parts += weight * total(losses_of(terms(**alone), make_step()))
    step = make_step()
    losses = losses_of(terms(), step)
    parts += sum(part['loss_r'] for part in losses)
    torch.testing.assert_close(everything, parts)


def test_gradient_reaches_both_networks_and_no_label():
    step = make_step()
    made = [t for maps in step.labels.values() for t in maps.values()]
    assert not any(t.requires_grad for t in made)
    pair = terms()
    total(losses_of(pair, step)).backward()
    for net in NETS:
        for view in (VIEW, 'sup'):
            queries = step.learner(net, view).queries
            for tensor in (queries.mask_embed[-1], queries.pixel_embed):
                assert tensor.grad.abs().sum() > 0
                assert torch.isfinite(tensor.grad).all()
    for parameter in pair[0]._head[0].parameters():
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize('both_sides', [True, False])
def test_gradient_through_the_other_side(both_sides):
    """Anchors of network 1 pull at network 2 unless told otherwise."""
    step = make_step()
    pair = terms(both_sides=both_sides, prototype_weight=0.)
    # Without the BatchNorm, whose statistics both networks make.
    pool = pair[0]._pool(step)
    vectors = pool.vectors.detach().requires_grad_()
    step.shared['pps.pool'] = pool._replace(vectors=vectors)
    pair[0].loss(step)['loss_contra'].backward()
    assert vectors.grad[0].abs().sum() > 0
    assert (vectors.grad[1].abs().sum() > 0) == both_sides


def test_equal_networks_have_equal_losses():
    step = make_step(same=True)
    step.labels['student2', VIEW] = step.labels['student1', VIEW]
    one, two = losses_of(terms(contrast_weight=0.), step)
    assert one == two


def test_begin_delays_contrast_and_regulariser():
    pair = terms(begin=10)
    for iteration, active in ((9, False), (10, True)):
        step = make_step(iteration=iteration)
        assert list(pair[0].features('learner', step)) == ['pps'] * active
        assert not pair[0].features('labeler', step)
        losses = pair[0].loss(step)
        assert (losses['loss_contra'] != 0) == active
        assert ('loss_r' in losses) == active
        losses['loss_contra'].backward()
        assert all(p.grad is not None for p in pair[0]._head[0].parameters())


def test_burn_in_has_labelled_images_only():
    losses = terms()[0].loss(make_step(semi=False))
    assert losses['loss_contra'] == 0 and losses['loss_r'] > 0
    assert set(losses) == {'loss_contra', 'loss_r'}


def test_nothing_known_is_an_exact_zero():
    step = make_step()
    step.views['sup'].labels.fill_(255)
    for maps in step.labels.values():
        maps['valid'] = torch.zeros_like(maps['valid'])
        maps['cls'] = torch.full_like(maps['cls'], 255)
    loss = total(losses_of(terms(), step))
    loss.backward()
    assert loss == 0
    grad = step.learner('student1', VIEW).queries.pixel_embed.grad
    assert (grad == 0).all()


def test_one_prototype_everywhere():
    """Nothing to contrast with; the rest is finite."""
    step = make_step()
    for maps in step.labels.values():
        maps['proto'] = torch.full_like(maps['proto'], P - 1)
    losses = losses_of(terms(), step)
    assert losses[0]['loss_contra'] == 0
    total(losses).backward()
    assert torch.isfinite(total(losses))


def test_rows_of_table_4():
    for weights, parts in ((dict(contrast_weight=0., activation_weight=0.),
                            {'loss_sp'}), (dict(activation_weight=0.),
                                           {'loss_sp', 'loss_contra'}),
                           (dict(contrast_weight=0.), {'loss_sp', 'loss_r'})):
        term = terms(**weights)[0]
        assert set(term.loss(make_step())) == parts
        assert bool(term.heads()) == ('loss_contra' in parts)


def test_it_replaces_the_consistency():
    assert PPS.replaces == ('pixel_consistency', )


@pytest.mark.parametrize('options, message', [
    (dict(samples=7), 'even'),
    (dict(samples=0), 'even'),
    (dict(temperature=0.), 'positive'),
    (dict(negatives=0), 'at least 1'),
    (dict(sp_resolution='full'), 'sp_resolution'),
    (dict(activation_labels='both'), 'activation_labels'),
    (dict(prototype_weight=-1.), 'negative'),
    (dict(head=None), 'in_channels'),
])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        terms(**options)


def rank_losses(rank, both):
    """One rank, or both with the same or with other images."""
    step = make_step(seed=rank if both else 0, images=2)
    losses = losses_of(terms(), step)
    return {
        name: sum(part[name].detach() for part in losses)
        for name in losses[0]
    }


def test_two_processes_with_the_same_images_equal_one(gloo_pool):
    alone = rank_losses(0, False)
    for result in gloo_pool(rank_losses, False):
        for name, value in alone.items():
            torch.testing.assert_close(result[name], value)


def test_mean_is_over_the_pixels_of_both_processes(gloo_pool):
    """L_sp and L_r of two ranks are those of one with all the images."""
    found = gloo_pool(rank_losses, True)
    number, sums = 0, 0.
    for rank in range(2):
        step = make_step(seed=rank)
        for net in NETS:
            labels = step.labels[net, VIEW]
            target = nearest(labels['proto'], labels['valid'])
            sums += 1.5 * F.cross_entropy(
                scores(step, net, VIEW),
                target,
                ignore_index=-1,
                reduction='sum')
        number += (target >= 0).sum()
    mean = sum(result['loss_sp'] for result in found) / 2
    torch.testing.assert_close(mean, sums.detach() / number)
