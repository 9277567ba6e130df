# Copyright (c) mmseg_semi authors.
"""What all terms have from their base class."""
import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.regularizers.term import build_term
from .given_labels import given_maps, given_step, term
from .toys import NUM_CLASSES, mean_teacher, mean_teacher_cfg, segmentor

WIDTHS = dict(decoder=12, pre_cls=7, other=5)
HEADED = [('BRPG', dict(head=dict(channels=6)), 'decoder', 12),
          ('PCR', {}, 'decoder', 12),
          ('U2PL', dict(ranks=(1, 2)), 'decoder', 12),
          ('CMB', {}, 'pre_cls', 7)]


def sized(kind, options, **head):
    options = dict(options, head={**options.get('head', {}), **head})
    return build_term(
        dict(type=kind, **options),
        'student',
        NUM_CLASSES,
        'paper',
        widths=WIDTHS.__getitem__)


class TestWidths:

    @pytest.mark.parametrize('kind, options, tap, width', HEADED)
    def test_in_channels_are_the_taps(self, kind, options, tap, width):
        for head in ({}, dict(in_channels=width)):
            (found, ) = sized(kind, options, **head).heads().values()
            assert found['in_channels'] == width
        (found, ) = sized(kind, options, tap='other').heads().values()
        assert found['in_channels'] == WIDTHS['other']

    @pytest.mark.parametrize('kind, options, tap, width', HEADED)
    def test_other_ones_are_refused(self, kind, options, tap, width):
        message = f"{kind}: head.in_channels=9, .*'{tap}' has {width} "
        with pytest.raises(ValueError, match=message):
            sized(kind, options, in_channels=9)

    @pytest.mark.parametrize('kind, options, tap, width', HEADED)
    def test_without_a_network_they_must_be_given(self, kind, options, tap,
                                                  width):
        options = dict(options, head=options.get('head', {}))
        with pytest.raises(ValueError, match=f'{kind}: `head.in_channels`'):
            build_term(dict(type=kind, **options), 'student', 4, 'paper')

    def test_banks_are_as_wide_as_the_features(self):
        """PCR's features, and BRPG's without a projector, are the tap's."""
        assert sized('PCR', {}).bank.dim == 12
        brpg = sized('BRPG', dict(head=dict(projector=None)))
        assert brpg.banks.banks['high'].dim == 12
        assert brpg.heads()['brpg']['channels'] == 12

    def test_a_term_keeps_no_network(self):
        assert sized('PCR', {})._widths is None


class TestHead:

    def test_it_is_the_networks_alone(self):
        cmb = dict(type='CMB', head=dict(in_channels=8), rows_per_image=1)
        model = mean_teacher(terms=dict(cmb=cmb), labeler_mode='train')
        assert model.terms.cmb.head is model.student.semi_heads['cmb']
        assert not list(model.terms.cmb.parameters())
        both = copy.deepcopy(model)
        assert both.terms.cmb.head is both.student.semi_heads['cmb']


class TestOnce:

    def test_it_looks_once_until_state_is_loaded(self):
        balance, seen = term('ClassBalance', windows=(1, 1)), []

        def look():
            seen.append(len(seen))
            return seen[-1]

        assert [balance.once('a', look) for _ in range(3)] == [0, 0, 0]
        assert balance.once('b', look) == 1
        balance.load_state_dict(balance.state_dict())
        assert balance.once('a', look) == 2

    def test_a_look_that_fails_is_repeated(self):
        balance = term('ClassBalance', windows=(1, 1))
        with pytest.raises(ZeroDivisionError):
            balance.once('a', lambda: 1 / 0)
        assert balance.once('a', lambda: 3) == 3


