# Copyright (c) mmseg_semi authors.
"""U2PL's term, on given features, against loops over pixels and classes."""
import pytest
import torch

from mmseg_semi.models.regularizers.term import build_term
from .given_u2pl import (VIEWS, C, bare_u2pl, features_of, given_maps,
                         given_step, one_vector_queues, pixel_facts,
                         reference_loss, reference_queues, stored)

CASES = [('paper', {}), ('official', {}), ('paper', dict(positive='reliable')),
         ('paper', dict(reliable='lowest')),
         ('paper', dict(average='present')), ('paper', dict(legacy=True)),
         ('paper', dict(ranks=(2, 4))),
         ('paper', dict(threshold=.6, start=50.))]


def built(fidelity, options):
    sizes = dict(num_anchors=1000, num_negatives=6, keys_per_image=81)
    return bare_u2pl(fidelity, **{**sizes, **options})


def rows(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize('fidelity, options', CASES)
class TestAgainstLoops:

    def test_queues(self, fidelity, options):
        """Which pixels become negatives of which classes."""
        term, maps = built(fidelity, options), given_maps()
        term.update_before(given_step(maps))
        expected = reference_queues(maps, pixel_facts(maps, term))
        assert sum(map(len, expected)) > 20
        for ours, theirs in zip(stored(term), expected):
            assert len(ours) == len(theirs)
            theirs = sorted(tuple(row.tolist()) for row in theirs)
            torch.testing.assert_close(
                rows(ours), rows(theirs), rtol=0, atol=1e-12)

    @pytest.mark.parametrize('absent', [(), (1, ), (0, 3)])
    def test_loss_and_gradient(self, fidelity, options, absent):
        """Eq. 4, with classes of no reliable pixel."""
        term, maps = built(fidelity, options), given_maps()
        for c in absent:
            for view in VIEWS:
                labels = maps[view]['cls']
                labels[labels == c] = 255
        step = given_step(maps)
        term.update_before(step)
        queue = one_vector_queues(term)
        loss = term.loss(step)['loss_contrast']
        students = {
            view: maps[view]['student'].clone().requires_grad_()
            for view in VIEWS
        }
        facts = pixel_facts(maps, term)
        expected = reference_loss(maps, facts, term, queue, students)
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)
        assert loss > 0
        loss.backward()
        expected.backward()
        for view in VIEWS:
            torch.testing.assert_close(
                features_of(step, view).grad,
                students[view].grad,
                rtol=0,
                atol=1e-10)
            assert features_of(step, view).grad.any()


class TestGradient:

    def test_student_features_alone(self):
        term, maps = bare_u2pl(), given_maps()
        step = given_step(maps)
        for view in VIEWS:
            out = step.outs['statistics', view]
            out.features['u2pl'].requires_grad_()
            out.logits.requires_grad_()
            step.outs['learn', view].logits.requires_grad_()
        with torch.no_grad():
            term.update_before(step)
        term.loss(step)['loss_contrast'].backward()
        for view in VIEWS:
            assert features_of(step, view).grad.any()
            out = step.outs['statistics', view]
            assert out.features['u2pl'].grad is None
            assert out.logits.grad is None
            assert step.outs['learn', view].logits.grad is None

    def test_anchors_only(self):
        """A pixel that is no anchor gets an exact zero."""
        term, maps = bare_u2pl(), given_maps()
        step = given_step(maps)
        term.update_before(step)
        term.loss(step)['loss_contrast'].backward()
        for fact in pixel_facts(maps, term):
            b, i, j = fact['at']
            grad = features_of(step, fact['view']).grad[b, :, i, j]
            assert bool(grad.any()) == bool(fact['anchor'])

    def test_number_of_anchors(self):
        term, maps = bare_u2pl(num_anchors=3), given_maps()
        step = given_step(maps)
        term.update_before(step)
        term.loss(step)['loss_contrast'].backward()
        touched = sum(
            features_of(step, view).grad.any(1).sum() for view in VIEWS)
        assert touched == 3 * C


