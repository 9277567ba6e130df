# Copyright (c) mmseg_semi authors.
"""BRPG's equations, on hand-made steps, against slow references."""
import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from mmseg_semi.functional import draw_positions
from mmseg_semi.models.regularizers import prototype_term
from mmseg_semi.models.state import registered_state
from .given import (PLENTY, SIDE, bare_term, features_of, given_maps,
                    given_step, set_prototypes, take, unequal_counts)
from .test_brpg_sampling import expected_bank
from .toys import NUM_CLASSES, SIZE


class TestClustering:

    def test_first_prototype_step_clusters_once(self):
        term, maps = bare_term(**PLENTY), given_maps()
        take(term, given_step(maps, 1))
        take(term, given_step(maps, 2))
        assert term.banks.allocated
        assert not term.head.prototype_valid.any()
        loss = take(term, given_step(maps, 3))['loss_proto']
        assert loss > 0 and not term.banks.allocated
        # 2 + 2 per class, one more of each kind for one class (APO).
        assert term.head.prototype_valid.sum() == 4 * NUM_CLASSES + 2
        before = term.head.prototypes.clone()
        take(term, given_step(maps, 4))
        moved = (term.head.prototypes - before).abs().amax()
        assert 0 < moved < .1  # moved, not clustered again

    def test_prototypes_are_the_modes(self):
        """High-confidence prototypes come first; each is a cluster's mean."""
        term, maps = bare_term(apo=None, momentum=1., **PLENTY), given_maps()
        take(term, given_step(maps, 1))
        banks = expected_bank(maps, [.8] * NUM_CLASSES)
        take(term, given_step(maps, 3))
        for g, group in enumerate(('high', 'low')):
            for c in range(NUM_CLASSES):
                rows = torch.tensor(banks[group][c], dtype=torch.float64)
                ours = term.head.prototypes[c, 2 * g:2 * g + 2]
                assert (ours[0] - ours[1]).norm() > 1
                nearest = torch.cdist(rows, ours).argmin(1)
                means = torch.stack(
                    [rows[nearest == k].mean(0) for k in range(2)])
                torch.testing.assert_close(ours, means, rtol=0, atol=1e-5)

    @pytest.mark.parametrize('options, count', [
        (dict(apo=None), 16),
        (dict(num_prototypes=(1, 3), apo=None), 16),
        (dict(apo=dict(extra=3, ratio=.5, score='l2')), 16 + 12),
        (dict(apo=dict(extra=1, ratio=.05, score='l2_norm')), 18),
        (dict(split=False, num_prototypes=(4, ), apo=None), 16),
        (dict(kmeans='minibatch'), 18),
    ])
    def test_variants(self, options, count):
        term, maps = bare_term(**PLENTY, **options), given_maps()
        take(term, given_step(maps, 1))
        loss = take(term, given_step(maps, 3))['loss_proto']
        assert term.head.prototype_valid.sum() == count
        assert loss.isfinite() and loss > 0

    def test_classes_with_few_or_no_samples(self):
        term = bare_term(**PLENTY)
        maps = given_maps()
        labels = maps['sup']['cls']
        labels[labels == 3] = 255  # no labelled pixel of class 3
        maps['weak']['logits'][:, 3] = -50.  # nor a pseudo-labelled one
        kept = (labels[:, ::4, ::4] == 2) & (
            maps['sup']['logits'].argmax(1) == 2)
        labels[labels == 2] = 255
        b, i, j = kept.nonzero()[0].tolist()  # one single pixel of class 2
        labels[b, i * SIZE // SIDE, j * SIZE // SIDE] = 2
        maps['weak']['logits'][:, 2] = -50.
        take(term, given_step(maps, 1))
        step = given_step(maps, 3)
        loss = take(term, step)['loss_proto']
        assert term.head.prototype_valid.sum(1).tolist()[2:] == [1, 0]
        loss.backward()
        assert loss.isfinite()
        assert all(f.grad.isfinite().all()
                   for f in (features_of(step, 'sup'),
                             features_of(step, 'unsup_student')))

    def test_nothing_sampled_is_an_error(self):
        term, maps = bare_term(), given_maps()
        maps['sup']['cls'].fill_(255)
        maps['weak']['logits'].zero_()
        term.threshold = .8
        take(term, given_step(maps, 1))
        with pytest.raises(RuntimeError, match=r'\[1, 3\).*`window`'):
            take(term, given_step(maps, 3))

    def test_prototype_stage_without_prototypes_is_an_error(self):
        """A checkpoint of another window would silently train nothing."""
        with pytest.raises(RuntimeError, match='no prototype at iteration 7'):
            take(bare_term(), given_step(given_maps(), 7))


def reference_samples(term, maps, iteration, seed=0):
    """(feature, class) of every sampled pixel: grid (Eq. 17), draws (18)."""
    full = {
        kind:
        F.interpolate(
            maps[kind]['features'], (SIZE, SIZE),
            mode='bilinear',
            align_corners=True)
        for kind in ('sup', 'mixed')
    }
    grid = [round(k * (SIZE - 1) / term.cells) for k in range(term.cells + 1)]
    labeled = [(full['sup'][b, :, y, x], maps['sup']['cls'][b, y, x].item())
               for b in range(len(full['sup'])) for y in grid for x in grid]
    first, last = term.confidence
    eta = first + (last - first) * (iteration - term.end) / (100 - term.end)
    trusted = (maps['conf'] >= eta) & maps['valid']
    places = draw_positions(
        trusted, min(term.draws_per_image * len(trusted), trusted.numel()),
        torch.Generator().manual_seed(seed))
    unlabeled = [(full['mixed'][b, :, y, x], maps['mixed']['cls'][b, y,
                                                                  x].item())
                 for b, y, x, drawn in zip(*places) if drawn]
    assert all(trusted[b, y, x] for b, y, x, drawn in zip(*places) if drawn)
    return ([s for s in labeled if s[1] != 255], unlabeled)


def reference_loss(term, labeled, unlabeled):
    """Eq. 15-20 by loops."""
    losses = []
    for samples in (labeled, unlabeled):
        terms = []
        for feature, label in samples:
            scores = {}
            for c in range(NUM_CLASSES):
                cosines = [
                    torch.cosine_similarity(feature, r, dim=0).item()
                    for r, ok in zip(term.head.prototypes[c],
                                     term.head.prototype_valid[c]) if ok
                ]
                if cosines:
                    scores[c] = math.exp(max(cosines) / .1)
            if label in scores:
                terms.append(-math.log(scores[label] / sum(scores.values())))
        losses.append(sum(terms) / len(terms) if terms else 0.)
    return sum(losses)


def reference_update(term, samples):
    """Eq. 22 by loops, over all samples of the iteration."""
    moved = term.head.prototypes.clone()
    for c in range(NUM_CLASSES):
        prototypes = term.head.prototypes[c][term.head.prototype_valid[c]]
        assigned = [[] for _ in prototypes]
        for feature, label in samples:
            if label == c and len(prototypes):
                near = torch.cosine_similarity(
                    feature[None], prototypes, dim=1).argmax()
                assigned[near].append(feature)
        for k, members in enumerate(assigned):
            if members:
                mean = torch.stack(members).mean(0)
                moved[c, k] = .99 * moved[c, k] + .01 * mean
    return moved


class TestLoss:

    @pytest.mark.parametrize('draws', [20, 100])
    @pytest.mark.parametrize('iteration', [3, 60])
    def test_loss_and_update_equal_the_equations(self, draws, iteration):
        """T3, T4, T8 on the term: 1e-9 in fp64."""
        term = bare_term(draws_per_image=draws, confidence=(.5, .95), cells=5)
        set_prototypes(term)
        maps = unequal_counts(given_maps())
        labeled, unlabeled = reference_samples(term, maps, iteration)
        expected = reference_loss(term, labeled, unlabeled)
        moved = reference_update(term, labeled + unlabeled)
        loss = take(term, given_step(maps, iteration))['loss_proto']
        assert loss.item() == pytest.approx(expected, rel=1e-9)
        torch.testing.assert_close(
            term.head.prototypes, moved, rtol=0, atol=1e-9)

    def test_burn_in_uses_labelled_pixels_only(self):
        """Table 7: the window may lie within burn-in."""
        term, maps = bare_term(), given_maps()
        set_prototypes(term)
        labeled, _ = reference_samples(term, maps, 3)
        expected = reference_loss(term, labeled, [])
        moved = reference_update(term, labeled)
        loss = take(term, given_step(maps, 3, semi=False))['loss_proto']
        assert loss.item() == pytest.approx(expected, rel=1e-9)
        torch.testing.assert_close(
            term.head.prototypes, moved, rtol=0, atol=1e-9)

    def test_gradient(self):
        """Finite differences; only sampled features, no prototype."""
        term, maps = bare_term(cells=4), given_maps()
        set_prototypes(term)
        step = given_step(maps, 3)
        term.loss(step)['loss_proto'].backward()
        assert not term.head.prototypes.requires_grad
        teacher = step.labeler('student', 'unsup_student')
        assert teacher.features['brpg'].grad is None
        assert step.learner('student', 'sup').logits.grad is None
        for kind, view in (('sup', 'sup'), ('mixed', 'unsup_student')):
            grad = features_of(step, view).grad
            place = grad.abs().flatten().argmax().item()
            values = []
            for sign in (1, -1):
                changed = dict(maps, **{kind: dict(maps[kind])})
                features = maps[kind]['features'].clone().contiguous()
                features.view(-1)[place] += sign * 1e-6
                changed[kind]['features'] = features
                values.append(term.loss(given_step(changed, 3))['loss_proto'])
            slope = (values[0] - values[1]).item() / 2e-6
            assert grad.flatten()[place].item() == pytest.approx(
                slope, rel=1e-4)

    def test_only_grid_points_of_labelled_images_get_gradient(self):
        term, maps = bare_term(cells=4), given_maps()
        set_prototypes(term)
        step = given_step(maps, 3)
        term.loss(step)['loss_proto'].backward()
        touched = features_of(step, 'sup').grad.abs().sum(1) > 0
        on_grid = torch.zeros_like(touched)
        on_grid[:, ::2, ::2] = True  # every 8th pixel of 33: every 2nd of 9
        assert touched.any() and not (touched & ~on_grid).any()

    @pytest.mark.parametrize(
        'empty', ['labels', 'confident', 'both', 'no class has prototypes'])
    def test_empty_sets(self, empty):
        term, maps = bare_term(), given_maps()
        set_prototypes(term)
        if empty in ('labels', 'both'):
            maps['sup']['cls'].fill_(255)
        if empty in ('confident', 'both'):
            maps['conf'].zero_()
        if empty == 'no class has prototypes':
            for kind in ('sup', 'mixed'):
                maps[kind]['cls'].fill_(3)
        before = term.head.prototypes.clone()
        step = given_step(maps, 3)
        loss = take(term, step)['loss_proto']
        loss.backward()
        assert loss.isfinite()
        grads = [features_of(step, v).grad for v in ('sup', 'unsup_student')]
        assert all(g.isfinite().all() for g in grads)
        if empty in ('both', 'no class has prototypes'):
            assert loss == 0 and not any(g.any() for g in grads)
            assert torch.equal(term.head.prototypes, before)
        else:
            assert loss > 0

    def test_loss_uses_the_old_prototypes(self):
        fast, slow = bare_term(momentum=0.), bare_term(momentum=.99)
        losses = []
        for term in (fast, slow):
            set_prototypes(term)
            losses.append(take(term, given_step(given_maps(), 3)))
        assert losses[0]['loss_proto'] == losses[1]['loss_proto']
        assert not torch.allclose(fast.head.prototypes, slow.head.prototypes)

    def test_loss_weight(self):
        losses = []
        for weight in (1., .25):
            term = bare_term(loss_weight=weight)
            set_prototypes(term)
            losses.append(take(term, given_step(given_maps(), 3)))
        assert losses[1]['loss_proto'] == .25 * losses[0]['loss_proto']

    def test_schedule_origin(self):
        """B10-8: the official origin is not T_S2."""
        term = bare_term(confidence=(.8, .95), schedule_begin=20)
        set_prototypes(term)
        maps = given_maps()
        eta = .8 + .15 * (3 - 20) / 80
        maps['conf'].fill_(eta + 1e-4)
        step = given_step(maps, 3)
        take(term, step)
        assert step.log['proto/drawn_ratio'] > 0
        maps['conf'].fill_(eta - 1e-4)
        step = given_step(maps, 3)
        take(term, step)
        assert step.log['proto/drawn_ratio'] == 0


class TestOptions:

    def test_official_preset(self):
        official, paper = bare_term('official'), bare_term()
        named = ('per_gpu_scale', 'sync_prototypes', 'kmeans')
        assert [getattr(official, n)
                for n in named] == [True, False, 'minibatch']
        assert [getattr(paper, n) for n in named] == [False, True, 'faiss']
        for model, over_ranks in (official, 'per_rank'), (paper, 'sum'):
            shared = dict((name, found.over_ranks)
                          for name, found, _ in registered_state(model.head))
            assert shared['prototypes'] == over_ranks
        assert bare_term('official', kmeans='faiss').kmeans == 'faiss'

    @pytest.mark.parametrize('wrong, message', [
        (dict(window=(3, 3)), 'window'),
        (dict(num_prototypes=(2, )), 'num_prototypes'),
        (dict(split=False), 'num_prototypes'),
        (dict(apo=dict(extra=1)), 'apo'),
        (dict(apo=dict(extra=1, ratio=.1, score='cos')), 'apo'),
        (dict(kmeans='lloyd'), 'lloyd'),
    ])
    def test_bad_options_fail_before_training(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            bare_term(**wrong)


@pytest.mark.parametrize('iteration', [1, 3])
def test_a_step_never_waits_for_the_device(monkeypatch, iteration):
    """Fake tensors have no values: reading one raises.

    Only the grid is looked at, on the host, where it was made.
    """

    def first_points(features, rows, cols, *args):
        return features.flatten(2).transpose(1, 2)[:, :len(rows)]

    monkeypatch.setattr(prototype_term, 'grid_features', first_points)
    term, maps = bare_term(class_threshold=(.7, .9), cells=8), given_maps()
    set_prototypes(term)
    # Looked at once, when the stage begins.
    term.once('prototypes', lambda: None)
    fakes = FakeTensorMode()
    step = given_step(maps, iteration)
    tree = (step.views, step.outs, step.labels)
    with fakes:
        for part in tree:
            for record in part.values():
                fields = record if isinstance(record, dict) else vars(record)
                for name, value in fields.items():
                    if isinstance(value, torch.Tensor):
                        fields[name] = fakes.from_tensor(value)
        for out in step.outs.values():
            out.features['brpg'] = fakes.from_tensor(out.features['brpg'])
        for module in (term, *term.banks.banks.values(), term.head):
            for name, buffer in module._buffers.items():
                module._buffers[name] = fakes.from_tensor(buffer)
        take(term, step)
