# Copyright (c) mmseg_semi authors.
"""Batches that make one iteration together, as the model sees them."""
import pytest
import torch

from mmseg_semi.engine import checks
from mmseg_semi.engine.checks import check_norm_batches
from mmseg_semi.models.segmentors.framework import MEANS
from mmseg_semi.models.segmentors.step_seeds import step_seed
from .given import bare_pcr, bare_term, given_maps, given_step, set_prototypes
from .given_labels import given_maps as label_maps
from .given_labels import given_step as label_step
from .given_labels import term
from .test_class_balance import counted
from .toys import batch, mean_teacher, segmentor


def test_an_iteration_is_over_after_its_last_batch():
    model = mean_teacher()
    model.accumulate = 3
    seen = []
    for _ in range(7):
        step = model.begin(*batch())
        seen.append((step.iteration, step.part, step.accumulate))
        model.loss(*batch())
    assert seen == [(i // 3, i % 3, 3) for i in range(7)]
    assert model.iteration == int(model._iteration) == 2


def test_an_interrupted_iteration_begins_anew():
    model = mean_teacher()
    model.accumulate = 2
    model.loss(*batch())
    model.iteration = 0  # as the loop says when it starts
    step = model.begin(*batch())
    assert (step.iteration, step.part) == (0, 0)


def test_every_batch_draws_for_itself():
    model, plain = mean_teacher(), mean_teacher()
    model.accumulate = 2
    draws = []
    for _ in range(4):
        step = model.begin(*batch())
        draws.append(
            (step.random.random(), torch.rand(
                (), generator=step.generator).item(), step.common.random()))
        model.loss(*batch())
    *own, common = zip(*draws)
    for values in own:
        assert len(set(values)) == 4
    assert common[0] == common[1] != common[2] == common[3]
    first = plain.begin(*batch())
    assert first.random.random() == draws[0][0]  # as without accumulation


@pytest.mark.parametrize('other', [(1, 0, 0, 'network', 0),
                                   (0, 1, 0, 'network', 0),
                                   (0, 0, 1, 'network', 0),
                                   (0, 0, 0, 'method', 0),
                                   (0, 0, 0, 'network', 1)])
def test_seeds_depend_on_every_part_of_the_place(other):
    assert step_seed(0, 0, 0, 'network') != step_seed(*other)


@pytest.mark.parametrize('lacks', [0, 1])
def test_prototypes_move_as_by_one_batch_with_all_images(lacks):
    """Those too that have samples in one of the batches alone."""
    maps, moved = given_maps(), []
    maps['sup']['cls'][lacks:lacks + 1] %= 2
    parts = [slice(None)], [slice(0, 1), slice(1, None)]
    for slices in parts:
        term = bare_term(momentum=.5, draws_per_image=0)
        set_prototypes(term)
        before = term.head.prototypes.clone()
        for part, images in enumerate(slices):
            step = given_step(maps, iteration=20, semi=False, part=images)
            step.part, step.accumulate = part, len(slices)
            assert torch.equal(term.head.prototypes, before)
            term.loss(step)
            term.update_after(step)
        moved.append(term.head.prototypes.clone())
    assert (moved[0] - before).abs().max() > .1
    torch.testing.assert_close(moved[0], moved[1], rtol=0, atol=1e-12)


def test_class_thresholds_move_as_by_one_batch_with_all_images():
    maps, moved = given_maps(), []
    maps['sup']['cls'][:1] %= 2
    for slices in [slice(None)], [slice(0, 1), slice(1, None)]:
        term = bare_term(class_threshold=(.7, .9))
        for part, images in enumerate(slices):
            step = given_step(maps, iteration=1, part=images)
            step.part, step.accumulate = part, len(slices)
            term.on_labels(step)
        moved.append(term.class_confidence.clone())
    assert (moved[0] != .8).any()
    torch.testing.assert_close(moved[0], moved[1], rtol=0, atol=1e-12)


def test_a_window_counts_iterations():
    """Two batches of an iteration fill one place of each window."""
    whole, parts = (
        term('ClassBalance', windows=(2, 3), begin=0) for _ in range(2))
    for it in range(6):
        maps = [label_maps(seed=2 * it + part) for part in range(2)]
        for part in range(2):
            step = label_step(maps[part], iteration=it)
            step.part, step.accumulate = part, 2
            parts.on_labels(step)
        rows = [torch.tensor(counted(m['unsup_teacher']['cls'])) for m in maps]
        assert torch.equal(parts.unlabeled_batches[it % 3], sum(rows))
        assert parts.seen.tolist() == [min(it + 1, 2), it + 1]
    labelled = sum(
        torch.tensor(counted(label_maps(seed=s)['sup']['cls']))
        for s in range(4))
    assert torch.equal(parts.labeled, labelled)
    assert whole.seen.tolist() == [0, 0]


@pytest.mark.parametrize('one, local, whole', [
    (term('U2PL', head=dict(in_channels=3), ranks=(1, 2)), ['percentile'
                                                            ], ['centres']),
    (bare_pcr(ohem=dict(thresh=.7, min_kept=9)), ['at least 9 samples'], []),
    (bare_pcr(entropy_start=80.), ['percentile'], []),
    (term('PPS', head=dict(in_channels=3)), ['contrasted'], []),
    (term('PPS', contrast_weight=0), [], []),
    (term('CMB', head=dict(in_channels=3), num_labeled=9), [], ['for memory']),
    (term('SquaredConsistency', threshold=.9), [], ['confident pixels']),
    (term('SquaredConsistency'), [], []),
    (term('PixelConsistency', filter='none'), [], []),
])
def test_terms_say_what_they_compute_from_one_batch(one, local, whole):
    for found, expected in ((one.local_rules(), local), (one.batch_rules(),
                                                         whole)):
        assert len(found) == len(expected)
        for rule, words in zip(found, expected):
            assert rule.startswith(f'{one.name}: ') and words in rule


def test_a_model_says_what_depends_on_how_images_are_shared():
    one, several = (mean_teacher().local_rules(k) for k in (1, 4))
    assert [rule.split(':')[0]
            for rule in one] == ['cutmix', 'pixel_consistency', 'BatchNorm']
    assert several == [*one, MEANS]
    assert 'BatchNorm' not in str(teacher('GN').local_rules())


def teacher(norm='BN', **kwargs):
    cfg = segmentor()
    cfg['backbone']['norm_cfg'] = cfg['decode_head']['norm_cfg'] = dict(
        type=norm, **(dict(num_groups=1) if norm == 'GN' else {}))
    return mean_teacher(segmentor=cfg, **kwargs)


@pytest.mark.parametrize('share, kwargs', [
    ((1, 1), dict(burn_in=1)),
    ((1, 1), dict(joint=False)),
    ((2, 1), dict(joint=False)),
    ((2, 1), dict(labeler_mode='train')),
    ((1, 0), dict(terms=dict(consistency=None))),
])
def test_single_images_under_batch_norm_are_refused(share, kwargs):
    with pytest.raises(ValueError, match='single image, and .* BatchNorm'):
        check_norm_batches(teacher(**kwargs), share)
    check_norm_batches(teacher('GN', **kwargs), share)


@pytest.mark.parametrize('share, kwargs', [
    ((1, 1), {}),
    ((2, 1), dict(burn_in=1)),
    ((1, 2, 1), dict(burn_in=1)),
    ((2, 0), dict(terms=dict(consistency=None))),
])
def test_two_images_are_enough_for_batch_norm(share, kwargs):
    check_norm_batches(teacher(**kwargs), share)


@pytest.mark.parametrize('world, fits', [(1, False), (2, True)])
def test_synchronised_batch_norm_has_the_images_of_others(
        monkeypatch, world, fits):
    monkeypatch.setattr(checks, 'get_world_size', lambda: world)
    model = teacher(joint=False)
    model.student = torch.nn.SyncBatchNorm.convert_sync_batchnorm(
        model.student)
    if fits:
        check_norm_batches(model, (1, 1))
        return
    with pytest.raises(ValueError, match='single image'):
        check_norm_batches(model, (1, 1))


def test_frozen_batch_norm_needs_no_second_image():
    model = teacher(burn_in=1)
    for module in model.student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    check_norm_batches(model, (1, 1))