class TestEmpty:

    def zero(self, term, step):
        with torch.no_grad():
            term.update_before(step)
        loss = term.loss(step)['loss_contrast']
        assert loss == 0 and loss.requires_grad
        loss.backward()
        return step

    def test_no_anchor(self):
        maps = given_maps()
        for view in VIEWS:
            maps[view]['cls'].fill_(255)
        step = self.zero(bare_u2pl(), given_step(maps))
        for view in VIEWS:
            assert not features_of(step, view).grad.any()

    def test_no_negative(self):
        """The queues are empty: labels are right and no pixel is unsure."""
        maps = given_maps()
        for view in VIEWS:
            small = maps[view]['cls'][:, ::4, ::4].clamp_max(C - 1)
            maps[view]['scores'] = torch.nn.functional.one_hot(
                small, C).movedim(-1, 1) * 9.
            maps['valid'].fill_(False)
        term = bare_u2pl()
        step = given_step(maps)
        maps['sup']['cls'][:] = 255
        self.zero(term, step)
        assert term.queues.count().sum() == 0

    def test_one_empty_queue_leaves_the_others(self):
        term, maps = bare_u2pl(), given_maps()
        step = given_step(maps)
        term.update_before(step)
        queue = one_vector_queues(term, empty=(0, 2))
        loss = term.loss(step)['loss_contrast']
        students = {view: maps[view]['student'] for view in VIEWS}
        expected = reference_loss(maps, pixel_facts(maps, term), term, queue,
                                  students)
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)

    def test_single_present_class_is_skipped_as_in_the_code(self):
        maps = given_maps()
        for view in VIEWS:
            labels = maps[view]['cls']
            labels[labels != 2] = 255
        term = bare_u2pl(average='present')
        self.zero(term, given_step(maps))
        term = bare_u2pl()
        step = given_step(maps)
        term.update_before(step)
        one_vector_queues(term)
        assert term.loss(step)['loss_contrast'] > 0

    def test_burn_in(self):
        term = bare_u2pl()
        step = given_step(given_maps(), semi=False)
        step = self.zero(term, step)
        assert not term.queues.first.allocated
        for p in term._head[0].parameters():
            assert p.grad is not None and not p.grad.any()


class TestQueues:

    def test_first_in_first_out(self):
        term = bare_u2pl(capacity=(40, 30))
        for seed in range(3):
            term.update_before(given_step(given_maps(seed=seed)))
        assert term.queues.count().tolist() == [40, 30, 30, 30]
        last = given_maps(seed=2)
        expected = reference_queues(last, pixel_facts(last, term))
        for ours, theirs in zip(stored(term), expected):
            known = torch.stack(theirs)
            for row in rows(ours):
                distance = (known - row).norm(dim=1).min()
                assert len(theirs) < 40 or distance < 1e-12

    def test_keys_per_image(self):
        """8 images at most 2 rows each, of every class."""
        term = bare_u2pl(keys_per_image=2)
        term.update_before(given_step(given_maps()))
        assert term.queues.count().tolist() == [16] * C

    def test_directions(self):
        term = bare_u2pl()
        term.update_before(given_step(given_maps()))
        lengths = rows(sum(stored(term), [])).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))

    def test_this_steps_negatives_are_seen_by_its_loss(self):
        term, step = bare_u2pl(), given_step(given_maps())
        term.update_before(step)
        assert term.loss(step)['loss_contrast'] > 0