class TestViews:

    def test_by_default_all_with_a_pseudo_label(self):
        step = given_step(given_maps())
        one = term('EntropyMinimization')
        assert one.chosen_views(step) == ['unsup_student', 'unsup_student2']
        two = term('EntropyMinimization', views=('unsup_student2', ))
        assert two.chosen_views(step) == ['unsup_student2']
        assert one.chosen_views(given_step(given_maps(), semi=False)) == []

    def test_labelled_images_are_asked_for(self):
        """CPS without mixing has pseudo-labels of them."""
        step = given_step(given_maps())
        step.labels['student', 'sup'] = {}
        one = term('EntropyMinimization')
        assert 'sup' not in one.chosen_views(step)
        assert 'sup' in one.chosen_views(step, labeled=True)

    @pytest.mark.parametrize('kind, options', [
        ('SupervisedLoss', {}),
        ('ClassBalance', dict(windows=(1, 1))),
    ])
    def test_terms_that_read_none_refuse_them(self, kind, options):
        with pytest.raises(ValueError, match=f'{kind} reads no views'):
            term(kind, views=['unsup_student'], **options)

    @pytest.mark.parametrize('kind, options', [
        ('BRPG', dict(head=dict(in_channels=3, channels=3))),
        ('PCR', dict(head=dict(in_channels=3))),
        ('CMB', dict(head=dict(in_channels=3))),
        ('U2PL', dict(head=dict(in_channels=3), ranks=(1, 2))),
        ('SquaredConsistency', {}),
        ('PixelConsistency', {}),
    ])
    def test_all_others_choose_alike(self, kind, options):
        one = term(kind, views=['unsup_student2'], **options)
        assert one.chosen_views(given_step(given_maps())) == ['unsup_student2']
        with pytest.raises(ValueError, match="views='ab'"):
            term(kind, views='ab', **options)


def framework(kind, terms, **kwargs):
    cfg = mean_teacher_cfg(segmentor=segmentor(), terms=terms, **kwargs)
    cfg['terms'].setdefault('consistency', None)
    if kind != 'MeanTeacher' and 'consistency' not in terms:
        cfg['terms']['consistency'] = None
    return MODELS.build(dict(cfg, type=kind))


class TestNeeds:
    """What a framework lacks is said when the model is built."""

    @pytest.mark.parametrize('kind', ['FixMatch', 'CrossPseudo'])
    @pytest.mark.parametrize('name, options, message', [
        ('consistency', dict(type='PixelConsistency', entropy_view='mixed'),
         'mixed images: use entropy_view="weak"'),
        ('pcr',
         dict(
             type='PCR',
             head=dict(in_channels=16),
             entropy_start=80.,
             entropy_view='mixed'), 'PCR: .*entropy_view="weak"'),
        ('cmb', dict(type='CMB', head=dict(in_channels=8)),
         'no teacher: use memory_network="student"'),
        ('u2pl', dict(type='U2PL', head=dict(in_channels=16),
                      ranks=(1, 2)), 'U2PL: .*no teacher'),
        ('squared', dict(type='SquaredConsistency'), 'no teacher'),
    ])
    def test_refused(self, kind, name, options, message):
        with pytest.raises(TypeError, match=message):
            framework(kind, {name: options})

    @pytest.mark.parametrize('kind', ['FixMatch', 'CrossPseudo'])
    @pytest.mark.parametrize('name, options', [
        ('consistency', dict(type='PixelConsistency', entropy_view='weak')),
        ('consistency', dict(type='PixelConsistency', filter='confidence')),
        ('cmb',
         dict(type='CMB', head=dict(in_channels=8), memory_network='student')),
    ])
    def test_what_works_everywhere(self, kind, name, options):
        framework(kind, {name: options})

    def test_labels_of_images_as_they_come(self):
        balance = dict(
            type='ClassBalance', windows=(1, 1), view='unsup_teacher')
        framework('MeanTeacher', dict(balance=balance))
        framework('CrossPseudo', dict(balance=balance))
        for kind, options in (('FixMatch', {}), ('CrossPseudo',
                                                 dict(mixing=None))):
            with pytest.raises(TypeError, match='leave `view` out'):
                framework(kind, dict(balance=balance), **options)
        del balance['view']
        framework('FixMatch', dict(balance=balance))


def test_settled_options_give_way_to_given_ones():
    balance = term('ClassBalance', begin=5)
    with pytest.raises(RuntimeError, match='ClassBalance: `windows` .*plan_t'):
        balance.option('windows')
    balance.settle(begin=7, windows=(1, 2))
    assert (balance.option('begin'), balance.option('windows')) == (5, (1, 2))
    assert torch.equal(balance.seen, torch.zeros(2, dtype=torch.long))
