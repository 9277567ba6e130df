# Copyright (c) mmseg_semi authors.
"""BRPG with several strong views."""
import pytest
import torch

from .given import (PLENTY, bare_term, given_maps, given_step, set_prototypes,
                    stored, take)
from .toys import SIZE, batch, brpg_cfg, mean_teacher

VIEWS = ('unsup_student', 'unsup_student2')


def two_views(iteration):
    """A step whose second strong view shows the same images otherwise."""
    step = given_step(given_maps(), iteration)
    other = given_step(given_maps(seed=1), iteration)
    first, second = VIEWS
    step.views[second] = other.views[first]
    step.outs['learn', second] = other.outs['learn', first]
    step.learned['student', second] = 'learn'
    step.labels['student', second] = other.labels['student', first]
    step.sources['student', second] = step.sources['student', first]
    return step


def test_their_pixels_form_one_mean():
    losses, numbers = {}, {}
    for views in (None, *((view, ) for view in VIEWS)):
        term = bare_term(
            views=views, draws_per_image=SIZE**2, confidence=(.6, .7))
        set_prototypes(term)
        term.once('prototypes', lambda: None)
        step = two_views(20)
        losses[views] = term.loss(step)['loss_proto'].item()
        target = term.samples.target
        grid = 4 * 81  # cells=8 of four images
        # Class 3 has no prototype and is left out.
        numbers[views] = ((target[grid:] != 255) &
                          (target[grid:] != 3)).sum().item()
    term = bare_term(draws_per_image=0)
    set_prototypes(term)
    term.once('prototypes', lambda: None)
    labelled = term.loss(given_step(given_maps(), 20, semi=False))
    base = labelled['loss_proto'].item()
    assert numbers[None] == sum(numbers[
        view,
    ] for view in VIEWS)
    expected = sum(numbers[
        view,
    ] * (losses[
        view,
    ] - base) for view in VIEWS)
    assert losses[None] - base == pytest.approx(
        expected / numbers[None], rel=1e-9)
    assert abs(losses[
        VIEWS[0],
    ] - losses[
        VIEWS[1],
    ]) > 1e-5


def test_the_weak_images_enter_the_banks_once():
    one, two = bare_term(**PLENTY), bare_term(**PLENTY)
    take(one, given_step(given_maps(), 1))
    take(two, two_views(1))
    assert stored(one) == stored(two)


def test_gradient_reaches_every_view():
    term = bare_term(confidence=(.6, .7))
    set_prototypes(term)
    term.once('prototypes', lambda: None)
    step = two_views(20)
    term.loss(step)['loss_proto'].backward()
    for view in VIEWS:
        assert step.learner('student', view).features['brpg'].grad.any()


def test_a_mean_teacher_with_copies_on_the_device():
    model = mean_teacher(strong_copies=2, terms=dict(brpg=brpg_cfg()))
    for seed in range(5):
        inputs, samples = batch(seed=seed)
        for part in (inputs, samples):
            part.pop('unsup_student')
        losses = model.loss(inputs, samples)
    assert losses['loss_proto'] > 0
    # Those of the grid and of two views with two images each.
    drawn = 2 * 81 + 2 * 2 * 20
    step = model.begin(inputs, samples)
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    model.terms.brpg.loss(step)
    assert len(model.terms.brpg.samples.target) == drawn
    assert torch.isfinite(losses['loss_proto'])
