# Copyright (c) mmseg_semi authors.
"""Which pixels enter BRPG's banks, against loops over pixels."""

import pytest
import torch
from torch.nn import functional as F

from .given import (PLENTY, SIDE, bare_term, given_maps, given_step,
                    set_prototypes, stored, take)
from .toys import NUM_CLASSES, SIZE


def expected_bank(maps, eta, semi=True):
    """Eq. 8, 9 and spec B3, pixel by pixel: {group: {class: rows}}."""
    banks = {g: {c: [] for c in range(NUM_CLASSES)} for g in ('high', 'low')}
    kinds = ('sup', 'weak') if semi else ('sup', )
    for kind in kinds:
        scores = maps[kind]['logits'].softmax(1)
        for b in range(len(scores)):
            for i in range(SIDE):
                for j in range(SIDE):
                    y, x = i * SIZE // SIDE, j * SIZE // SIDE
                    conf, pred = scores[b, :, i, j].max(0)
                    pred, conf = pred.item(), conf.item()
                    row = maps[kind]['features'][b, :, i, j].tolist()
                    if kind == 'weak':
                        if maps['valid'][b, y, x] and conf >= .8:
                            banks['high'][pred].append(row)
                    elif pred == maps['sup']['cls'][b, y, x]:
                        group = 'high' if conf >= eta[pred] else 'low'
                        banks[group][pred].append(row)
    return banks


def as_sorted(banks):
    return {
        g: {
            c: sorted(map(tuple, rows))
            for c, rows in classes.items()
        }
        for g, classes in banks.items()
    }


class TestSampling:

    @pytest.mark.parametrize('semi', [True, False])
    def test_banks_hold_what_the_equations_say(self, semi):
        """Without unlabelled images: a window within burn-in (Table 7)."""
        term, maps = bare_term(**PLENTY), given_maps()
        take(term, given_step(maps, 1, semi=semi))
        expected = as_sorted(expected_bank(maps, [.8] * NUM_CLASSES, semi))
        assert all(expected['high'][0]), 'the case must not be empty'
        assert stored(term) == expected

    def test_stored_confidence_belongs_to_the_row(self):
        term, maps = bare_term(**PLENTY), given_maps()
        take(term, given_step(maps, 1))
        features, confidence = term.banks.banks['low'].rows(1)
        every = torch.cat([
            maps[k]['features'].permute(0, 2, 3, 1).flatten(0, 2)
            for k in ('sup', 'weak')
        ])
        scores = torch.cat([
            maps[k]['logits'].softmax(1).amax(1).flatten()
            for k in ('sup', 'weak')
        ])
        for row, conf in zip(features, confidence):
            place = (every == row).all(1).nonzero().item()
            assert conf.item() == pytest.approx(scores[place].item())

    @pytest.mark.parametrize('semi, high, low', [(True, 24, 12),
                                                 (False, 12, 12)])
    def test_quota(self, semi, high, low):
        """sample_num per image and iteration, over all classes."""
        term = bare_term(threshold=.8, samples_per_image=3, capacity=100)
        maps = given_maps()
        for _ in range(2):
            take(term, given_step(maps, 1, semi=semi))
        banks = term.banks.banks
        assert banks['high'].count.sum() == 2 * high
        assert banks['low'].count.sum() == 2 * low

    def test_unlabelled_pixels_enter_without_feature_gradient(self):
        term, maps = bare_term(**PLENTY), given_maps()
        step = given_step(maps, 1)
        take(term, step)
        for bank in term.banks.banks.values():
            assert not bank.features.requires_grad

    def test_class_thresholds(self):
        """csp: momentum .999 of the true class's probability, clamped."""
        term = bare_term(class_threshold=(.7, .9), window=(1, 9), **PLENTY)
        maps = given_maps()
        eta = [.8] * NUM_CLASSES
        term.class_confidence.fill_(.8)
        term.class_confidence[1] = eta[1] = .2  # below the bounds
        term.class_confidence[2] = eta[2] = .99
        maps['sup']['cls'][maps['sup']['cls'] == 3] = 255  # absent: unmoved
        for _ in range(2):
            probs = F.interpolate(
                maps['sup']['logits'], (SIZE, SIZE),
                mode='bilinear',
                align_corners=True).softmax(1)
            for c in range(NUM_CLASSES):
                here = maps['sup']['cls'] == c
                if here.any():
                    mean = probs[:, c][here].mean().item()
                    eta[c] = .999 * eta[c] + .001 * mean
            term.banks.release()
            take(term, given_step(maps, 1))
        assert term.class_confidence.tolist() == pytest.approx(eta, rel=1e-9)
        assert eta[3] == .8 and eta[0] != .8
        used = [min(max(t, .7), .9) for t in eta]
        assert stored(term) == as_sorted(expected_bank(maps, used))

    def test_class_thresholds_move_while_sampling_only(self):
        term = bare_term(class_threshold=(.7, .9))
        set_prototypes(term)
        moved = []
        for iteration in (0, 1, 3):
            before = term.class_confidence.clone()
            take(term, given_step(given_maps(), iteration))
            moved.append(not torch.equal(term.class_confidence, before))
        assert moved == [False, True, False]

    def test_plain_variant_draws_from_all_labelled_pixels(self):
        """Table 6, III: no split by confidence."""
        term = bare_term(split=False, num_prototypes=(4, ), apo=None, **PLENTY)
        maps = given_maps()
        take(term, given_step(maps, 1))
        rows = {c: [] for c in range(NUM_CLASSES)}
        scores = maps['weak']['logits'].softmax(1)
        for b in range(4):
            for i in range(SIDE):
                for j in range(SIDE):
                    y, x = i * SIZE // SIDE, j * SIZE // SIDE
                    label = maps['sup']['cls'][b, y, x].item()
                    if label != 255:
                        rows[label].append(maps['sup']['features'][b, :, i,
                                                                   j].tolist())
                    conf, pred = scores[b, :, i, j].max(0)
                    if conf >= .8 and maps['valid'][b, y, x]:
                        rows[pred.item()].append(
                            maps['weak']['features'][b, :, i, j].tolist())
        assert stored(term) == as_sorted(dict(all=rows))
