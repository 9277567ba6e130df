# Copyright (c) mmseg_semi authors.
"""Frameworks and terms meet in the step alone: any goes with any."""
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models import CrossPseudo, FixMatch, MeanTeacher
from mmseg_semi.models.regularizers import Term
from mmseg_semi.models.step import Pass
from .toys import batch, brpg_cfg, segmentor, total

WEAK_TERMS = dict(
    supervised=dict(
        type='SupervisedLoss', criterion=[dict(type='cross_entropy')]),
    consistency=dict(type='PixelConsistency', entropy_view='weak'))


@MODELS.register_module()
class WeightedByLateTeacher(Term):
    """Like CMB: a teacher pass on labelled images once labels exist, and a
    weight (confidence^6) that pixel consistency reads."""
    name = 'late'
    unlabeled = True

    def taps(self):
        return ('pre_cls', )

    def passes(self, framework, step):
        return [
            Pass(
                'late',
                'teacher', ('sup', ),
                train=True,
                dropout=False,
                features=frozenset({'pre_cls'}))
        ]

    def on_labels(self, step):
        labels = step.labels[self.net, 'unsup_student']
        labels['weight'] = labels['conf']**6
        self.seen = step.outs['late', 'sup'].features['pre_cls']

    def loss(self, step):
        return {}


def build(cls, **kwargs):
    torch.manual_seed(0)
    model = cls(segmentor(), **kwargs)
    model.init_weights()
    model.total_iters = 100
    return model.train()


@pytest.mark.parametrize('cls, options', [
    (FixMatch, {}),
    (FixMatch, dict(feature_dropout=.5)),
    (CrossPseudo, {}),
    (CrossPseudo, dict(mixing=None)),
    (CrossPseudo, dict(concat=True, halves=False)),
])
def test_brpg_on_another_framework_is_a_config(cls, options):
    terms = dict(WEAK_TERMS, brpg=brpg_cfg())
    model = build(cls, terms=terms, **options)
    for it in range(4):
        losses = model.loss(*batch(unlabeled=4, seed=it))
        model.zero_grad()
        total(losses).backward()
    nets = [model.net(name) for name in model.learners]
    for net in nets:
        assert net.semi_heads['brpg'].prototype_valid.any()
        assert all(p.grad.abs().sum() > 0
                   for p in net.semi_heads['brpg'].projector.parameters()
                   if p.dim() > 1)
        assert net.decode_head.conv_seg.weight.grad.abs().sum() > 0
    protos = [net.semi_heads['brpg'].prototypes for net in nets]
    assert len(protos) == 1 or not torch.equal(*protos)


def test_a_bank_holds_the_features_of_its_own_network():
    """What the other student is sure of, as this one sees it."""
    model = build(CrossPseudo, terms=dict(WEAK_TERMS, brpg=brpg_cfg()))
    model.iteration = 1
    step = model.begin(*batch(unlabeled=4))
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    term = model.terms['brpg@student1']
    drawn = {}
    term.banks.fill = lambda labeled, pool, *args: drawn.update(pool=pool)
    term._fill(step)
    own, other = (
        step.outs[f'{net}.label', 'unsup_teacher'] for net in model.learners)
    assert torch.equal(drawn['pool'].features, own.features['brpg'])
    size = own.features['brpg'].shape[-2:]
    assert torch.equal(drawn['pool'].predicted, other.at(size).argmax(1))


def test_two_learners_have_their_own_losses_and_state():
    model = build(CrossPseudo, terms=WEAK_TERMS)
    losses = model.loss(*batch(unlabeled=4))
    assert {
        f'{net}.{kind}'
        for net in model.learners
        for kind in ('loss_sup', 'loss_unsup')
    } <= set(losses)


def test_mixed_entropy_needs_a_second_network():
    with pytest.raises(TypeError, match='entropy_view="weak"'):
        build(
            FixMatch,
            terms=dict(
                supervised=dict(type='SupervisedLoss'),
                consistency=dict(type='PixelConsistency')))


def test_late_pass_and_weights():
    terms = dict(
        late=dict(type='WeightedByLateTeacher'),
        supervised=dict(
            type='SupervisedLoss', criterion=[dict(type='cross_entropy')]),
        consistency=dict(
            type='PixelConsistency',
            filter='confidence',
            threshold=0.,
            normalizer='all'))
    model = build(MeanTeacher, terms=terms, mixing=None)
    order = []
    for name in ('student', 'teacher'):
        model.net(name).backbone.register_forward_hook(
            lambda m, args, out, name=name: order.append(name))
    weighted = model.loss(*batch())['loss_unsup']
    assert order == ['teacher', 'student', 'teacher', 'teacher']
    assert model.terms['late'].seen.shape[:2] == (2, 8)
    model.terms['late'].on_labels = lambda step: None
    model.iteration = 0
    plain = model.loss(*batch())['loss_unsup']
    assert 0 < weighted.item() < plain.item()


def test_a_replaced_term_must_go():

    @MODELS.register_module(force=True)
    class Replacing(WeightedByLateTeacher):
        replaces = ('pixel_consistency', )

    with pytest.raises(ValueError, match='replaces.*pixel_consistency'):
        build(MeanTeacher, terms=dict(WEAK_TERMS, new=dict(type='Replacing')))
