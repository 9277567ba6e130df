# Copyright (c) mmseg_semi authors.
from random import Random

import pytest
import torch

from mmseg_semi.models.mixing import BatchMixer
from mmseg_semi.models.step import Step, View

B, H, W = 4, 10, 12


def make_step(seed=0, batch=B):
    """A step whose pixels say where they come from."""
    where = torch.arange(batch * H * W).view(batch, H, W)
    image = where[:, None].expand(-1, 3, -1, -1).float()
    valid = where % 7 > 0
    view = View(image=image, samples=['sample'] * batch, valid=valid)
    step = Step(
        iteration=0,
        total_iters=1,
        generator=torch.Generator().manual_seed(seed),
        random=Random(seed),
        semi=True,
        views=dict(strong=view))
    labels = dict(
        cls=(where % 5).masked_fill(~valid, 255),
        conf=where.double() * valid,
        valid=valid)
    return step, labels


def mixed(seed=0, **kwargs):
    step, labels = make_step(seed)
    out = BatchMixer(**kwargs)(step, 'strong', labels, 5)
    return step.views['strong'], out


@pytest.mark.parametrize('kind', ['cutmix', 'cutmix_single', 'classmix'])
def test_image_and_labels_move_together(kind):
    view, labels = mixed(kind=kind, prob=1.)
    source = view.image[:, 0].long()
    assert (view.image == view.image[:, :1]).all()
    original = torch.arange(B * H * W).view(B, H, W)
    moved = source != original
    assert moved.any() and not moved.all()
    assert torch.equal(source,
                       torch.where(moved, original.roll(-1, 0), original))
    valid = source % 7 > 0
    assert torch.equal(labels['valid'], valid)
    assert torch.equal(view.valid, valid)
    assert torch.equal(labels['cls'], (source % 5).masked_fill(~valid, 255))
    assert torch.equal(labels['conf'], source.double() * valid)
    assert view.samples == ['sample'] * B


def test_cutmix_box_is_half_the_image():
    view, _ = mixed(kind='cutmix', prob=1.)
    moved = view.image[:, 0].long() != torch.arange(B * H * W).view(B, H, W)
    share = moved.flatten(1).float().mean(1)
    assert ((share - .5).abs() < .06).all()


def test_one_box_of_cutmix_xor_is_a_quarter_to_half():
    whole, half = [], []
    for seed in range(10):
        for boxes, shares in ((3, whole), (1, half)):
            view, _ = mixed(seed, kind='cutmix_xor', boxes=boxes, prob=1.)
            own = make_step(seed)[0].views['strong'].image[:, 0]
            shares += (view.image[:, 0] != own).float().mean((1, 2)).tolist()
    assert .2 < min(half) and max(half) < .55  # sides are rounded
    assert min(whole) < .2


def test_cutout_leaves_nothing_to_learn_from():
    view, labels = mixed(kind='cutout', prob=1.)
    cut = (view.image[:, 0] == 0)
    cut[0, 0, 0] = False  # this pixel is 0 anyway
    cut &= view.image[:, 0].long() != torch.arange(B * H * W).view(B, H, W)
    assert .4 < cut.float().mean() < .6
    assert (labels['cls'][cut] == 255).all()
    assert (labels['conf'][cut] == 0).all()
    assert not view.valid[cut].any() and not labels['valid'][cut].any()


def test_gate_is_per_batch_as_the_official_code():
    gates = []
    for seed in range(200):
        step, labels = make_step(seed)
        before = step.views['strong']
        out = BatchMixer(prob=.5)(step, 'strong', labels, 5)
        moved = out['cls'] is not labels['cls']
        assert moved == (step.views['strong'] is not before)
        if moved:
            changed = step.views['strong'].image != before.image
            assert changed.flatten(1).any(1).all()
        gates.append(moved)
    assert 70 < sum(gates) < 130


def test_gate_per_image():
    changed = torch.zeros(B)
    for seed in range(100):
        step, labels = make_step(seed)
        before = step.views['strong'].image
        BatchMixer(prob=.3, per_image=True)(step, 'strong', labels, 5)
        changed += (step.views['strong'].image != before).flatten(1).any(1)
    assert ((changed > 15) & (changed < 45)).all()


@pytest.mark.parametrize('per_image', [True, False])
def test_probability_zero(per_image):
    step, labels = make_step()
    before = step.views['strong'].image
    out = BatchMixer(prob=0., per_image=per_image)(step, 'strong', labels, 5)
    assert torch.equal(step.views['strong'].image, before)
    assert all(torch.equal(out[k], labels[k]) for k in labels)


def test_same_seed_same_mix():
    for (a, x), (b, y) in [(mixed(3, prob=1.), mixed(3, prob=1.))]:
        assert torch.equal(a.image, b.image) and torch.equal(
            x['cls'], y['cls'])
    other, _ = mixed(4, prob=1.)
    assert not torch.equal(a.image, other.image)