class TestSchedule:

    @pytest.mark.parametrize('epoch_iters, iteration, keep',
                             [(None, 0, 80.), (None, 25, 85.), (20, 19, 80.),
                              (20, 45, 88.), (None, 100, 100.)])
    def test_alpha_t(self, epoch_iters, iteration, keep):
        """Eq. 7: alpha_t falls linearly from 20 per cent to 0."""
        maps = given_maps()
        term = bare_u2pl(epoch_iters=epoch_iters)
        term.update_before(given_step(maps, iteration=iteration))
        same = bare_u2pl(start=keep)
        same.update_before(given_step(maps, iteration=0))
        assert stored(term) == stored(same)

    def test_same_step_same_draws(self):
        losses = []
        for _ in range(2):
            term = bare_u2pl(num_anchors=5)
            step = given_step(given_maps(), seed=3)
            term.update_before(step)
            losses.append(term.loss(step)['loss_contrast'].item())
        assert losses[0] == losses[1]

    def test_health(self):
        term, step = bare_u2pl(), given_step(given_maps())
        term.update_before(step)
        term.loss(step)
        assert set(step.log) == {
            'contrast/queue_fill', 'contrast/negative_classes',
            'contrast/active_classes'
        }
        assert 0 < step.log['contrast/queue_fill'] < 1
        assert step.log['contrast/active_classes'] == C


class TestOptions:

    def test_presets(self):
        paper = build_term(
            dict(type='U2PL', head=dict(in_channels=4)), 'student', 21,
            'paper')
        printed = dict(
            num_anchors=50,
            num_negatives=256,
            temperature=.5,
            start=80.,
            low=3,
            high=20,
            threshold=.3,
            loss_weight=.1,
            reliable='kept',
            positive='anchors',
            average='all',
            legacy=False,
            per_gpu_scale=False)
        assert {k: getattr(paper, k) for k in printed} == printed
        assert paper.queues.first.capacity == 50_000
        assert paper.queues.others.capacity == 30_000
        assert paper.head_cfg.get('channels', 256) == 256
        official = build_term(
            dict(type='U2PL', head=dict(in_channels=4), loss_weight=.25),
            'student', 21, 'official')
        coded = dict(
            num_anchors=256,
            num_negatives=50,
            temperature=.5,
            reliable='lowest',
            positive='reliable',
            average='present',
            legacy=True,
            per_gpu_scale=True,
            loss_weight=.25)  # what is given wins
        assert {k: getattr(official, k) for k in coded} == coded

    @pytest.mark.parametrize('options, message', [
        (dict(head=dict()), 'head.in_channels. is missing'),
        (dict(num_anchors=0), 'num_anchors=0 must be at least 1'),
        (dict(num_negatives=-1), 'num_negatives=-1'),
        (dict(keys_per_image=0), 'keys_per_image=0'),
        (dict(epoch_iters=0), 'epoch_iters=0 must be at least 1'),
        (dict(temperature=0.), 'temperature=0.0 must be above 0'),
        (dict(start=0.), r'start=0.0 must be a percentage in \(0, 100\]'),
        (dict(threshold=1.2), r'threshold=1.2 must be in \[0, 1\]'),
        (dict(loss_weight=-1.), 'loss_weight=-1.0 must be at least 0'),
        (dict(ranks=(4, 20)), r'ranks=\(4, 20\).*number of classes, 4'),
        (dict(ranks=(3, 3)), r'ranks=\(3, 3\)'),
        (dict(ranks=(1, 2, 3)), r'ranks=\(1, 2, 3\)'),
        (dict(capacity=(5, )), r'capacity=\(5,\) must give two'),
        (dict(capacity=(5, 0)), 'capacity counts the rows.*got 0'),
        (dict(capacity=9), 'capacity=9 must give two'),
        (dict(reliable='all'), "reliable='all' must be one of"),
        (dict(positive='mean'), "positive='mean' must be one of"),
        (dict(average='sum'), "average='sum' must be one of"),
    ])
    def test_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            bare_u2pl(**options)

    @pytest.mark.parametrize('classes, low', [(2, 1), (3, 2), (4, 3), (21, 3)])
    def test_ranks_follow_from_few_classes(self, classes, low):
        cfg = dict(type='U2PL', head=dict(in_channels=4))
        term = build_term(cfg, 'student', classes, 'paper')
        assert (term.low, term.high) == (low, 20)
