# Copyright (c) mmseg_semi authors.
"""Other frameworks and terms fit the step without a change to it.

Small forms of what FixMatch, UniMatch, CPS and CMB need from the interface.
"""
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models import Framework, MeanTeacher
from mmseg_semi.models.regularizers import Term
from mmseg_semi.models.step import Pass
from .toys import batch, brpg_cfg, segmentor, total

WEAK_TERMS = dict(
    supervised=dict(type='SupervisedLoss'),
    consistency=dict(type='PixelConsistency', entropy_view='weak'))


class FixMatch(Framework):
    """Labels from the weak share of the very forward that learns."""
    networks = learners = ('student', )

    def passes(self, step):
        return [
            Pass(
                'all',
                'student', ('sup', 'unsup_teacher', 'unsup_student'),
                role='learner',
                grad=True),
            # UniMatch's third stream: channels of the encoder dropped.
            Pass(
                'dropped',
                'student', ('unsup_teacher', ),
                grad=True,
                channel_dropout=.5)
        ]

    def make_labels(self, step, done):
        if done.name == 'all':
            key = ('all', 'unsup_teacher')
            step.labels['student', 'unsup_student'] = self.pseudo_labels(
                step.outs[key], step.views['unsup_teacher'])
            step.sources['student', 'unsup_student'] = key


class CrossPseudo(Framework):
    """Two networks, each labelled by the other."""
    networks = learners = ('a', 'b')

    def passes(self, step):
        return [
            Pass(
                net, net, ('sup', 'unsup_student'), role='learner', grad=True)
            for net in 'ab'
        ]

    def make_labels(self, step, done):
        other = dict(a='b', b='a')[done.name]
        key = (done.name, 'unsup_student')
        step.labels[other, 'unsup_student'] = self.pseudo_labels(
            step.outs[key], step.views['unsup_student'])
        step.sources[other, 'unsup_student'] = key


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


def build(cls, predict_with, **kwargs):
    torch.manual_seed(0)
    model = cls(segmentor(), predict_with=predict_with, **kwargs)
    model.init_weights()
    model.total_iters = 100
    return model.train()


@pytest.mark.parametrize('cls, nets', [(FixMatch, ['student']),
                                       (CrossPseudo, ['a', 'b'])])
def test_brpg_on_another_framework_is_a_config(cls, nets):
    terms = dict(WEAK_TERMS, brpg=brpg_cfg())
    model = build(cls, nets[0], terms=terms)
    for it in range(4):
        losses = model.loss(*batch(seed=it))
        model.zero_grad()
        total(losses).backward()
    for net in map(model.net, nets):
        assert net.semi_heads['brpg'].prototype_valid.any()
        assert all(p.grad.abs().sum() > 0
                   for p in net.semi_heads['brpg'].projector.parameters()
                   if p.dim() > 1)
        assert net.decode_head.conv_seg.weight.grad.abs().sum() > 0
    protos = [
        net.semi_heads['brpg'].prototypes for net in map(model.net, nets)
    ]
    assert len(protos) == 1 or not torch.equal(*protos)


def test_two_learners_have_their_own_losses_and_state():
    model = build(CrossPseudo, 'a', terms=WEAK_TERMS)
    losses = model.loss(*batch())
    assert {'a.loss_sup', 'b.loss_sup', 'a.loss_unsup',
            'b.loss_unsup'} <= set(losses)
    losses['a.loss_unsup'].backward()
    assert model.a.backbone.conv1.weight.grad is not None
    assert model.b.backbone.conv1.weight.grad is None


def test_labels_may_come_from_the_learning_forward_without_gradient():
    model = build(FixMatch, 'student', terms=WEAK_TERMS)
    step = model.begin(*batch())
    names = []
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
        names.append(item.name)
    assert names == ['all', 'dropped']
    assert not step.labels['student', 'unsup_student']['conf'].requires_grad
    assert step.outs['dropped', 'unsup_teacher'].logits.requires_grad


def test_mixed_entropy_needs_a_second_network():
    model = build(
        FixMatch,
        'student',
        terms=dict(
            supervised=dict(type='SupervisedLoss'),
            consistency=dict(type='PixelConsistency')))
    with pytest.raises(TypeError, match='entropy_view="weak"'):
        model.loss(*batch())


def test_late_pass_and_weights():
    terms = dict(
        late=dict(type='WeightedByLateTeacher'),
        supervised=dict(type='SupervisedLoss'),
        consistency=dict(
            type='PixelConsistency',
            filter='confidence',
            threshold=0.,
            normalizer='all'))
    model = build(MeanTeacher, 'student', terms=terms, mixing=None)
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
        build(
            MeanTeacher,
            'student',
            terms=dict(WEAK_TERMS, new=dict(type='Replacing')))