def test_one_image_is_its_own_partner():
    """B12-11: said aloud."""
    step, labels = make_step(batch=1)
    with pytest.warns(UserWarning, match='one unlabelled image'):
        BatchMixer(prob=1.)(step, 'strong', labels, 5)


def test_mixing_begins_late():
    for iteration in (4, 5):
        step, labels = make_step()
        step.iteration, before = iteration, step.views['strong']
        random, drawn = step.random.getstate(), step.generator.get_state()
        BatchMixer(prob=1., begin=5)(step, 'strong', labels, 5)
        mixes = step.views['strong'] is not before
        assert mixes == (iteration == 5)
        if not mixes:  # no draw either
            assert step.random.getstate() == random
            assert torch.equal(step.generator.get_state(), drawn)


@pytest.mark.parametrize('extra', [0, 1])
def test_classmix_pastes_so_many_classes(extra):
    """floor(n / 2) + extra; the background only where there is no other."""
    step, labels = make_step()
    cls = torch.arange(B * H * W).view(B, H, W) % 5
    cls[0] = 0
    valid = torch.ones_like(labels['valid'])
    view = step.views['strong']
    view.image = cls[:, None].float() + 10 * torch.arange(B).view(B, 1, 1, 1)
    view.valid = valid
    BatchMixer(
        kind='classmix', prob=1., background=0,
        extra=extra)(step, 'strong', dict(labels, cls=cls, valid=valid), 5)
    image = step.views['strong'].image[:, 0].long()
    for i in range(B):
        partner = (i + 1) % B
        pasted = set((image[i][image[i] // 10 == partner] % 10).tolist())
        alone = partner == 0
        assert len(pasted) == (min(extra, 1) if alone else 2 + extra)
        assert alone or 0 not in pasted


def test_labels_and_domain_of_a_labelled_view():
    step, labels = make_step()
    target = labels['cls'] % 2 == 0
    view = step.views['strong']
    view.labels, view.target = labels['cls'], target
    moved = BatchMixer(prob=1.)(step, 'strong', labels, 5)
    view = step.views['strong']
    assert torch.equal(view.labels, moved['cls'])
    assert set(moved) == set(labels)
    source = view.image[:, 0].long()
    assert torch.equal(view.target, target.flatten()[source])


@pytest.mark.parametrize('wrong, message', [(dict(kind='mixup'), 'mixup'),
                                            (dict(prob=1.5), 'prob'),
                                            (dict(boxes=0), 'one box')])
def test_bad_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        BatchMixer(**wrong)


def _one_image(rank, kind, seeds):
    """This rank's image of a batch of two, mixed; which seeds mixed it."""
    done = []
    for seed in seeds:
        step, labels = make_step(seed, batch=2)
        labels = {name: m[rank:rank + 1] for name, m in labels.items()}
        whole = step.views['strong']
        step.views['strong'] = View(
            image=whole.image[rank:rank + 1],
            samples=[rank],
            valid=whole.valid[rank:rank + 1])
        step.random = Random(f'{rank}/{seed}')  # the ranks decide apart
        out = BatchMixer(kind=kind, prob=.5)(step, 'strong', labels, 5)
        done.append((step.views['strong'].image[:, 0].long(), out))
    return done


@pytest.mark.dist
@pytest.mark.parametrize('kind', ['cutmix', 'cutmix_xor', 'classmix'])
def test_a_single_image_is_mixed_with_that_of_the_next_process(
        gloo_pool, kind):
    own = torch.arange(2 * H * W).view(2, H, W)
    gates = []
    for rank, results in enumerate(gloo_pool(_one_image, kind, range(12))):
        for source, labels in results:
            # Every pixel is this image's or the other's at the same place.
            partner = source != own[rank]
            assert torch.equal(
                source[0],
                torch.where(partner, own[1 - rank], own[rank])[0])
            valid = source % 7 > 0
            assert torch.equal(labels['valid'], valid)
            assert torch.equal(labels['cls'],
                               (source % 5).masked_fill(~valid, 255))
            assert torch.equal(labels['conf'], source.double() * valid)
            gates.append((rank, bool(partner.any())))
    for rank in (0, 1):
        assert {mixed for r, mixed in gates if r == rank} == {True, False}


def test_classmix_of_two_processes_pastes_whole_classes(gloo_pool):
    """As on one process: classes of the partner, not of the image itself."""
    own = torch.arange(2 * H * W).view(2, H, W)
    found = 0
    for rank, results in enumerate(
            gloo_pool(_one_image, 'classmix', range(12))):
        for source, _ in results:
            partner = (source != own[rank])[0]
            theirs = (own[1 - rank] % 5).masked_fill(own[1 - rank] % 7 == 0,
                                                     255)
            for cls in theirs[partner].unique():
                assert partner[theirs == cls].all() and cls != 255
                found += 1
    assert found


def test_a_single_image_of_one_process_is_warned_of():
    step, labels = make_step(batch=1)
    with pytest.warns(UserWarning, match='one unlabelled image.*own partner'):
        BatchMixer(prob=1.)(step, 'strong', labels, 5)
